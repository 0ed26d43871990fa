//! Everything that a person writes: the config, as serde types with checked values, a schema and a reference.
//!
//! [`Config::from_yaml`] goes from a text to a checked config and reports every problem with its file, line, column and
//! field. Reading is pure, but for the names of time zones, which are the machine's; else [`Config::load`] and
//! [`Config::check_files`] are the only places that touch the disk.

pub mod env;

mod actions;
mod alerts;
mod check;
mod client;
mod config;
mod discovery;
mod files;
mod host;
mod hub;
mod load;
mod path;
pub mod placeholder;
mod policies;
mod prometheus;
mod report;
mod rule;
mod scrape;
mod suggest;
mod topology;
mod value;
mod yaml;

#[cfg(feature = "schema")]
pub mod reference;

pub use actions::{
    Action, CgroupAction, CommandAction, RecordAction, RestartAction, Signal, SignalAction, SystemdAction,
    SystemdVerb, VirshAction, VirshVerb, WebhookAction,
};
pub use alerts::{Alerting, AlertmanagerConfig, Alerts, Receiver, Spool};
pub use client::{Auth, Authorization, BasicAuth, TlsConfig};
pub use config::{Api, Config, Detect, Detector, Evidence, Global, Limits, Metrics, Threshold};
pub use discovery::{FileSdConfig, HttpSdConfig};
pub use env::Environment;
pub use host::{Host, HostConfig};
pub use hub::Hub;
pub use policies::{Day, Maintenance, Policy};
pub use report::{ConfigErrors, Problem, Warning};
pub use rule::{DetectionDirection, MetricRule};
pub use scrape::{AskPrometheus, Scheme, ScrapeConfig, ScrapeTarget, StaticConfig};
pub use topology::{Dependency, Topology, TopologyComponent, TopologyEdge};
pub use value::{
    AlertBudget, BudgetSpan, Bytes, CgroupPattern, ComponentName, DataRange, Listen, Pattern, Period, Scope,
    Secret, SecretSource, TimeOfDay, TimeZone, Url, ValueError,
};
