// The page: what is wrong first, then every component, then the one that was picked.

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from './api';
import { Anomalies } from './anomalies';
import { Incidents } from './incidents';
import { Detail } from './detail';
import { Freeze } from './freeze';
import { Sparkline } from './charts';
import { HubPage } from './hub';
import { Sinks } from './sinks';
import { span, states } from './words';

/** What an agent knows, and the hub beside it if there is one. */
interface Watched {
  status: api.Status;
  hub: api.Hub | null;
  components: api.Component[];
  anomalies: api.Anomaly[];
  incidents: api.Incident[];
  plans: api.Plan[];
  learnt: api.Learnt | null;
  scores: Map<string, number[]>;
}

/** What a hub by itself knows. */
interface Gathered {
  status: null;
  hub: api.Hub;
  agents: api.Agent[];
  incidents: api.Incident[];
  plans: api.Plan[];
  learnt: api.Learnt | null;
}

/** How many sparklines are fetched; a page with more components shows those that score highest. */
const MAX_SPARKLINES = 40;

async function load(incident?: string): Promise<Watched | Gathered> {
  const [status, hub, incidents, plans, learnt] = await Promise.all([
    api.status(),
    api.hub(),
    api.incidents(incident),
    api.plans(incident),
    api.learnt(),
  ]);
  if (!status) {
    if (!hub) throw new Error('neither an agent nor a hub answers');
    return { status, hub, incidents, plans, learnt, agents: await api.agents() };
  }
  const [components, anomalies] = await Promise.all([api.components(), api.anomalies()]);
  const shown = [...components].sort((a, b) => b.score - a.score).slice(0, MAX_SPARKLINES);
  const histories = await Promise.all(shown.map((component) => api.history(component.id).catch(() => null)));
  const scores = new Map(histories.flatMap((h) => (h ? [[h.component, h.anomaly_score] as const] : [])));
  return { status, hub, components, anomalies, incidents, plans, learnt, scores };
}

