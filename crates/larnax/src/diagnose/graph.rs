//! Files beside the metrics: who depends on whom, and what was changed.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use larnax_core::{ComponentId, Edge, EdgeKind, Timestamp};
use larnax_diagnose::{Change, ChangeKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphFile {
    edges: Vec<EdgeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeEntry {
    from: String,
    to: String,
    #[serde(default = "calls")]
    kind: EdgeKind,
}

fn calls() -> EdgeKind {
    EdgeKind::Calls
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeEntry {
    time: Timestamp,
    component: String,
    kind: KindEntry,
    #[serde(default)]
    text: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindEntry {
    Deploy,
    Config,
    Scale,
}

/// The component that a person means by a whole id or a bare name.
pub(super) fn component(text: &str) -> anyhow::Result<ComponentId> {
    if text.is_empty() {
        bail!("found an empty name, expected a component such as `orders` or `service/shop/orders`");
    }
    if text.contains('/') { Ok(text.parse()?) } else { Ok(ComponentId::from_parts("service", "local", text)) }
}

/// The edges of a file.
pub(super) fn edges(path: &Path) -> anyhow::Result<Vec<Edge>> {
    let file: GraphFile = read(path, r#"{"edges": [{"from": "api", "to": "orders", "kind": "calls"}]}"#)?;
    let edge = |(i, entry): (usize, EdgeEntry)| {
        let end = |name: &str, text: &str| {
            component(text).map_err(|error| anyhow!("{}: edges[{i}].{name}: {error}", path.display()))
        };
        Ok(Edge { from: end("from", &entry.from)?, to: end("to", &entry.to)?, kind: entry.kind })
    };
    file.edges.into_iter().enumerate().map(edge).collect()
}

/// The changes of a file.
pub(super) fn changes(path: &Path) -> anyhow::Result<Vec<Change>> {
    let file: Vec<ChangeEntry> = read(
        path,
        r#"[{"time": "2026-11-21T18:20:00Z", "component": "orders", "kind": "deploy", "text": "v2"}]"#,
    )?;
    let change = |(i, entry): (usize, ChangeEntry)| {
        let component = component(&entry.component)
            .map_err(|error| anyhow!("{}: [{i}].component: {error}", path.display()))?;
        let kind = match entry.kind {
            KindEntry::Deploy => ChangeKind::Deploy,
            KindEntry::Config => ChangeKind::Config,
            KindEntry::Scale => ChangeKind::Scale,
        };
        Ok(Change { time: entry.time, component, kind, text: entry.text })
    };
    file.into_iter().enumerate().map(change).collect()
}

fn read<T: DeserializeOwned>(path: &Path, example: &str) -> anyhow::Result<T> {
    let name = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("{name}: can't be opened"))?.len();
    if size > MAX_BYTES {
        bail!("{name}: has {size} bytes; expected at most {MAX_BYTES}");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{name}: can't be read"))?;
    serde_json::from_str(&text).map_err(|error| anyhow!("{name}: {error}; expected JSON such as {example}"))
}

/// The components of a graph, by all the names that a column may begin with.
pub(super) fn names(edges: &[Edge]) -> HashMap<String, ComponentId> {
    let mut names = HashMap::new();
    for component in edges.iter().flat_map(|edge| [&edge.from, &edge.to]) {
        names.insert(component.as_str().to_owned(), component.clone());
        if component.kind() == "service" && component.scope() == "local" {
            names.insert(component.name().to_owned(), component.clone());
        }
    }
    names
}
