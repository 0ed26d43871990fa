//! Whether what was done helped, by the verdicts that opened the incident.

use std::collections::BTreeSet;
use std::time::Duration;

use larnax_core::{ComponentId, Effect, Incident, Mode, Outcome, Plan, PlanId, PlanState, Seen, Timestamp};

use super::propose::{BY_POLICY, pattern, situation};
use super::{Plans, SILENT};
use crate::choose::{GIVEN_UP, Remedy, reward};
use crate::gate::Answer;

/// So long after its last anomaly has ended an incident is over: that one ended because all was calm for a while already. The
/// incident itself stays open for longer, for what comes back.
const CALM: Duration = Duration::from_secs(10);
/// What began after an action and lasts so long is its doing: longer than a restart takes.
const LASTS: Duration = Duration::from_secs(45);

impl Plans {
    /// A plan that nobody has decided on.
    pub(super) fn wait(&mut self, id: PlanId, now: Timestamp) {
        let Some(plan) = self.plans.get(&id) else { return };
        let over = self.incident(plan.incident).filter(|incident| is_over(incident, now));
        if let Some(last_seen) = over.map(|incident| incident.last_seen) {
            let outcome = Outcome {
                recovered_seconds: Some(last_seen.since(plan.made).max(0.0)),
                worse: false,
                reward: None,
                notes: vec!["it was over before anything was done".to_owned()],
            };
            self.finish(id, outcome, now);
            return;
        }
        // What only had to wait, for a cooldown, maintenance or the end of another action, is done now.
        let lasts = self.incident(plan.incident).is_some_and(|incident| !is_well(incident));
        let waits = plan.state == PlanState::Proposed && plan.mode == Mode::Act && lasts;
        let best = plan.proposals.first().filter(|_| waits);
        // The rules first: they cost less than looking for the pattern again.
        if best.is_some_and(|best| self.ask(plan, best, false, now) == Answer::Act) {
            self.propose(plan.incident, now);
        } else if self.is_unanswered(plan, now) {
            self.finish(id, Self::nothing_came("nobody has answered".to_owned()), now);
        }
    }

    /// Whether there was enough time to answer. During maintenance nobody can, and after it there is as much time as ever.
    fn is_unanswered(&self, plan: &Plan, now: Timestamp) -> bool {
        let Some((_, policy)) = self.policy(&plan.component) else { return false };
        let within = policy.answer_within.0;
        let mut maintenance = policy.maintenance.iter();
        plan.state == PlanState::Proposed
            && now >= plan.made.plus(within)
            && !maintenance.any(|one| one.holds(now) || one.holds(now.minus(within)))
    }

    /// A plan of which something was ordered, without a word since.
    pub(super) fn listen(&mut self, id: PlanId, now: Timestamp) {
        let Some(plan) = self.plans.get(&id) else { return };
        let undoing = plan.state == PlanState::Undoing;
        let step = if undoing { &plan.undone } else { &plan.done };
        let timeout = plan.chosen().map_or(0.0, |chosen| chosen.timeout_seconds);
        let Some(step) = step.as_ref().filter(|step| step.effect.is_none()) else { return };
        if now.since(step.expires.max(self.since)) < timeout + SILENT.as_secs_f64() {
            return;
        }
        self.change(id, |plan| {
            let step = if undoing { &mut plan.undone } else { &mut plan.done };
            if let Some(step) = step {
                (step.effect, step.ended) = (Some(Effect::Unsure), Some(now));
                "nothing was heard of it".clone_into(&mut step.message);
            }
            plan.state = PlanState::Verifying;
        });
        if undoing {
            self.end(id, now);
        }
    }

    /// A plan that was carried out.
    pub(super) fn verify(&mut self, id: PlanId, now: Timestamp) {
        let Some(plan) = self.plans.get(&id) else { return };
        let Some(began) = plan.done.as_ref().map(|step| step.began.unwrap_or(step.ordered)) else { return };
        let helps_within = plan.chosen().map_or(GIVEN_UP.as_secs_f64(), |chosen| chosen.helps_within_seconds);
        let incident = self.incident(plan.incident);
        let recovered = incident.filter(|incident| is_over(incident, now));
        let worse = self.hurt(plan, began, now);
        let (recovered_seconds, note) = if let Some(incident) = recovered {
            let seconds = incident.last_seen.since(began).max(0.0);
            (Some(seconds), format!("all is well again, {seconds:.0} s after it was begun"))
        } else if let Some(component) = &worse {
            (None, format!("{component} has been anomalous since it was done"))
        } else if now.since(began.max(self.since)) >= helps_within {
            (None, format!("nothing is better after {helps_within:.0} s"))
        } else {
            return;
        };
        let worse = worse.is_some();
        let cost = plan.chosen().map_or(0.0, |chosen| chosen.cost_seconds);
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(GIVEN_UP);
        let done = plan.done.as_ref().is_some_and(|step| step.effect == Some(Effect::Done));
        let by_itself = recovered.is_some_and(|incident| {
            incident.anomalies.iter().all(|one| one.closed.is_some_and(|closed| closed <= began))
        });
        let reward = (done && !by_itself).then(|| reward(recovered_seconds.map(time), time(cost), worse));
        self.finish(id, Outcome { recovered_seconds, worse, reward, notes: vec![note] }, now);
    }

