//! CSV files of many components' metrics.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use larnax_collect::files::{FileOptions, FileSource};
use larnax_core::{ComponentId, MetricName, Timestamp};
use larnax_diagnose::{Observed, Series};

/// The most values that are held, 8 bytes each.
const MAX_VALUES: usize = 50_000_000;

/// A file, column by column.
pub(super) struct Columns {
    times: Vec<Timestamp>,
    columns: Vec<(ComponentId, MetricName, Vec<f64>)>,
}

impl Columns {
    /// Reads a whole file. `known` are components by what columns may call them.
    pub(super) fn read(path: &Path, known: &HashMap<String, ComponentId>) -> anyhow::Result<Self> {
        let mut source = FileSource::open(path, &FileOptions::default())?;
        let name = path.display();
        let mut columns: Vec<(ComponentId, MetricName, Vec<f64>)> = Vec::new();
        for metric in source.schema().metrics() {
            let (component, metric) = split(metric.name.as_str(), known)
                .with_context(|| format!("{name}:1: column `{}`", metric.name))?;
            columns.push((component, metric, Vec::new()));
        }
        let (mut times, mut row) = (Vec::new(), Vec::new());
        let (mut skipped, mut first) = (0u64, None);
        while let Some(record) = source.next_record(&mut row)? {
            let (Some(time), None) = (record.time, &record.problem) else {
                skipped += 1;
                if let (None, Some(problem)) = (&first, &record.problem) {
                    first = Some(format!("line {}: {problem}", record.line));
                }
                continue;
            };
            if (times.len() + 1).saturating_mul(columns.len()) > MAX_VALUES {
                bail!(
                    "{name}: has more than {MAX_VALUES} values, the most that are read; leave some columns or rows out"
                );
            }
            times.push(time);
            columns.iter_mut().zip(&row).for_each(|((.., values), value)| values.push(*value));
        }
        source.warnings().iter().for_each(|warning| eprintln!("larnax: {name}: {warning}"));
        if skipped > 0 {
            eprintln!(
                "larnax: {name}: {skipped} rows were left out, the first: {}",
                first.unwrap_or_default()
            );
        }
        if times.is_empty() {
            bail!("{name}: no row can be used; expected a time and values");
        }
        Ok(Self { times, columns })
    }

    /// The earliest row.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.times.iter().min().copied()
    }

    /// The components, with the rows of `normal` in front of these, whenever they were taken.
    pub(super) fn observed(self, normal: Option<Self>) -> Vec<Observed> {
        let mut before: HashMap<(ComponentId, MetricName), Vec<f64>> = HashMap::new();
        let mut times = Vec::new();
        if let Some(normal) = normal {
            let earlier = match (normal.times.iter().max(), self.first()) {
                (Some(&last), Some(first)) if last >= first => last.since(first) + 1.0,
                _ => 0.0,
            };
            let earlier = Duration::try_from_secs_f64(earlier).unwrap_or_default();
            times.extend(normal.times.iter().map(|time| time.minus(earlier)));
            before = normal.columns.into_iter().map(|(c, metric, values)| ((c, metric), values)).collect();
        }
        let rows_before = times.len();
        times.extend_from_slice(&self.times);
        let times: Arc<[Timestamp]> = times.into();
        let mut observed: Vec<Observed> = Vec::new();
        let mut places: HashMap<ComponentId, usize> = HashMap::new();
        for (component, metric, since) in self.columns {
            let mut values = before
                .remove(&(component.clone(), metric.clone()))
                .unwrap_or_else(|| vec![f64::NAN; rows_before]);
            values.extend(since);
            let place = *places.entry(component.clone()).or_insert_with(|| {
                observed.push(Observed { component, series: Vec::new() });
                observed.len() - 1
            });
            if let Some(observed) = observed.get_mut(place) {
                observed.series.push(Series { metric, times: Arc::clone(&times), values });
            }
        }
        observed
    }
}

/// Takes a column's name apart: the longest known component in front of a slash; else an id of three parts where there are
/// four and more; else what stands in front of the first slash.
fn split(column: &str, known: &HashMap<String, ComponentId>) -> anyhow::Result<(ComponentId, MetricName)> {
    // Slashes in labels, as in `{path="/cart"}`, part nothing.
    let plain = column.split('{').next().unwrap_or_default();
    let slashes: Vec<usize> = plain.match_indices('/').map(|(at, _)| at).collect();
    let known_at = slashes.iter().rev().find_map(|&at| Some((known.get(column.get(..at)?)?.clone(), at)));
    let (component, at) = match (known_at, slashes.as_slice()) {
        (Some((component, at)), _) => (component, at),
        (None, [_, _, third, ..]) => (column.get(..*third).unwrap_or_default().parse()?, *third),
        (None, [first, ..]) => (super::graph::component(column.get(..*first).unwrap_or_default())?, *first),
        (None, []) => bail!("expected component/metric, such as `orders/cpu`"),
    };
    let metric = column.get(at + 1..).unwrap_or_default();
    Ok((component, MetricName::new(metric).context("expected component/metric, such as `orders/cpu`")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(column: &str, known: &[&str]) -> (String, String) {
        let known = known.iter().map(|id| ((*id).to_owned(), super::super::graph::component(id).unwrap()));
        let (component, metric) = split(column, &known.collect()).unwrap();
        (component.to_string(), metric.to_string())
    }

    #[test]
    fn a_column_begins_with_a_component() {
        for (column, component, metric) in [
            ("orders/cpu", "service/local/orders", "cpu"),
            ("orders/cpu/busy", "service/local/orders", "cpu/busy"),
            ("service/shop/orders/cpu", "service/shop/orders", "cpu"),
            ("node/local/edge-17/cpu/busy", "node/local/edge-17", "cpu/busy"),
            ("api/seconds{path=\"/a/b/c\"}", "service/local/api", "seconds{path=\"/a/b/c\"}"),
        ] {
            assert_eq!(parts(column, &[]), (component.to_owned(), metric.to_owned()));
        }
    }

    #[test]
    fn the_longest_component_that_the_graph_knows_is_the_one() {
        let known = ["service/shop/a", "service/local/b"];
        assert_eq!(parts("service/shop/a/x/y/z", &known), ("service/shop/a".to_owned(), "x/y/z".to_owned()));
    }

    #[test]
    fn a_column_without_a_component_is_refused() {
        for column in ["cpu", "/cpu", "orders/", "a//b/c"] {
            assert!(split(column, &HashMap::new()).is_err(), "{column}");
        }
    }
}
