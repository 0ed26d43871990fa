//! How good a detector is: figures from scores and labels.
//!
//! Pure: no I/O, no clock. A score is one number per row, larger is more anomalous; a label is a stretch of rows that
//! people call anomalous. No figure here is point-adjusted: that gives random scores good marks (Kim et al., AAAI 2022).
//!
//! | file | what is in it |
//! |---|---|
//! | [`series`] | scores and labelled events, checked against each other |
//! | [`precision`] | AUC-PR: average precision over all thresholds, row by row |
//! | [`volume`] | VUS-PR: the same with soft edges of many widths around the events |
//! | [`alarms`] | events caught, false alarms a day and delay: at a threshold chosen afterwards (EV1), and as shipped |
//! | [`nab`] | the score of the Numenta Anomaly Benchmark |
//! | [`attribution`] | whether the metrics named are the ones that people named |

pub mod alarms;
pub mod attribution;
pub mod nab;
pub mod precision;
pub mod series;
pub mod volume;

pub use alarms::{Alert, AtBudget, Deployed, at_budget, of_alerts, of_state};
pub use attribution::{Hits, hits, rank};
pub use precision::auc_pr;
pub use series::{EvaluateError, Events, Series};
pub use volume::{vus_pr, window_length};

/// The middle of the values, or the mean of the middle two; none of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied()?;
    match sorted.len() % 2 {
        0 => sorted.get(sorted.len() / 2 - 1).map(|lower| (lower + upper) / 2.0),
        _ => Some(upper),
    }
}
