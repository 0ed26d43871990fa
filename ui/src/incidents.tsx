// Incidents: what belongs together, where it began, and how it spread.

import type { ComponentChildren, JSX } from 'preact';
import * as api from './api';
import { PlanWord, WhatCanBeDone, latest } from './plan';
import { Sentence } from './sentence';
import { Answer, useWish } from './wish';
import { clock, number, signed, span } from './words';

/** How many ended incidents are listed. */
const MAX_ENDED = 8;
/** Seconds before the onset that a timeline shows. */
const BEFORE = 5;

/** `service/shop/orders` is `orders`, with the rest in the title. */
const short = (component: string) => component.split('/').pop() ?? component;

const link = (id: string) => `/incidents/${id}`;

/** The page at `/incidents/ID` shows that one whole; otherwise the open ones. */
export function Incidents(props: {
  incidents: api.Incident[];
  plans: api.Plan[];
  learnt: api.Learnt | null;
  linked?: string;
  now: string;
  onChange: () => void;
}) {
  const { incidents, plans, linked, now } = props;
  const shown = incidents.filter((i) => (linked ? i.id === linked : !i.closed));
  const ended = incidents.filter((i) => i.closed && !i.merged_into && i.id !== linked).slice(0, MAX_ENDED);
  if (shown.length + ended.length === 0) return null;
  return (
    <section>
      {shown.map((incident) => (
        <Incident key={incident.id} incident={incident} now={now} plan={latest(plans, incident.id)}>
          <WhatCanBeDone incident={incident} plans={plans} learnt={props.learnt} now={now} onChange={props.onChange} />
          {!incident.closed && <Normal incident={incident} onChange={props.onChange} />}
        </Incident>
      ))}
      {ended.length > 0 && <h2>Ended incidents</h2>}
      {ended.map((i) => (
        <p class="ended" key={i.id}>
          <time>{clock(i.onset)}</time> <a href={link(i.id)}>{headline(i)}</a> for {lasted(i, now)}{' '}
          <PlanWord plan={latest(plans, i.id)} />
        </p>
      ))}
    </section>
  );
}

function lasted(incident: api.Incident, now: string): string {
  return span((Date.parse(incident.closed ?? now) - Date.parse(incident.onset)) / 1000);
}

function components(incident: api.Incident): string[] {
  return [...new Set(incident.anomalies.map((a) => a.component))];
}

function headline(incident: api.Incident): string {
  const all = components(incident);
  const many = all.length === 1 ? short(all[0] ?? '') : `${all.length} components`;
  const cause = incident.diagnosis?.known ? incident.diagnosis.candidates[0] : undefined;
  if (cause) return all.length === 1 && all[0] === cause.component ? many : `${many}: it began in ${short(cause.component)}`;
  return incident.diagnosis ? `${many}: cause unknown` : `${many}: looking for the cause …`;
}

function Incident(props: { incident: api.Incident; plan?: api.Plan; now: string; children: ComponentChildren }) {
  const { incident, now } = props;
  const diagnosis = incident.diagnosis;
  return (
    <article class="anomaly incident">
      <h2>
        <a href={link(incident.id)}>{headline(incident)}</a> <PlanWord plan={props.plan} />
      </h2>
      <p>
        {incident.closed ? 'lasted' : 'since'} {clock(incident.onset)} ({lasted(incident, now)}) · {incident.anomalies.length}{' '}
        {incident.anomalies.length === 1 ? 'anomaly' : 'anomalies'}
        {diagnosis && ` · confidence ${Math.round(100 * diagnosis.confidence)} %`}
        {incident.merged_into && ' · part of '}
        {incident.merged_into && <a href={link(incident.merged_into)}>another incident</a>}
      </p>
      {props.children}
      <div class="columns">
        <Timeline incident={incident} now={now} />
        {diagnosis && (diagnosis.edges?.length ?? 0) > 0 && <Graph incident={incident} diagnosis={diagnosis} />}
      </div>
      {diagnosis?.candidates.slice(0, 3).map((candidate, place) => (
        <Candidate key={candidate.component} candidate={candidate} place={place} known={diagnosis.known} />
      ))}
      {diagnosis && (diagnosis.notes?.length ?? 0) > 0 && (
        <ul class="notes">
          {diagnosis.notes?.map((note) => (
            <li key={note}>
              <Sentence text={note} />
            </li>
          ))}
        </ul>
      )}
    </article>
  );
}

/** What somebody says who knows better. */
function Normal({ incident, onChange }: { incident: api.Incident; onChange: () => void }) {
  const { wish, said, waiting } = useWish(onChange);
  const lasts = incident.anomalies.some((anomaly) => !anomaly.closed);
  if (!lasts && !said) return null;
  const all = components(incident).map(short).join(', ');
  const say = () =>
    confirm(`What ${all} ${incident.anomalies.length === 1 ? 'does' : 'do'} now is normal, from now on?`) &&
    wish(`incidents/${incident.id}/normal`);
  return (
    <div class="normal">
      {lasts && (
        <button class="plain" onClick={say} disabled={waiting}>
          This is normal
        </button>
      )}
      <Answer said={said} />
    </div>
  );
}

