//! What is proposed about an incident, and whether it is done at once.

use std::time::Duration;

use larnax_core::{
    ComponentId, Decision, Effect, Incident, IncidentId, Mode, Offer, Plan, PlanId, PlanState, Proposal,
    Seen, Timestamp,
};
use larnax_spec::Policy;

use super::verify::is_well;
use super::{ATTEMPTS, Offered, PAUSE, Plans};
use crate::choose::{Ranked, Remedy, Situation};
use crate::gate::{Answer, Question, allows};

/// Who decides where nobody has to be asked.
pub(super) const BY_POLICY: &str = "policy";
/// What came of actions for the nearest pattern says something from this similarity on (the least that could make it known, ALGORITHMS 7.4
/// of the design).
const LIKE: f64 = 0.6;
/// Of the metrics of a cause, those that may recommend an action: the most unusual ones.
const TELLING: usize = 5;

impl Plans {
    /// Makes a plan, or makes the one that waits anew by what is known now.
    pub(super) fn propose(&mut self, incident: IncidentId, now: Timestamp) {
        let (attempt, made, sequence) = match self.latest(incident) {
            None => (1, now, 0),
            Some(plan) if matches!(plan.state, PlanState::Shadow | PlanState::Proposed) => {
                (plan.attempt, plan.made, plan.sequence + 1)
            }
            Some(plan) if self.is_to_try_again(incident, now) => (plan.attempt + 1, now, 0),
            Some(_) => return,
        };
        let Some(mut plan) = self.plan(incident, attempt, made, now) else { return };
        plan.sequence = sequence;
        // What is the same but for its numbers is no news.
        if self.plans.get(&plan.id).is_some_and(|known| is_same(known, &plan)) {
            return;
        }
        let id = plan.id;
        self.plans.insert(id, plan);
        self.changed.insert(id);
    }

    /// Whether what was tried did not help, and something else may be.
    pub(super) fn is_to_try_again(&self, incident: IncidentId, now: Timestamp) -> bool {
        let open = self.incident(incident).is_some_and(|one| one.id == incident && !is_well(one));
        // What a person has rejected or taken back is not to be tried in another way.
        let refused = |plan: &Plan| {
            plan.decision.as_ref().is_some_and(|decision| !decision.approved)
                || plan.undone.as_ref().is_some_and(|step| step.by != BY_POLICY)
        };
        open && self.latest(incident).is_some_and(|plan| {
            plan.ended.is_some_and(|ended| now.since(ended) >= PAUSE.as_secs_f64())
                && (plan.done.is_some() || over_by_itself(plan))
                && plan.attempt < ATTEMPTS
                && !refused(plan)
        })
    }

    fn plan(&self, id: IncidentId, attempt: u32, made: Timestamp, now: Timestamp) -> Option<Plan> {
        let matter = self.matters.get(&id)?;
        let incident = &matter.incident;
        if is_well(incident) {
            return None;
        }
        let diagnosis = incident.diagnosis.as_ref()?;
        let component = diagnosis.candidates.first()?.component.clone();
        let look = matter.look.as_ref().filter(|(cause, _)| *cause == component);
        let pattern = look.and_then(|(_, look)| self.knowledge.patterns.known_by(look));
        let pattern = pattern.map(|seen| Seen {
            pattern: seen.nearest,
            known: seen.known,
            similarity: seen.similarity,
        });
        let confidence = if diagnosis.known { diagnosis.confidence } else { 0.0 };
        let mode = self.policy(&component).map_or(Mode::Observe, |(_, policy)| policy.mode);
        let mut plan = Plan {
            id: PlanId::of(id, attempt),
            incident: id,
            attempt,
            sequence: 0,
            state: PlanState::Shadow,
            made,
            onset: incident.onset,
            ended: None,
            component,
            confidence,
            pattern,
            mode,
            proposals: Vec::new(),
            reasons: Vec::new(),
            decision: None,
            done: None,
            undone: None,
            outcome: None,
        };
        let (proposals, doubt) = self.proposals(&plan, incident, &matter.offers);
        plan.proposals = proposals;
        let best = plan.proposals.first()?;
        let mut answer = self.ask(&plan, best, false, now);
        if let Some(doubt) = doubt.filter(|_| answer == Answer::Act) {
            answer = Answer::Ask(vec![doubt]);
        }
        match answer {
            Answer::Act => self.begin(&mut plan, BY_POLICY, now),
            Answer::Ask(reasons) => (plan.state, plan.reasons) = (PlanState::Proposed, reasons),
            Answer::No(reasons) => {
                plan.state = if mode == Mode::Observe { PlanState::Shadow } else { PlanState::Proposed };
                plan.reasons = reasons;
            }
        }
        Some(plan)
    }

