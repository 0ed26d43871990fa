//! What is watched of this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rule::MetricRule;
use crate::value::{CgroupPattern, Pattern, Period};

/// `true`, `false`, or a map with the settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Host {
    /// `false`: not watched.
    Off,
    /// `true` or a map: watched.
    On(HostConfig),
}

/// How this machine is watched: cpu, load, memory, disks, network, pressure, cgroups, processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// What this machine is called, instead of its host name: in a container, the name of the machine that it runs on. Read when the agent
    /// starts. Example: `${NODE_NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// How often, at least `100ms`; without it, the `interval` of the config. Example: `500ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// Groups of processes, at most 64: a name, and a regular expression that has to match a process' whole short name
    /// or its whole command line. Example: `{nginx: "nginx.*"}`.
    pub processes: BTreeMap<String, Pattern>,
    /// Cgroups to watch, by patterns of their paths: `*` stands for any part of one name, `**` for any number of names.
    /// An empty list watches none. Example: `["/system.slice/*.service"]`.
    pub cgroups: Vec<CgroupPattern>,
    /// Metrics to keep, by regular expressions on their names; an empty list keeps all. Example: `["cpu.*", "mem/.*"]`.
    pub include: Vec<Pattern>,
    /// Metrics to leave out, even if `include` names them. Example: `["disk/loop.*"]`.
    pub exclude: Vec<Pattern>,
    /// What is known beforehand of some of its metrics; these come before `metrics.rules`, and what is known of this
    /// machine's metrics anyway stays where they say nothing. Example: `[{match: "disk/.*/busy", min_dev_from_expected: 0.3}]`.
    pub metric_rules: Vec<MetricRule>,
    /// Where the proc file system is; in a container, where the host's is mounted. Example: `/host/proc`.
    pub proc: PathBuf,
    /// Where the sys file system is. Example: `/host/sys`.
    pub sys: PathBuf,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            name: None,
            interval: None,
            processes: BTreeMap::new(),
            cgroups: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            metric_rules: Vec::new(),
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On(config) if *config == HostConfig::default() => serializer.serialize_bool(true),
            Self::On(config) => config.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SwitchOrSettings;

        impl<'de> Visitor<'de> for SwitchOrSettings {
            type Value = Host;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or a map with settings")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Host, E> {
                Ok(if on { Host::On(HostConfig::default()) } else { Host::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Host, A::Error> {
                HostConfig::deserialize(MapAccessDeserializer::new(map)).map(Host::On)
            }
        }

        deserializer.deserialize_any(SwitchOrSettings)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Host {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Host".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "boolean" }, generator.subschema_for::<HostConfig>()] })
    }
}
