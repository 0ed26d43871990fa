// Where alerts go, and how that is going.

import * as api from './api';

export function Sinks({ sinks }: { sinks: api.Sink[] }) {
  return (
    <>
      {sinks.map((s) => (
        <p key={s.name}>
          <b>{s.name}:</b> {s.delivered} event{s.delivered === 1 ? '' : 's'} delivered, {s.pending} waiting{s.error ? `: ${s.error}` : '.'}
        </p>
      ))}
    </>
  );
}
