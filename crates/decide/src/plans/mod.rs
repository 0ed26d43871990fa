//! From incidents to outcomes: what is to be done about each, whether it may be, whether it was, and whether it helped. Pure: whoever
//! holds it tells it what happened, writes down what changed, and only then sends what is to be ordered.

mod propose;
mod requests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_doubt;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larnax_core::{
    Command, ComponentId, Diagnosis, Effect, Glob, Incident, IncidentId, Offer, Outcome, Plan, PlanId,
    PlanState, Report, Step, Timestamp, Wanted,
};
use larnax_spec::Policy;
use serde::{Deserialize, Serialize};

use crate::choose::Experience;
use crate::gate::Deed;
use crate::patterns::{Look, Patterns, Recognised};

/// What was ordered is begun within this time or not at all: long enough for a session to be opened again, short enough that the
/// incident is still the same.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// After so long without a word what was ordered counts as done or not done, nobody knows.
const SILENT: Duration = Duration::from_secs(600);
/// How often something is tried about one incident, and how long after it was clear that the last try was none.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(30);
/// Plans are kept in memory for so long after they ended, or for as long as a policy counts them.
const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// So long after it has ended an incident without a plan may still be what another one was merged into.
const MERGED_WITHIN: Duration = Duration::from_secs(600);

/// Something that an agent can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// The agent.
    pub agent: String,
    /// What.
    pub offer: Offer,
}

/// What is to be said to an agent. It may be said again until there is a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The plan.
    pub plan: PlanId,
    /// The agent.
    pub agent: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// Of which action.
    pub action: String,
    /// On what.
    pub component: ComponentId,
    /// After this nothing is begun.
    pub expires: Timestamp,
}

/// That nothing is done until it is said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// That nobody is told of incidents of some components, and nothing is done about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Which components.
    pub on: Glob,
    /// Until when.
    pub until: Timestamp,
    /// Who said so.
    pub by: String,
}

/// What was learnt, and what was said, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Knowledge {
    /// What incidents look like.
    pub patterns: Patterns,
    /// What came of actions.
    pub experience: Experience,
    /// Whether nothing is to be done.
    pub frozen: Option<Frozen>,
    /// Of what nobody is to be told, and nothing is to be done about it.
    pub silences: Vec<Silence>,
}

impl Knowledge {
    /// Forgets patterns that are too many, with what came of actions then.
    fn forget(&mut self) {
        while let Some(name) = self.patterns.forget() {
            self.experience.forget(&name);
        }
    }
}

/// What is known of an incident that may need something done.
#[derive(Clone, Debug)]
struct Matter {
    incident: Incident,
    /// What it looked like when it was first told where it began.
    look: Option<(ComponentId, Look)>,
    offers: Vec<Offered>,
}

/// All plans that are not forgotten.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    policies: Vec<Policy>,
    knowledge: Knowledge,
    /// All components that are known, for shares of them.
    components: Vec<ComponentId>,
    plans: BTreeMap<PlanId, Plan>,
    matters: BTreeMap<IncidentId, Matter>,
    changed: BTreeSet<PlanId>,
    learnt: bool,
    /// Before this nothing was heard: what happened meanwhile is still to be.
    since: Timestamp,
}

impl Plans {
    /// With what was kept. `plans`: those that are open, and those that ended lately.
    pub fn new(policies: Vec<Policy>, knowledge: Knowledge, plans: Vec<Plan>, now: Timestamp) -> Self {
        let plans = plans.into_iter().map(|plan| (plan.id, plan)).collect();
        Self { policies, knowledge, plans, since: now, ..Self::default() }
    }

    /// Hears which components there are.
    pub fn know(&mut self, components: Vec<ComponentId>) {
        self.components = components;
    }

    /// Hears how an incident stands. What follows from it is found when time passes.
    pub fn hear(&mut self, incident: &Incident) {
        if let Some(matter) = self.matters.get_mut(&incident.id) {
            matter.incident.clone_from(incident);
        } else if incident.closed.is_none()
            || self.latest(incident.id).is_some_and(|plan| plan.ended.is_none())
        {
            // Also those without a plan: another one may turn out to be a part of it.
            let matter = Matter { incident: incident.clone(), look: None, offers: Vec::new() };
            self.matters.insert(incident.id, matter);
        }
    }

