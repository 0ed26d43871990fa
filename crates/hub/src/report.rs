//! What the hub answers, as types: the OpenAPI document is generated from them (feature `openapi`).

use std::collections::BTreeMap;

use larnax_alert::sinks::SinkReport;
use larnax_core::{Component, ComponentId, Edge, Glob, Offer, Timestamp};
use larnax_decide::{Offered, Silence};
use larnax_serve::process;
use larnax_store::AuditEntry;
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
    /// Models of components that were kept for others of their kind.
    pub models_kept: u64,
    /// Components that were told what others of their kind have learnt.
    pub models_given: u64,
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
    /// What it can do to that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
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

impl AgentReport {
    /// What it can do to a component.
    pub(crate) fn offered(&self, component: &ComponentId) -> Vec<Offered> {
        let offers = self.offers.iter().filter(|offer| offer.is_for(component));
        offers.map(|offer| Offered { agent: self.agent.clone(), offer: offer.clone() }).collect()
    }
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

/// The answer to somebody who wants something.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Told {
    /// What is done.
    pub answer: String,
}

/// What an edge can do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OffersReport {
    /// Which.
    pub agent: String,
    /// What.
    pub offers: Vec<Offer>,
}

/// What was learnt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PatternsReport {
    /// Who has stopped all actions; none where they aren't stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_by: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub frozen_at: Option<Timestamp>,
    /// Of what nobody is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silences: Vec<SilenceReport>,
    /// What incidents look like, by when each was first seen.
    pub patterns: Vec<PatternReport>,
}

/// That nobody is told of some components, and nothing is done about them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SilenceReport {
    /// Which; `*` stands for anything.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub on: Glob,
    /// Until when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Timestamp,
    /// Who said so.
    pub by: String,
}

impl From<&Silence> for SilenceReport {
    fn from(silence: &Silence) -> Self {
        Self { on: silence.on.clone(), until: silence.until, by: silence.by.clone() }
    }
}

/// A pattern.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PatternReport {
    /// Its name.
    pub name: String,
    /// How often it was seen.
    pub seen: u64,
    /// How often it was seen what comes of each action.
    pub actions: BTreeMap<String, u64>,
}

/// An entry of the audit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// Rises with each entry.
    pub number: u64,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub time: Timestamp,
    /// A person, or a part of Larnax.
    pub who: String,
    /// What was done.
    pub what: String,
    /// To what: an id.
    pub subject: String,
    /// Anything else.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: serde_json::Value,
}

impl From<(u64, AuditEntry)> for AuditReport {
    fn from((number, entry): (u64, AuditEntry)) -> Self {
        let AuditEntry { time, who, what, subject, data } = entry;
        Self { number, time, who, what, subject, data }
    }
}
