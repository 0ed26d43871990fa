// What a plan says to somebody who is on call: pure, from the plan alone.

import type { Plan, Proposal } from './api';
import { span } from './words';

/** `good`, `bad` and `learning` are the colours of the headlines. */
export type Tone = 'good' | 'bad' | 'learning' | 'calm';

export interface Words {
  tone: Tone;
  /** For a list of incidents. */
  short: string;
  /** For the plan itself. */
  sentence: string;
}

/** As long as plans that ended can be taken back and named, in seconds: the hub forgets them after that. */
const REMEMBERED = 24 * 3600;
/** Who decides where nobody has to be asked. */
const BY_POLICY = 'policy';
/** What nobody has named is called so. */
const UNNAMED = /^U-\d+$/;

/** The proposal that was decided for; before that, the best. */
export function chosen(plan: Plan): Proposal | undefined {
  const { decision, proposals } = plan;
  return decision ? proposals.find((one) => one.action === decision.action) : proposals[0];
}

const person = (by: string) => (by === BY_POLICY ? 'the policy' : by);

export function words(plan: Plan): Words {
  const action = chosen(plan)?.action ?? 'nothing';
  const on = plan.component.split('/').pop() ?? plan.component;
  const unsure = plan.confidence > 0 ? '' : ' The cause is not known.';
  const by = person(plan.decision?.by ?? BY_POLICY);
  switch (plan.state) {
    case 'shadow':
      return { tone: 'calm', short: `would do ${action}`, sentence: `Would do ${action} on ${on}.${unsure}` };
    case 'proposed':
      return { tone: 'learning', short: `asks you: ${action}?`, sentence: `Asks you: ${action} on ${on}?${unsure}` };
    case 'acting':
      return { tone: 'learning', short: `doing ${action}`, sentence: `Doing ${action} on ${on}, ordered by ${by} …` };
    case 'verifying':
      return plan.done?.effect === 'unsure'
        ? { tone: 'bad', short: `${action}: done or not?`, sentence: `Nobody knows whether ${action} was done on ${on}. Watching whether it helped …` }
        : { tone: 'learning', short: `${action} done, watching`, sentence: `${action} was done on ${on}. Watching whether it helps …` };
    case 'undoing':
      return { tone: 'learning', short: `taking ${action} back`, sentence: `${action} on ${on} is being taken back, by ${person(plan.undone?.by ?? BY_POLICY)} …` };
    case 'ended':
      return ended(plan, action, on);
  }
}

function ended(plan: Plan, action: string, on: string): Words {
  const { decision, done, undone, outcome } = plan;
  if (decision && !decision.approved) {
    return { tone: 'calm', short: `${person(decision.by)} said no`, sentence: `${person(decision.by)} said no: nothing was done.` };
  }
  if (done?.effect === 'not_done') {
    return { tone: 'bad', short: `${action} was not done`, sentence: `${action} was not done on ${on}, and nothing was changed.` };
  }
  if (!done) {
    return outcome?.recovered_seconds !== undefined
      ? { tone: 'good', short: 'over by itself', sentence: 'It was over by itself: nothing was done.' }
      : { tone: 'calm', short: 'nobody answered', sentence: 'Nothing was done.' };
  }
  const back = !undone
    ? ''
    : undone.effect === 'done'
      ? ` Then ${person(undone.by)} had it taken back.`
      : ` It was to be taken back, and that ${undone.effect === 'unsure' ? 'may have failed' : 'failed'}.`;
  if (undone && !outcome) {
    const sentence = `${action} was done on ${on}. Whether it would have helped was not waited for.${back}`;
    return { tone: undone.effect === 'done' ? 'calm' : 'bad', short: undone.effect === 'done' ? `${action} taken back` : `${action} not taken back`, sentence };
  }
  if (outcome?.worse) {
    return { tone: 'bad', short: `${action} made it worse`, sentence: `${action} on ${on} made it worse.${back}` };
  }
  if (outcome?.recovered_seconds !== undefined) {
    const after = span(outcome.recovered_seconds);
    return { tone: 'good', short: `${action} helped`, sentence: `${action} on ${on} helped: all was well ${after} after it was begun.${back}` };
  }
  return { tone: 'bad', short: `${action} did not help`, sentence: `${action} on ${on} did not help.${back}` };
}

const lately = (plan: Plan, now: string) => !plan.ended || (Date.parse(now) - Date.parse(plan.ended)) / 1000 < REMEMBERED;

export const canBeDecided = (plan: Plan) => plan.state === 'proposed';

export function canBeUndone(plan: Plan, now: string): boolean {
  const was = plan.done?.effect === 'done' || plan.done?.effect === 'unsure';
  return was && !plan.undone && plan.state !== 'acting' && !!chosen(plan)?.can_undo && lately(plan, now);
}

/** Whether what was new is known now: where its cause was known, or a person who acted all the same was right. */
export function isLearnt({ pattern, outcome, decision, done, confidence }: Plan): boolean {
  if (!pattern || pattern.known || !outcome || decision?.approved === false) return false;
  const confirmed = !!done && outcome.recovered_seconds !== undefined && decision?.by !== BY_POLICY;
  return confidence > 0 || confirmed;
}

/** What is new has a name only when it is learnt. */
export const canBeNamed = (plan: Plan, now: string) =>
  !!plan.pattern && (plan.pattern.known || (!!plan.ended && isLearnt(plan))) && lately(plan, now);

export const isUnnamed = (pattern: string) => UNNAMED.test(pattern);

/** What is expected of a proposal, in a few words; none where nothing is known. */
export function expectation(one: Proposal): string | null {
  if (one.outcomes === 0) return null;
  if (one.expected >= 0.6) return 'should help';
  if (one.expected > 0.2) return 'may help';
  return one.expected < -0.1 ? 'may make it worse' : 'hardly helps';
}

/** After so many seconds nobody counts seconds. */
const COUNTED = 600;

/** `+12 s`, after the onset. */
export const after = (seconds: number) => `+${seconds < COUNTED ? `${Math.round(seconds)} s` : span(seconds)}`;

export interface Moment {
  /** Seconds after the onset. */
  after: number;
  what: string;
  tone?: Tone;
}

/** What happened, in the order in which it did. */
export function moments(plan: Plan, incident: { onset: string; opened: string }): Moment[] {
  const { decision, done, undone, outcome } = plan;
  const all: Moment[] = [];
  const add = (time: string | undefined, what: string, tone?: Tone, later = 0) => {
    if (time) all.push({ after: (Date.parse(time) - Date.parse(incident.onset)) / 1000 + later, what, tone });
  };
  const came = { done: 'done', not_done: 'not done', unsure: 'done or not: nobody knows' };
  add(incident.onset, 'it began');
  add(incident.opened, 'noticed');
  add(plan.made, plan.state === 'shadow' ? 'would have been proposed' : 'proposed');
  add(decision?.at, decision?.approved ? `approved by ${person(decision.by)}` : `rejected by ${decision?.by}`);
  add(done?.began, 'begun');
  if (done?.effect) add(done.ended, came[done.effect], done.effect === 'done' ? undefined : 'bad');
  add(undone?.ordered, `to be taken back, says ${person(undone?.by ?? '')}`);
  if (undone?.effect) add(undone.ended, undone.effect === 'done' ? 'taken back' : 'not taken back', undone.effect === 'done' ? undefined : 'bad');
  if (outcome?.recovered_seconds !== undefined) {
    add(done ? (done.began ?? done.ordered) : plan.made, 'all well', 'good', outcome.recovered_seconds);
  }
  // Of the same second, what was added first came first.
  return all.sort((a, b) => a.after - b.after);
}
