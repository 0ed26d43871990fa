//! The detector trait: sample in, verdict out.

use std::sync::Arc;
use std::time::Duration;

use larnax_core::model_store::{Envelope, EnvelopeError};
use larnax_core::{Row, Schema, Status, Timestamp, Verdict};
use serde::Serialize;

use crate::arima::{Ogd, Ons, Rls};
use crate::auto::Auto;
use crate::auto::cost::CostPlan;
use crate::bands::{MIN_READY, MIN_SHOWN};
use crate::birch::Birch;
use crate::iftm::Iftm;
use crate::lstm::Lstm;
use crate::pca::Pca;
use crate::threshold::ThresholdKind;

/// A model of what is normal for one component.
///
/// Every detector is *prequential*: it scores a row with what it learnt from the rows before, then may learn it. The
/// conformance suite in `tests/conformance.rs` holds every implementation to this contract; a new one is a new row there.
///
/// Implementations must not read a clock, do I/O, panic on any input, or allocate in `score` and `learn` once the
/// schema is known; and the same calls must give the same answers.
pub trait Detector: std::fmt::Debug + Send {
    /// Its name in settings and in saved state.
    fn kind(&self) -> DetectorKind;

    /// Takes a schema. Metrics keep what was learnt under the same name; new ones warm up on their own and do not
    /// count until they have; others are forgotten.
    fn resize(&mut self, schema: &Arc<Schema>);

    /// Sets the sampling period and how rare a flagged sample shall be. Cheap; may be called before every row.
    fn tune(&mut self, tuning: Tuning);

    /// Which threshold model judges the errors of all metrics together. Detectors without one leave it at that.
    fn use_threshold(&mut self, _kind: ThresholdKind) {}

    /// Keeps the CPU for a sample to a budget by leaving things out, by a model of the cost and never by a clock. Detectors
    /// that can't leave it at that.
    fn keep_to(&mut self, _budget: Duration) {}

    /// How it keeps to its budget; none without a budget, or if it can't. Whoever calls gives it only one of
    /// [`CostPlan::every`] rows, and tells it by [`Detector::tune`] that they come as seldom.
    fn cost_plan(&self) -> Option<CostPlan> {
        None
    }

    /// Judges a row (one value per metric of the schema, not finite = missing) into a buffer that the caller owns.
    /// A row of another width gives [`larnax_core::Status::Unknown`].
    fn score(&mut self, row: Row<'_>, verdict: &mut Verdict);

    /// Learns the row that was scored last; any other row is ignored. `weight` is between 0 (nothing of the model
    /// moves; only the size of the surprise is noted until [`Detector::settle`]) and 1.
    fn learn(&mut self, row: Row<'_>, weight: f64);

    /// The weight with which rows are learnt that are flagged or belong to an open anomaly. Not 0 only for a detector that
    /// knows the surprising rows itself and learns from them what bears it.
    fn least_weight(&self) -> f64 {
        0.0
    }

    /// The stretch of flagged rows is over. Where it was no anomaly, its surprises are remembered as things that happen
    /// (habituation); where it was one, they are forgotten, and metrics that are still outside their bands at the row
    /// scored last go on from where they are: an incident leaves caches and counters elsewhere.
    fn settle(&mut self, was_anomaly: bool);

    /// There are no samples between the two instants. What depends on neighbouring samples must not reach across.
    fn gap(&mut self, after: Timestamp, until: Timestamp);

    /// What is being seen is the new normal: levels are learnt afresh, within the warm-up time.
    fn adopt(&mut self);

    /// How long, in seconds, until it is [`larnax_core::Status::Ready`]; 0 when it is.
    fn warm_up_left(&self) -> f64;

    /// What the last score rests on.
    fn basis(&self) -> Basis;

    /// Everything learnt, in an [`Envelope`] of its kind.
    fn save(&self) -> Vec<u8>;

    /// Takes over saved state, for the metrics that state and current schema share (or, before the first
    /// [`Detector::resize`], for all). On an error nothing has changed.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), DetectError>;

    /// Adds what another instance of the same kind learnt, metric by metric. On an error nothing has changed.
    fn merge(&mut self, bytes: &[u8]) -> Result<(), DetectError>;

    /// The same of several at once, which may be more than one after the other: among many, some can be left out.
    fn merge_all(&mut self, others: &[&[u8]]) -> Result<(), DetectError> {
        let before = self.save();
        for other in others {
            if let Err(error) = self.merge(other) {
                self.restore(&before)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Bytes of memory that the model holds.
    fn state_bytes(&self) -> usize;
}

/// Seconds until `seen` rows, learnt over `age` seconds, are enough; 0 or less when they are.
pub(crate) fn warm_up_left(seen: f64, age: f64, warm_up: f64, period: f64) -> f64 {
    ((MIN_READY - seen).max(0.0) * period).max(warm_up - age)
}

/// How much can be said after `seen` rows when so many seconds of warm-up are left.
pub(crate) fn status(warm_up_left: f64, seen: f64) -> Status {
    if warm_up_left <= 0.0 {
        Status::Ready
    } else if seen >= MIN_SHOWN {
        Status::Provisional
    } else {
        Status::WarmingUp
    }
}

/// What a detector is told about its surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Usual time between samples, in seconds.
    pub period: f64,
    /// How likely a normal sample may be flagged, between 0 and 1. See [`crate::AlertBudget::tail`].
    pub tail: f64,
}

impl Default for Tuning {
    /// One alert a week at a sample every 5 s.
    fn default() -> Self {
        Self { period: 5.0, tail: 5.0 / 604_800.0 }
    }
}

/// What a score rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Basis {
    /// The error of all metrics together.
    pub joint: f64,
    /// How much of that the last row does not show any more, and is held from those before it.
    pub held: f64,
    /// The error above which all metrics together are anomalous.
    pub joint_limit: f64,
    /// The largest deviation of a single metric, in half-widths of its band.
    pub single: f64,
    /// Which metric that is, as a position in the schema.
    pub metric: Option<usize>,
}

/// The detectors there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectorKind {
    /// Clusters over all metrics, and bands per metric.
    Birch,
    /// What all metrics do together, and bands per metric.
    #[default]
    Auto,
    /// Forecasts by autoregression, each metric with coefficients of its own.
    Arima,
    /// The same with coefficients for all metrics together, learnt by gradient descent.
    ArimaOgd,
    /// The same, learnt by the online Newton step.
    ArimaOns,
    /// What each metric should be given the others, by principal components.
    Pca,
    /// Forecasts of all metrics together by a recurrent network.
    Lstm,
}

impl DetectorKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Birch, Self::Auto, Self::Arima, Self::ArimaOgd, Self::ArimaOns, Self::Pca, Self::Lstm];

