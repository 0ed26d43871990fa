//! Evidence: the recent past that an anomaly needs to be judged by somebody who was not there.

use serde::{Deserialize, Serialize};

use crate::{MetricName, Timestamp};

/// What one metric did around the onset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricEvidence {
    /// Which metric.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: MetricName,
    /// Its value when the anomaly was judged.
    pub value: Option<f64>,
    /// What was expected.
    pub expected: Option<f64>,
    /// The lower edge of its band.
    pub lower: Option<f64>,
    /// The upper edge of its band.
    pub upper: Option<f64>,
    /// Signed, in half-widths of the band.
    pub deviation: Option<f64>,
    /// Median over the window before the onset.
    pub median_before: Option<f64>,
    /// Median absolute deviation from that median, in the metric's unit.
    pub deviation_before: Option<f64>,
}

/// A short stretch of samples of some metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Window {
    /// When each row was taken.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub times: Vec<Timestamp>,
    /// What each column is.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub metrics: Vec<MetricName>,
    /// One row per time, one value per metric; none where it was missing.
    pub rows: Vec<Vec<Option<f64>>>,
}

/// What is sent with an anomaly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// The metrics that deviate most, largest first.
    pub metrics: Vec<MetricEvidence>,
    /// Their recent values around the onset.
    pub window: Window,
}
