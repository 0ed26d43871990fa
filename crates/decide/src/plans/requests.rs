//! What people want of plans.

use std::time::Duration;

use larnax_core::{
    Decision, Effect, Glob, IncidentId, Plan, PlanId, PlanState, Request, Seen, Timestamp, Want,
};

use super::propose::situation;
use super::verify::is_well;
use super::{Frozen, Plans, Silence};
use crate::choose::Remedy;
use crate::gate::Answer;
use crate::patterns::is_unnamed;

/// By so much what is frozen is too late: more than clocks differ.
const LATE: Duration = Duration::from_secs(60);
/// The longest silence: what should be silent for longer should not be watched.
const LONGEST_SILENCE: Duration = Duration::from_secs(30 * 86_400);
/// The most silences.
const MOST_SILENCES: usize = 1_000;
/// The longest name of a pattern, in characters.
const MAX_NAME: usize = 100;

impl Plans {
    /// Does what a person wants, if it may be; says what was done, or why nothing was. Of two at once the first has the say.
    ///
    /// # Errors
    /// Why nothing was done, in a sentence.
    pub fn request(&mut self, request: &Request, now: Timestamp) -> Result<String, String> {
        let by = request.by.as_str();
        match &request.want {
            Want::Approve { plan, action, sequence } => {
                self.approve(*plan, action.as_deref(), *sequence, by, now)
            }
            Want::Reject { plan } => self.reject(*plan, by, now),
            Want::Undo { plan } => self.undo(*plan, by, now),
            Want::Name { plan, name } => self.name(*plan, name),
            Want::Silence { on, seconds } => self.silence(on, *seconds, by, now),
            Want::Normal { incident } => Err(format!("{incident} is an incident: its edges are to be told")),
            Want::Freeze => Ok(self.freeze(by, now)),
            Want::Thaw => {
                self.learnt = true;
                match self.knowledge.frozen.take() {
                    Some(frozen) => Ok(format!("what {} had stopped goes on, as policies allow", frozen.by)),
                    None => Ok("nothing was stopped".to_owned()),
                }
            }
        }
    }

    fn freeze(&mut self, by: &str, now: Timestamp) -> String {
        // What was not begun yet isn't any more: an edge refuses what has expired, and says so.
        let ordered = self.plans.values().filter(|plan| plan.state == PlanState::Acting);
        let ordered: Vec<PlanId> = ordered.map(|plan| plan.id).collect();
        for id in ordered {
            self.change(id, |plan| {
                if let Some(step) = plan.done.as_mut().filter(|step| step.effect.is_none()) {
                    step.expires = step.expires.min(now.minus(LATE));
                }
            });
        }
        self.learnt = true;
        let frozen = self.knowledge.frozen.get_or_insert_with(|| Frozen { by: by.to_owned(), at: now });
        format!("nothing is done any more, anywhere: {} has stopped it", frozen.by)
    }

    /// A person calls normal what an incident is about: nothing needs to be done, and nothing is to be learnt from it.
    pub fn declared_normal(&mut self, incident: IncidentId, by: &str, now: Timestamp) {
        let Some(plan) = self.latest(incident).filter(|plan| plan.ended.is_none()) else { return };
        let (id, state) = (plan.id, plan.state);
        match state {
            PlanState::Shadow | PlanState::Proposed => drop(self.reject(id, by, now)),
            PlanState::Verifying => {
                let outcome = Self::nothing_came(format!("{by} said that this is normal"));
                self.change(id, |plan| plan.outcome = Some(outcome));
                self.end(id, now);
            }
            PlanState::Acting | PlanState::Undoing | PlanState::Ended => {}
        }
    }

