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
  sinks: Sink[];
  notices: string[];
  listeners: { address: string; process: string | null; watched: boolean }[];
}

export interface Sink {
  name: string;
  pending: number;
  delivered: number;
  refused: number;
  error: string | null;
}

export interface Hub {
  version: string;
  name: string;
  started: string;
  now: string;
  acting: boolean;
  agents: number;
  open_incidents: number;
  topology_components: number;
  topology_edges: number;
  sinks: Sink[];
  cpu_seconds: number;
  resident_bytes: number;
}

export interface Agent {
  agent: string;
  version: string;
  since: string;
  last_heard: string;
  clock_ahead_seconds: number;
  components: { id: string }[];
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

export interface Edge {
  from: string;
  to: string;
  kind: 'calls' | 'runs_on';
}

export interface CandidateMetric {
  metric: string;
  before: number;
  extreme: number;
  deviation: number;
  points?: [number, number][];
}

export interface Candidate {
  component: string;
  score: number;
  onset?: string;
  metrics: CandidateMetric[];
  reasons: string[];
  path?: string[];
}

export interface Diagnosis {
  known: boolean;
  confidence: number;
  candidates: Candidate[];
  edges?: Edge[];
  notes?: string[];
}

export interface IncidentAnomaly {
  id: string;
  component: string;
  onset: string;
  closed?: string;
}

export interface Incident {
  id: string;
  onset: string;
  opened: string;
  last_seen: string;
  closed?: string;
  merged_into?: string;
  alerted: boolean;
  anomalies: IncidentAnomaly[];
  diagnosis?: Diagnosis;
}

export interface Proposal {
  action: string;
  summary?: string;
  agent: string;
  risk: 'safe' | 'disruptive' | 'destructive';
  cost_seconds: number;
  timeout_seconds: number;
  can_undo: boolean;
  expected: number;
  error: number;
  outcomes: number;
  recommended: boolean;
  why?: string[];
}

export interface Step {
  ordered: string;
  by: string;
  began?: string;
  ended?: string;
  effect?: 'done' | 'not_done' | 'unsure';
  message?: string;
}

export interface Plan {
  id: string;
  incident: string;
  attempt: number;
  sequence: number;
  state: 'shadow' | 'proposed' | 'acting' | 'verifying' | 'undoing' | 'ended';
  made: string;
  ended?: string;
  component: string;
  confidence: number;
  pattern?: { pattern: string; known: boolean; similarity: number };
  mode: 'observe' | 'ask' | 'act';
  proposals: Proposal[];
  reasons?: string[];
  decision?: { approved: boolean; action: string; by: string; at: string };
  done?: Step;
  undone?: Step;
  outcome?: { recovered_seconds?: number; worse: boolean; notes?: string[] };
}

/** What was learnt, and who has stopped all actions. */
export interface Learnt {
  frozen_by?: string;
  frozen_at?: string;
  patterns: { name: string; seen: number }[];
}

/** The agent wants a token, and the one that was given is not it. */
export class TokenWanted extends Error {}

const TOKEN = 'larnax-token';

/** There is nothing at this path: the program has another role. */
class Absent extends Error {}

/** Kept for this tab only. */
export const keepToken = (token: string) => sessionStorage.setItem(TOKEN, token);

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  const response = await fetch(`/api/v1/${path}`, { ...init, headers });
  if (response.status === 401) throw new TokenWanted();
  return response;
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await send(path, init);
  if (response.status === 404) throw new Absent(`${path}: ${await response.text()}`);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

async function get<T>(path: string): Promise<T> {
  return (await ask(path)).json();
}

/** None where the path is that of another role. */
function where<T>(answer: Promise<T>): Promise<T | null> {
  return answer.catch((reason) => {
    if (reason instanceof Absent) return null;
    throw reason;
  });
}

/** The agent; none where only a hub answers. */
export const status = () => where(get<Status>('status'));
/** The hub; none where only an agent answers. */
export const hub = () => where(get<Hub>('hub'));
export const agents = () => get<Agent[]>('agents');
export const components = () => get<Component[]>('components');
export const anomalies = async () => (await get<{ anomaly: Anomaly }[]>('anomalies')).map((report) => report.anomaly);

/** The latest incidents, and the one that is linked; none where there is no hub. */
export async function incidents(linked?: string): Promise<Incident[]> {
  const list = (await where(get<Incident[]>('incidents?limit=50'))) ?? [];
  if (!linked || list.some((incident) => incident.id === linked)) return list;
  const one = await where(get<Incident>(`incidents/${linked}`));
  return one ? [...list, one] : list;
}

/** The latest plans, and those of the incident that is linked; none where there is no hub. */
export async function plans(linked?: string): Promise<Plan[]> {
  const queries = ['limit=50', ...(linked ? [`incident=${linked}`] : [])];
  const lists = await Promise.all(queries.map((query) => where(get<Plan[]>(`plans?${query}`))));
  return [...new Map(lists.flatMap((list) => list ?? []).map((plan) => [plan.id, plan])).values()];
}

/** None where there is no hub. */
export const learnt = () => where(get<Learnt>('patterns'));

/** What a person wants: `plans/ID/approve`, `freeze` and the like. Gives back the answer; what is refused is thrown, as it was said. */
export async function want(path: string, body: { by: string; action?: string; sequence?: number; name?: string }): Promise<string> {
  const response = await send(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  let said: { answer?: string; error?: string } = {};
  try {
    said = JSON.parse(text);
  } catch {
    // Whatever is between here and the hub says it in its own words.
  }
  if (!response.ok) throw new Error(said.error ?? `${path}: ${response.status} ${text}`);
  return said.answer ?? text;
}

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
