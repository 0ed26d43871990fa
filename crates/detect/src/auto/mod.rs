//! The detector that needs no choice: what all metrics do together, and a band per metric.
//!
//! A row is judged twice. *Together* (`multivariate`): has something happened to many metrics now, and do they still go
//! together as they used to? *Each* (`singles`): is a metric where it should be? Twenty metrics that move a little at once
//! are an anomaly that no single one shows; one metric far outside vanishes in a mean over five hundred. The score is the
//! larger of the joint error over its limit and the largest single deviation over its own, and a little more where both are
//! large.
//!
//! | file | what is in it |
//! |---|---|
//! | `multivariate` | edges and peers, held; the joint error |
//! | `motion` | how one metric moves |
//! | `peers` | what each metric should be, given the others |
//! | `calibration` | how large the joint error has to be |
//! | `singles` | a band per metric |
//! | `rhythm` | what the hour of the day and of the week does to each metric, subtracted before bands judge |
//! | `returning` | what comes back at its hour each day |
//! | `few` | where there are three metrics or fewer: each by itself, more thoroughly |
//! | [`univariate`] | one series: what it is expected to be, how novel it is, when that begins |
//! | [`season`] | hour-of-day and hour-of-week profiles |
//! | [`novelty`] | beyond the range, unlike any recent shape, and how rare a signal is |
//! | [`cost`] | what a sample costs, and what is left out within a budget |
//! | `learnt` | what is kept of a series: saved, checked, merged |
//! | [`alarm`] | from dense surprise to sparse onsets: habituation and rest |
//!
//! **Parameters.** None; warm-up, memory and the wanted tail come from outside. Constants were chosen where all of these
//! gained at once: the development machines of SMD and ASD, the same with half of their metrics, with a third of their rows.
//!
//! **When it fails.** A fault that is adopted and then ends is unusual twice. What a single metric does alone for hours is
//! anomalous for its first minutes and then less and less so; an anomaly that opened meanwhile stays open until it is over.
//!
//! **Cost.** About 80 ns a metric for its band and its edges, 20 ns for its peers; 290 bytes a metric and at most 48 KiB,
//! 410 bytes more for days up to 256 metrics, and 670 more for weeks up to 32.
//! [`cost`] has the model, and what is left out to keep to less.
//!
//! **Source.** Our own; the peer residual is Gaussian conditional regression read off the inverse covariance (Lauritzen,
//! *Graphical Models*, 1996); the always-learning frame is IFTM (Schmidt et al. 2018).

pub mod alarm;
mod calibration;
pub mod cost;
mod few;
mod learnt;
mod motion;
mod multivariate;
pub mod novelty;
mod peers;
mod returning;
mod rhythm;
mod saved;
pub mod season;
mod singles;
pub mod univariate;

use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Row, Schema, Score, Status, Timestamp, Verdict};

use crate::detector::{Basis, DetectError, Detector, DetectorKind, Tuning, status, warm_up_left};
use crate::row_context::MAX_PERIODS;
use cost::CostPlan;
use few::Few;
use multivariate::{JOINT, MIN_WEIGHT, Together, rows_tell};
use singles::{LARGEST, Singles};

/// A row that is so many times beyond the limit by itself opens an anomaly at once,
const ONSET: f64 = 1.5;
/// but not again within this many seconds and samples.
const REST: (f64, f64) = (600.0, 30.0);

/// A band is as wide as so many usual edges, for metrics that stand out among all without leaving their band.
const EDGES: f64 = 8.0;

/// The detector.
#[derive(Debug)]
pub struct Auto {
    warm_up: f64,
    memory: f64,
    /// CPU for a sample.
    budget: Option<Duration>,
    tuning: Tuning,
    schema: Arc<Schema>,
    sized: bool,
    together: Together,
    singles: Singles,
    few: Few,
    /// Rows learnt since the last adoption, by weight, and seconds learnt over.
    seen: f64,
    age: f64,
    last_row: Option<Timestamp>,
    last_onset: Option<Timestamp>,
    // Of the row that was scored last:
    scored: Option<Timestamp>,
    dt: f64,
    basis: Basis,
}

impl Auto {
    /// A detector that knows nothing. Durations in seconds.
    pub fn new(warm_up: f64, memory: f64) -> Self {
        Self {
            warm_up: warm_up.max(0.0),
            memory: memory.max(60.0),
            budget: None,
            tuning: Tuning::default(),
            schema: Arc::default(),
            sized: false,
            together: Together::new(0),
            singles: Singles::new(),
            few: Few::default(),
            seen: 0.0,
            age: 0.0,
            last_row: None,
            last_onset: None,
            scored: None,
            dt: 0.0,
            basis: Basis::default(),
        }
    }

    fn status(&self) -> Status {
        status(self.warm_up_left(), self.seen)
    }

    /// How strongly a row says by itself that something begins; 0 while an earlier beginning is still fresh.
    fn onset(&mut self, now: f64, time: Timestamp) -> f64 {
        let onset = now / (ONSET * self.basis.joint_limit);
        let rest = REST.0.max(REST.1 * self.tuning.period);
        if onset <= 1.0 || self.last_onset.is_some_and(|last| time.since(last) < rest) {
            return 0.0;
        }
        self.last_onset = Some(time);
        onset
    }
}

impl Detector for Auto {
    fn kind(&self) -> DetectorKind {
        DetectorKind::Auto
    }

