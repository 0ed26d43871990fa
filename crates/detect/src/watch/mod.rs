//! Everything about one component: detector, tracker, presence and budget, in the order in which a row meets them.
//!
//! The same code runs beside a live source and over a file. A row is scored with what was learnt before it; the tracker
//! decides whether an anomaly opens, goes on or ends, and with it whether the row may be learnt.

mod anomalies;
mod settings;

use std::sync::Arc;

use larnax_core::{
    Anomaly, CloseReason, Component, Row, Schema, Score, Status, Timestamp, Transition, Verdict,
};
use serde::{Deserialize, Serialize};

use self::anomalies::{NAMED, close};
pub use self::settings::Settings;
use crate::attribution::Attribution;
use crate::auto::cost::CostPlan;
use crate::budget::AlertBudget;
use crate::detector::{Detector, Tuning};
use crate::presence::{self, Presence};
use crate::tracker::{Step, Times, Tracker};

/// Gaps from which the sampling period is found (specification 0.4).
const GAPS: usize = 20;
/// Shortest and longest sampling period in seconds that is worked with.
const PERIODS: (f64, f64) = (0.001, 86_400.0);

/// What happened to an anomaly. `anomaly.alerted` says whether it is worth an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What happened.
    pub transition: Transition,
    /// The anomaly as it stands.
    pub anomaly: Anomaly,
}

/// How a component is doing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WatchState {
    /// Too little is known.
    WarmingUp {
        /// Seconds until enough is known, if samples keep coming.
        remaining: f64,
    },
    /// As it was learnt to be.
    Normal,
    /// An anomaly is open.
    Anomalous,
    /// Nothing comes from it.
    Absent,
    /// Too little of it comes to judge.
    Unknown,
}

/// One component under watch.
#[derive(Debug)]
pub struct Watch {
    pub(crate) component: Component,
    pub(crate) settings: Settings,
    pub(crate) detector: Box<dyn Detector>,
    pub(crate) tracker: Tracker,
    pub(crate) presence: Presence,
    schema: Arc<Schema>,
    verdict: Verdict,
    pub(crate) attribution: Attribution,
    /// The values of the row judged last, for explanations.
    values: Vec<f64>,
    /// The open anomaly of each kind.
    pub(crate) deviation: Option<Anomaly>,
    pub(crate) vanished: Option<Anomaly>,
    pub(crate) silence: Option<Anomaly>,
    /// The last deviation that ended; it may go on.
    pub(crate) ended: Option<Anomaly>,
    /// Where the metrics that the open deviation names stand in the schema.
    named: Vec<usize>,
    /// Flagged rows in a row in which none of them was outside its band, but another metric far outside.
    others: u32,
    /// Highest score of the stretch that is being judged.
    stretch_peak: Score,
    /// Peak and time of the last report about the open deviation.
    pub(crate) reported: (f64, Timestamp),
    pub(crate) last: Option<Timestamp>,
    pub(crate) period: f64,
    gaps: [f64; GAPS],
    gap_count: usize,
    /// One of so many rows is judged, and so many were not since the last one.
    every: u32,
    passed: u32,
    /// A silent component was taken as gone: no more is said until it returns.
    gone: bool,
    /// Just restored: silence counts from the first look, not from before the restart.
    pub(crate) resumed: bool,
    refused: u64,
}

impl Watch {
    /// Begins to watch a component of which nothing is known.
    pub fn new(component: Component, settings: Settings) -> Self {
        let mut detector =
            settings.detector.build(settings.warm_up.as_secs_f64(), settings.memory.as_secs_f64());
        detector.use_threshold(settings.threshold);
        if let Some(budget) = settings.cpu_budget {
            detector.keep_to(budget);
        }
        let period = settings.interval.map_or(1.0, |i| i.as_secs_f64()).clamp(PERIODS.0, PERIODS.1);
        Self {
            component,
            settings,
            detector,
            tracker: Tracker::default(),
            presence: Presence::default(),
            schema: Arc::default(),
            verdict: Verdict::default(),
            attribution: Attribution::default(),
            values: Vec::new(),
            deviation: None,
            vanished: None,
            silence: None,
            ended: None,
            named: Vec::with_capacity(NAMED),
            others: 0,
            stretch_peak: Score::default(),
            reported: (0.0, Timestamp::default()),
            last: None,
            period,
            gaps: [0.0; GAPS],
            gap_count: 0,
            every: 1,
            passed: 0,
            gone: false,
            resumed: false,
            refused: 0,
        }
    }

