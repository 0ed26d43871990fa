// One component: its score, and the metrics that deviate most with their bands.

import { useEffect, useState } from 'preact/hooks';
import * as api from './api';
import { MetricChart, ScoreChart } from './charts';

/** How many metrics are drawn unless more are asked for. */
const SHOWN = 6;

export function Detail({ component, tick }: { component: api.Component; tick: number }) {
  const [history, setHistory] = useState<api.History | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [wanted, setWanted] = useState('');
  const [names, setNames] = useState<string[]>([]);

  useEffect(() => {
    api
      .metrics(component.id)
      .then((metrics) => {
        const sorted = metrics.sort((a, b) => Math.abs(b.deviation ?? 0) - Math.abs(a.deviation ?? 0));
        setNames(sorted.map((m) => m.metric));
      })
      .catch((reason) => setError(String(reason)));
  }, [component.id, tick]);

  const filtered = wanted ? names.filter((name) => name.toLowerCase().includes(wanted.toLowerCase())) : names;
  // Charts stay where they are while the order changes: sorted by name, picked by deviation.
  const shown = filtered.slice(0, SHOWN).sort();
  const key = shown.join('\n');

  useEffect(() => {
    api
      .history(component.id, shown)
      .then((loaded) => {
        setHistory(loaded);
        setError(null);
      })
      .catch((reason) => setError(String(reason)));
  }, [component.id, tick, key]);

  return (
    <section>
      <h2>{component.id}</h2>
      {error && <p class="problem">{error}</p>}
      {history && <ScoreChart history={history} height={190} />}
      <p class="filter">
        <input
          value={wanted}
          placeholder={`find among ${names.length} metrics`}
          onInput={(event) => setWanted(event.currentTarget.value)}
          aria-label="find metrics"
        />
        <small>
          {filtered.length > SHOWN
            ? `the ${SHOWN} of ${filtered.length} that deviate most; the shaded band is what counts as normal`
            : 'the shaded band is what counts as normal'}
        </small>
      </p>
      <div class="grid">
        {history?.metrics.map((metric) => (
          <figure key={metric.metric}>
            <figcaption>{metric.metric}</figcaption>
            <MetricChart times={history.times} metric={metric} />
          </figure>
        ))}
      </div>
    </section>
  );
}
