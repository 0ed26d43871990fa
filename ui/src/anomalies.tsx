// Anomalies: the open ones as cards, the ended ones as a list.

import * as api from './api';
import { clock, kinds, signed, span } from './words';

/** How many ended anomalies are listed. */
const MAX_ENDED = 8;

export function Anomalies(props: { anomalies: api.Anomaly[]; linked?: string; now: string; onChange: () => void }) {
  const open = props.anomalies.filter((a) => !a.closed);
  const ended = props.anomalies.filter((a) => a.closed).slice(0, MAX_ENDED);
  if (open.length + ended.length === 0) return null;
  return (
    <section>
      {open.map((anomaly) => (
        <Card key={anomaly.id} anomaly={anomaly} now={props.now} onChange={props.onChange} />
      ))}
      {ended.length > 0 && <h2>Ended</h2>}
      {ended.map((a) => (
        <p class={a.id === props.linked ? 'ended linked' : 'ended'} key={a.id}>
          <time>{clock(a.onset)}</time> <a href={`#${encodeURIComponent(a.component)}`}>{a.component}</a> {kinds[a.kind]} for{' '}
          {span((Date.parse(a.closed ?? a.last_seen) - Date.parse(a.onset)) / 1000)}, peak {a.peak.toFixed(1)}
          {a.alerted ? '' : ' (recorded, not alerted)'}: {a.metrics.slice(0, 4).map((m) => m.metric).join(', ')}
        </p>
      ))}
    </section>
  );
}

function Card({ anomaly, now, onChange }: { anomaly: api.Anomaly; now: string; onChange: () => void }) {
  const since = (Date.parse(now) - Date.parse(anomaly.onset)) / 1000;
  const largest = Math.max(1, ...anomaly.metrics.map((m) => Math.abs(m.deviation)));
  const normal = async () => {
    await api.declareNormal(anomaly.id).catch((reason) => alert(String(reason)));
    onChange();
  };
  return (
    <article class="anomaly">
      <h2>
        <a href={`#${encodeURIComponent(anomaly.component)}`}>{anomaly.component}</a> {kinds[anomaly.kind]}
      </h2>
      <p>
        since {clock(anomaly.onset)} ({span(since)}) · score {anomaly.score.toFixed(1)}, peak {anomaly.peak.toFixed(1)} ·{' '}
        {anomaly.alerted ? 'alerted' : 'recorded, within the alert budget not worth an alert'}
      </p>
      <ul class="bars">
        {anomaly.metrics.slice(0, 6).map((m) => (
          <li key={m.metric}>
            <span class="name">{m.metric}</span>
            <span class="bar" style={{ width: `${(40 * Math.abs(m.deviation)) / largest}%` }} />
            <span>{signed(m.deviation)} half-widths</span>
          </li>
        ))}
      </ul>
      <button onClick={normal} title="Close it, and learn the present level as normal">
        This is normal
      </button>
    </article>
  );
}
