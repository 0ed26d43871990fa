//! What was done, what would have been done, and whether that helped.

use std::collections::BTreeMap;

use larnax_core::{Effect, Plan, Proposal};
use larnax_decide::GIVEN_UP;
use serde::Serialize;

use crate::output::columns;
use crate::status::duration;

/// Of one action.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) action: String,
    /// How often it was done.
    pub(super) done: usize,
    /// After which all was well.
    pub(super) helped: usize,
    /// After which something was worse.
    pub(super) worse: usize,
    /// How long that took on average, in seconds.
    pub(super) recovered_after_seconds: Option<f64>,
    /// How often it would have been done, were it allowed or approved.
    pub(super) would_have: usize,
    /// Of those, how often all was well by itself within the time that is known of,
    pub(super) over_by_itself: usize,
    /// and how long that took on average, in seconds.
    pub(super) by_itself_after_seconds: Option<f64>,
    /// How often it would have been sooner, by what came of it where it was done.
    pub(super) would_have_helped: usize,
}

/// Of plans that have ended, by action.
pub(super) fn of(plans: &[Plan]) -> Vec<Row> {
    let mut rows: BTreeMap<&str, (Row, Vec<f64>, Vec<f64>)> = BTreeMap::new();
    // How it would have gone on is not known of what a person has rejected.
    let rejected = |plan: &Plan| plan.decision.as_ref().is_some_and(|decision| !decision.approved);
    for plan in plans.iter().filter(|plan| plan.ended.is_some() && !rejected(plan)) {
        let Some(chosen) = plan.chosen() else { continue };
        let (row, with, without) = rows.entry(&chosen.action).or_default();
        let outcome = plan.outcome.as_ref();
        let recovered = outcome.and_then(|outcome| outcome.recovered_seconds);
        let changed = |step: &larnax_core::Step| step.effect != Some(Effect::NotDone);
        if plan.done.as_ref().is_some_and(changed) {
            row.done += 1;
            row.helped += usize::from(recovered.is_some());
            row.worse += usize::from(outcome.is_some_and(|outcome| outcome.worse));
            with.extend(recovered);
        } else if plan.done.is_none() {
            row.would_have += 1;
            row.over_by_itself += usize::from(recovered.is_some());
            without.extend(recovered);
            let sooner = expected(chosen).is_some_and(|with| recovered.is_none_or(|without| with < without));
            row.would_have_helped += usize::from(sooner);
        }
    }
    let mean = |all: &[f64]| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    let row = |(action, (row, with, without)): (&str, (Row, Vec<f64>, Vec<f64>))| Row {
        action: action.to_owned(),
        recovered_after_seconds: mean(&with),
        by_itself_after_seconds: mean(&without),
        ..row
    };
    rows.into_iter().map(row).collect()
}

/// After how many seconds all would be well, by what came of the action before; none where nothing was seen of it, or it did not help.
fn expected(proposal: &Proposal) -> Option<f64> {
    let seconds = (1.0 - proposal.expected) * GIVEN_UP.as_secs_f64() - proposal.cost_seconds;
    (proposal.outcomes > 0 && proposal.expected > 0.0).then_some(seconds.max(0.0))
}

pub(super) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No plan has ended so far.\n".to_owned();
    }
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), duration);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.action.clone(),
                row.done.to_string(),
                row.helped.to_string(),
                row.worse.to_string(),
                time(row.recovered_after_seconds),
                row.would_have.to_string(),
                row.over_by_itself.to_string(),
                time(row.by_itself_after_seconds),
                row.would_have_helped.to_string(),
            ]
        })
        .collect();
    columns(
        &[
            "ACTION",
            "DONE",
            "HELPED",
            "WORSE",
            "WELL AFTER",
            "WOULD HAVE",
            "OVER BY ITSELF",
            "AFTER",
            "WOULD HAVE HELPED",
        ],
        &cells,
    )
}
