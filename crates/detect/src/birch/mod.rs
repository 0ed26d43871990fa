//! BIRCH as identity function with a moving threshold (IFTM), and bands per series.
//!
//! A row goes through three steps. Each series is judged by its own band ([`crate::bands`]). The residuals, in units
//! of each band and bounded, form a vector; the nearest of at most 64 clusters ([`flat`]) is its reconstruction, and the
//! error is e = √(mean of (u−m)²/(variance + σ₀²)) (specification 3.4c), judged by a moving threshold
//! ([`crate::threshold`]). The score is the larger of e over its threshold and the largest single deviation.
//!
//! *Why clusters of residuals and not of values:* memory and caches wander, so that clusters of values are left behind
//! within minutes and everything is anomalous ever after; what is left after each series' own predictors is at home
//! around 0, and the clusters hold what happens together: a backup, a scrape, a burst of work.
//!
//! *Why both views:* twenty series at half their limits are an anomaly that no single one shows; one series far outside
//! vanishes in a mean over five hundred.
//!
//! **When it fails.** Faults that build up over more than minutes in series that wander; seasons (the level follows a
//! day's rhythm only within its memory); what [`crate::bands`] says of constant series.
//!
//! **Parameters.** Warm-up and memory in seconds; the rest follows from [`Tuning`]: with z the normal quantile of the
//! tail, k₀ = 1.4 · z(tail / number of series that move); 1.4 because tails are heavier than normal.
//!
//! **Cost.** D bands and a scan of M·D multiplications; memory 128·D + at most 96 KiB (more above 3,000 series).
//!
//! **Source.** Zhang, Ramakrishnan, Livny 1996 (BIRCH); Lang and Schubert 2020 (BETULA); Schmidt et al. 2018 (IFTM).

pub mod features;
pub mod flat;
mod saved;

use std::sync::Arc;

use larnax_core::{Bounds, MetricVerdict, Row, Schema, Score, Status, Timestamp, Verdict};

use crate::bands::{Band, Caution, Judged, MIN_SHOWN};
use crate::detector::{Basis, DetectError, Detector, DetectorKind, Tuning, status, warm_up_left};
use crate::normalise::gain;
use crate::row_context::{GIVEN_UP, MAX_PERIODS, RowContext, RowFacts, Width, is_value};
use crate::threshold::{Threshold, ThresholdKind};
use flat::Clusters;

/// Variance added to each dimension of a cluster, so that what hardly moves does not rule. The specification's 0.1² is for
/// plain z-scores; these residuals are bounded by records and have variances up to 1.
const SIGMA0_SQUARED: f32 = 0.25;
/// A cluster of less mass uses the variance of all.
const MIN_OWN_MASS: f64 = 5.0;

/// The detector.
#[derive(Debug)]
pub struct Birch {
    warm_up: f64,
    memory: f64,
    tuning: Tuning,
    schema: Option<Arc<Schema>>,
    bands: Vec<Band>,
    bounds: Vec<Bounds>,
    clusters: Clusters<f32>,
    /// Variance of the residuals around their nearest cluster, per series.
    pooled: Vec<f32>,
    threshold: Threshold,
    /// Rows learnt, by weight, and seconds learnt over.
    seen: f64,
    age: f64,
    moving: f64,
    last_row: Option<Timestamp>,
    last_learnt: Option<Timestamp>,
    // Of the row that was scored last:
    scored: Option<Timestamp>,
    context: RowContext,
    judged: Vec<Judged>,
    joint: Vec<f32>,
    basis: Basis,
    width: Width,
}

impl Birch {
    /// A detector that knows nothing. Durations in seconds.
    pub fn new(warm_up: f64, memory: f64) -> Self {
        Self {
            warm_up: warm_up.max(0.0),
            memory: memory.max(60.0),
            tuning: Tuning::default(),
            schema: None,
            bands: Vec::new(),
            bounds: Vec::new(),
            clusters: Clusters::new(0),
            pooled: Vec::new(),
            threshold: Threshold::default(),
            seen: 0.0,
            age: 0.0,
            moving: 1.0,
            last_row: None,
            last_learnt: None,
            scored: None,
            context: RowContext::default(),
            judged: Vec::new(),
            joint: Vec::new(),
            basis: Basis::default(),
            width: Width::new(),
        }
    }

    fn row_context(&mut self, time: Timestamp) -> RowContext {
        let period = self.tuning.period;
        let since = |time: Timestamp, last: Option<Timestamp>, otherwise: f64| {
            last.map_or(otherwise, |last| time.since(last))
        };
        RowContext::of(RowFacts {
            period,
            dt: since(time, self.last_row, 0.0).clamp(0.0, MAX_PERIODS * period),
            since_learnt: since(time, self.last_learnt, period),
            memory: self.memory,
            warm_up: self.warm_up,
            k0: self.width.at(self.tuning.tail, self.moving),
            moving: self.moving,
        })
    }