    /// Decides for the best, and orders it.
    pub(super) fn begin(&self, plan: &mut Plan, by: &str, now: Timestamp) {
        let Some(chosen) = plan.chosen() else { return };
        let action = chosen.action.clone();
        plan.decision = Some(Decision { approved: true, action, by: by.to_owned(), at: now });
        plan.done = Some(Self::step(by, now));
        plan.state = PlanState::Acting;
        plan.reasons.clear();
    }

    /// Whether the policy of a component lets an action be thought of.
    fn names(&self, component: &ComponentId, action: &str) -> bool {
        let named = self.policy(component).map_or(&[][..], |(_, policy)| &policy.actions);
        named.is_empty() || named.iter().any(|scope| scope.0.matches(action))
    }

    /// Whether the rules allow what is proposed on a plan's component.
    pub(super) fn ask(&self, plan: &Plan, proposal: &Proposal, approved: bool, now: Timestamp) -> Answer {
        if !self.names(&plan.component, &proposal.action) {
            return Answer::No(vec![format!("the policy does not name `{}`", proposal.action)]);
        }
        // What this incident itself has taught is not what was seen before.
        let first =
            self.plans.get(&PlanId::of(plan.incident, 1)).filter(|_| plan.attempt > 1).unwrap_or(plan);
        let observing = Policy::default();
        let (place, policy) =
            self.policy(&plan.component).map_or((None, &observing), |(place, policy)| (Some(place), policy));
        let under = |id| self.policy(id).map(|(place, _)| place) == place;
        allows(
            policy,
            &Question {
                component: &plan.component,
                risk: proposal.risk,
                cooldown: Duration::try_from_secs_f64(proposal.cooldown_seconds).unwrap_or_default(),
                cause_known: plan.confidence > 0.0,
                confidence: plan.confidence,
                pattern_known: first.pattern.as_ref().is_some_and(|seen| seen.known),
                approved,
                frozen: self.knowledge.frozen.is_some(),
                maintained: policy.maintenance.iter().any(|maintenance| maintenance.holds(now)),
                silenced: self.is_silent(&plan.component, now),
                components: self.components.iter().filter(|id| under(id)).count(),
                deeds: &self.deeds(&plan.component, plan.id),
                now,
            },
        )
    }

    /// What can be done, the best first, and why that one is not to be done without asking.
    fn proposals(
        &self,
        plan: &Plan,
        incident: &Incident,
        offers: &[Offered],
    ) -> (Vec<Proposal>, Option<String>) {
        // What has helped before may help again when it comes back.
        let in_vain = |other: &&Plan| {
            other.incident == plan.incident
                && other.attempt < plan.attempt
                && other.done.as_ref().is_some_and(|step| step.effect != Some(Effect::NotDone))
                && other.outcome.as_ref().is_none_or(|outcome| outcome.recovered_seconds.is_none())
        };
        let tried = self.plans.values().filter(in_vain);
        let tried: Vec<&str> = tried.filter_map(|other| Some(other.chosen()?.action.as_str())).collect();
        let possible = offers.iter().filter(|one| {
            one.offer.is_for(&plan.component)
                && self.names(&plan.component, &one.offer.action)
                && !tried.contains(&one.offer.action.as_str())
        });
        let possible: Vec<(&Offered, Option<String>)> =
            possible.map(|one| (one, recommended(&one.offer, plan, incident))).collect();
        let remedies: Vec<Remedy<'_>> = possible
            .iter()
            .map(|(one, because)| Remedy {
                action: &one.offer.action,
                recommended: because.is_some(),
                risk: one.offer.risk,
            })
            .collect();
        let ranked = self.knowledge.experience.rank(most_like(plan), &remedies, situation(plan));
        let doubt = ranked.first().and_then(doubt);
        let proposal = |ranked: &Ranked| {
            let (one, because) = possible.iter().find(|(one, _)| one.offer.action == ranked.action)?;
            Some(proposal(one, because.clone(), ranked, pattern(plan).is_empty()))
        };
        (ranked.iter().filter_map(proposal).collect(), doubt)
    }
}

