//! What is told of one fault, from the first anomaly to the outcome.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use larnax_core::{Effect, Incident, IncidentId, Plan, PlanState, Timestamp};
use larnax_hub::report::Told;
use serde_json::json;

use super::stage::{LOOK, Stage};
use super::{line, tell};

/// After so long a fault counts as not noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(90);
/// After so long the demo goes on, whatever became of the incident.
const FOLLOWED: Duration = Duration::from_secs(420);

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All is well again, by what was done.
    Well,
    /// Nothing was done, or it did not help.
    Otherwise,
}

/// What became of one fault.
pub(super) struct Round {
    pub(super) ended: Ended,
    pub(super) plan: Option<Plan>,
    pub(super) looks_like: String,
    pub(super) action: String,
    pub(super) by: String,
    /// When the action was begun, in seconds after the first anomalous sample.
    pub(super) begun_after: Option<f64>,
    /// When the last anomalous sample was, likewise.
    pub(super) well_after: Option<f64>,
}

/// What has been told of a round.
#[derive(Default)]
struct Said {
    incident: Option<IncidentId>,
    cause: Option<String>,
    proposed: Option<String>,
    begun: bool,
    done: bool,
}

/// Tells what happens until the outcome is known.
pub(super) fn follow(stage: &Stage, yes: bool) -> anyhow::Result<Round> {
    let began = Instant::now();
    let before: Vec<Incident> = stage.get("/api/v1/incidents?limit=100")?;
    let before: BTreeSet<IncidentId> = before.iter().map(|incident| incident.id).collect();
    let mut said = Said::default();
    loop {
        std::thread::sleep(LOOK);
        let latest: Vec<Incident> = stage.get("/api/v1/incidents?limit=5")?;
        let fresh = latest.iter().find(|one| !before.contains(&one.id) && one.merged_into.is_none());
        let Some(incident) = fresh else {
            if began.elapsed() > NOTICED_WITHIN {
                tell("  nobody noticed anything.\n");
                return Ok(Round::nothing());
            }
            continue;
        };
        said.of_incident(incident);
        let plans: Vec<Plan> = stage.get(&format!("/api/v1/plans?incident={}", incident.id))?;
        // The first one is the latest attempt.
        if let Some(plan) = plans.first() {
            let is_new = said.of_plan(plan);
            if plan.state == PlanState::Proposed && is_new {
                propose(stage, plan, yes)?;
            }
            if plan.state == PlanState::Ended && !is_tried_again(plan, began) {
                return Ok(Round::of(incident, plan));
            }
        }
        if began.elapsed() > FOLLOWED {
            tell("  it is not over yet; the demo goes on.\n");
            return Ok(plans.first().map_or_else(Round::nothing, |plan| Round::of(incident, plan)));
        }
    }
}

/// What did not help is followed by another attempt.
fn is_tried_again(plan: &Plan, began: Instant) -> bool {
    let helped = plan.outcome.as_ref().is_some_and(|outcome| outcome.recovered_seconds.is_some());
    let rejected = plan.decision.as_ref().is_some_and(|decision| !decision.approved);
    !helped && !rejected && plan.attempt < 3 && began.elapsed() < FOLLOWED
}

/// Asks whether what is proposed is to be done.
fn propose(stage: &Stage, plan: &Plan, yes: bool) -> anyhow::Result<()> {
    for reason in &plan.reasons {
        tell(&format!("           it asks, because {reason}\n"));
    }
    let what = if yes {
        "approve"
    } else {
        tell("           Do it? Enter for yes, n for no (or click on the page): ");
        if line()?.to_lowercase().starts_with('n') { "reject" } else { "approve" }
    };
    let path = format!("/api/v1/plans/{}/{what}", plan.id);
    let seen = (what == "approve").then_some(plan.sequence);
    match stage.post::<Told>(&path, &json!({ "by": "demo", "sequence": seen })) {
        Ok(told) => tell(&format!("           {}\n", told.answer)),
        // Somebody may have clicked meanwhile.
        Err(error) => tell(&format!("           {error:#}\n")),
    }
    Ok(())
}

/// Gives what was learnt a name.
pub(super) fn name(stage: &Stage, plan: &Plan, usual: &str, yes: bool) -> anyhow::Result<()> {
    let Some(seen) = plan.pattern.as_ref().filter(|seen| !seen.known && plan.ended.is_some()) else {
        return Ok(());
    };
    tell(&format!("  learnt: what this looks like, called {} so far.", seen.pattern));
    let name = if yes {
        usual.to_owned()
    } else {
        tell(&format!(" A name for it, or Enter for `{usual}`: "));
        Some(line()?).filter(|said| !said.is_empty()).unwrap_or_else(|| usual.to_owned())
    };
    let path = format!("/api/v1/plans/{}/name", plan.id);
    let told = stage.post::<Told>(&path, &json!({ "by": "demo", "name": name }))?;
    tell(&format!(" {}.\n", told.answer));
    Ok(())
}