    /// Hears where an incident began, what it looks like, and what can be done about it.
    pub fn diagnosed(
        &mut self,
        incident: &Incident,
        look: Option<Look>,
        offers: Vec<Offered>,
        now: Timestamp,
    ) {
        let Some(cause) = incident.diagnosis.as_ref().and_then(|diagnosis| diagnosis.candidates.first())
        else {
            return;
        };
        let cause = cause.component.clone();
        let before = self.matters.remove(&incident.id).and_then(|matter| matter.look);
        // Once something is done about it, what is seen is that, too.
        let undecided = |plan: &Plan| matches!(plan.state, PlanState::Shadow | PlanState::Proposed);
        let decided = self.latest(incident.id).is_some_and(|plan| !undecided(plan));
        let look = match before {
            before if decided => before,
            Some(before) if before.0 == cause => Some(before),
            before => look.filter(|one| !one.whole.is_empty()).map(|one| (cause, one)).or(before),
        };
        self.matters.insert(incident.id, Matter { incident: incident.clone(), look, offers });
        self.propose(incident.id, now);
        self.pass(now);
    }

    /// Whether something may be recognised for which it is known what helps.
    pub fn knows_help(&self) -> bool {
        self.knowledge.experience.knows_help(None)
    }

    /// What an incident looks like.
    pub fn looks_like(&self, look: &Look) -> Option<Recognised> {
        self.knowledge.patterns.known_by(look)
    }

    /// Whether it is known where an incident began, what it is, and what helps: then there is nothing to wait for.
    pub fn is_familiar(&self, diagnosis: &Diagnosis, seen: &Recognised) -> bool {
        diagnosis.known && seen.known && self.knowledge.experience.knows_help(Some(&seen.nearest))
    }

    /// Hears what came of an order, from the agent that got it. What is no news, or from another one, changes nothing.
    pub fn reported(&mut self, report: &Report, agent: &str, now: Timestamp) {
        let of = |plan: &Plan| {
            [Wanted::Do, Wanted::Undo].into_iter().find(|wanted| Command::key(plan.id, *wanted) == report.key)
        };
        let Some((plan, wanted)) = self.plans.values_mut().find_map(|plan| of(plan).map(|w| (plan, w)))
        else {
            return;
        };
        if plan.chosen().is_none_or(|chosen| chosen.agent != agent) {
            return;
        }
        let (step, state) = match wanted {
            Wanted::Undo => (&mut plan.undone, PlanState::Undoing),
            _ => (&mut plan.done, PlanState::Acting),
        };
        let Some(step) = step.as_mut().filter(|step| step.effect.is_none() && plan.state == state) else {
            return;
        };
        step.effect = Some(report.effect);
        step.message.clone_from(&report.message);
        // Its clock may be wrong.
        step.began = report.began.map(|began| began.min(now).max(step.ordered));
        step.ended = Some(report.ended.min(now).max(step.ordered));
        let id = plan.id;
        match (wanted, report.effect) {
            (Wanted::Undo, _) => self.end(id, now),
            (_, Effect::NotDone) => self.not_done(id, report.message.clone(), now),
            (..) => self.change(id, |plan| plan.state = PlanState::Verifying),
        }
        self.pass(now);
    }

