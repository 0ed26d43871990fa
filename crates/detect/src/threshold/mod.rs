//! From errors to a limit: how large an error has to be to be as rare as asked for (IFTM's threshold model).
//!
//! | kind | the limit is | choose it when |
//! |---|---|---|
//! | [`ThresholdKind::Moving`] | mean + c deviations of log-errors, the past fading; and beyond records | by default |
//! | [`ThresholdKind::Window`] | the same, of the last hour alone ([`window`]) | errors change by the hour |
//! | [`ThresholdKind::Spot`] | a quantile of the fitted tail ([`spot`]) | tails are heavy and samples independent |
//! | [`ThresholdKind::Conformal`] | a rank among past errors ([`conformal`]) | nothing is known of the errors |
//!
//! The moving threshold is part of all of them: it is what there is while the others know too little, and it is what an
//! older version reads of their state.
//!
//! *Moving*: errors are positive and skewed, so the moving mean m and deviation s are of u = ln(e + ε), and
//! T = exp(m + c·s) − ε (specification 1.2), with c the normal quantile of the tail. Gaussian tails promise too much on
//! bursty machines, so T is also at least `MARGIN` times the largest error that was taken as normal in about the last
//! day. Fails where errors fall to nothing for hours and come back: the floor `MIN_THRESHOLD` is what keeps that quiet.

pub mod conformal;
pub mod grimshaw;
pub mod spot;
pub mod window;

use serde::Serialize;

use self::conformal::Conformal;
use self::spot::Spot;
use self::window::Window;
use crate::bands::{LARGEST, within};
use crate::detector::DetectError;
use crate::normalise::{Moments, Record, gain, normal_quantile};

/// Keeps the logarithm away from 0.
const EPSILON: f64 = 1e-3;
/// The threshold is never below this: half a deviation in the mean over all series.
const MIN_THRESHOLD: f64 = 0.5;
/// How far beyond the record an error has to be. Smaller than for a single series: this is a mean over many.
const MARGIN: f64 = 1.3;
/// Errors before records count: the first ones come from clusters that hardly know anything.
const RECORD_AFTER: f64 = 30.0;
/// Bounds of the number of deviations: rarer than 1 in 10⁸ nothing is known of Gaussian tails either.
const DEVIATIONS: (f64, f64) = (3.0, 6.0);
/// Memory in seconds.
const MEMORY: f64 = 3_600.0;
/// The memory covers at least this many samples.
const MIN_SAMPLES: f64 = 200.0;

/// The threshold models there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdKind {
    /// Fading mean and deviation of log-errors, and records.
    #[default]
    Moving,
    /// Mean and deviation of the log-errors of the last hour.
    Window,
    /// Peaks over a threshold: a fitted tail.
    Spot,
    /// Ranks among past errors.
    Conformal,
}

impl ThresholdKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Moving, Self::Window, Self::Spot, Self::Conformal];

    /// The name in settings and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Window => "window",
            Self::Spot => "spot",
            Self::Conformal => "conformal",
        }
    }
}

impl std::str::FromStr for ThresholdKind {
    type Err = DetectError;

    fn from_str(name: &str) -> Result<Self, DetectError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| DetectError::NoSuchThreshold(name.chars().take(40).collect()))
    }
}

/// The threshold; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Threshold {
    /// Errors learnt, by weight.
    #[prost(double, tag = "1")]
    pub seen: f64,
    /// Mean of the log-errors.
    #[prost(double, tag = "2")]
    pub mean: f64,
    /// Variance of the log-errors.
    #[prost(double, tag = "3")]
    pub var: f64,
    /// Largest error.
    #[prost(double, tag = "4")]
    pub record: f64,
    /// The same, undecided.
    #[prost(double, tag = "5")]
    pub pending: f64,
    /// What takes over from the moving threshold once it knows enough.
    #[prost(oneof = "Model", tags = "6, 7, 8")]
    model: Option<Model>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Model {
    #[prost(message, tag = "6")]
    Window(Window),
    #[prost(message, tag = "7")]
    Spot(Spot),
    #[prost(message, tag = "8")]
    Conformal(Conformal),
}

impl Threshold {
    /// One that knows nothing.
    pub fn new(kind: ThresholdKind) -> Self {
        let mut threshold = Self::default();
        threshold.become_kind(kind);
        threshold
    }

    /// Which one it is.
    pub fn kind(&self) -> ThresholdKind {
        match self.model {
            None => ThresholdKind::Moving,
            Some(Model::Window(_)) => ThresholdKind::Window,
            Some(Model::Spot(_)) => ThresholdKind::Spot,
            Some(Model::Conformal(_)) => ThresholdKind::Conformal,
        }
    }

    /// Becomes another one. The moving threshold goes on, and is what there is until the other knows enough.
    pub fn become_kind(&mut self, kind: ThresholdKind) {
        if self.kind() != kind {
            self.model = match kind {
                ThresholdKind::Moving => None,
                ThresholdKind::Window => Some(Model::Window(Window::default())),
                ThresholdKind::Spot => Some(Model::Spot(Spot::default())),
                ThresholdKind::Conformal => Some(Model::Conformal(Conformal::default())),
            };
        }
    }