    /// Takes a schema: metrics keep what was learnt under their names. Call before the first row and at every change;
    /// the same `Arc` again costs nothing.
    pub fn resize(&mut self, schema: &Arc<Schema>) {
        if Arc::ptr_eq(&self.schema, schema) {
            return;
        }
        let old = std::mem::replace(&mut self.schema, Arc::clone(schema));
        let from: Vec<_> = schema.metrics().iter().map(|metric| old.position(metric.name.as_str())).collect();
        self.attribution.rearrange(&from);
        self.detector.resize(schema);
        self.every = self.cost_plan().map_or(1, |plan| plan.every);
        self.passed = self.every - 1;
        self.presence.resize(schema, self.settings.warm_up.as_secs_f64());
        self.verdict.reset(schema.len());
        self.values.clear();
        self.values.resize(schema.len(), f64::NAN);
        self.find_named();
    }

    /// Scores, tracks and learns a row; what happened to anomalies is appended to `changes`. A row that is not later
    /// than the one before, or has another width than the schema, is refused and counted.
    ///
    /// Hot: no allocation while nothing happens.
    pub fn observe(&mut self, row: Row<'_>, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let before = self.last;
        if row.values.len() != self.schema.len() || before.is_some_and(|last| row.time <= last) {
            self.refused += 1;
            return;
        }
        self.last = Some(row.time);
        self.resumed = false;
        self.gone = false;
        budget.observe(row.time);
        let dt = before.map_or(0.0, |last| row.time.since(last));
        self.learn_period(dt);
        if let Some(anomaly) = self.silence.take() {
            changes.push(close(anomaly, row.time, CloseReason::Recovered));
        }
        self.passed += 1;
        if self.passed >= self.every {
            self.passed = 0;
            self.judge(row, budget, changes);
        }
        let warm_up = self.settings.warm_up.as_secs_f64();
        let steady = dt.min(presence::MIN_SAMPLES * self.period);
        if self.presence.observe(row.values, steady, warm_up) || self.vanished.is_some() {
            self.judge_vanished(row.time, budget, changes);
        }
    }

    /// Scores, tracks and learns.
    fn judge(&mut self, row: Row<'_>, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        self.values.copy_from_slice(row.values);
        let period = self.judged_period();
        self.detector.tune(Tuning { period, tail: budget.tail(period) });
        self.detector.score(row, &mut self.verdict);
        match self.verdict.status {
            Status::Unknown => {}
            Status::Ready => self.track(row, budget, changes),
            Status::WarmingUp | Status::Provisional => {
                self.attribution.observe(row, period, false, &self.verdict);
                if row.learnable {
                    self.detector.learn(row, 1.0);
                }
            }
        }
    }

    /// The sampling itself paused between the two instants (a suspended machine, a stopped agent): that is nobody's
    /// absence, and what was flagged before does not add up with what comes.
    pub fn gap(&mut self, after: Timestamp, until: Timestamp) {
        self.detector.gap(after, until);
        self.tracker.gap();
        self.resumed = true;
    }

