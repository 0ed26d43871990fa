//! What is known beforehand of some metrics: which deviations are worth telling, and which values are possible.

use serde::{Deserialize, Serialize};

use crate::value::{DataRange, Pattern};

/// What is known beforehand of the metrics that a pattern matches; of each metric's rules, the first one holds. What
/// a rule leaves out stays as the metric's source says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MetricRule {
    /// Which metrics, by a regular expression that matches the whole name, with its labels or without. Needed. Example:
    /// `.*_latency_seconds`.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// A deviation from what is expected that is smaller than this is nothing; in the metric's unit, for a counter per
    /// second. Example: `0.05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_dev_from_expected: Option<f64>,
    /// Which deviations count. Example: `above_expected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection_direction: Option<DetectionDirection>,
    /// The lowest and the highest possible value, in the metric's unit, for a counter per second: a value outside is
    /// anomalous, whatever was learnt. `-inf` and `inf` leave an end open. Example: `[0, 100]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_range: Option<DataRange>,
}

/// Which deviations of a metric count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DetectionDirection {
    /// All.
    Both,
    /// Values above what is expected: errors, latency.
    AboveExpected,
    /// Values below what is expected: throughput, free space.
    BelowExpected,
}
