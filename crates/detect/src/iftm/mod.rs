//! A detector of any identity function: identity function, threshold model (IFTM, Schmidt et al., ICWS 2018).
//!
//! Each metric is normalised by its moving mean and deviation; an [`Identity`] says what the row should be; each error is
//! judged by the record of such errors ([`series`]), and the root mean square of all errors, each in its own deviations, by
//! a moving threshold. The score is the larger of the two, as in [`crate::birch`].
//!
//! *The state outlasts the onset.* A forecaster sees a fault that lasts as its own recent past and finds it normal after a
//! few rows. So while rows are not learnt, it is shown its own forecast in place of each value that is outside its band: it
//! goes on from before the fault. Forecasts of what wanders are worth less the longer that takes, so their bands
//! open, up to the spread of all values.
//!
//! *Breaks.* A forecast that is wrong by a jump to where the metric usually is, as of a ramp that starts over, is one flagged
//! row: the identity function goes on from there, and for as many rows as its forecasts rest on nothing is expected of
//! the metric while it stays in its usual range. What soon breaks again is a fault.
//!
//! *Gaps.* After more than 2.5 periods without a row neighbours are no longer neighbours: the identity function forgets
//! its short memory. Metrics of which it expects nothing are not judged.
//!
//! **When it fails.** Like its identity function; and what [`crate::bands`] says of constant series. That a metric stays at its
//! usual peak is told by how long it is far from its forecast, as in [`crate::bands`]: not where the forecast follows it
//! within a few rows. While nothing is learnt the means that values are normalised by stand still, which a forecast that is
//! used to their drift takes for a change: in the first hours of ramps one flagged row may make many (least so of
//! [`crate::arima::Rls`]).
//!
//! **Parameters.** Warm-up and memory in seconds; k₀ and c follow from [`Tuning`] as in [`crate::birch`].
//!
//! **Cost.** About 55 ns a metric and row beside the identity function; 192 bytes a metric.

mod saved;
pub mod series;

use std::sync::Arc;

use larnax_core::{Bounds, MetricVerdict, Row, Schema, Score, Status, Timestamp, Verdict};

use self::series::{Judged, MOST, Series};
use crate::bands::Caution;
use crate::detector::{Basis, DetectError, Detector, DetectorKind, Tuning, status, warm_up_left};
use crate::identity::Identity;
use crate::row_context::{GIVEN_UP, MAX_PERIODS, RowContext, RowFacts, Width, is_value};
use crate::threshold::{Threshold, ThresholdKind};

/// Periods between rows from which on they are not neighbours (specification 0.4).
const GAP: f64 = 2.5;

/// The detector.
#[derive(Debug)]
pub struct Iftm<I> {
    identity: I,
    warm_up: f64,
    memory: f64,
    tuning: Tuning,
    schema: Option<Arc<Schema>>,
    series: Vec<Series>,
    bounds: Vec<Bounds>,
    threshold: Threshold,
    /// Rows learnt, by weight, and seconds learnt over.
    seen: f64,
    age: f64,
    /// How many metrics move.
    moving: f64,
    last_row: Option<Timestamp>,
    last_learnt: Option<Timestamp>,
    // Of the row that was scored last:
    scored: Option<Timestamp>,
    /// The identity function has not been told that it has gone by.
    untold: bool,
    context: RowContext,
    normal: Vec<f64>,
    expected: Vec<f64>,
    /// None where a value or an expectation is missing.
    judged: Vec<Option<Judged>>,
    basis: Basis,
    width: Width,
}

impl<I: Identity> Iftm<I> {
    /// A detector that knows nothing. Durations in seconds.
    pub fn new(warm_up: f64, memory: f64) -> Self {
        Self {
            identity: I::new(),
            warm_up: warm_up.max(0.0),
            memory: memory.max(60.0),
            tuning: Tuning::default(),
            schema: None,
            series: Vec::new(),
            bounds: Vec::new(),
            threshold: Threshold::default(),
            seen: 0.0,
            age: 0.0,
            moving: 1.0,
            last_row: None,
            last_learnt: None,
            scored: None,
            untold: false,
            context: RowContext::default(),
            normal: Vec::new(),
            expected: Vec::new(),
            judged: Vec::new(),
            basis: Basis::default(),
            width: Width::new(),
        }
    }

    /// What it is made of.
    pub fn identity(&self) -> &I {
        &self.identity
    }

    fn row_context(&mut self, time: Timestamp) -> RowContext {
        let period = self.tuning.period;
        let since = |last: Option<Timestamp>, otherwise: f64| last.map_or(otherwise, |last| time.since(last));
        RowContext::of(RowFacts {
            period,
            dt: since(self.last_row, 0.0).clamp(0.0, MAX_PERIODS * period),
            since_learnt: if I::LOOKS_BACK > 0 { since(self.last_learnt, period) } else { period },
            memory: self.memory,
            warm_up: self.warm_up,
            k0: self.width.at(self.tuning.tail, self.moving),
            moving: self.moving,
        })
    }

