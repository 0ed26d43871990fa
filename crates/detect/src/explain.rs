//! Why a component did or didn't alert: what `larnax explain` and the page show.

use larnax_core::{Anomaly, Score, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::budget::{AlertBudget, BudgetStatus};
use crate::watch::{Watch, WatchState};

/// Metrics that are listed.
const LISTED: usize = 10;

/// Everything that the next alert depends on, at the last row.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The component.
    pub component: String,
    /// How it is doing.
    pub state: WatchState,
    /// One sentence.
    pub summary: String,
    /// The last row.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub time: Option<Timestamp>,
    /// Its score; above 1 is anomalous.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub score: Score,
    /// How much the score can be relied on.
    pub status: Status,
    /// The metric that sets the score, or none where it is all of them together.
    pub set_by: Option<String>,
    /// The error of all metrics together, and the error above which that is anomalous.
    pub joint_error: f64,
    /// See `joint_error`; none while it is not known.
    pub joint_threshold: Option<f64>,
    /// The largest deviation of one metric, in half-widths of its band.
    pub largest_deviation: f64,
    /// Anomalous samples in the window in which an anomaly opens.
    pub flagged: u32,
    /// Samples of that window; 60 % of them must be anomalous.
    pub window: u32,
    /// The metrics that deviate most.
    pub metrics: Vec<MetricExplanation>,
    /// Anomalies that have not ended.
    pub open: Vec<Anomaly>,
    /// The last one that ended.
    pub last: Option<Anomaly>,
    /// Alerts given and allowed.
    pub budget: BudgetStatus,
    /// Samples refused: out of order, or of the wrong width.
    pub refused: u64,
}

/// One metric at the last row.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricExplanation {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// What was expected.
    pub expected: f64,
    /// Lower edge of the band.
    pub lower: f64,
    /// Upper edge of the band.
    pub upper: f64,
    /// Signed, in half-widths of the band.
    pub deviation: f64,
}

impl Watch {
    /// Why it did or didn't alert, under the budget that its group shares.
    pub fn explain(&self, budget: &AlertBudget) -> Explanation {
        let (verdict, basis, schema) = (self.verdict(), self.basis(), self.schema());
        let now = self.last_seen().unwrap_or_default();
        let name = |i: usize| schema.metrics().get(i).map(|m| m.name.to_string());
        let by_joint = basis.joint / basis.joint_limit >= basis.single;
        let set_by = if by_joint { None } else { basis.metric.and_then(name) };
        let (flagged, window) = self.flagged_window();
        let budget = budget.status(now);
        let metrics = verdict.top(LISTED).into_iter().filter_map(|(i, deviation)| {
            let m = verdict.metrics.get(i)?;
            Some(MetricExplanation {
                name: name(i)?,
                value: *self.values().get(i)?,
                expected: m.expected,
                lower: m.lower,
                upper: m.upper,
                deviation,
            })
        });
        Explanation {
            component: self.component().id.to_string(),
            state: self.state(),
            summary: self.summary(set_by.as_deref(), &budget),
            time: self.last_seen(),
            score: verdict.score,
            status: verdict.status,
            set_by,
            joint_error: basis.joint,
            joint_threshold: Some(basis.joint_limit).filter(|limit| limit.is_finite()),
            largest_deviation: basis.single,
            flagged,
            window,
            metrics: metrics.collect(),
            open: self.open_anomalies().cloned().collect(),
            last: self.last_ended().cloned(),
            budget,
            refused: self.refused(),
        }
    }

    fn summary(&self, set_by: Option<&str>, budget: &BudgetStatus) -> String {
        if let Some(anomaly) = self.open_anomalies().next() {
            let alert = if anomaly.alerted {
                "it was alerted".to_owned()
            } else {
                format!(
                    "it was not alerted: its peak of {:.2} is not above the bar of {:.2} ({} alerts in the period, {} allowed)",
                    anomaly.peak.get(),
                    budget.bar,
                    budget.given,
                    budget.allowed
                )
            };
            return format!("an anomaly is open since {}; {alert}", anomaly.onset);
        }
        let score = self.verdict().score;
        let what = set_by.unwrap_or("all metrics together");
        match self.state() {
            WatchState::WarmingUp { remaining } => {
                format!(
                    "still learning what is normal, for about {remaining:.0} s more; nothing is alerted before"
                )
            }
            WatchState::Absent => "nothing comes from it; that was taken as normal".to_owned(),
            WatchState::Unknown => "fewer than half of its metrics have a value: no judgement".to_owned(),
            WatchState::Normal | WatchState::Anomalous if score.is_anomalous() => {
                let (flagged, window) = self.flagged_window();
                format!(
                    "the last sample is anomalous (score {:.2}, {what}), but only {flagged} of the last {window}: an anomaly \
                     opens at 60 %",
                    score.get()
                )
            }
            WatchState::Normal | WatchState::Anomalous => {
                format!("normal: the score is {:.2} ({what}), an anomaly needs more than 1", score.get())
            }
        }
    }
}