    /// The name in settings, on the command line and in saved state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Birch => "birch",
            Self::Auto => "auto",
            Self::Arima => "arima",
            Self::ArimaOgd => "arima_ogd",
            Self::ArimaOns => "arima_ons",
            Self::Pca => "pca",
            Self::Lstm => "lstm",
        }
    }

    /// A new detector of this kind. `warm_up` and `memory` in seconds.
    pub fn build(self, warm_up: f64, memory: f64) -> Box<dyn Detector> {
        match self {
            Self::Birch => Box::new(Birch::new(warm_up, memory)),
            Self::Auto => Box::new(Auto::new(warm_up, memory)),
            Self::Arima => Box::new(Iftm::<Rls>::new(warm_up, memory)),
            Self::ArimaOgd => Box::new(Iftm::<Ogd>::new(warm_up, memory)),
            Self::ArimaOns => Box::new(Iftm::<Ons>::new(warm_up, memory)),
            Self::Pca => Box::new(Iftm::<Pca>::new(warm_up, memory)),
            Self::Lstm => Box::new(Iftm::<Lstm>::new(warm_up, memory)),
        }
    }
}

impl std::str::FromStr for DetectorKind {
    type Err = DetectError;

    fn from_str(name: &str) -> Result<Self, DetectError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| DetectError::NoSuchDetector(name.chars().take(40).collect()))
    }
}

/// What can go wrong in this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DetectError {
    /// A name that is none of ours.
    #[error(
        "there is no detector `{0}`: expected `birch`, `auto`, `arima`, `arima_ogd`, `arima_ons`, `pca` or `lstm`"
    )]
    NoSuchDetector(String),
    /// A name that is none of ours.
    #[error("there is no threshold `{0}`: expected `moving`, `window`, `spot` or `conformal`")]
    NoSuchThreshold(String),
    /// Bytes that are no saved state, or damaged.
    #[error("saved state can't be read: {0}; it is ignored and learning starts anew")]
    Envelope(#[from] EnvelopeError),
    /// State of something else.
    #[error(
        "saved state is of kind `{found}` version {version}: expected `{expected}` version {newest} or older"
    )]
    WrongKind {
        /// By the header.
        found: String,
        /// By the header.
        version: u16,
        /// What was asked for.
        expected: &'static str,
        /// The newest version that this program reads.
        newest: u16,
    },
    /// The header is whole, what it holds is not.
    #[error("saved state of kind `{kind}` is inconsistent: {reason}; it is ignored and learning starts anew")]
    Inconsistent {
        /// Whose state.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing to merge.
    #[error("the models can't be merged: they have no metric in common")]
    NothingInCommon,
}

impl DetectError {
    /// State of this kind that can't be, and why.
    pub(crate) fn inconsistent(kind: &'static str, reason: impl Into<String>) -> Self {
        Self::Inconsistent { kind, reason: reason.into() }
    }
}

/// Opens an envelope and decodes what is in it.
pub(crate) fn open<M: prost::Message + Default>(
    bytes: &[u8],
    kind: &'static str,
    newest: u16,
) -> Result<M, DetectError> {
    let envelope = Envelope::decode(bytes)?;
    if envelope.kind != kind || envelope.version > newest {
        return Err(DetectError::WrongKind {
            found: envelope.kind.chars().take(40).collect(),
            version: envelope.version,
            expected: kind,
            newest,
        });
    }
    M::decode(envelope.payload).map_err(|e| DetectError::Inconsistent { kind, reason: e.to_string() })
}
