//! Events between roles: CloudEvents 1.0 in JSON.

use serde::{Deserialize, Serialize};

use crate::anomaly::Transition;
use crate::id::stable_hash;
use crate::{Anomaly, Component, Evidence, Incident, PlanEvent, PlanState, Timestamp};

/// An anomaly began. All event types stand in this file.
pub const ANOMALY_OPENED: &str = "io.larnax.anomaly.opened.v1";
/// An anomaly got worse or changed its metrics.
pub const ANOMALY_UPDATED: &str = "io.larnax.anomaly.updated.v1";
/// An anomaly ended.
pub const ANOMALY_CLOSED: &str = "io.larnax.anomaly.closed.v1";
/// An incident began.
pub const INCIDENT_OPENED: &str = "io.larnax.incident.opened.v1";
/// An incident gained an anomaly, or more is known of its cause.
pub const INCIDENT_UPDATED: &str = "io.larnax.incident.updated.v1";
/// An incident ended.
pub const INCIDENT_CLOSED: &str = "io.larnax.incident.closed.v1";
/// A plan was made, or has changed.
pub const PLAN: &str = "io.larnax.plan.changed.v1";
/// An action of a plan was ordered, begun, done or taken back.
pub const ACTION: &str = "io.larnax.action.changed.v1";
/// It is known what came of a plan.
pub const OUTCOME: &str = "io.larnax.outcome.known.v1";
/// A person wants something of a plan.
pub const REQUEST: &str = "io.larnax.request.v1";
/// An edge says what came of a command.
pub const REPORTED: &str = "io.larnax.action.reported.v1";
/// What only hubs write into their log, since it makes things happen: who else sends it is refused.
pub const OF_HUBS: [&str; 2] = [REQUEST, REPORTED];
/// Somebody changed a component: its subject. Published by whoever deploys, configures or scales.
pub const CHANGE: &str = "io.larnax.change.v1";
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

/// The data of an incident event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentEvent {
    /// What happened to it.
    pub transition: Transition,
    /// The incident as it stands. Its sequence counts its events.
    pub incident: Incident,
}

impl CloudEvent<IncidentEvent> {
    /// Wraps what happened.
    pub fn new(source: &str, time: Timestamp, data: IncidentEvent) -> Self {
        let incident = &data.incident;
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{}-{}", incident.id, incident.sequence),
            source: source.to_owned(),
            r#type: match data.transition {
                Transition::Opened => INCIDENT_OPENED,
                Transition::Updated => INCIDENT_UPDATED,
                Transition::Closed => INCIDENT_CLOSED,
            }
            .to_owned(),
            subject: incident.id.to_string(),
            time,
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
}

impl CloudEvent<PlanEvent> {
    /// Wraps what happened.
    pub fn new(source: &str, time: Timestamp, data: PlanEvent) -> Self {
        let plan = &data.plan;
        let r#type = match plan.state {
            PlanState::Shadow | PlanState::Proposed => PLAN,
            PlanState::Acting | PlanState::Verifying | PlanState::Undoing => ACTION,
            PlanState::Ended => OUTCOME,
        };
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{}-{}", plan.id, plan.sequence),
            source: source.to_owned(),
            r#type: r#type.to_owned(),
            subject: plan.incident.to_string(),
            time,
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
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
