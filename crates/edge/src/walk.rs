//! The way of samples through pipeline and watch: the same beside a live source and over a file.

use larnax_core::{Batch, Row};
use larnax_detect::{AlertBudget, Change, Watch};
use larnax_pipeline::{Pipeline, Step};

/// Leads samples of one input through. `judged` is told each row after the watch has seen it; what happened to anomalies is
/// appended to `changes`.
///
/// Hot: nothing is allocated once the schema is known.
pub fn walk(
    pipeline: &mut Pipeline,
    (input, batch): (usize, &Batch),
    watch: &mut Watch,
    budget: &mut AlertBudget,
    changes: &mut Vec<Change>,
    mut judged: impl FnMut(&Watch, Row<'_>),
) {
    pipeline.push(input, batch, &mut |step| match step {
        Step::Schema(schema) => watch.resize(schema),
        Step::Gap { after, until } => watch.gap(after, until),
        Step::Row(row) => {
            watch.observe(row, budget, changes);
            judged(watch, row);
        }
    });
}