    fn status(&self) -> Status {
        status(self.warm_up_left(), self.seen)
    }

    /// Asks the identity function for the row, all in normal values.
    fn expect(&mut self, values: &[f64]) {
        let k0 = self.context.k0;
        let known = self.series.iter().zip(&self.bounds).zip(values);
        for (slot, ((series, bounds), &x)) in self.normal.iter_mut().zip(known) {
            *slot = if series.shown() && is_value(x) {
                ((x - series.mean) / series.scale(bounds, k0)).clamp(-MOST, MOST)
            } else {
                f64::NAN
            };
        }
        self.identity.tune(self.tuning.period);
        self.identity.expect(&self.normal, &mut self.expected);
        self.expected.iter_mut().for_each(|e| *e = e.clamp(-MOST, MOST));
        self.untold = true;
    }

    /// Judges each metric; returns how many are expected to be there, and how many are.
    fn judge(&mut self, row: Row<'_>, status: Status, verdict: &mut Verdict) -> (u32, u32) {
        let (mut known, mut observed) = (0, 0);
        let (mut squares, mut errors) = (0.0, 0.0);
        let mut caution = Caution::at(0.0, &self.context);
        let slots = self.judged.iter_mut().zip(&mut verdict.metrics).zip(&self.expected);
        let series = self.series.iter_mut().zip(&self.bounds).zip(row.values);
        for (i, (((series, bounds), &x), ((judged, out), &normal))) in series.zip(slots).enumerate() {
            *judged = None;
            let is_known = series.seen > 0.0 && series.missing < GIVEN_UP;
            known += u32::from(is_known);
            let expected = series.mean + normal * series.scale(bounds, self.context.k0);
            if !is_value(x) {
                series.missing += self.context.dt;
                if series.shown() {
                    out.expected = if expected.is_finite() { expected } else { series.mean };
                }
                continue;
            }
            observed += u32::from(is_known);
            if !series.shown() || (!expected.is_finite() && !bounds.excludes(x)) {
                continue;
            }
            let settles = series.settles(x, I::LOOKS_BACK);
            if settles && !bounds.excludes(x) {
                continue;
            }
            if caution.seen != series.seen {
                caution = Caution::at(series.seen, &self.context);
            }
            let center = if expected.is_finite() { expected } else { series.mean };
            let mut found = series.judge(x, center, bounds, &self.context, &caution);
            if bounds.excludes(x) {
                found.deviation = Series::impossible(found.deviation, x, bounds);
            }
            found.breaks &= I::LOOKS_BACK > 0 && !bounds.excludes(x);
            if found.breaks {
                series.take_break(I::LOOKS_BACK);
            }
            *out = MetricVerdict {
                expected: center,
                lower: center - found.half_width,
                upper: center + found.half_width,
                deviation: found.deviation,
            };
            if series.ready(self.warm_up) || status != Status::Ready {
                squares += f64::from(found.joint) * f64::from(found.joint);
                errors += 1.0;
                if found.deviation.abs() > self.basis.single {
                    self.basis.single = found.deviation.abs();
                    self.basis.metric = Some(i);
                }
            }
            *judged = Some(found);
        }
        self.basis.joint = if errors > 0.0 { f64::sqrt(squares / errors) } else { 0.0 };
        (known, observed)
    }

    /// Tells the identity function that the last row has gone by without being learnt, with what it expected in place of what
    /// is anomalous.
    fn pass(&mut self) {
        if !std::mem::take(&mut self.untold) {
            return;
        }
        // Where all together are anomalous, those are that are further out than all may be on average.
        let limit = self.basis.joint_limit;
        let joint = if self.basis.joint > limit { limit } else { f64::INFINITY };
        for ((x, &expected), judged) in self.normal.iter_mut().zip(&self.expected).zip(&self.judged) {
            let outside = judged
                .is_some_and(|j| !j.breaks && (j.deviation.abs() > 1.0 || f64::from(j.joint.abs()) > joint));
            if outside && expected.is_finite() {
                *x = expected;
            }
        }
        self.identity.learn(&self.normal, 0.0);
    }

    /// Buffers for as many metrics as there are.
    fn make_room(&mut self) {
        let width = self.series.len();
        self.moving = self.series.iter().filter(|series| series.moves()).count().max(1) as f64;
        self.normal = vec![f64::NAN; width];
        self.expected = vec![f64::NAN; width];
        self.judged = vec![None; width];
        (self.scored, self.untold) = (None, false);
    }
}

impl<I: Identity> Detector for Iftm<I> {
    fn kind(&self) -> DetectorKind {
        I::KIND
    }

