//! Events between roles: CloudEvents 1.0 in JSON.

use serde::{Deserialize, Serialize};

use crate::anomaly::{Transition, stable_hash};
use crate::{Anomaly, Component, Evidence, Timestamp};

/// An anomaly began. All event types stand in this file.
pub const ANOMALY_OPENED: &str = "io.larnax.anomaly.opened.v1";
/// An anomaly got worse or changed its metrics.
pub const ANOMALY_UPDATED: &str = "io.larnax.anomaly.updated.v1";
/// An anomaly ended.
pub const ANOMALY_CLOSED: &str = "io.larnax.anomaly.closed.v1";
/// An agent is alive and has nothing else to say.
pub const HEARTBEAT: &str = "io.larnax.heartbeat.v1";

/// An event about an anomaly. The id is a stable hash of component, onset and sequence: the same event has the same id however
/// often it is sent.
pub type Event = CloudEvent<AnomalyEvent>;

/// A CloudEvent 1.0, in its JSON form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent<D> {
    /// Always `1.0`.
    pub specversion: String,
    /// Stable.
    pub id: String,
    /// Who says it, as a URI reference: `/larnax/edge/HOSTNAME`.
    pub source: String,
    /// One of the types of this file.
    pub r#type: String,
    /// The component, or whatever else it is about.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// What happened.
    pub data: D,
}

/// The data of an anomaly event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnomalyEvent {
    /// What happened to it.
    pub transition: Transition,
    /// Counts the events of one anomaly, from 0.
    pub sequence: u32,
    /// The anomaly as it stands.
    pub anomaly: Anomaly,
    /// The component with its group and labels.
    pub component: Component,
    /// What it can be judged by; with the opening event, and with updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

impl Event {
    /// Wraps what happened.
    pub fn new(source: &str, time: Timestamp, data: AnomalyEvent) -> Self {
        let anomaly = &data.anomaly;
        let sequence = data.sequence.to_string();
        let id = stable_hash(&[anomaly.component.as_str(), &anomaly.id.to_string(), &sequence]);
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{}-{id:016x}", anomaly.id),
            source: source.to_owned(),
            r#type: match data.transition {
                Transition::Opened => ANOMALY_OPENED,
                Transition::Updated => ANOMALY_UPDATED,
                Transition::Closed => ANOMALY_CLOSED,
            }
            .to_owned(),
            subject: anomaly.component.to_string(),
            time,
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
}
