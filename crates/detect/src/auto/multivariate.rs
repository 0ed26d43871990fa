//! All metrics together: has something happened now, and do they still go together as they used to?
//!
//! **Two views, added.** *Edges*: the root mean square over the metrics that move of how far each is from where it just was,
//! in its usual edges ([`super::motion`]). *Peers*: the same of what the other metrics do not explain of it, averaged over
//! five samples ([`super::peers`]). Edges find the beginning and say nothing later; peers say it as long as it lasts, and
//! miss what happens to all metrics alike.
//!
//! **No metric alone.** One metric counts at most [`CAP`]·√n, so that it adds at most [`CAP`] to a view, whatever n is.
//!
//! **The state holds.** Each view is held at its peak and falls with two half-lives, a short and a long one, in equal parts:
//! the short one keeps apart what follows closely, the long one bridges a fault in which nothing moves. Where rows follow
//! each other fast ([`ROWS_TELL`]) they alone say when an anomaly is over, and the state lets go then: who mends a fault wants to see that.
//!
//! **Faults are barely learnt.** A row of error S is learnt with weight min(1, (2/S)²), at least 0.05: a model that learns
//! always forgets a fault within minutes, and one that never learns what is unusual never gets used to anything.
//!
//! **The limit** on the error comes from past errors ([`super::calibration`]).
//!
//! **When it fails.** Faults slower than minutes that all metrics share; fewer than four metrics.
//!
//! **Cost.** Three passes over at most 4,096 cells and about 20 operations a metric.

use larnax_core::{Metric, MetricVerdict};

use super::calibration::{Calibration, Form};
use super::motion::{Motion, Pace, Seen, YOUNG};
use super::peers::{LEARN_CLIP, Peers};
use crate::normalise::RECORD_HALF_LIFE;
use crate::row_context::{GIVEN_UP, is_value};

/// Where a metric just was: seconds, and samples at least (the mean of the last three is as good).
const RECENT: (f64, f64) = (3.0, 1.5);
/// What peers leave is averaged over so many seconds and samples at least.
const AVERAGED: (f64, f64) = (5.0, 4.5);
/// Half-lives of the state, in seconds and in samples at least.
const SHORT: (f64, f64) = (5.0, 6.6);
const LONG: (f64, f64) = (60.0, 69.0);
/// Levels, scales and covariances are remembered over at least so many samples.
const MIN_MEMORY: f64 = 20_000.0;
/// Records of edges fade to half over at least so many samples.
const MIN_RECORD: f64 = 2_000.0;
/// Up to so many seconds between samples rows alone say when an anomaly is over: ten of them are calm before it ends. Of few rows that is
/// too much to ask: at a sample every one or five minutes the area under precision and recall (VUS-PR) would be .02 smaller.
const ROWS_TELL: f64 = 1.5;
/// What one metric adds to a view at most.
const CAP: f64 = 2.5;
/// An error from which on less is learnt, and the least weight.
const GATE: f64 = 2.0;
pub(super) const MIN_WEIGHT: f64 = 0.05;

/// The joint error. An event holds it up for about half an hour at a sample a minute. The prior is about what
/// servers end up with: the unit is the usual edge of the metrics themselves.
pub(super) const JOINT: Form = Form {
    event_rows: 33.0,
    margins: (1.1, 1.5),
    least: 4.0,
    prior: (14.0, 5_000.0),
    // At less, more is opened, and most of that falsely.
    event_at: 1.0,
    over_usual: 3.0,
};

/// The model.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) motions: Vec<Motion>,
    pub(super) peers: Peers,
    /// Whether peers shall be compared.
    pub(super) wanted: bool,
    pub(super) calibration: Calibration,
    /// Rows learnt, and rows learnt since metrics are compared.
    pub(super) rows: f64,
    pub(super) compared: f64,
    /// Peaks of edges (short, long) and of what peers leave.
    pub(super) peaks: [f64; 4],
    /// The next row has no neighbour.
    pub(super) fresh: bool,
    // Of the row judged last:
    pub(super) moving: f64,
    error: f64,
    views: [f64; 2],
    dt: f64,
    pace: Pace,
    seen: Vec<Seen>,
    standard: Vec<f32>,
    residuals: Vec<f32>,
}

