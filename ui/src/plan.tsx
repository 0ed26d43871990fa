// What can be done about an incident: proposed, approved, done, and what came of it.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import * as api from './api';
import * as person from './person';
import { after, canBeDecided, canBeNamed, canBeUndone, chosen, expectation, isLearnt, isUnnamed, moments, words } from './plan-words';
import { Sentence } from './sentence';
import { Answer, useWish } from './wish';
import { signed, span } from './words';
import './plan.css';

interface Props {
  incident: api.Incident;
  plans: api.Plan[];
  learnt: api.Learnt | null;
  now: string;
  onChange: () => void;
}

/** Of several attempts at an incident the last one is shown whole. */
export function latest(plans: api.Plan[], incident: string): api.Plan | undefined {
  const attempts = plans.filter((plan) => plan.incident === incident);
  return attempts.sort((a, b) => b.attempt - a.attempt)[0];
}

/** A word for a list of incidents. */
export function PlanWord({ plan }: { plan?: api.Plan }) {
  if (!plan) return null;
  const { tone, short } = words(plan);
  return <span class={`plan-word ${tone}`}>{short}</span>;
}

export function WhatCanBeDone(props: Props) {
  const plan = latest(props.plans, props.incident.id);
  if (!plan) return null;
  const before = props.plans.filter((one) => one.incident === plan.incident && one.attempt < plan.attempt);
  return (
    <section class="plan" aria-label="What can be done">
      <h3>What can be done</h3>
      {before
        .sort((a, b) => a.attempt - b.attempt)
        .map((one) => (
          <p class="before" key={one.id}>
            Attempt {one.attempt}: {words(one).sentence}
          </p>
        ))}
      <Plan key={plan.id} plan={plan} {...props} />
    </section>
  );
}

function Plan({ plan, incident, learnt, now, onChange }: Props & { plan: api.Plan }) {
  const { wish, said, waiting } = useWish(onChange);
  const { tone, sentence } = words(plan);
  const path = `plans/${plan.id}`;
  const approve = (one: api.Proposal) =>
    (one.risk !== 'destructive' || confirm(`${one.action} is destructive: it can't be taken back. Do it?`)) &&
    wish(`${path}/approve`, { action: one.action, sequence: plan.sequence });
  const asked = canBeDecided(plan);
  // That all is well, or that somebody said no, is in the sentence already.
  const told = plan.outcome?.recovered_seconds !== undefined || plan.decision?.approved === false;
  const notes = [plan.done?.message, ...(told ? [] : (plan.outcome?.notes ?? [])), plan.undone?.message].filter((note) => note);
  const first = chosen(plan);
  const shown = plan.done && first ? [first] : plan.proposals;
  const waits = asked || plan.state === 'shadow';
  const proposals = (
    <ol class="proposals">
      {shown.map((one) => (
        <Proposal
          key={one.action}
          one={one}
          onApprove={asked && !learnt?.frozen_by ? () => approve(one) : undefined}
          onTry={waits ? () => wish(`${path}/try`, { action: one.action }) : undefined}
          waiting={waiting}
        />
      ))}
    </ol>
  );
  return (
    <>
      <p class={`headline ${tone}`}>{sentence}</p>
      {waits && (plan.reasons?.length ?? 0) > 0 && (
        <p>
          {asked ? 'Not without you: ' : 'It is not done: '}
          <Sentence text={plan.reasons?.join('; ') ?? ''} />.
        </p>
      )}
      {[...new Set(notes)].map((note) => (
        <p key={note}>
          <Sentence text={note ?? ''} />
        </p>
      ))}
      <Pattern plan={plan} learnt={learnt}>
        {canBeNamed(plan, now) && <Name plan={plan} waiting={waiting} onName={(name) => wish(`${path}/name`, { name })} />}
      </Pattern>
      {asked && learnt?.frozen_by && <p class="problem">Nothing can be approved while all is frozen, by {learnt.frozen_by}.</p>}
      {waits || plan.done ? (
        proposals
      ) : (
        <details>
          <summary>What could have been done</summary>
          {proposals}
        </details>
      )}
      <p class="buttons">
        {asked && (
          <button onClick={() => wish(`${path}/reject`)} disabled={waiting}>
            Reject: do nothing
          </button>
        )}
        {canBeUndone(plan, now) && (
          <button onClick={() => wish(`${path}/undo`)} disabled={waiting}>
            Undo {first?.action}
          </button>
        )}
        {(asked || canBeUndone(plan, now) || canBeNamed(plan, now)) && <Me />}
      </p>
      <Answer said={said} />
      <ol class="moments">
        {moments(plan, incident).map((moment) => (
          <li key={moment.what} class={moment.tone}>
            <b>{moment.after < 0.5 ? 'onset' : after(moment.after)}</b> {moment.what}
          </li>
        ))}
      </ol>
    </>
  );
}

