//! Nezha (Yu et al., "Nezha: Interpretable Fine-Grained Root Causes Analysis for Microservices on Multi-Modal Observability Data",
//! 2023): Online Boutique and Train Ticket over a day each, a row a minute, with latencies of calls and the call graph.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use larnax_core::{ComponentId, Edge, EdgeKind, Timestamp};
use larnax_diagnose::{CallLatency, Case, Observed, Series, When};
use serde_json::Value;

use super::files::{Table, folders, name, utc};
use super::trial::{Trial, component, observe, series};

/// A fault can be seen for seven minutes; the first four are judged, and nothing of the seven is normal.
const SEEN: f64 = 420.0;
const JUDGED: f64 = 240.0;
/// How far back normal rows are looked for.
const BEFORE: f64 = 7_200.0;
/// Fewer normal rows than that won't do: then those after the fault and before the first one count.
const ENOUGH: usize = 10;

/// A metric over the whole day: seconds and values.
type Whole = Vec<(f64, f64)>;

struct Fault {
    time: f64,
    pod: String,
    kind: String,
}

/// A day of one system.
struct Day {
    system: &'static str,
    faults: Vec<Fault>,
    metrics: Vec<(String, String, Whole)>,
    edges: Vec<Edge>,
    /// By caller and callee: the caller's view, the callee's.
    calls: BTreeMap<(String, String), [Whole; 2]>,
}

/// The faults of the development half.
pub(super) fn trials(data: &Path) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for folder in folders(&data.join("rca_nezha/dev"))? {
        let day = Day::read(&folder).with_context(|| folder.display().to_string())?;
        for fault in &day.faults {
            trials.push(day.trial(fault)?);
        }
    }
    Ok(trials)
}