    fn resize(&mut self, schema: &Arc<Schema>) {
        if self.schema.as_ref().is_some_and(|old| Arc::ptr_eq(old, schema)) {
            return;
        }
        self.pass();
        let old = self.schema.replace(Arc::clone(schema));
        let from: Vec<Option<usize>> = schema
            .metrics()
            .iter()
            .map(|metric| old.as_ref().and_then(|old| old.position(metric.name.as_str())))
            .collect();
        self.bounds = schema.metrics().iter().map(|metric| metric.bounds).collect();
        if from.len() != self.series.len() || from.iter().enumerate().any(|(i, &at)| at != Some(i)) {
            let series = |at: &Option<usize>| at.and_then(|at| self.series.get(at)).cloned();
            self.series = from.iter().map(|at| series(at).unwrap_or_default()).collect();
            self.identity.rearrange(&from);
        }
        self.make_room();
    }

    fn tune(&mut self, tuning: Tuning) {
        if tuning.period > 0.0 && tuning.period.is_finite() && tuning.tail > 0.0 {
            self.tuning = tuning;
        }
    }

    fn score(&mut self, row: Row<'_>, verdict: &mut Verdict) {
        verdict.reset(self.series.len());
        self.scored = None;
        if row.values.len() != self.series.len() {
            self.basis = Basis::default();
            verdict.status = Status::Unknown;
            return;
        }
        self.pass();
        self.basis = Basis::default();
        self.context = self.row_context(row.time);
        if self.last_row.is_some_and(|last| row.time.since(last) > GAP * self.tuning.period) {
            self.identity.gap();
        }
        self.last_row = Some(self.last_row.map_or(row.time, |last| last.max(row.time)));
        self.expect(row.values);
        let status = self.status();
        self.basis.joint_limit = self.threshold.limit(self.tuning.tail);
        let (known, observed) = self.judge(row, status, verdict);
        if 2 * observed < known {
            verdict.status = Status::Unknown;
            return;
        }
        self.scored = Some(row.time);
        verdict.status = status;
        if status != Status::WarmingUp {
            verdict.score = Score::new((self.basis.joint / self.basis.joint_limit).max(self.basis.single));
        }
    }

    fn learn(&mut self, row: Row<'_>, weight: f64) {
        if self.scored.take() != Some(row.time) || row.values.len() != self.series.len() {
            return;
        }
        if weight.is_nan() || weight <= 0.0 {
            for (series, judged) in self.series.iter_mut().zip(&self.judged) {
                if let Some(judged) = judged {
                    series.suspect(judged);
                }
            }
            self.threshold.suspect(self.basis.joint);
            self.pass();
            return;
        }
        let weight = weight.min(1.0);
        let mut moving = 0u32;
        for ((series, &x), judged) in self.series.iter_mut().zip(row.values).zip(&self.judged) {
            if is_value(x) {
                series.learn(x, judged.as_ref(), weight, &self.context);
            }
            moving += u32::from(series.moves());
        }
        self.moving = f64::from(moving.max(1));
        self.identity.learn(&self.normal, weight);
        self.untold = false;
        self.seen += weight;
        self.age += self.context.dt;
        if self.basis.joint > 0.0 {
            self.threshold.learn(self.basis.joint, weight, self.context.dt, self.context.fade);
        }
        self.last_learnt = Some(row.time);
    }

    fn use_threshold(&mut self, kind: ThresholdKind) {
        self.threshold.become_kind(kind);
    }

    fn settle(&mut self, was_anomaly: bool) {
        for (series, judged) in self.series.iter_mut().zip(&self.judged) {
            series.settle(was_anomaly);
            if let Some(judged) = judged.filter(|judged| was_anomaly && judged.deviation.abs() > 1.0) {
                series.reseat(&judged);
            }
        }
        self.threshold.settle(was_anomaly);
    }

    fn gap(&mut self, _after: Timestamp, _until: Timestamp) {
        self.identity.gap();
        self.series.iter_mut().for_each(|series| series.shift = 0.0);
        (self.scored, self.untold) = (None, false);
    }

    /// What metrics have to do with each other, or with their past, stays known.
    fn adopt(&mut self) {
        self.series.iter_mut().for_each(Series::adopt);
        self.threshold.adopt();
        self.identity.gap();
        (self.seen, self.age, self.last_learnt) = (0.0, 0.0, None);
        (self.scored, self.untold) = (None, false);
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
        let restored = self.decode(bytes)?;
        let current = self.schema.take();
        *self = restored;
        if let Some(current) = current {
            self.resize(&current);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        self.take_in(&[bytes])
    }

    fn merge_all(&mut self, others: &[&[u8]]) -> Result<(), DetectError> {
        self.take_in(others)
    }

    fn state_bytes(&self) -> usize {
        size_of::<Self>()
            + self.series.capacity() * size_of::<Series>()
            + self.bounds.capacity() * size_of::<Bounds>()
            + self.judged.capacity() * size_of::<Option<Judged>>()
            + (self.normal.capacity() + self.expected.capacity()) * size_of::<f64>()
            + self.identity.state_bytes()
            + self.threshold.bytes()
    }
}