    /// Learns its levels afresh; what errors there were stays known.
    pub fn adopt(&mut self) {
        let mut fresh = Self { record: self.record, ..Self::default() };
        fresh.become_kind(self.kind());
        *self = fresh;
    }

    /// The error that a normal row exceeds with probability `tail`, between 0 and 1; infinite before the first error.
    pub fn limit(&self, tail: f64) -> f64 {
        if self.seen < 1.0 {
            return f64::INFINITY;
        }
        let c = normal_quantile(tail).clamp(DEVIATIONS.0, DEVIATIONS.1);
        let beyond =
            |mean: f64, deviation: f64| ((mean + c * deviation).exp() - EPSILON).max(MARGIN * self.record);
        let limit = match &self.model {
            None => None,
            Some(Model::Window(window)) => window.moments().map(|(mean, deviation)| beyond(mean, deviation)),
            Some(Model::Spot(spot)) => spot.limit(tail).map(|ratio| ratio * self.mean.exp() - EPSILON),
            Some(Model::Conformal(conformal)) => conformal.limit(tail),
        };
        limit.unwrap_or_else(|| beyond(self.mean, self.var.sqrt())).max(MIN_THRESHOLD)
    }

    /// Takes in the error of a normal row, `dt` seconds after the one before.
    pub fn learn(&mut self, error: f64, weight: f64, dt: f64, fade: f64) {
        let log = (error + EPSILON).ln();
        match &mut self.model {
            Some(Model::Window(window)) => window.learn(log, weight, dt),
            Some(Model::Spot(spot)) if self.seen > RECORD_AFTER => {
                spot.learn((log - self.mean).exp(), weight, fade);
            }
            Some(Model::Conformal(conformal)) if self.seen > RECORD_AFTER => conformal.learn(error, dt, fade),
            _ => {}
        }
        self.seen += weight;
        let memory = MEMORY.max(MIN_SAMPLES * dt);
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.learn(log, weight * gain(self.seen, dt, memory));
        (self.mean, self.var) = (moments.mean, moments.var);
        if self.seen > RECORD_AFTER {
            let mut record = Record { value: self.record, pending: self.pending };
            record.learn(error * weight, fade, 1.0);
            (self.record, self.pending) = (record.value, record.pending);
        }
    }

    /// Notes the error of a flagged row.
    pub fn suspect(&mut self, error: f64) {
        self.pending = self.pending.max(error);
    }

    /// The stretch of flagged rows is over.
    pub fn settle(&mut self, was_anomaly: bool) {
        if !was_anomaly && self.pending > 0.0 {
            match &mut self.model {
                Some(Model::Spot(spot)) => {
                    spot.learn(((self.pending + EPSILON).ln() - self.mean).exp(), 1.0, 1.0);
                }
                Some(Model::Conformal(conformal)) => conformal.learn_false_alarm(self.pending),
                _ => {}
            }
        }
        let mut record = Record { value: self.record, pending: self.pending };
        record.settle(was_anomaly);
        (self.record, self.pending) = (record.value, record.pending);
    }

    /// Adds what another instance learnt: the moving threshold in any case, the rest where both are of one kind.
    pub fn merge(&mut self, other: &Self) {
        if other.seen <= 0.0 {
            return;
        }
        match (&mut self.model, &other.model) {
            (Some(Model::Window(mine)), Some(Model::Window(theirs))) => mine.merge(theirs),
            (Some(Model::Spot(mine)), Some(Model::Spot(theirs))) => mine.merge(theirs),
            (Some(Model::Conformal(mine)), Some(Model::Conformal(theirs))) => mine.merge(theirs),
            _ => {}
        }
        let seen = self.seen + other.seen;
        let share = other.seen / seen;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.merge(&Moments { mean: other.mean, var: other.var }, share);
        (self.mean, self.var) = (moments.mean, moments.var);
        self.record = self.record.max(other.record);
        self.seen = seen;
    }

    /// Whether every number in it is one that this program can have written.
    pub fn is_sound(&self) -> bool {
        let model = match &self.model {
            None => true,
            Some(Model::Window(window)) => window.is_sound(),
            Some(Model::Spot(spot)) => spot.is_sound(),
            Some(Model::Conformal(conformal)) => conformal.is_sound(),
        };
        model
            && within(&[self.mean, self.var.sqrt()], LARGEST.ln())
            && within(&[self.seen, self.record, self.pending], LARGEST)
            && [self.seen, self.var, self.record, self.pending].iter().all(|x| *x >= 0.0)
    }

    /// Bytes of memory that it holds elsewhere.
    pub fn bytes(&self) -> usize {
        match &self.model {
            None => 0,
            Some(Model::Window(window)) => window.bytes(),
            Some(Model::Spot(spot)) => spot.bytes(),
            Some(Model::Conformal(conformal)) => conformal.bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