/// Why an action is not to be done without asking, by what came of it.
fn doubt(best: &Ranked) -> Option<String> {
    let action = &best.action;
    if best.is_in_vain() {
        return Some(format!("`{action}` was done {} for this, and did not help", number(best.outcomes)));
    }
    (!best.may_be_tried).then(|| format!("nobody recommends `{action}` for this, and it isn't safe"))
}

/// Whether an incident was over before anything was done about it. It may come back.
fn over_by_itself(plan: &Plan) -> bool {
    plan.outcome.as_ref().is_some_and(|outcome| outcome.recovered_seconds.is_some())
}

/// The name under which outcomes of a plan are known; empty where its pattern is not.
pub(super) fn pattern(plan: &Plan) -> &str {
    plan.pattern.as_ref().filter(|seen| seen.known).map_or("", |seen| seen.pattern.as_str())
}

/// The pattern whose outcomes say best what may help: also where it is only like this, and a person is asked for that reason.
fn most_like(plan: &Plan) -> &str {
    let seen = plan.pattern.as_ref().filter(|seen| seen.known || seen.similarity >= LIKE);
    seen.map_or("", |seen| seen.pattern.as_str())
}

/// What is known when a plan is made.
pub(super) fn situation(plan: &Plan) -> Situation {
    const DAY: f64 = 86_400.0;
    Situation { confidence: plan.confidence, day: plan.made.seconds().rem_euclid(DAY) / DAY }
}

/// Why the catalogue says that an action is for this; none where it doesn't.
fn recommended(offer: &Offer, plan: &Plan, incident: &Incident) -> Option<String> {
    let known = plan.pattern.as_ref().filter(|seen| seen.known);
    if let Some(seen) = known.filter(|seen| offer.patterns.iter().any(|glob| glob.matches(&seen.pattern))) {
        return Some(format!("the catalogue has it for `{}`", seen.pattern));
    }
    let cause = incident.diagnosis.as_ref()?.candidates.first()?;
    let mut telling = cause.metrics.iter().take(TELLING).map(|shown| shown.metric.as_str());
    let family = |metric: &str| metric.split('{').next().unwrap_or_default().to_owned();
    let named = |metric: &&str| {
        offer.metrics.iter().any(|glob| glob.matches(metric) || glob.matches(&family(metric)))
    };
    telling.find(named).map(|metric| format!("the catalogue has it for what `{metric}` does"))
}

fn proposal(offered: &Offered, because: Option<String>, ranked: &Ranked, only_like: bool) -> Proposal {
    let Offered { agent, offer } = offered;
    let recommended = because.is_some();
    let mut why: Vec<String> = because.into_iter().collect();
    let (times, helped) = (ranked.outcomes, ranked.helped);
    let this = if only_like { "what is most like this" } else { "this" };
    why.push(match ranked.seconds {
        _ if times == 0 => "what comes of it was not seen yet".to_owned(),
        None => format!("it was done {} for {this}, and did not help", number(times)),
        Some(seconds) => {
            let often =
                if helped == times { String::new() } else { format!(", and helped {}", number(helped)) };
            format!("it was done {} for {this}{often}: all was well {seconds:.0} s after", number(times))
        }
    });
    Proposal {
        action: offer.action.clone(),
        summary: offer.summary.clone(),
        agent: agent.clone(),
        risk: offer.risk,
        cost_seconds: offer.cost_seconds,
        timeout_seconds: offer.timeout_seconds,
        helps_within_seconds: offer.helps_within_seconds,
        cooldown_seconds: offer.cooldown_seconds,
        can_undo: offer.can_undo,
        expected: ranked.expected.mean,
        error: ranked.expected.error,
        outcomes: times,
        recommended,
        why,
    }
}

fn number(times: u64) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

/// Whether two of the same plan say the same.
fn is_same(known: &Plan, fresh: &Plan) -> bool {
    let actions = |plan: &Plan| {
        let all = plan.proposals.iter();
        all.map(|one| (one.action.clone(), one.agent.clone(), one.risk)).collect::<Vec<_>>()
    };
    let pattern = |plan: &Plan| plan.pattern.as_ref().map(|seen| (seen.pattern.clone(), seen.known));
    (known.state, &known.component, known.mode, known.confidence)
        == (fresh.state, &fresh.component, fresh.mode, fresh.confidence)
        && actions(known) == actions(fresh)
        && pattern(known) == pattern(fresh)
        && known.reasons.len() == fresh.reasons.len()
}
