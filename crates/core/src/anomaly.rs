//! Anomalies: a stretch of anomalous verdicts of one component.

use serde::{Deserialize, Serialize};

use crate::id::{stable_hash, stable_id};
use crate::{ComponentId, Contribution, Score, Timestamp};

stable_id! {
    /// A stable name: the first 16 hexadecimal digits of SHA-256 over component, kind and onset.
    AnomalyId, AnomalyIdError, "an anomaly"
}

impl AnomalyId {
    /// The same component, kind and onset always give the same id.
    pub fn of(component: &ComponentId, kind: AnomalyKind, onset: Timestamp) -> Self {
        Self(stable_hash(&[component.as_str(), kind.as_str(), &onset.nanos().to_string()]))
    }
}

/// What sort of anomaly it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AnomalyKind {
    /// Values that differ from what was learnt.
    Deviation,
    /// The whole component stopped sending.
    TargetAbsent,
    /// Metrics that were always there vanished.
    MetricAbsent,
}

impl AnomalyKind {
    /// The word used in events, labels and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deviation => "deviation",
            Self::TargetAbsent => "target_absent",
            Self::MetricAbsent => "metric_absent",
        }
    }
}

/// Why an anomaly ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CloseReason {
    /// The values came back into their bands, or the target came back.
    Recovered,
    /// The change lasted so long that it was taken as the new normal.
    Adopted,
    /// A person said that this is normal.
    DeclaredNormal,
    /// The component is no longer watched.
    Unwatched,
}

/// A stretch of anomalous verdicts of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Anomaly {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "1f0c2a9e5b7d4c33"))]
    pub id: AnomalyId,
    /// Whose it is.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "node/local/edge-17"))]
    pub component: ComponentId,
    /// What sort.
    pub kind: AnomalyKind,
    /// When it began: the first anomalous sample of the stretch.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub onset: Timestamp,
    /// When the stretch was long enough to be called an anomaly.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub opened: Timestamp,
    /// When it was last seen to be anomalous.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_seen: Timestamp,
    /// When it ended; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub closed: Option<Timestamp>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<CloseReason>,
    /// The latest score.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub score: Score,
    /// The highest score.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub peak: Score,
    /// Whether it was worth an alert under the alert budget, or is only recorded.
    pub alerted: bool,
    /// The metrics that contributed most at the peak, largest first.
    pub metrics: Vec<Contribution>,
}

impl Anomaly {
    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// What happened to an anomaly at one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// It is new.
    Opened,
    /// It got clearly worse, or its metrics changed.
    Updated,
    /// It ended.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_stable_and_depends_on_component_kind_and_onset() {
        let id: ComponentId = "node/local/a".parse().unwrap();
        let onset = Timestamp::from_seconds(5.0);
        let first = AnomalyId::of(&id, AnomalyKind::Deviation, onset);
        assert_eq!(first.to_string().len(), 16);
        assert_eq!(first, AnomalyId::of(&id, AnomalyKind::Deviation, onset));
        assert_ne!(first, AnomalyId::of(&id, AnomalyKind::TargetAbsent, onset));
        assert_ne!(first, AnomalyId::of(&id, AnomalyKind::Deviation, Timestamp::from_seconds(6.0)));
        assert_eq!(first.to_string().parse::<AnomalyId>().unwrap(), first);
    }
}