/// Whether rows alone say when an anomaly is over.
pub(super) fn rows_tell(period: f64) -> bool {
    period <= ROWS_TELL
}

impl Together {
    /// One that knows nothing of `width` metrics.
    pub(super) fn new(width: usize) -> Self {
        Self {
            motions: vec![Motion::default(); width],
            peers: Peers::new(width),
            wanted: true,
            calibration: Calibration::new(),
            rows: 0.0,
            compared: 0.0,
            peaks: [0.0; 4],
            fresh: true,
            moving: 1.0,
            error: 0.0,
            views: [0.0; 2],
            dt: 0.0,
            pace: Pace::default(),
            seen: vec![Seen::default(); width],
            standard: vec![0.0; width],
            residuals: vec![0.0; width],
        }
    }

    /// The error of a row, `dt` seconds after the one before, and of that row alone without what is held.
    ///
    /// Hot: no allocation. Moves only what is a measurement: residuals and peaks.
    pub(super) fn judge(
        &mut self,
        metrics: &[Metric],
        values: &[f64],
        dt: f64,
        period: f64,
        memory: f64,
    ) -> (f64, f64) {
        let at_least = |(seconds, samples): (f64, f64)| f64::max(seconds, samples * period);
        let pace = Pace {
            gain: dt / memory.max(MIN_MEMORY * period),
            recent_gain: 1.0 - (-dt / at_least(RECENT)).exp(),
            residual_gain: (1.0 - (-dt / at_least(AVERAGED)).exp()) as f32,
            fade: (-dt / at_least((RECORD_HALF_LIFE, MIN_RECORD))).exp2(),
            cap: CAP * self.moving.sqrt(),
            fresh: self.fresh || dt > GIVEN_UP.max(5.0 * period),
            compared: self.rows >= 2.0 * YOUNG && self.peers.compare(),
        };
        let (mut edges, mut left, mut moving) = (0.0, 0.0, 0.0);
        let slots = self.seen.iter_mut().zip(&mut self.standard);
        for (((motion, metric), &x), (seen, standard)) in
            self.motions.iter().zip(metrics).zip(values).zip(slots)
        {
            (*seen, *standard) = (Seen { value: f64::NAN, ..Seen::default() }, 0.0);
            if !is_value(x) {
                continue;
            }
            seen.value = x;
            if motion.seen > 0.0 {
                let (edge, size, z) = motion.judge(x, &metric.bounds, &pace);
                (seen.edge, *standard) = (edge.abs(), z as f32);
                if motion.seen >= YOUNG {
                    seen.part = size.copysign(edge);
                    edges += size * size;
                    moving += f64::from(u8::from(motion.moves));
                }
            }
        }
        self.moving = f64::max(moving, 1.0);
        if self.peers.compare() {
            self.peers.residuals(&self.standard, &mut self.residuals);
            for (((motion, metric), seen), &residual) in
                self.motions.iter_mut().zip(metrics).zip(&mut self.seen).zip(&self.residuals)
            {
                if motion.seen >= YOUNG && !seen.value.is_nan() {
                    let size = motion.compare(residual, &metric.bounds, &pace);
                    left += size * size;
                    if size > seen.part.abs() {
                        seen.part = size.copysign(f64::from(motion.residual));
                    }
                }
            }
        }
        let (edges, left) = ((edges / self.moving).sqrt(), (left / self.moving).sqrt());
        let keep = [SHORT, LONG].map(|half_life| (-dt / at_least(half_life)).exp2());
        for (peak, (view, keep)) in
            self.peaks.iter_mut().zip([(edges, keep[0]), (edges, keep[1]), (left, keep[0]), (left, keep[1])])
        {
            *peak = f64::max(view, keep * *peak);
        }
        (self.pace, self.dt, self.views) = (pace, dt, [edges, left]);
        self.error = 0.5 * self.peaks.iter().sum::<f64>();
        (self.error, edges + left)
    }

