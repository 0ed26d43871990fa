//! Incidents: anomalies that belong together, with ranked causes or "cause unknown".

use serde::{Deserialize, Serialize};

use crate::id::{stable_hash, stable_id};
use crate::{AnomalyId, ComponentId, Edge, MetricName, PlanId, PlanState, Timestamp};

stable_id! {
    /// A stable name: sixteen hexadecimal digits of a hash of the anomaly that began it.
    IncidentId, IncidentIdError, "an incident"
}

impl IncidentId {
    /// The incident that begins with this anomaly: whoever builds it gives it the same id.
    pub fn of(first: AnomalyId) -> Self {
        Self(stable_hash(&["incident", &first.to_string()]))
    }
}

/// Anomalies that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Incident {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "1f0c2a9e5b7d4c33"))]
    pub id: IncidentId,
    /// The earliest onset of its anomalies.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub onset: Timestamp,
    /// When its first anomaly opened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub opened: Timestamp,
    /// When it last gained an anomaly, or one of its anomalies was last seen.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_seen: Timestamp,
    /// When its last anomaly closed; none while one is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub closed: Option<Timestamp>,
    /// Whether one of its anomalies was worth an alert: then it is told, once.
    pub alerted: bool,
    /// Its anomalies, by onset.
    pub anomalies: Vec<IncidentAnomaly>,
    /// Anomalies that belong to it but are not listed, because it has too many: those with the latest onsets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// The incident that it turned out to be a part of; then it is closed, and that one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub merged_into: Option<IncidentId>,
    /// What is known of its cause so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
    /// What is done about it: the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<IncidentPlan>,
    /// Counts its changes, from 0.
    pub sequence: u32,
}

/// What is done about an incident, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentPlan {
    /// The plan.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: PlanId,
    /// How far it has come.
    pub state: PlanState,
    /// What is proposed, or was chosen.
    pub action: String,
    /// To what.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub component: ComponentId,
}

/// One of an incident's anomalies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentAnomaly {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: AnomalyId,
    /// Whose.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "service/shop/orders"))]
    pub component: ComponentId,
    /// Who told of it: the `source` of its events. Empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub onset: Timestamp,
    /// When it ended; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub closed: Option<Timestamp>,
    /// How far its times were moved into the past, in seconds, because the clock of who told of it runs ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_seconds: Option<f64>,
    /// The metrics that made it one, the one that contributed most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, example = json!(["cpu/user"])))]
    pub metrics: Vec<MetricName>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What is known of the cause of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diagnosis {
    /// Whether the first candidate is named as the cause. Otherwise the cause is unknown, and candidates are only what is
    /// most unusual.
    pub known: bool,
    /// How sure that is: of what was named with so much, about this share was right on public data. 0 to 1.
    pub confidence: f64,
    /// Where it may have begun, most likely first.
    pub candidates: Vec<Candidate>,
    /// The part of the topology that is involved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// How many bytes of evidence were pulled for it.
    #[serde(default)]
    pub evidence_bytes: u64,
    /// Why it says what it says, or why it can't say: a sentence for each reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A component where an incident may have begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Candidate {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "service/shop/orders"))]
    pub component: ComponentId,
    /// Larger is likelier; only to be compared within one diagnosis.
    pub score: f64,
    /// When it first left what it usually does; none where that can't be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub onset: Option<Timestamp>,
    /// How far that may be off, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset_error_seconds: Option<f64>,
    /// What it did, the most unusual metric first.
    pub metrics: Vec<CandidateMetric>,
    /// Why it is a candidate, in sentences for people.
    pub reasons: Vec<String>,
    /// How it reaches what was noticed: this component first, then who depends on it, and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub path: Vec<ComponentId>,
}

/// What a metric of a candidate did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CandidateMetric {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: MetricName,
    /// Its mean before the onset.
    pub before: f64,
    /// The value farthest from that since.
    pub extreme: f64,
    /// The distance between them in deviations of the time before, signed.
    pub deviation: f64,
    /// For a small chart: seconds after the incident's onset, and the value then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<(f64, f64)>,
}
