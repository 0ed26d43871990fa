//! What the hub answers, as types: the OpenAPI document is generated from them (feature `openapi`).

use larnax_alert::sinks::SinkReport;
use larnax_core::{Component, ComponentId, Edge, Timestamp};
use larnax_serve::process;
use serde::{Deserialize, Serialize};

use crate::hub::Hub;

/// The hub and how it is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HubReport {
    /// Version of the program.
    pub version: String,
    /// Its name among the hubs of one store.
    pub name: String,
    /// Since when it runs.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started: Timestamp,
    /// Its time.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub now: Timestamp,
    /// Whether it is this hub that builds incidents; of several on one store only one does.
    pub acting: bool,
    /// Edges that are connected to it.
    pub agents: usize,
    /// Incidents that have not ended. Only the hub that builds them counts them.
    pub open_incidents: usize,
    /// Components that the topology has.
    pub topology_components: usize,
    /// Edges that it has.
    pub topology_edges: usize,
    /// What it did since its start.
    pub counters: Counters,
    /// One per place that incidents are told to.
    pub sinks: Vec<SinkReport>,
    /// CPU that the process used since its start, in seconds.
    pub cpu_seconds: f64,
    /// Memory that the process has resident, in bytes.
    pub resident_bytes: u64,
}

/// What a hub did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counters {
    /// Events that edges told and that are safe.
    pub events_taken: u64,
    /// Events that will never be taken.
    pub events_refused: u64,
    /// Questions for evidence.
    pub pulls: u64,
    /// Those that nobody answered.
    pub pulls_failed: u64,
    /// Bytes of evidence, on the wire.
    pub evidence_bytes: u64,
    /// Causes looked for.
    pub diagnoses: u64,
}

/// A connected edge, for reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentReport {
    /// Its name.
    pub agent: String,
    /// The hub that it is connected to.
    pub hub: String,
    /// Version of its program.
    pub version: String,
    /// Since when it is connected.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
    /// When it was last heard.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_heard: Timestamp,
    /// How far its clock is ahead of the hub's, in seconds; with what the heartbeat took on its way.
    pub clock_ahead_seconds: f64,
    /// What it watches.
    pub components: Vec<Component>,
}

/// Who depends on whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyReport {
    /// The components that somebody described.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub components: Vec<ComponentId>,
    /// The edges that are there.
    pub edges: Vec<Edge>,
}

impl Hub {
    /// How it is doing.
    pub(crate) fn report(&self) -> HubReport {
        let known = self.known.borrow();
        HubReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.options.name.clone(),
            started: self.started,
            now: self.now(),
            acting: known.acting.is_some(),
            agents: self.sessions.count(),
            open_incidents: known.incidents.all().filter(|incident| incident.closed.is_none()).count(),
            topology_components: known.topology.components().count(),
            topology_edges: known.topology.edges().count(),
            counters: self.counters.get(),
            sinks: self.people.borrow().as_ref().map(|people| people.reports()).unwrap_or_default(),
            cpu_seconds: process::cpu_seconds(),
            resident_bytes: process::resident_bytes(),
        }
    }

    pub(crate) fn topology_report(&self) -> TopologyReport {
        let known = self.known.borrow();
        TopologyReport {
            components: known.topology.components().map(|component| component.id).collect(),
            edges: known.topology.edges().cloned().collect(),
        }
    }
}