impl Said {
    fn of_incident(&mut self, incident: &Incident) {
        let since = |at: Timestamp| at.since(incident.onset);
        if self.incident.is_none() {
            self.incident = Some(incident.id);
            let first = incident.anomalies.first().map_or_else(String::new, |one| one.component.to_string());
            at(since(incident.opened), &format!("detected: {first} is not as usual"));
        }
        let Some(diagnosis) = &incident.diagnosis else { return };
        let cause = match diagnosis.candidates.first() {
            Some(first) if diagnosis.known => {
                let reason = first.reasons.first().map_or("", String::as_str);
                format!(
                    "located: it began in {} ({:.0} % sure): {reason}",
                    first.component,
                    100.0 * diagnosis.confidence
                )
            }
            Some(first) => format!("located: unknown where it began; most unusual is {}", first.component),
            None => return,
        };
        let short = cause.split(" (").next().unwrap_or_default().to_owned();
        if self.cause.as_ref() != Some(&short) {
            self.cause = Some(short);
            at(since(incident.last_seen), &cause);
        }
    }

    /// Gives back whether what is proposed is new.
    fn of_plan(&mut self, plan: &Plan) -> bool {
        let since = |at: Timestamp| at.since(plan.onset);
        let Some(chosen) = plan.chosen() else { return false };
        let proposed = format!("{} {}", plan.attempt, chosen.action);
        let is_new = self.proposed.as_ref() != Some(&proposed);
        if is_new {
            self.proposed = Some(proposed);
            (self.begun, self.done) = (false, false);
            let looks = match plan.pattern.as_ref().filter(|seen| seen.known) {
                Some(seen) => format!("recognised: it is `{}` again; ", seen.pattern),
                None => String::new(),
            };
            let why = chosen.why.join("; ");
            at(
                since(plan.made),
                &format!("{looks}proposed: `{}` on {}: {why}", chosen.action, plan.component),
            );
        }
        let Some(done) = &plan.done else { return is_new };
        if let (Some(began), false) = (done.began, std::mem::replace(&mut self.begun, done.began.is_some())) {
            at(since(began), &format!("acted: `{}`, decided by {}", chosen.action, done.by));
        }
        if let (Some(effect), Some(ended)) = (done.effect, done.ended)
            && !std::mem::replace(&mut self.done, true)
        {
            let word = match effect {
                Effect::Done => "done",
                Effect::NotDone => "not done",
                Effect::Unsure => "perhaps done",
            };
            at(since(ended), &format!("{word}: {}", done.message));
        }
        if let (Some(outcome), Some(ended)) = (&plan.outcome, plan.ended) {
            at(since(ended), &format!("verified: {}", outcome.notes.join("; ")));
        }
        is_new
    }
}

fn at(seconds: f64, text: &str) {
    tell(&format!("  {:>7}  {text}\n", format!("+{seconds:.1} s")));
}

impl Round {
    fn nothing() -> Self {
        Self {
            ended: Ended::Otherwise,
            plan: None,
            looks_like: "–".to_owned(),
            action: "–".to_owned(),
            by: "–".to_owned(),
            begun_after: None,
            well_after: None,
        }
    }

    fn of(incident: &Incident, plan: &Plan) -> Self {
        let begun = plan.done.as_ref().and_then(|step| step.began);
        let helped = plan.outcome.as_ref().is_some_and(|outcome| outcome.recovered_seconds.is_some());
        let well = helped && begun.is_some();
        let known = plan.pattern.as_ref().filter(|seen| seen.known);
        Self {
            ended: if well { Ended::Well } else { Ended::Otherwise },
            plan: Some(plan.clone()),
            looks_like: known.map_or_else(|| "new".to_owned(), |seen| seen.pattern.clone()),
            action: plan.chosen().map_or_else(|| "–".to_owned(), |chosen| chosen.action.clone()),
            by: plan.decision.as_ref().map_or_else(|| "–".to_owned(), |decision| decision.by.clone()),
            begun_after: begun.map(|begun| begun.since(plan.onset)),
            well_after: well.then(|| incident.last_seen.since(plan.onset)),
        }
    }
}