    fn silence(&mut self, on: &Glob, seconds: f64, by: &str, now: Timestamp) -> Result<String, String> {
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST_SILENCE);
        let Some(time) = time else {
            let most = LONGEST_SILENCE.as_secs();
            return Err(format!("found {seconds} seconds, expected 0 to {most}"));
        };
        let silences = &mut self.knowledge.silences;
        silences.retain(|silence| silence.on != *on && silence.until > now);
        self.learnt = true;
        if time.is_zero() {
            return Ok(format!("people hear of {on} again"));
        }
        if silences.len() >= MOST_SILENCES {
            return Err(format!("there are {MOST_SILENCES} silences already, expected fewer; end one first"));
        }
        let until = now.plus(time);
        silences.push(Silence { on: on.clone(), until, by: by.to_owned() });
        Ok(format!("nobody hears of {on}, and nothing is done about it, until {until}"))
    }

    fn find(&self, id: PlanId) -> Result<&Plan, String> {
        self.plans.get(&id).ok_or_else(|| format!("there is no plan {id}, or it ended more than a day ago"))
    }

    fn approve(
        &mut self,
        id: PlanId,
        action: Option<&str>,
        sequence: Option<u32>,
        by: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let mut plan = self.find(id)?.clone();
        if let Some(said) = decided(&plan) {
            return Err(said);
        }
        if sequence.is_some_and(|seen| seen != plan.sequence) {
            return Err("it has changed since you looked: look again".to_owned());
        }
        if self.incident(plan.incident).is_some_and(is_well) {
            return Err("all is well again: nothing is to be done".to_owned());
        }
        let wanted = match action {
            None => plan.proposals.first(),
            Some(name) => plan.proposals.iter().find(|one| one.action == name),
        };
        let Some(wanted) = wanted.cloned() else {
            let names: Vec<&str> = plan.proposals.iter().map(|one| one.action.as_str()).collect();
            return Err(format!(
                "`{}` is not proposed: expected one of {}",
                action.unwrap_or_default(),
                names.join(", ")
            ));
        };
        match self.ask(&plan, &wanted, true, now) {
            Answer::Act => {}
            Answer::Ask(reasons) | Answer::No(reasons) => {
                return Err(format!("not now: {}", reasons.join("; ")));
            }
        }
        plan.decision =
            Some(Decision { approved: true, action: wanted.action.clone(), by: by.to_owned(), at: now });
        self.begin(&mut plan, by, now);
        self.change(id, |known| *known = plan);
        Ok(format!("`{}` is being done to {}", wanted.action, self.find(id)?.component))
    }

    fn reject(&mut self, id: PlanId, by: &str, now: Timestamp) -> Result<String, String> {
        let plan = self.find(id)?;
        if let Some(said) = decided(plan) {
            return Err(said);
        }
        let action = plan.proposals.first().map(|one| one.action.clone()).unwrap_or_default();
        let outcome = Self::nothing_came(format!("{by} did not want it"));
        let decision = Decision { approved: false, action, by: by.to_owned(), at: now };
        self.change(id, |plan| (plan.decision, plan.outcome) = (Some(decision), Some(outcome)));
        self.end(id, now);
        Ok("nothing is done about this incident".to_owned())
    }

    fn undo(&mut self, id: PlanId, by: &str, now: Timestamp) -> Result<String, String> {
        let plan = self.find(id)?;
        let done =
            plan.done.as_ref().is_some_and(|step| matches!(step.effect, Some(Effect::Done | Effect::Unsure)));
        let Some(chosen) = plan.chosen().filter(|_| done) else {
            return Err("nothing was done that could be taken back".to_owned());
        };
        if !chosen.can_undo {
            return Err(format!("`{}` can't be taken back", chosen.action));
        }
        if let Some(step) = plan.undone.as_ref().filter(|step| step.effect != Some(Effect::NotDone)) {
            return Err(format!("{} has had it taken back already", step.by));
        }
        if plan.state == PlanState::Acting {
            return Err("it is being done; take it back when that is over".to_owned());
        }
        let answer = format!("`{}` is being taken back", chosen.action);
        self.change(id, |plan| {
            (plan.state, plan.ended) = (PlanState::Undoing, None);
            plan.undone = Some(Self::step(by, now));
        });
        Ok(answer)
    }

    fn name(&mut self, id: PlanId, name: &str) -> Result<String, String> {
        let name = name.trim();
        let length = name.chars().count();
        if !(1..=MAX_NAME).contains(&length) || name.chars().any(char::is_control) {
            return Err(format!(
                "a name of {length} characters: expected 1 to {MAX_NAME} that can be printed"
            ));
        }
        let plan = self.find(id)?.clone();
        let Some(seen) = plan.pattern.clone() else {
            return Err("nothing is known of what it looks like".to_owned());
        };
        if plan.ended.is_none() && !seen.known {
            return Err("it is like nothing that is known: name it when it is over and learnt".to_owned());
        }
        if seen.pattern == name {
            return Ok(format!("it is called `{name}`"));
        }
        self.learnt = true;
        // One that has a name keeps it: then it is only this incident that is another one.
        if !is_unnamed(&seen.pattern) {
            let Some(look) = self.look(&plan).cloned() else {
                return Err("it is not known any more what it looked like".to_owned());
            };
            if !self.knowledge.patterns.has_room_for(name) {
                return Err("there are too many patterns with names: name this one as one of them".to_owned());
            }
            if plan.ended.is_some() {
                self.knowledge.patterns.unlearn_look(&seen.pattern, &look);
            }
            self.knowledge.patterns.learn_look(name, look);
            if let (Some(reward), Some(chosen)) =
                (plan.outcome.as_ref().and_then(|outcome| outcome.reward), plan.chosen())
            {
                let remedy =
                    Remedy { action: &chosen.action, recommended: chosen.recommended, risk: chosen.risk };
                let recovered = plan.outcome.as_ref().and_then(|outcome| outcome.recovered_seconds);
                self.knowledge.experience.learn(name, &remedy, situation(&plan), reward, recovered);
            }
            self.knowledge.forget();
            self.change(id, |plan| plan.pattern = Some(Seen { pattern: name.to_owned(), ..seen.clone() }));
            return Ok(format!(
                "this was `{name}`, and what looks more like it than like `{}` is, too",
                seen.pattern
            ));
        }
        if !self.knowledge.patterns.rename(&seen.pattern, name) {
            return Err(format!("`{}` has been forgotten", seen.pattern));
        }
        self.knowledge.experience.rename(&seen.pattern, name);
        let is_same = |plan: &&Plan| plan.pattern.as_ref().is_some_and(|one| one.pattern == seen.pattern);
        let same: Vec<PlanId> = self.plans.values().filter(is_same).map(|plan| plan.id).collect();
        for id in same {
            self.change(id, |plan| {
                plan.pattern = plan.pattern.take().map(|seen| Seen { pattern: name.to_owned(), ..seen })
            });
        }
        Ok(format!("`{}` is called `{name}` from now on", seen.pattern))
    }
}

/// What was decided of a plan, or that nothing is to be decided any more.
fn decided(plan: &Plan) -> Option<String> {
    if let Some(decision) = &plan.decision {
        let what = if decision.approved { "approved" } else { "rejected" };
        return Some(format!("{} has {what} it already, at {}", decision.by, decision.at));
    }
    plan.ended.map(|ended| format!("it is over since {ended}"))
}