    fn status(&self) -> Status {
        status(self.warm_up_left(), self.seen)
    }

    /// The error of all series together; `self.joint` holds the residuals, NaN where there is none.
    fn joint_error(&self) -> f64 {
        let Some((nearest, _)) = self.nearest() else { return 0.0 };
        let (mass, mean, var) = self.clusters.entry(nearest);
        let var = if mass < MIN_OWN_MASS { &self.pooled[..] } else { var };
        let (mut sum, mut observed) = (0.0, 0.0);
        for ((&u, &m), &v) in self.joint.iter().zip(mean).zip(var) {
            if u.is_finite() {
                sum += (u - m) * (u - m) / (v + SIGMA0_SQUARED);
                observed += 1.0;
            }
        }
        if observed > 0.0 { f64::from(sum / observed).sqrt() } else { 0.0 }
    }

    /// The nearest cluster, a missing residual counting as 0, which is what is expected of it.
    fn nearest(&self) -> Option<(usize, f64)> {
        self.clusters.nearest(&self.joint).filter(|(_, d)| d.is_finite()).or_else(|| {
            // Rows with missing values are rare: the scan above is the plain one, and this one skips what is missing.
            (0..self.clusters.len())
                .map(|i| {
                    let squares = self.joint.iter().zip(self.clusters.entry(i).1);
                    (
                        i,
                        squares
                            .filter(|(u, _)| u.is_finite())
                            .map(|(u, m)| f64::from((u - m) * (u - m)))
                            .sum(),
                    )
                })
                .min_by(|a: &(usize, f64), b| a.1.total_cmp(&b.1))
        })
    }

    fn learn_joint(&mut self, weight: f64) {
        if let Some((nearest, _)) = self.nearest() {
            let mean = self.clusters.entry(nearest).1;
            let pooled_gain = (weight * gain(self.seen, self.context.dt, self.memory.min(3_600.0))) as f32;
            for ((u, &m), v) in self.joint.iter_mut().zip(mean).zip(&mut self.pooled) {
                if u.is_finite() {
                    *v += pooled_gain * ((*u - m) * (*u - m) - *v);
                } else {
                    *u = m;
                }
            }
        } else {
            for u in self.joint.iter_mut().filter(|u| !u.is_finite()) {
                *u = 0.0;
            }
        }
        self.clusters.age(self.context.dt);
        self.clusters.insert(&self.joint, weight);
    }
}

impl Detector for Birch {
    fn kind(&self) -> DetectorKind {
        DetectorKind::Birch
    }

    fn resize(&mut self, schema: &Arc<Schema>) {
        if self.schema.as_ref().is_some_and(|old| Arc::ptr_eq(old, schema)) {
            return;
        }
        let old = self.schema.replace(Arc::clone(schema));
        let from: Vec<Option<usize>> = schema
            .metrics()
            .iter()
            .map(|metric| old.as_ref().and_then(|old| old.position(metric.name.as_str())))
            .collect();
        if old.as_ref().is_none_or(|old| old.len() != schema.len())
            || from.iter().enumerate().any(|(i, &at)| at != Some(i))
        {
            self.rearrange(&from);
        }
        self.bounds.clear();
        self.bounds.extend(schema.metrics().iter().map(|metric| metric.bounds));
        self.scored = None;
        self.judged.clear();
        self.judged.resize(schema.len(), Judged::default());
        self.joint.clear();
        self.joint.resize(schema.len(), 0.0);
    }

    fn tune(&mut self, tuning: Tuning) {
        if tuning.period > 0.0 && tuning.period.is_finite() && tuning.tail > 0.0 {
            self.tuning = tuning;
        }
    }

    fn use_threshold(&mut self, kind: ThresholdKind) {
        self.threshold.become_kind(kind);
    }

