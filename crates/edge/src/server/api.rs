//! What the HTTP API answers, as types: the OpenAPI document is generated from them (feature `openapi`).

use std::collections::BTreeMap;

pub use larnax_alert::sinks::SinkReport;
use serde::{Deserialize, Serialize};

pub use larnax_serve::ErrorReport;

use larnax_core::{Anomaly, AnomalyId, Component, ComponentId, Contribution, Evidence, Timestamp};

/// `GET /api/v1/status`: the agent and how it is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusReport {
    /// Version of the program.
    pub version: String,
    /// This agent, as in the source of its events.
    #[cfg_attr(feature = "openapi", schema(example = "/larnax/edge/edge-17"))]
    pub instance: String,
    /// When it started.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started: Timestamp,
    /// Its clock.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub now: Timestamp,
    /// The default seconds between samples.
    pub interval_seconds: f64,
    /// How many components it watches.
    pub components: usize,
    /// How many anomalies are open.
    pub open_anomalies: usize,
    /// Where it keeps what it learnt; none when it keeps nothing.
    pub state: Option<String>,
    /// CPU that the program used since it started, in seconds.
    pub cpu_seconds: f64,
    /// Memory that the program has resident, in bytes.
    pub resident_bytes: u64,
    /// One per component group.
    pub budgets: Vec<BudgetReport>,
    /// One per place that alerts go to.
    pub sinks: Vec<SinkReport>,
    /// What waits for them.
    pub outbox: OutboxReport,
    /// What a person should know: damaged files, read-only folders, limits reached.
    pub notices: Vec<String>,
    /// Local TCP listeners, watched or not.
    pub listeners: Vec<ListenerReport>,
}

/// How the alert budget of one group is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetReport {
    /// The component group.
    pub group: String,
    /// Alerts allowed in a period.
    pub allowed: f64,
    /// The period, in seconds.
    pub period_seconds: f64,
    /// Alerts given in the period that ends now.
    pub given: usize,
    /// The score that an anomaly must exceed to be alerted.
    pub bar: f64,
}

/// The events that wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutboxReport {
    /// Events that some sink still has to get.
    pub pending: usize,
    /// Those of them that are in memory only, because the disk takes nothing.
    pub held_in_memory: usize,
    /// Events that were given up because the outbox was full: those of the oldest ended anomalies.
    pub dropped_events: u64,
    /// Why the disk takes nothing.
    pub problem: Option<String>,
}

/// A local TCP listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListenerReport {
    /// Where it listens.
    pub address: String,
    /// Whose it is.
    pub process: Option<String>,
    /// Whether it is watched.
    pub watched: bool,
}

/// `GET /api/v1/components`: one component.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComponentReport {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "node/local/edge-17"))]
    pub id: ComponentId,
    /// The group whose alert budget it shares.
    pub group: String,
    /// Labels that its alerts carry.
    pub labels: BTreeMap<String, String>,
    /// `warming_up`, `normal`, `anomalous`, `absent` or `unknown`.
    pub state: String,
    /// Seconds until alerts are given, while it warms up.
    pub warm_up_remaining_seconds: Option<f64>,
    /// At most 1 is normal.
    pub score: f64,
    /// When the last sample was taken.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_sample: Option<Timestamp>,
    /// Seconds between samples.
    pub interval_seconds: f64,
    /// How many metrics it has.
    pub metrics: usize,
    /// How its detector keeps to `detect.cpu_budget`; none without one, or if it takes no notice.
    #[cfg_attr(feature = "openapi", schema(example = "about 4.9 µs a row, one of 4 rows is judged"))]
    pub cost_plan: Option<String>,
    /// Where the samples come from.
    pub sources: Vec<SourceReport>,
    /// The metrics that deviate most now.
    pub top: Vec<Contribution>,
    /// Its open anomalies.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub open_anomalies: Vec<AnomalyId>,
}

/// One source of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceReport {
    /// A URL, `host` or a path.
    pub name: String,
    /// Whether the last collection gave samples.
    pub up: bool,
    /// Why it didn't.
    pub error: Option<String>,
    /// Collections that gave samples.
    pub collections: u64,
    /// Collections that failed.
    pub failures: u64,
    /// Values that a limit refused.
    pub refused_samples: u64,
    /// Lines or values that could not be used.
    pub bad_samples: u64,
    /// Seconds that the last collection took.
    pub last_seconds: f64,
}

/// `GET /api/v1/metrics?component=ID`: one metric and what is expected of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricReport {
    /// Its name.
    pub metric: String,
    /// The latest value.
    pub y: Option<f64>,
    /// What was expected.
    pub yhat: Option<f64>,
    /// The lower edge of the expected band.
    pub yhat_lower: Option<f64>,
    /// The upper edge of the expected band.
    pub yhat_upper: Option<f64>,
    /// Signed, in half-widths of the band.
    pub deviation: Option<f64>,
}

/// `GET /api/v1/history?component=ID[&metric=NAME]`: the last hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryReport {
    /// Which component.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub component: ComponentId,
    /// The fewest seconds between points.
    pub step_seconds: f64,
    /// Seconds since the epoch, one per point.
    pub times: Vec<f64>,
    /// The anomaly score at each point.
    pub anomaly_score: Vec<f64>,
    /// One per metric that was asked for, in that order; unknown ones are left out.
    pub metrics: Vec<MetricHistory>,
}

/// The points of one metric, as many as there are times.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricHistory {
    /// Its name.
    pub metric: String,
    /// Values.
    pub y: Vec<Option<f64>>,
    /// Expected values.
    pub yhat: Vec<Option<f64>>,
    /// Lower edges of the band.
    pub yhat_lower: Vec<Option<f64>>,
    /// Upper edges of the band.
    pub yhat_upper: Vec<Option<f64>>,
}

/// `GET /api/v1/anomalies[?state=open][&evidence=true]`: one anomaly, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnomalyReport {
    /// The anomaly as it stands.
    pub anomaly: Anomaly,
    /// The component with its group and labels.
    pub component: Component,
    /// What it can be judged by, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What `POST /api/v1/normal` takes: a person says that this is normal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Declaration {
    /// Which anomaly; it must be open.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "1f0c2a9e5b7d4c33"))]
    pub anomaly: AnomalyId,
}

/// What `POST /api/v1/normal` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeclarationReport {
    /// Which anomaly.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "1f0c2a9e5b7d4c33"))]
    pub anomaly: AnomalyId,
    /// Always true: it has ended, and what is there now is learnt.
    pub normal: bool,
}

/// A number for JSON, which has no NaN.
pub fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
