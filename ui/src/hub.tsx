// A hub by itself: incidents first, then the edges that tell it.

import * as api from './api';
import { Freeze } from './freeze';
import { Incidents } from './incidents';
import { Sinks } from './sinks';
import { span } from './words';

/** Clocks further apart than this, in seconds, are worth a word. */
const CLOCK = 2;

export function HubPage(props: {
  hub: api.Hub;
  agents: api.Agent[];
  incidents: api.Incident[];
  plans: api.Plan[];
  learnt: api.Learnt | null;
  linked?: string;
  error: string | null;
  onChange: () => void;
}) {
  const { hub, agents, incidents, linked, error } = props;
  const up = (Date.parse(hub.now) - Date.parse(hub.started)) / 1000;
  const open = incidents.filter((incident) => !incident.closed).length;
  const [tone, sentence] = error
    ? ['bad', `The hub stopped answering: ${error}`]
    : open > 0
      ? ['bad', open === 1 ? 'One incident is open.' : `${open} incidents are open.`]
      : agents.length === 0
        ? ['learning', 'No edge is connected.']
        : ['good', 'All is normal.'];
  return (
    <>
      <header>
        <img src="/favicon.svg" alt="" width="28" height="28" />
        <h1>Larnax hub</h1>
        <span class={`headline ${tone}`}>{sentence}</span>
        <Freeze learnt={props.learnt} onChange={props.onChange} />
        <span class="cost" title="what this hub costs">
          {hub.name} · up {span(up)} · {((1000 * hub.cpu_seconds) / Math.max(up, 1)).toFixed(2)} ms CPU per second ·{' '}
          {(hub.resident_bytes / 1048576).toFixed(1)} MiB
        </span>
      </header>
      <main>
        <Incidents
          incidents={incidents}
          plans={props.plans}
          learnt={props.learnt}
          linked={linked}
          now={hub.now}
          onChange={props.onChange}
        />
        <Agents agents={agents} now={hub.now} />
        <section class="foot">
          <p>
            <b>Topology:</b> {hub.topology_components} components, {hub.topology_edges} edges.{' '}
            {hub.acting ? 'This hub builds incidents.' : 'Another hub of the same store builds incidents.'}
          </p>
          <Sinks sinks={hub.sinks} />
          <p>
            Larnax {hub.version} · <a href="/api/v1/hub/openapi.json">API</a> · <a href="/metrics">metrics</a>
          </p>
        </section>
      </main>
    </>
  );
}

function Agents({ agents, now }: { agents: api.Agent[]; now: string }) {
  if (agents.length === 0) return null;
  const since = (time: string) => span(Math.max(0, (Date.parse(now) - Date.parse(time)) / 1000));
  return (
    <section>
      <h2>Edges</h2>
      <table class="list">
        <thead>
          <tr>
            <th>Edge</th>
            <th class="right">Components</th>
            <th>Connected for</th>
            <th>Heard</th>
            <th>Version</th>
          </tr>
        </thead>
        <tbody>
          {agents.map((a) => (
            <tr key={a.agent}>
              <td>
                {a.agent}
                {Math.abs(a.clock_ahead_seconds) > CLOCK && (
                  <small class="problem">
                    its clock is {span(Math.abs(a.clock_ahead_seconds))} {a.clock_ahead_seconds > 0 ? 'ahead' : 'behind'}
                  </small>
                )}
              </td>
              <td class="right" title={a.components.map((c) => c.id).join('\n')}>
                {a.components.length}
              </td>
              <td>{since(a.since)}</td>
              <td>{since(a.last_heard)} ago</td>
              <td>{a.version}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