    /// What was said about the row that was judged last: see [`Settings::cpu_budget`].
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The metrics of the rows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The values of the row that was judged last.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// When the last row was taken.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.last
    }

    /// Usual seconds between rows.
    pub fn period(&self) -> f64 {
        self.period
    }

    /// Usual seconds between rows that are judged.
    fn judged_period(&self) -> f64 {
        self.period * f64::from(self.every)
    }

    /// How the detector keeps to [`Settings::cpu_budget`]; none without one, or if it can't.
    pub fn cost_plan(&self) -> Option<CostPlan> {
        self.detector.cost_plan()
    }

    /// Rows that could not be used: not later than the one before, or of another width.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes of memory that the model holds.
    pub fn state_bytes(&self) -> usize {
        self.detector.state_bytes()
            + self.attribution.bytes()
            + self.verdict.metrics.capacity() * size_of::<larnax_core::MetricVerdict>()
    }

    /// How it is doing.
    pub fn state(&self) -> WatchState {
        let remaining = self.detector.warm_up_left();
        if self.silence.is_some() || self.gone {
            WatchState::Absent
        } else if self.deviation.is_some() || self.vanished.is_some() {
            WatchState::Anomalous
        } else if remaining > 0.0 {
            WatchState::WarmingUp { remaining }
        } else if self.verdict.status == Status::Unknown {
            WatchState::Unknown
        } else {
            WatchState::Normal
        }
    }

    /// Whether it has not learnt enough yet to judge.
    pub fn is_learning(&self) -> bool {
        self.detector.warm_up_left() > 0.0
    }

    /// How far each metric was from its last hour in the row that was judged last, signed and in deviations of that hour: what the
    /// metrics of an anomaly are ranked by.
    pub fn shifts(&self) -> &[f64] {
        self.attribution.shifts()
    }

    /// Anomalies that have not ended.
    pub fn open_anomalies(&self) -> impl Iterator<Item = &Anomaly> {
        [&self.deviation, &self.vanished, &self.silence].into_iter().flatten()
    }

    /// The last deviation that ended.
    pub fn last_ended(&self) -> Option<&Anomaly> {
        self.ended.as_ref()
    }

    /// Flagged samples in the opening window, and how many samples it has.
    pub fn flagged_window(&self) -> (u32, u32) {
        self.tracker.window(&self.times(), self.judged_period())
    }

    /// What the last score rests on.
    pub fn basis(&self) -> crate::detector::Basis {
        self.detector.basis()
    }

    pub(crate) fn times(&self) -> Times {
        Times {
            open_after: self.settings.open_after.as_secs_f64(),
            close_after: self.settings.close_after.as_secs_f64(),
            rejoin: self.settings.rejoin.as_secs_f64(),
            adopt_after: self.settings.adopt_after.as_secs_f64(),
        }
    }

    /// Median of the last gaps, looked at again each time they have all been replaced.
    fn learn_period(&mut self, dt: f64) {
        if dt <= 0.0 {
            return;
        }
        self.gaps[self.gap_count % GAPS] = dt;
        self.gap_count += 1;
        if self.gap_count <= GAPS || self.gap_count.is_multiple_of(GAPS) {
            let mut sorted = self.gaps;
            let known = &mut sorted[..self.gap_count.min(GAPS)];
            known.sort_unstable_by(f64::total_cmp);
            // The lower of the middle two: a gap among few must not look like the period.
            self.period = known[(known.len() - 1) / 2].clamp(PERIODS.0, PERIODS.1);
        }
    }

    /// Scored and ready: opens, continues or ends the deviation, then learns.
    fn track(&mut self, row: Row<'_>, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let score = self.verdict.score;
        let begins = self.verdict.onset.is_anomalous();
        let flagged = if self.deviation.is_some() { self.holds() } else { score.is_anomalous() || begins };
        let score = if self.verdict.onset > score { self.verdict.onset } else { score };
        let (step, over) = self.tracker.step(row.time, flagged, begins, &self.times(), self.judged_period());
        if let Some(was_anomaly) = over {
            self.detector.settle(was_anomaly);
        }
        if flagged {
            self.stretch_peak = if score > self.stretch_peak { score } else { self.stretch_peak };
        } else if !self.tracker.is_undecided() {
            self.stretch_peak = Score::default();
        }
        let stretch = self.tracker.is_undecided();
        self.attribution.observe(row, self.judged_period(), stretch, &self.verdict);
        match step {
            Step::Same => {
                if flagged && self.deviation.is_some() {
                    self.follow(row.time, budget, changes);
                }
            }
            Step::Open(onset) => self.begin(onset, row.time, budget, changes),
            Step::Reopen => self.reopen(row.time, budget, changes),
            Step::Close => self.finish(row.time, CloseReason::Recovered, budget, changes),
            Step::Adopt => {
                self.finish(row.time, CloseReason::Adopted, budget, changes);
                self.detector.adopt();
                self.attribution.adopt(row.values);
            }
        }
        if row.learnable {
            let weight = self.tracker.weight(flagged).max(self.detector.least_weight());
            self.detector.learn(row, weight);
        }
    }
}