    /// Lets time pass.
    pub fn pass(&mut self, now: Timestamp) {
        let open: Vec<PlanId> =
            self.plans.values().filter(|plan| plan.ended.is_none()).map(|plan| plan.id).collect();
        for id in open {
            match self.plans.get(&id).map(|plan| plan.state) {
                Some(PlanState::Shadow | PlanState::Proposed) => self.wait(id, now),
                Some(PlanState::Acting | PlanState::Undoing) => self.listen(id, now),
                Some(PlanState::Verifying) => self.verify(id, now),
                Some(PlanState::Ended) | None => {}
            }
        }
        // Of thousands of incidents few have a plan.
        let planned: BTreeSet<IncidentId> = self.plans.values().map(|plan| plan.incident).collect();
        for incident in planned.into_iter().filter(|id| self.is_to_try_again(*id, now)).collect::<Vec<_>>() {
            self.propose(incident, now);
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Timestamp) {
        let rules = self.policies.iter().flat_map(|policy| [policy.within.0, policy.cooldown.0]);
        let kept = now.minus(rules.fold(REMEMBERED, Duration::max));
        self.plans.retain(|_, plan| plan.ended.is_none_or(|ended| ended > kept));
        let planned: BTreeSet<IncidentId> = self.plans.values().map(|plan| plan.incident).collect();
        let lately = now.minus(MERGED_WITHIN);
        self.matters.retain(|id, matter| {
            matter.incident.closed.is_none_or(|closed| closed > lately) || planned.contains(id)
        });
    }

    /// What is to be ordered as soon as it is written down that it is. It stays until there is a report.
    pub fn orders(&self) -> Vec<Order> {
        let order = |plan: &Plan| {
            let (wanted, step) = match plan.state {
                PlanState::Acting => (Wanted::Do, plan.done.as_ref()?),
                PlanState::Undoing => (Wanted::Undo, plan.undone.as_ref()?),
                _ => return None,
            };
            let chosen = plan.chosen()?;
            step.effect.is_none().then(|| Order {
                plan: plan.id,
                agent: chosen.agent.clone(),
                wanted,
                action: chosen.action.clone(),
                component: plan.component.clone(),
                expires: step.expires,
            })
        };
        self.plans.values().filter_map(order).collect()
    }

    /// Plans that changed since this was last asked, and what was learnt where that has changed. To be written down together.
    pub fn changes(&mut self) -> (Vec<Plan>, Option<Knowledge>) {
        let changed = std::mem::take(&mut self.changed);
        let plans = changed.iter().filter_map(|id| self.plans.get(id)).cloned().collect();
        (plans, std::mem::take(&mut self.learnt).then(|| self.knowledge.clone()))
    }

    /// Whether nobody is to be told of an incident: all its components are silenced.
    pub fn is_silenced(&self, incident: &Incident, now: Timestamp) -> bool {
        let mut components = incident.anomalies.iter().map(|anomaly| &anomaly.component);
        !incident.anomalies.is_empty() && components.all(|component| self.is_silent(component, now))
    }

    fn is_silent(&self, component: &ComponentId, now: Timestamp) -> bool {
        let mut silences = self.knowledge.silences.iter();
        silences.any(|silence| now < silence.until && silence.on.matches(component.as_str()))
    }

    /// All of them, earlier attempts first.
    pub fn all(&self) -> Vec<&Plan> {
        let mut all: Vec<&Plan> = self.plans.values().collect();
        all.sort_by_key(|plan| plan.attempt);
        all
    }

    /// The last attempt at an incident.
    fn latest(&self, incident: IncidentId) -> Option<&Plan> {
        self.plans.values().filter(|plan| plan.incident == incident).max_by_key(|plan| plan.attempt)
    }

    /// Whether something is being done about an incident, or was and is not yet known to have helped.
    pub fn is_at_work(&self, incident: IncidentId) -> bool {
        let at_work =
            |plan: &Plan| matches!(plan.state, PlanState::Acting | PlanState::Undoing | PlanState::Verifying);
        self.latest(incident).is_some_and(at_work)
    }

    /// An incident, or the one that it turned out to be a part of.
    fn incident(&self, id: IncidentId) -> Option<&Incident> {
        let mut incident = &self.matters.get(&id)?.incident;
        // No longer than there are incidents, whatever they say of each other.
        for _ in 0..self.matters.len() {
            let Some(next) = incident.merged_into.and_then(|next| self.matters.get(&next)) else { break };
            incident = &next.incident;
        }
        Some(incident)
    }

    /// What the incident of a plan looked like.
    fn look(&self, plan: &Plan) -> Option<&Look> {
        let (cause, look) = self.matters.get(&plan.incident)?.look.as_ref()?;
        (*cause == plan.component).then_some(look)
    }

    /// What is allowed on a component, and which of the policies says so; none where only observing is.
    fn policy(&self, component: &ComponentId) -> Option<(usize, &Policy)> {
        self.policies.iter().enumerate().find(|(_, policy)| policy.means(component))
    }

    /// What was done lately under the same policy as holds for a component, without a plan's own.
    fn deeds(&self, component: &ComponentId, without: PlanId) -> Vec<Deed> {
        let policy = self.policy(component).map(|(place, _)| place);
        let counts = |plan: &&Plan| {
            let done = plan.done.as_ref().is_some_and(|step| step.effect != Some(Effect::NotDone));
            plan.id != without && done && self.policy(&plan.component).map(|(place, _)| place) == policy
        };
        let deed = |plan: &Plan| {
            let begun = plan.done.as_ref()?.ordered;
            Some(Deed { component: plan.component.clone(), begun, ended: plan.ended })
        };
        self.plans.values().filter(counts).filter_map(deed).collect()
    }

    fn change(&mut self, id: PlanId, change: impl FnOnce(&mut Plan)) {
        if let Some(plan) = self.plans.get_mut(&id) {
            change(plan);
            plan.sequence += 1;
            self.changed.insert(id);
        }
    }

    /// All is known of it.
    fn end(&mut self, id: PlanId, now: Timestamp) {
        self.change(id, |plan| (plan.state, plan.ended) = (PlanState::Ended, Some(now)));
    }

    /// The outcome of a plan after which nothing was seen to be well again.
    fn nothing_came(note: String) -> Outcome {
        Outcome { recovered_seconds: None, worse: false, reward: None, notes: vec![note] }
    }

    fn step(by: &str, now: Timestamp) -> Step {
        Step {
            ordered: now,
            expires: now.plus(BEGUN_WITHIN),
            by: by.to_owned(),
            began: None,
            ended: None,
            effect: None,
            message: String::new(),
        }
    }
}