export function Page() {
  const [all, setAll] = useState<Watched | Gathered | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [locked, setLocked] = useState(false);
  const [picked, setPicked] = useState<string | null>(() => decodeURIComponent(location.hash.slice(1)) || null);
  // Alerts link to /anomalies/ID: the component of that anomaly is shown, unless another one is picked.
  const linked = /^\/anomalies\/([0-9a-f]+)$/.exec(location.pathname)?.[1];
  // And to /incidents/ID, where a hub tells.
  const incident = /^\/incidents\/([0-9a-f]+)$/.exec(location.pathname)?.[1];
  const [tick, setTick] = useState(0);

  useEffect(() => {
    const onHash = () => setPicked(decodeURIComponent(location.hash.slice(1)) || null);
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);

  useEffect(() => {
    let stop = false;
    load(incident)
      .then((loaded) => {
        if (stop) return;
        setAll(loaded);
        setError(null);
        setLocked(false);
      })
      .catch((reason) => {
        if (stop) return;
        if (reason instanceof api.TokenWanted) setLocked(true);
        else setError(String(reason));
      })
      .finally(() => {
        const interval = Math.max(2, Math.min(10, all?.status?.interval_seconds ?? 2));
        if (!stop) setTimeout(() => !stop && setTick(tick + 1), interval * 1000);
      });
    return () => {
      stop = true;
    };
  }, [tick]);

  const again = () => setTick((last) => last + 1);
  if (locked) return <Token onGiven={again} />;
  if (!all) return <main class="lonely">{error ? `Larnax doesn't answer: ${error}` : 'Asking Larnax …'}</main>;
  if (!all.status) return <HubPage {...all} linked={incident} error={error} onChange={again} />;
  const worst = [...all.components].sort((a, b) => b.score - a.score)[0];
  const asked = picked ?? all.anomalies.find((a) => a.id === linked)?.component;
  const chosen = all.components.find((c) => c.id === asked) ?? worst;
  return (
    <>
      <Head status={all.status} components={all.components} incidents={all.incidents} error={error}>
        <Freeze learnt={all.learnt} onChange={again} />
      </Head>
      <main>
        <Incidents
          incidents={all.incidents}
          plans={all.plans}
          learnt={all.learnt}
          linked={incident}
          now={all.status.now}
          onChange={again}
        />
        <Anomalies anomalies={all.anomalies} linked={linked} now={all.status.now} onChange={again} />
        <Components components={all.components} scores={all.scores} chosen={chosen?.id} now={all.status.now} />
        {chosen && <Detail key={chosen.id} component={chosen} tick={tick} />}
        <Foot status={all.status} hub={all.hub} />
      </main>
    </>
  );
}

function Token({ onGiven }: { onGiven: () => void }) {
  const [token, setToken] = useState('');
  const give = (event: Event) => {
    event.preventDefault();
    api.keepToken(token.trim());
    onGiven();
  };
  return (
    <main class="lonely">
      <form onSubmit={give}>
        <p>
          A token is wanted: that of <code>api.bearer_token_file</code> in the agent's config, or of the hub's{' '}
          <code>--token-file</code>.
        </p>
        <input type="password" value={token} onInput={(event) => setToken(event.currentTarget.value)} aria-label="token" />{' '}
        <button>Show</button>
      </form>
    </main>
  );
}

function Head(props: {
  status: api.Status;
  components: api.Component[];
  incidents: api.Incident[];
  error: string | null;
  children: ComponentChildren;
}) {
  const { status, components, incidents, error } = props;
  const open = incidents.filter((incident) => !incident.closed).length;
  const up = (Date.parse(status.now) - Date.parse(status.started)) / 1000;
  const cpu = (1000 * status.cpu_seconds) / Math.max(up, 1);
  const learning = components.filter((c) => c.state === 'warming_up');
  const left = Math.max(0, ...learning.map((c) => c.warm_up_remaining_seconds ?? 0));
  const [tone, sentence] = error
    ? ['bad', `The agent stopped answering: ${error}`]
    : open > 0
      ? ['bad', open === 1 ? 'One incident is open.' : `${open} incidents are open.`]
      : status.open_anomalies > 0
      ? ['bad', status.open_anomalies === 1 ? 'One anomaly is open.' : `${status.open_anomalies} anomalies are open.`]
      : learning.length > 0
        ? ['learning', `Learning what is normal: ${span(left)} left. Bands are provisional.`]
        : ['good', 'All is normal.'];
  return (
    <header>
      <img src="/favicon.svg" alt="" width="28" height="28" />
      <h1>Larnax</h1>
      <span class={`headline ${tone}`}>{sentence}</span>
      {props.children}
      <span class="cost" title="what this agent costs">
        {status.instance.split('/').pop()} · up {span(up)} · {cpu.toFixed(2)} ms CPU per second ·{' '}
        {(status.resident_bytes / 1048576).toFixed(1)} MiB
      </span>
    </header>
  );
}

function Components(props: { components: api.Component[]; scores: Map<string, number[]>; chosen?: string; now: string }) {
  return (
    <section>
      <h2>Components</h2>
      <table class="list">
        <thead>
          <tr>
            <th>Component</th>
            <th>State</th>
            <th class="right">Score</th>
            <th>Last hour</th>
            <th>Deviates most</th>
          </tr>
        </thead>
        <tbody>
          {props.components.map((c) => (
            <tr key={c.id} class={c.id === props.chosen ? 'chosen' : ''}>
              <td>
                <a href={`#${encodeURIComponent(c.id)}`}>{c.id}</a>
                <small>
                  {c.metrics} metrics every {c.interval_seconds} s
                </small>
                {c.sources.filter((s) => s.error).map((s) => (
                  <small class="problem">{s.error}</small>
                ))}
              </td>
              <td>
                <span class={`state ${c.state}`}>{states[c.state]}</span>
              </td>
              <td class="right">{c.score.toFixed(2)}</td>
              <td>
                <Sparkline scores={props.scores.get(c.id) ?? []} />
              </td>
              <td class="metrics">
                {c.top.slice(0, 3).map((t) => (
                  <span class={Math.abs(t.deviation) > 1 ? 'out' : ''}>{t.metric}</span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Foot({ status, hub }: { status: api.Status; hub: api.Hub | null }) {
  const unwatched = status.listeners.filter((listener) => !listener.watched);
  return (
    <section class="foot">
      {status.budgets.map((b) => (
        <p key={b.group}>
          <b>Alert budget of {b.group}:</b> {b.given} of {b.allowed} given in the last {span(b.period_seconds)};
          an alert must exceed a score of {b.bar.toFixed(2)}.
        </p>
      ))}
      <Sinks sinks={[...status.sinks, ...(hub?.sinks ?? [])]} />
      {status.notices.map((notice) => (
        <p key={notice} class="problem">
          {notice}
        </p>
      ))}
      {unwatched.length > 0 && (
        <p>
          <b>Not watched, but listening here:</b>{' '}
          {unwatched.map((l) => `${l.address}${l.process ? ` (${l.process})` : ''}`).join(', ')}. Start with{' '}
          <code>--discover</code> to ask them for metrics, or name one with <code>--scrape</code>.
        </p>
      )}
      <p>
        Larnax {status.version} · <a href="/api/v1/openapi.json">API</a> · <a href="/metrics">metrics</a>
      </p>
    </section>
  );
}
