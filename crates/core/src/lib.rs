//! The words of Larnax, one name per idea, the same in code, config, API and docs.
//!
//! This crate knows nobody, does no I/O, never awaits and never reads a clock, except for the one implementation of
//! [`Clock`] that programs hand down.

pub mod action;
pub mod anomaly;
pub mod component;
pub mod event;
pub mod event_log;
pub mod evidence;
mod id;
pub mod incident;
pub mod model_store;
pub mod plan;
pub mod sample;
pub mod schema;
pub mod time;
pub mod topology;
pub mod verdict;

pub use action::{Authority, Command, Effect, Glob, Mode, Offer, Report, Risk, Wanted};
pub use anomaly::{Anomaly, AnomalyId, AnomalyKind, CloseReason, Transition};
pub use component::{Component, ComponentId};
pub use event::{CloudEvent, Event};
pub use event_log::{Appended, EventLog, LogError, Logged, RawEvent};
pub use evidence::{Evidence, MetricEvidence, Window};
pub use incident::{
    Candidate, CandidateMetric, Diagnosis, Incident, IncidentAnomaly, IncidentId, IncidentPlan,
};
pub use model_store::{ModelStore, StoreError};
pub use plan::{Decision, Outcome, Plan, PlanEvent, PlanId, PlanState, Proposal, Request, Seen, Step, Want};
pub use sample::{Batch, Row};
pub use schema::{Bounds, Direction, Metric, MetricKind, MetricName, Schema};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use topology::{Edge, EdgeKind, TopologyDelta, TopologySource};
pub use verdict::{Contribution, MetricVerdict, Score, Status, Verdict};
