//! How a component is watched.

use std::time::Duration;

use crate::detector::DetectorKind;
use crate::threshold::ThresholdKind;

/// How a component is watched. Durations, whatever the sampling period; minimum sample counts are built in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model.
    pub detector: DetectorKind,
    /// How it judges the errors of all metrics together.
    pub threshold: ThresholdKind,
    /// Nothing is alerted before this much has been learnt (and 60 samples).
    pub warm_up: Duration,
    /// Window in which 60 % of the samples must be anomalous for an anomaly to open (and 5 samples).
    pub open_after: Duration,
    /// Calm after which an anomaly ends (and 5 samples).
    pub close_after: Duration,
    /// What is anomalous again within this time of its end is the same anomaly.
    pub rejoin: Duration,
    /// A change that lasts so long is taken as the new normal: what begins in the evening is still told in the morning.
    pub adopt_after: Duration,
    /// How far back levels are remembered.
    pub memory: Duration,
    /// The sampling interval where it is known beforehand; it is measured in any case.
    pub interval: Option<Duration>,
    /// CPU that the detector may take for a sample, on average; see [`crate::CostPlan`]. Detectors that can't save take no notice.
    pub cpu_budget: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            detector: DetectorKind::default(),
            threshold: ThresholdKind::default(),
            warm_up: Duration::from_secs(150),
            open_after: Duration::from_secs(5),
            close_after: Duration::from_secs(15),
            rejoin: Duration::from_secs(120),
            adopt_after: Duration::from_secs(12 * 3_600),
            memory: Duration::from_secs(6 * 3_600),
            interval: None,
            cpu_budget: None,
        }
    }
}
