// Two charts: the score of a component, and one metric with its expected band.

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { History, MetricHistory } from './api';
import { number } from './words';

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function useChart(options: (width: number) => uPlot.Options, data: uPlot.AlignedData, height: number) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    chart.current = new uPlot(options(element.clientWidth), data, element);
    const resize = new ResizeObserver(() => chart.current?.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.current?.destroy();
    };
  }, []);
  useEffect(() => chart.current?.setData(data), [data]);
  return <div class="chart" ref={holder} />;
}

const hour = (u: uPlot): [number, number] => {
  const times = u.data[0];
  const last = times[times.length - 1] ?? Date.now() / 1000;
  return [Math.max(last - 3600, times[0] ?? last - 3600), last];
};

function base(width: number, height: number): Pick<uPlot.Options, 'width' | 'height' | 'cursor' | 'legend' | 'padding'> {
  return { width, height, cursor: { y: false, points: { size: 5 } }, legend: { show: true, live: true }, padding: [8, 8, 0, 0] };
}

const time = (seconds: number) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });

const axes = (values?: (u: uPlot, splits: number[]) => string[]): uPlot.Axis[] => [
  {
    stroke: css('--soft'),
    grid: { show: false },
    ticks: { show: false },
    size: 26,
    incrs: [60, 120, 300, 600, 900],
    space: 60,
    values: (_, splits) => splits.map(time),
  },
  { stroke: css('--soft'), grid: { stroke: css('--line'), width: 1 }, ticks: { show: false }, size: 56, values },
];

/** The score over the last hour; above the line at 1 is anomalous. */
export function ScoreChart({ history, height }: { history: History; height: number }) {
  const shown = history.anomaly_score.map((score) => Math.min(score, 20));
  const data: uPlot.AlignedData = [history.times, shown];
  const threshold: uPlot.Plugin = {
    hooks: {
      draw: (u) => {
        const y = u.valToPos(1, 'y', true);
        const { ctx, bbox } = u;
        ctx.save();
        ctx.strokeStyle = css('--bad');
        ctx.setLineDash([6, 4]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.restore();
      },
    },
  };
  return useChart(
    (width) => ({
      ...base(width, height),
      plugins: [threshold],
      scales: { x: { range: hour }, y: { range: (_, __, max) => [0, Math.max(1.5, max * 1.05)] } },
      axes: axes(),
      series: [
        {},
        {
          label: 'score (1 is the limit)',
          stroke: css('--accent'),
          fill: css('--accent-fill'),
          width: 1.5,
          points: { show: false },
          value: (_, v) => (v === null ? '–' : v >= 20 ? '≥ 20' : v.toFixed(2)),
        },
      ],
    }),
    data,
    height,
  );
}

/** One metric: its values, what was expected, and the band that counts as normal. */
export function MetricChart({ times, metric }: { times: number[]; metric: MetricHistory }) {
  const height = 150;
  const data: uPlot.AlignedData = [times, metric.yhat_upper, metric.yhat_lower, metric.yhat, metric.y];
  const text = (_: uPlot, v: number | null) => number(v);
  // The values set the scale: a band that is wide while little is known must not flatten them.
  const range = (u: uPlot): [number, number] => {
    const values = (u.data[4] as (number | null)[]).filter((v): v is number => v !== null);
    const expected = (u.data[3] as (number | null)[]).filter((v): v is number => v !== null);
    const low = Math.min(...values, ...expected.slice(-60));
    const high = Math.max(...values, ...expected.slice(-60));
    if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
    const margin = (high - low || Math.abs(high) || 1) * 0.25;
    return [low - margin, high + margin];
  };
  return useChart(
    (width) => ({
      ...base(width, height),
      scales: { x: { range: hour }, y: { range } },
      axes: axes((_, splits) => splits.map(number)),
      bands: [{ series: [1, 2], fill: css('--band') }],
      series: [
        {},
        { label: 'upper', stroke: css('--band-edge'), width: 1, points: { show: false }, value: text },
        { label: 'lower', stroke: css('--band-edge'), width: 1, points: { show: false }, value: text },
        { label: 'expected', stroke: css('--soft'), width: 1, dash: [4, 3], points: { show: false }, value: text },
        { label: 'value', stroke: css('--ink'), width: 1.5, points: { show: false }, value: text },
      ],
    }),
    data,
    height,
  );
}

/** A line of scores, as tall as a line of text. */
export function Sparkline({ scores }: { scores: number[] }) {
  const [width, height] = [180, 28];
  const y = (score: number) => height - 1 - (Math.min(score, 2) / 2) * (height - 2);
  const x = (i: number) => (scores.length < 2 ? width : (i / (scores.length - 1)) * width);
  const points = scores.map((score, i) => `${x(i).toFixed(1)},${y(score).toFixed(1)}`).join(' ');
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label="score over the last hour">
      <line x1="0" x2={width} y1={y(1)} y2={y(1)} class="limit" />
      <polyline points={points} class="score" />
    </svg>
  );
}