    fn resize(&mut self, schema: &Arc<Schema>) {
        if self.sized && Arc::ptr_eq(&self.schema, schema) {
            return;
        }
        let old = std::mem::replace(&mut self.schema, Arc::clone(schema));
        self.sized = true;
        let from: Vec<Option<usize>> =
            schema.metrics().iter().map(|metric| old.position(metric.name.as_str())).collect();
        if old.len() != schema.len() || from.iter().enumerate().any(|(i, &at)| at != Some(i)) {
            self.together.rearrange(&from);
            self.singles.rearrange(&from);
            self.few.rearrange(&from);
        }
        self.together.compare(self.cost_plan().is_none_or(|plan| plan.peers));
        self.scored = None;
    }

    fn keep_to(&mut self, budget: Duration) {
        self.budget = Some(budget);
        self.together.compare(self.cost_plan().is_none_or(|plan| plan.peers));
    }

    fn cost_plan(&self) -> Option<CostPlan> {
        self.budget.map(|budget| CostPlan::new(self.schema.len(), budget))
    }

    fn tune(&mut self, tuning: Tuning) {
        if tuning.period > 0.0 && tuning.period.is_finite() && tuning.tail > 0.0 {
            self.tuning = tuning;
        }
    }

    fn score(&mut self, row: Row<'_>, verdict: &mut Verdict) {
        verdict.reset(self.schema.len());
        self.basis = Basis::default();
        self.scored = None;
        if row.values.len() != self.schema.len() {
            verdict.status = Status::Unknown;
            return;
        }
        let period = self.tuning.period;
        let status = self.status();
        let since = self.last_row.map_or(0.0, |last| row.time.since(last)).max(0.0);
        self.dt = since.min(MAX_PERIODS * period);
        let metrics = self.schema.metrics();
        let judged = self.singles.judge(
            metrics,
            row,
            verdict,
            &singles::Context {
                dt: self.dt,
                memory: self.memory,
                warm_up: self.warm_up,
                tuning: self.tuning,
                provisional: status != Status::Ready,
            },
        );
        self.last_row = Some(self.last_row.map_or(row.time, |last| last.max(row.time)));
        if 2 * judged.observed < judged.expected {
            verdict.status = Status::Unknown;
            return;
        }
        let (error, now) = self.together.judge(metrics, row.values, self.dt, period, self.memory);
        self.together.attribute(&mut verdict.metrics, EDGES);
        self.scored = Some(row.time);
        verdict.status = status;
        if let Some(found) = self.few.judge(metrics, row, self.tuning, verdict) {
            // Experienced enough to judge alone.
            self.basis =
                Basis { joint: found.state, joint_limit: 1.0, metric: found.metric, ..Basis::default() };
            verdict.score = Score::new(found.state);
            verdict.onset = Score::new(if status == Status::Ready { found.onset } else { 0.0 });
            return;
        }
        self.basis = Basis {
            joint: error,
            held: if rows_tell(period) { error - now } else { 0.0 },
            joint_limit: self.together.calibration.limit(self.tuning.tail, &JOINT),
            single: judged.single / self.singles.calibration.limit(self.tuning.tail, &LARGEST),
            metric: judged.metric,
        };
        if status != Status::WarmingUp {
            let joint = error / self.basis.joint_limit;
            verdict.score = Score::new(both(joint, self.basis.single));
        }
        if status == Status::Ready {
            verdict.onset = Score::new(self.onset(now, row.time));
        }
    }

    fn learn(&mut self, row: Row<'_>, weight: f64) {
        if self.scored.take() != Some(row.time) || row.values.len() != self.schema.len() {
            return;
        }
        let weight = if weight > 0.0 { weight.min(1.0) } else { 0.0 };
        let ready = self.status() == Status::Ready;
        let normal = if weight > MIN_WEIGHT { weight } else { 0.0 };
        self.singles.learn(row, normal, ready);
        self.together.learn(weight);
        self.few.learn(weight);
        if normal > 0.0 {
            self.seen += weight;
            self.age += self.dt;
        }
    }

    /// Bands learn nothing from an anomaly; levels and correlations very little, so that what lasts is got used to.
    fn least_weight(&self) -> f64 {
        MIN_WEIGHT
    }

    fn settle(&mut self, was_anomaly: bool) {
        self.singles.settle(was_anomaly, self.tuning.tail);
        self.together.calibration.settle(was_anomaly, self.tuning.tail, &JOINT);
        if was_anomaly && rows_tell(self.tuning.period) {
            self.together.let_go();
        }
    }

    fn gap(&mut self, _after: Timestamp, _until: Timestamp) {
        self.singles.gap();
        self.few.gap();
        self.together.gap();
        self.scored = None;
    }

    fn adopt(&mut self) {
        self.singles.adopt();
        self.few.adopt();
        self.together.adopt();
        (self.seen, self.age) = (0.0, 0.0);
    }

    fn warm_up_left(&self) -> f64 {
        warm_up_left(self.seen, self.age, self.warm_up, self.tuning.period)
    }

    fn basis(&self) -> Basis {
        self.basis
    }

    fn save(&self) -> Vec<u8> {
        self.encode()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        let mut restored = self.decode(bytes)?;
        if self.sized {
            restored.resize(&self.schema);
        }
        *self = restored;
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        self.take_in(bytes)
    }

    fn state_bytes(&self) -> usize {
        size_of::<Self>() + self.singles.bytes() + self.few.bytes() + self.together.bytes()
    }
}

/// The larger of two scores, and a little more where both are large: the 4-norm.
fn both(a: f64, b: f64) -> f64 {
    let (large, small) = (a.max(b), a.min(b));
    if large > 0.0 { large * (1.0 + (small / large).powi(4)).sqrt().sqrt() } else { 0.0 }
}