    /// A component that was well before an action and has not been since.
    fn hurt(&self, plan: &Plan, began: Timestamp, now: Timestamp) -> Option<ComponentId> {
        let incident = self.incident(plan.incident).filter(|incident| incident.closed.is_none())?;
        let before = incident.anomalies.iter().filter(|one| one.onset <= began).map(|one| &one.component);
        // Where it began nothing was well, whether that had been noticed by then or not.
        let before: BTreeSet<&ComponentId> = before.chain([&plan.component]).collect();
        let since = incident.anomalies.iter().find(|one| {
            one.closed.is_none()
                && one.onset > began
                && now.since(one.onset.max(self.since)) >= LASTS.as_secs_f64()
                && !before.contains(&one.component)
        });
        since.map(|one| one.component.clone())
    }

    /// It was ordered and did not come to it.
    pub(super) fn not_done(&mut self, id: PlanId, message: String, now: Timestamp) {
        self.finish(id, Self::nothing_came(message), now);
    }

    /// What came of a plan is known: it is learnt from, and what did not help is taken back where that can be.
    fn finish(&mut self, id: PlanId, outcome: Outcome, now: Timestamp) {
        let Some(plan) = self.plans.get(&id) else { return };
        let name = self.learn(plan.clone(), &outcome);
        let Some(plan) = self.plans.get(&id) else { return };
        let changed = plan.done.as_ref().is_some_and(|step| step.effect != Some(Effect::NotDone));
        let helped = outcome.recovered_seconds.is_some() && !outcome.worse;
        // What is frozen stays as it is.
        let may = self.knowledge.frozen.is_none();
        let undo = may && changed && !helped && plan.chosen().is_some_and(|chosen| chosen.can_undo);
        self.change(id, |plan| {
            if let Some(name) = name {
                let similarity = plan.pattern.as_ref().map_or(0.0, |seen| seen.similarity);
                plan.pattern = Some(Seen { pattern: name, known: false, similarity });
            }
            plan.outcome = Some(outcome);
            if undo {
                (plan.state, plan.undone) = (PlanState::Undoing, Some(Self::step(BY_POLICY, now)));
            }
        });
        if !undo {
            self.end(id, now);
        }
    }

    /// Learns what an incident looked like and what came of what was done about it. Gives back the name of a pattern that begins
    /// with it.
    fn learn(&mut self, plan: Plan, outcome: &Outcome) -> Option<String> {
        let look = self.look(&plan).cloned();
        let known = pattern(&plan).to_owned();
        let mut begun = None;
        // Where it is not known where it began, nor is what is above and below; but who chose to do something there, and was right,
        // knew.
        let confirmed = outcome.recovered_seconds.is_some()
            && plan.done.is_some()
            && plan.decision.as_ref().is_some_and(|decision| decision.approved && decision.by != BY_POLICY);
        if let Some(look) = look.filter(|_| plan.confidence > 0.0 || confirmed) {
            if known.is_empty() {
                begun = Some(self.knowledge.patterns.begin_look(look));
            } else if plan.attempt == 1 {
                // Once for each incident.
                self.knowledge.patterns.learn_look(&known, look);
            }
            self.learnt = true;
        }
        let name = begun.as_deref().unwrap_or(&known);
        if let (Some(reward), Some(chosen), false) = (outcome.reward, plan.chosen(), name.is_empty()) {
            let remedy =
                Remedy { action: &chosen.action, recommended: chosen.recommended, risk: chosen.risk };
            let recovered = outcome.recovered_seconds;
            self.knowledge.experience.learn(name, &remedy, situation(&plan), reward, recovered);
            self.learnt = true;
        }
        self.knowledge.forget();
        begun
    }
}

/// Whether none of its anomalies lasts.
pub(super) fn is_well(incident: &Incident) -> bool {
    incident.closed.is_some() || incident.anomalies.iter().all(|anomaly| anomaly.closed.is_some())
}

/// Whether that has been so for a while.
fn is_over(incident: &Incident, now: Timestamp) -> bool {
    let ended = incident.anomalies.iter().filter_map(|anomaly| anomaly.closed).max();
    let calm = ended.is_none_or(|ended| now.since(ended) >= CALM.as_secs_f64());
    incident.closed.is_some() || (is_well(incident) && calm)
}