/** One bar a component, in the order in which they began. */
function Timeline({ incident, now }: { incident: api.Incident; now: string }) {
  const begin = Date.parse(incident.onset) / 1000 - BEFORE;
  const end = Math.max(begin + 30, Date.parse(incident.closed ?? now) / 1000);
  const share = (time: string) => (100 * (Date.parse(time) / 1000 - begin)) / (end - begin);
  const first = new Map<string, api.IncidentAnomaly>();
  for (const anomaly of incident.anomalies) if (!first.has(anomaly.component)) first.set(anomaly.component, anomaly);
  return (
    <figure>
      <figcaption>In the order in which they began</figcaption>
      <ol class="timeline">
        {[...first.values()].slice(0, 12).map((a) => (
          <li key={a.component} title={a.component}>
            <span class="name">
              <a href={`/#${encodeURIComponent(a.component)}`}>{short(a.component)}</a>
            </span>
            <span class="track">
              <i style={{ left: `${share(a.onset)}%`, right: `${Math.max(0, 100 - share(a.closed ?? now))}%` }} />
            </span>
            <span class="after">+{((Date.parse(a.onset) - Date.parse(incident.onset)) / 1000).toFixed(0)} s</span>
          </li>
        ))}
      </ol>
    </figure>
  );
}

const BOX = { width: 118, height: 26, dx: 158, dy: 44 };

/** The part of the topology that is involved: callers left, what they call to the right, machines below. */
function Graph({ incident, diagnosis }: { incident: api.Incident; diagnosis: api.Diagnosis }) {
  const edges = diagnosis.edges ?? [];
  const calls = edges.filter((e) => e.kind === 'calls');
  const names = [...new Set([...edges.flatMap((e) => [e.from, e.to]), ...components(incident)])];
  const machines = new Set(edges.filter((e) => e.kind === 'runs_on').map((e) => e.to));
  // Longest way from an entrance; in a cycle, what was reached first stays where it is.
  const depth = new Map(names.map((n) => [n, 0]));
  for (let round = 0; round < Math.min(names.length, 12); round++) {
    for (const e of calls) {
      const next = (depth.get(e.from) ?? 0) + 1;
      if (next > (depth.get(e.to) ?? 0) && next < 7) depth.set(e.to, next);
    }
  }
  const columns = new Map<number, number>();
  const place = new Map<string, { x: number; y: number }>();
  for (const name of names.filter((n) => !machines.has(n))) {
    const column = depth.get(name) ?? 0;
    const row = columns.get(column) ?? 0;
    columns.set(column, row + 1);
    place.set(name, { x: column * BOX.dx, y: row * BOX.dy });
  }
  const below = Math.max(1, ...columns.values()) * BOX.dy;
  [...machines].forEach((name, at) => place.set(name, { x: at * BOX.dx, y: below }));
  const sick = new Set(components(incident));
  const cause = diagnosis.known ? diagnosis.candidates[0] : undefined;
  const way = new Set((cause?.path ?? []).slice(1).map((to, at) => `${to}>${cause?.path?.[at]}`));
  const width = Math.max(...[...place.values()].map((p) => p.x)) + BOX.width + 4;
  const height = Math.max(...[...place.values()].map((p) => p.y)) + BOX.height + 4;
  const line = (e: api.Edge): JSX.Element | null => {
    const [a, b] = [place.get(e.from), place.get(e.to)];
    if (!a || !b) return null;
    const [x1, y1] = [a.x + BOX.width / 2, a.y + BOX.height / 2];
    const [x2, y2] = [b.x + BOX.width / 2, b.y + BOX.height / 2];
    const kind = way.has(`${e.from}>${e.to}`) ? 'way' : e.kind;
    return <line key={`${e.from}>${e.to}`} class={kind} x1={x1} y1={y1} x2={x2} y2={y2} />;
  };
  return (
    <figure>
      <figcaption>Who depends on whom; the way it spread in red</figcaption>
      <svg class="graph" viewBox={`-2 -2 ${width} ${height}`} style={{ maxWidth: `${width}px` }} role="img">
        {edges.map(line)}
        {[...place].map(([name, { x, y }]) => (
          <g key={name} class={name === cause?.component ? 'cause' : sick.has(name) ? 'sick' : ''}>
            <title>{name}</title>
            <rect x={x} y={y} width={BOX.width} height={BOX.height} rx="5" />
            <text x={x + BOX.width / 2} y={y + 17}>
              {short(name).slice(0, 16)}
            </text>
          </g>
        ))}
      </svg>
    </figure>
  );
}

function Candidate({ candidate, place, known }: { candidate: api.Candidate; place: number; known: boolean }) {
  return (
    <div class={known && place === 0 ? 'candidate first' : 'candidate'}>
      <h3>
        {place + 1}. <a href={`/#${encodeURIComponent(candidate.component)}`}>{candidate.component}</a>
      </h3>
      <p>
        <Sentence text={candidate.reasons.join('; ')} />
      </p>
      <div class="small-charts">
        {candidate.metrics.slice(0, 3).map((m) => (
          <figure key={m.metric}>
            <Line points={m.points ?? []} />
            <figcaption>
              {m.metric}: {number(m.before)} → {number(m.extreme)} ({signed(m.deviation)} deviations)
            </figcaption>
          </figure>
        ))}
      </div>
    </div>
  );
}

/** A metric before and since the onset, which is the dashed line. */
function Line({ points }: { points: [number, number][] }) {
  if (points.length < 2) return null;
  const times = points.map((p) => p[0]);
  const values = points.map((p) => p[1]);
  const [t0, t1] = [Math.min(...times), Math.max(...times)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (t: number) => (260 * (t - t0)) / Math.max(t1 - t0, 1e-9);
  const y = (v: number) => 46 - (42 * (v - low)) / Math.max(high - low, 1e-12);
  return (
    <svg class="line" viewBox="0 0 260 48" preserveAspectRatio="none" role="img">
      {t0 < 0 && <line x1={x(0)} x2={x(0)} y1="0" y2="48" />}
      <polyline points={points.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(' ')} />
    </svg>
  );
}