impl Day {
    fn read(folder: &Path) -> Result<Self> {
        let system =
            if name(folder).starts_with("online_boutique") { "online boutique" } else { "train ticket" };
        let mut day = Self {
            system,
            faults: faults(&folder.join("fault_list.json"))?,
            metrics: Vec::new(),
            edges: Vec::new(),
            calls: BTreeMap::new(),
        };
        let mut files: Vec<_> = std::fs::read_dir(folder.join("metric"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.sort();
        // Calls name services, metrics name pods: SERVICE-HASH-HASH.
        let mut pods = BTreeMap::new();
        for file in &files {
            let Some(pod) = name(file).strip_suffix("_metric.csv.zst").map(str::to_owned) else { continue };
            let service = pod.rsplitn(3, '-').nth(2).unwrap_or(&pod).to_owned();
            day.metrics(&pod, &Table::read(file)?)?;
            pods.insert(service, pod);
        }
        for (view, file) in ["source_50", "destination_50"].iter().enumerate() {
            let path = folder.join(format!("metric/{file}.csv.zst"));
            if path.is_file() {
                day.calls(view, &Table::read(&path)?, &pods)?;
            }
        }
        let path = folder.join("metric/dependency.csv.zst");
        if path.is_file() {
            for row in Table::read(&path)?.rows.iter().skip(1) {
                let (Some(from), Some(to)) =
                    (row.first().and_then(|name| pods.get(name)), row.get(1).and_then(|name| pods.get(name)))
                else {
                    continue;
                };
                let (from, to) = (component(system, from), component(system, to));
                day.edges.push(Edge { from, to, kind: EdgeKind::Calls });
            }
        }
        Ok(day)
    }

    fn metrics(&mut self, pod: &str, table: &Table) -> Result<()> {
        // The column TimeStamp is wrong in one file.
        let times = times(table, table.place("Time")?)?;
        for (at, metric) in table.head().iter().enumerate().skip(3) {
            // What the pod's machine does is not the pod's.
            if !metric.starts_with("Node") {
                let whole = times.iter().copied().zip(table.numbers(at, 1)).collect();
                self.metrics.push((pod.to_owned(), metric.clone(), whole));
            }
        }
        Ok(())
    }

    fn calls(&mut self, view: usize, table: &Table, pods: &BTreeMap<String, String>) -> Result<()> {
        let times = times(table, table.place("time")?)?;
        for (at, head) in table.head().iter().enumerate() {
            let Some((caller, callee)) = head.split_once('_') else { continue };
            let (Some(caller), Some(callee)) = (pods.get(caller), pods.get(callee)) else { continue };
            let call = self.calls.entry((caller.clone(), callee.clone())).or_default();
            call[view] = times.iter().copied().zip(table.numbers(at, 1)).collect();
        }
        Ok(())
    }

    fn trial(&self, fault: &Fault) -> Result<Trial> {
        let id = |pod: &str| -> ComponentId { component(self.system, pod) };
        let mut components: Vec<Observed> = Vec::new();
        for (pod, metric, whole) in &self.metrics {
            observe(&mut components, id(pod), self.cut(metric, whole, fault)?);
        }
        let mut calls = Vec::new();
        for ((caller, callee), views) in &self.calls {
            let view = |at: usize| -> Result<Option<Series>> {
                let whole = views.get(at).filter(|whole| !whole.is_empty());
                whole.map(|whole| self.cut("latency", whole, fault)).transpose()
            };
            let (caller, callee) = (id(caller), id(callee));
            calls.push(CallLatency { caller, callee, caller_view: view(0)?, callee_view: view(1)? });
        }
        let second = |time: f64| Timestamp::from_seconds(time);
        Ok(Trial {
            system: self.system,
            id: format!("{}/{}", fault.kind, fault.time),
            truth: id(&fault.pod),
            case: Case {
                components,
                when: When::Windows {
                    normal: Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX),
                    incident: second(fault.time + 1.0)..second(fault.time + JUDGED + 1.0),
                },
                edges: self.edges.clone(),
                calls,
                ..Case::default()
            },
        })
    }

    /// The normal rows for a fault, and its own.
    fn cut(&self, metric: &str, whole: &Whole, fault: &Fault) -> Result<Series> {
        let near =
            |time: f64| self.faults.iter().any(|fault| (fault.time..fault.time + SEEN).contains(&time));
        let first = self.faults.iter().map(|fault| fault.time).fold(f64::INFINITY, f64::min);
        let before = |time: f64| time < fault.time && time >= fault.time - BEFORE && !near(time);
        let around = |time: f64| {
            time < first || (time < fault.time + BEFORE && time > fault.time + SEEN && !near(time))
        };
        let enough = whole.iter().filter(|(time, _)| before(*time)).count() >= ENOUGH;
        let judged = |time: f64| time > fault.time && time <= fault.time + JUDGED;
        let wanted = |time: f64| judged(time) || if enough { before(time) } else { around(time) };
        let rows = whole.iter().filter(|(time, _)| wanted(*time));
        series(metric, rows.map(|&(time, value)| (Timestamp::from_seconds(time), value)))
    }
}

fn times(table: &Table, column: usize) -> Result<Vec<f64>> {
    let cell = |row: &Vec<String>| row.get(column).map(|text| Ok(utc(text)?.seconds()));
    table.rows.iter().skip(1).map(|row| cell(row).context("a row is too short")?).collect()
}

fn faults(path: &Path) -> Result<Vec<Fault>> {
    let hours: BTreeMap<String, Vec<Value>> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut faults = Vec::new();
    for fault in hours.values().flatten() {
        let word = |name: &str| fault[name].as_str().with_context(|| format!("`{name}` is missing"));
        // inject_timestamp is hours off on one day.
        let time = utc(word("inject_time")?)?.seconds();
        faults.push(Fault {
            time,
            pod: word("inject_pod")?.to_owned(),
            kind: word("inject_type")?.to_owned(),
        });
    }
    faults.sort_by(|a, b| a.time.total_cmp(&b.time));
    Ok(faults)
}