    fn score(&mut self, row: Row<'_>, verdict: &mut Verdict) {
        verdict.reset(self.bands.len());
        self.basis = Basis::default();
        self.scored = None;
        if row.values.len() != self.bands.len() {
            verdict.status = Status::Unknown;
            return;
        }
        let context = self.row_context(row.time);
        let status = self.status();
        let mut caution = Caution::at(0.0, &context);
        let (mut expected, mut observed) = (0u32, 0u32);
        let slots = self.judged.iter_mut().zip(&mut self.joint).zip(&mut verdict.metrics);
        let series = self.bands.iter_mut().zip(&self.bounds).zip(row.values);
        for (i, (((band, bounds), &x), ((judged, joint), out))) in series.zip(slots).enumerate() {
            *joint = f32::NAN;
            let known = band.seen > 0.0 && band.missing < GIVEN_UP;
            expected += u32::from(known);
            if !is_value(x) {
                *judged = Judged::default();
                band.missing += context.dt;
                if band.shown() {
                    let center = if band.wanders() { band.local } else { band.mean };
                    *out = MetricVerdict {
                        expected: center,
                        lower: f64::NAN,
                        upper: f64::NAN,
                        deviation: f64::NAN,
                    };
                }
                continue;
            }
            observed += u32::from(known);
            if !band.shown() {
                *judged = Judged::default();
                continue;
            }
            *judged = band.judge(x, bounds, &context, &mut caution);
            *out = MetricVerdict {
                expected: judged.expected,
                lower: judged.expected - judged.half_width,
                upper: judged.expected + judged.half_width,
                deviation: judged.deviation,
            };
            if band.ready(self.warm_up) || status != Status::Ready {
                *joint = judged.joint as f32;
                if judged.deviation.abs() > self.basis.single {
                    self.basis.single = judged.deviation.abs();
                    self.basis.metric = Some(i);
                }
            }
        }
        self.context = context;
        self.last_row = Some(self.last_row.map_or(row.time, |last| last.max(row.time)));
        if 2 * observed < expected {
            verdict.status = Status::Unknown;
            return;
        }
        self.scored = Some(row.time);
        verdict.status = status;
        self.basis.joint = self.joint_error();
        self.basis.joint_limit = self.threshold.limit(self.tuning.tail);
        if status != Status::WarmingUp {
            let joint = self.basis.joint / self.basis.joint_limit;
            verdict.score = Score::new(joint.max(self.basis.single));
        }
    }

    fn learn(&mut self, row: Row<'_>, weight: f64) {
        if self.scored.take() != Some(row.time) || row.values.len() != self.bands.len() {
            return;
        }
        let context = self.context;
        let values = row.values.iter().copied().map(|x| is_value(x).then_some(x));
        if weight.is_nan() || weight <= 0.0 {
            for ((band, x), judged) in self.bands.iter_mut().zip(values).zip(&self.judged) {
                if x.is_some() {
                    band.suspect(judged);
                }
            }
            self.threshold.suspect(self.basis.joint);
            return;
        }
        let weight = weight.min(1.0);
        let mut moving = 0u32;
        for ((band, x), judged) in self.bands.iter_mut().zip(values).zip(&self.judged) {
            if let Some(x) = x {
                band.learn(x, judged, weight, &context);
            }
            moving += u32::from(band.moves());
        }
        self.moving = f64::from(moving.max(1));
        self.seen += weight;
        self.age += context.dt;
        if self.seen > MIN_SHOWN {
            if self.basis.joint > 0.0 || !self.clusters.is_empty() {
                self.threshold.learn(self.basis.joint, weight, context.dt, context.fade);
            }
            self.learn_joint(weight);
        }
        self.last_learnt = Some(row.time);
    }

    fn settle(&mut self, was_anomaly: bool) {
        for (band, judged) in self.bands.iter_mut().zip(&self.judged) {
            band.settle(was_anomaly);
            if was_anomaly && judged.deviation.abs() > 1.0 {
                band.reseat(judged.value, judged.value);
            }
        }
        self.threshold.settle(was_anomaly);
    }

    fn gap(&mut self, _after: Timestamp, _until: Timestamp) {
        self.bands.iter_mut().for_each(Band::gap);
        self.scored = None;
    }

    fn adopt(&mut self) {
        for band in &mut self.bands {
            band.adopt();
        }
        self.threshold.adopt();
        self.clusters = Clusters::new(self.bands.len());
        (self.seen, self.age, self.last_learnt) = (0.0, 0.0, None);
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
        let (mut restored, saved_schema) = self.decode(bytes)?;
        let current = self.schema.take();
        restored.schema = Some(saved_schema);
        *self = restored;
        if let Some(current) = current {
            self.resize(&current);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        self.take_in(bytes)
    }

    fn state_bytes(&self) -> usize {
        size_of::<Self>()
            + self.bands.capacity() * size_of::<Band>()
            + self.judged.capacity() * size_of::<Judged>()
            + (self.joint.capacity() + self.pooled.capacity()) * size_of::<f32>()
            + self.clusters.bytes()
            + self.threshold.bytes()
    }
}

impl Birch {
    /// Moves what was learnt to a new order of series: `from[i]` is where series i stood.
    fn rearrange(&mut self, from: &[Option<usize>]) {
        self.bands =
            from.iter().map(|at| at.and_then(|at| self.bands.get(at)).cloned().unwrap_or_default()).collect();
        self.pooled = project(from, &self.pooled, 1.0);
        let old = std::mem::replace(&mut self.clusters, Clusters::new(from.len()));
        for i in 0..old.len() {
            let (mass, mean, var) = old.entry(i);
            self.clusters.insert_entry(mass, &project(from, mean, 0.0), &project(from, var, 0.0));
        }
    }
}

/// Values in a new order; `new` for what is new.
fn project(from: &[Option<usize>], values: &[f32], new: f32) -> Vec<f32> {
    from.iter().map(|at| at.and_then(|at| values.get(at)).copied().unwrap_or(new)).collect()
}