function Pattern({ plan, learnt, children }: { plan: api.Plan; learnt: api.Learnt | null; children: ComponentChildren }) {
  const seen = plan.pattern;
  if (!seen) return null;
  const name = <b>{seen.pattern}</b>;
  const alike = `${Math.round(100 * seen.similarity)} % alike`;
  const times = learnt?.patterns.find((pattern) => pattern.name === seen.pattern)?.seen;
  const often = times === undefined ? '' : `; seen ${times === 1 ? 'once' : `${times} times`}`;
  return (
    <div class="pattern">
      {seen.known ? (
        <span>
          Looks like {name} ({alike}
          {often})
        </span>
      ) : isLearnt(plan) ? (
        <span>It was new, and is learnt as {name}</span>
      ) : (
        <span>
          Nothing like it was seen before; the nearest is {name} ({alike})
        </span>
      )}
      {children}
    </div>
  );
}

function Proposal(props: { one: api.Proposal; onApprove?: () => void; onTry?: () => void; waiting: boolean }) {
  const { one, onApprove, onTry, waiting } = props;
  const expected = expectation(one);
  const figures = `from −1, it makes things worse, to +1, all is well at once: ${signed(one.expected)} ± ${one.error.toFixed(1)}`;
  return (
    <li>
      <div>
        <b>{one.action}</b> {one.summary}
        <small>
          <b class={`risk ${one.risk}`}>{one.risk}</b>
          {expected && (
            <>
              {' · '}
              <b title={figures}>{expected}</b>
            </>
          )}
          {one.cost_seconds > 0 && ` · disturbs for ${span(one.cost_seconds)}`} · takes at most {span(one.timeout_seconds)} ·{' '}
          {one.can_undo ? 'can be taken back' : "can't be taken back"} · done by {one.agent}
        </small>
        {(one.why?.length ?? 0) > 0 && <small><Sentence text={one.why?.join('; ') ?? ''} /></small>}
        {onTry && (
          <button class="plain" onClick={onTry} disabled={waiting} aria-label={`What would ${one.action} do now?`}>
            What would it do now?
          </button>
        )}
      </div>
      {onApprove && (
        <button class="approve" onClick={onApprove} disabled={waiting} aria-label={`Approve ${one.action}`}>
          Approve
        </button>
      )}
    </li>
  );
}

function Name(props: { plan: api.Plan; waiting: boolean; onName: (name: string) => Promise<boolean> }) {
  const [name, setName] = useState('');
  const old = props.plan.pattern?.pattern ?? '';
  const give = async (event: Event) => {
    event.preventDefault();
    if (name.trim() && (await props.onName(name.trim()))) setName('');
  };
  const label = isUnnamed(old) ? `A name for ${old}` : `What it was, if not ${old}`;
  return (
    <form class="name" onSubmit={give}>
      <input value={name} maxLength={100} placeholder={label} aria-label={label} onInput={(event) => setName(event.currentTarget.value)} />
      <button disabled={props.waiting || !name.trim()}>Name it</button>
    </form>
  );
}

/** Under which name buttons are pressed. */
function Me() {
  const [, setAsked] = useState('');
  const name = person.person();
  if (!name) return null;
  return (
    <small class="me">
      as {name}{' '}
      <button class="plain" onClick={() => setAsked(person.ask() ?? '')}>
        change
      </button>
    </small>
  );
}
