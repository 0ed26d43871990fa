//! Topology: components and their edges, told in deltas by several sources.

use serde::{Deserialize, Serialize};

use crate::{Component, ComponentId};

/// How two components depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EdgeKind {
    /// Horizontal: `from` calls `to`, so what is wrong with `to` can be felt in `from`.
    Calls,
    /// Vertical: `from` runs on `to`.
    RunsOn,
}

/// `from` depends on `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Edge {
    /// What depends.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "service/shop/orders"))]
    pub from: ComponentId,
    /// What it depends on.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "service/shop/stock"))]
    pub to: ComponentId,
    /// How.
    pub kind: EdgeKind,
}

/// Who says so. A later one wins over those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TopologySource {
    /// An agent saw connections, processes and cgroups.
    Agent,
    /// The platform (Kubernetes) says so.
    Platform,
    /// A person wrote it.
    Config,
}

/// What one source has to say since its last delta. What it does not repeat within `ttl_seconds` is forgotten.
///
/// What a person wrote is whole each time: a delta of [`TopologySource::Config`] stands for all that the same `by` said
/// before, because there `removed_edges` means something else than "no longer".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopologyDelta {
    /// What sort of source.
    pub source: TopologySource,
    /// Which one: an agent's name, a cluster's, a file's. Two of the same sort don't remove each other's edges.
    pub by: String,
    /// How long it holds without being repeated; none holds until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<f64>,
    /// Components that are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// Edges that are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// Components that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub removed_components: Vec<ComponentId>,
    /// Edges that are gone. From a person: edges that are not there whatever others say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_edges: Vec<Edge>,
}
