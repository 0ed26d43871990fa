// The parts of the API that the page reads; /api/v1/openapi.json has the whole.

export interface Contribution {
  metric: string;
  deviation: number;
}

export interface Source {
  name: string;
  up: boolean;
  error: string | null;
}

export interface Component {
  id: string;
  group: string;
  labels: Record<string, string>;
  state: 'warming_up' | 'normal' | 'anomalous' | 'absent' | 'unknown';
  warm_up_remaining_seconds: number | null;
  score: number;
  last_sample: string | null;
  interval_seconds: number;
  metrics: number;
  sources: Source[];
  top: Contribution[];
  open_anomalies: string[];
}

export interface Status {
  version: string;
  instance: string;
  started: string;
  now: string;
  interval_seconds: number;
  open_anomalies: number;
  cpu_seconds: number;
  resident_bytes: number;
  budgets: { group: string; allowed: number; period_seconds: number; given: number; bar: number }[];
  sinks: { name: string; pending: number; delivered: number; refused: number; error: string | null }[];
  notices: string[];
  listeners: { address: string; process: string | null; watched: boolean }[];
}

export interface Anomaly {
  id: string;
  component: string;
  kind: 'deviation' | 'target_absent' | 'metric_absent';
  onset: string;
  opened: string;
  last_seen: string;
  closed?: string;
  close_reason?: string;
  score: number;
  peak: number;
  alerted: boolean;
  metrics: Contribution[];
}

export interface MetricHistory {
  metric: string;
  y: (number | null)[];
  yhat: (number | null)[];
  yhat_lower: (number | null)[];
  yhat_upper: (number | null)[];
}

export interface History {
  component: string;
  times: number[];
  anomaly_score: number[];
  metrics: MetricHistory[];
}

/** The agent wants a token, and the one that was given is not it. */
export class TokenWanted extends Error {}

const TOKEN = 'larnax-token';

/** Kept for this tab only. */
export const keepToken = (token: string) => sessionStorage.setItem(TOKEN, token);

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  const response = await fetch(`/api/v1/${path}`, { ...init, headers });
  if (response.status === 401) throw new TokenWanted();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

async function get<T>(path: string): Promise<T> {
  return (await ask(path)).json();
}

export const status = () => get<Status>('status');
export const components = () => get<Component[]>('components');
export const anomalies = async () => (await get<{ anomaly: Anomaly }[]>('anomalies')).map((report) => report.anomaly);

export function history(component: string, metrics: string[] = []): Promise<History> {
  const query = new URLSearchParams({ component });
  for (const metric of metrics) query.append('metric', metric);
  return get<History>(`history?${query}`);
}

export interface Metric {
  metric: string;
  deviation: number | null;
}

export const metrics = (component: string) => get<Metric[]>(`metrics?${new URLSearchParams({ component })}`);

export async function declareNormal(anomaly: string): Promise<void> {
  const headers = { 'Content-Type': 'application/json' };
  await ask('normal', { method: 'POST', headers, body: JSON.stringify({ anomaly }) });
}