    /// Raises the deviations of metrics that stand out more among all than by their own bands, `edges` usual edges being as
    /// much as the half-width of a band.
    pub(super) fn attribute(&self, metrics: &mut [MetricVerdict], edges: f64) {
        for (out, seen) in metrics.iter_mut().zip(&self.seen) {
            let part = seen.part / edges;
            if part.abs() > out.deviation.abs() {
                out.deviation = part;
            }
        }
    }

    /// Learns the row that was judged last.
    ///
    /// Hot: no allocation.
    pub(super) fn learn(&mut self, weight: f64) {
        let pace = self.pace;
        self.fresh = false;
        if weight > 0.0 {
            let normal = weight > MIN_WEIGHT;
            let weight = (weight * (GATE / self.error.max(GATE)).powi(2)).max(MIN_WEIGHT);
            let comparing = self.rows >= YOUNG && self.peers.compare();
            for (motion, seen) in self.motions.iter_mut().zip(&self.seen) {
                if seen.value.is_nan() {
                    continue;
                }
                motion.learn(seen, weight, &pace);
                if comparing {
                    motion.learn_residual(self.compared, weight, &pace);
                }
            }
            for z in &mut self.standard {
                *z = z.clamp(-LEARN_CLIP, LEARN_CLIP);
            }
            let gain = weight * (1.0 / (self.rows + 1.0)).max(pace.gain).min(1.0);
            self.peers.learn(&self.standard, gain as f32);
            self.rows += 1.0;
            self.compared += f64::from(u8::from(comparing));
            if !normal {
                self.calibration.suspect(self.error);
            } else if pace.compared || !self.peers.compare() && self.rows > YOUNG {
                self.calibration.learn(self.error, self.dt, pace.fade);
            }
        } else {
            self.calibration.suspect(self.error);
        }
        for (motion, seen) in self.motions.iter_mut().zip(&self.seen) {
            if !seen.value.is_nan() {
                motion.follow(seen.value, &pace);
            }
        }
    }

    /// What was held is over: only the last row counts.
    pub(super) fn let_go(&mut self) {
        let [edges, left] = self.views;
        self.peaks = [edges, edges, left, left];
    }

    /// The next row is not the neighbour of the last one.
    pub(super) fn gap(&mut self) {
        self.fresh = true;
        self.peaks = [0.0; 4];
        self.motions.iter_mut().for_each(|motion| motion.residual = 0.0);
    }

    /// What is there now is normal.
    pub(super) fn adopt(&mut self) {
        self.motions.iter_mut().for_each(Motion::adopt);
        self.gap();
    }

    /// Takes other metrics: `from[i]` is where metric i stood.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        self.motions = from
            .iter()
            .map(|at| at.and_then(|at| self.motions.get(at)).cloned().unwrap_or_default())
            .collect();
        self.peers.rearrange(from);
        self.seen = vec![Seen::default(); from.len()];
        self.standard = vec![0.0; from.len()];
        self.residuals = vec![0.0; from.len()];
    }

    /// Whether metrics are compared with their peers, if there are any. Past errors with peers say nothing of errors without.
    pub(super) fn compare(&mut self, wanted: bool) {
        self.peers.set(wanted);
        if wanted != self.wanted {
            (self.wanted, self.compared) = (wanted, 0.0);
            self.calibration = Calibration::new();
        }
    }

    /// Adds what another instance of the same metrics in the same order learnt.
    pub(super) fn merge(&mut self, other: &Self) {
        let moments = |together: &Self| together.motions.iter().map(Motion::moments).collect::<Vec<_>>();
        self.peers.merge(&other.peers, &moments(self), &moments(other));
        for (mine, theirs) in self.motions.iter_mut().zip(&other.motions) {
            mine.merge(theirs);
        }
        self.calibration.merge(&other.calibration);
        self.rows += other.rows;
        self.compared += other.compared;
    }

    /// Bytes held besides itself.
    pub(super) fn bytes(&self) -> usize {
        self.motions.capacity() * size_of::<Motion>()
            + self.seen.capacity() * size_of::<Seen>()
            + (self.standard.capacity() + self.residuals.capacity()) * size_of::<f32>()
            + self.peers.bytes()
            + self.calibration.bytes()
    }
}
