//! Plans in words.

use larnax_core::{Effect, Outcome, Plan, PlanState, Proposal, Step};

use crate::output::columns;
use crate::status::duration;

pub(super) fn list(plans: &[Plan]) -> String {
    if plans.is_empty() {
        return "No plan.\n".to_owned();
    }
    let row = |plan: &Plan| {
        vec![
            plan.id.to_string(),
            plan.made.to_string(),
            plan.component.to_string(),
            pattern(plan),
            action(plan),
            state(plan).to_owned(),
            outcome(plan),
        ]
    };
    let rows: Vec<Vec<String>> = plans.iter().map(row).collect();
    columns(&["PLAN", "MADE", "ON", "LOOKS LIKE", "ACTION", "STATE", "OUTCOME"], &rows)
}

/// What is chosen, or best.
pub(super) fn action(plan: &Plan) -> String {
    plan.chosen().map_or_else(|| "–".to_owned(), |chosen| chosen.action.clone())
}

/// How far it has come, in a word or two.
pub(crate) fn state(plan: &Plan) -> &'static str {
    let effect = plan.done.as_ref().and_then(|step| step.effect);
    match (plan.state, &plan.decision, effect) {
        (PlanState::Shadow, ..) => "would do",
        (PlanState::Proposed, ..) => "asks",
        (PlanState::Acting, ..) => "doing",
        (PlanState::Verifying, ..) => "verifying",
        (PlanState::Undoing, ..) => "taking back",
        (PlanState::Ended, Some(decision), _) if !decision.approved => "rejected",
        (PlanState::Ended, _, Some(Effect::NotDone)) => "not done",
        (PlanState::Ended, ..) if plan.undone.is_some() => "taken back",
        (PlanState::Ended, _, Some(_)) => "done",
        (PlanState::Ended, _, None) => "nothing done",
    }
}

fn pattern(plan: &Plan) -> String {
    match &plan.pattern {
        Some(seen) if seen.known => seen.pattern.clone(),
        // Which pattern begins with it is known when it has ended.
        Some(seen) if plan.ended.is_some() => format!("{} (new)", seen.pattern),
        _ => "new".to_owned(),
    }
}

/// What came of it, in a few words.
pub(crate) fn outcome(plan: &Plan) -> String {
    match &plan.outcome {
        None => "…".to_owned(),
        Some(Outcome { worse: true, .. }) => "worse".to_owned(),
        Some(Outcome { recovered_seconds: Some(seconds), .. }) => {
            format!("well after {}", duration(*seconds))
        }
        Some(_) => "no better".to_owned(),
    }
}

pub(super) fn show(plan: &Plan) -> String {
    let mut text = format!(
        "Plan {} for incident {}, attempt {}: {}.\nOn {}, {:.0} % sure; it looks like: {}. Mode: {}.\n",
        plan.id,
        plan.incident,
        plan.attempt,
        state(plan),
        plan.component,
        100.0 * plan.confidence,
        pattern(plan),
        plan.mode.as_str(),
    );
    for reason in &plan.reasons {
        text += &format!("Not done because {reason}.\n");
    }
    let since = |at: larnax_core::Timestamp| format!("+{:.0} s", at.since(plan.onset));
    let mut steps = vec![vec!["+0 s".to_owned(), "the first anomalous sample".to_owned()]];
    steps.push(vec![since(plan.made), "planned".to_owned()]);
    if let Some(decision) = &plan.decision {
        let what = if decision.approved { "decided for" } else { "decided against" };
        steps.push(vec![since(decision.at), format!("{what} `{}` by {}", decision.action, decision.by)]);
    }
    for (step, name) in [(&plan.done, "action"), (&plan.undone, "undo")] {
        let Some(Step { began, ended, effect, message, by, ordered, .. }) = step else { continue };
        if name == "undo" {
            steps.push(vec![since(*ordered), format!("undo ordered by {by}")]);
        }
        steps.extend(began.map(|at| vec![since(at), format!("{name} begun")]));
        let word = match effect {
            Some(Effect::Done) => "done",
            Some(Effect::NotDone) => "not done",
            Some(Effect::Unsure) => "nobody knows whether it was done",
            None => continue,
        };
        steps.extend(ended.map(|at| vec![since(at), format!("{name}: {word}: {message}")]));
    }
    if let (Some(outcome), Some(ended)) = (&plan.outcome, plan.ended) {
        steps.push(vec![since(ended), outcome.notes.join("; ")]);
    }
    text += &format!("\n{}\n", columns(&["SINCE ONSET", "WHAT HAPPENED"], &steps));
    for (place, proposal) in plan.proposals.iter().enumerate() {
        text += &described(place + 1, proposal);
    }
    text
}

fn described(place: usize, proposal: &Proposal) -> String {
    let mut text = format!(
        "{place}. {} ({}, by {}){}: {}\n",
        proposal.action,
        proposal.risk.as_str(),
        proposal.agent,
        if proposal.can_undo { ", can be taken back" } else { "" },
        proposal.summary
    );
    for why in &proposal.why {
        text += &format!("   {why}\n");
    }
    text
}
