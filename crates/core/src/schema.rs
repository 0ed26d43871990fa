//! Schemas: which metrics a vector of values holds, in which order.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of one metric with its labels, as in `node_cpu_seconds_total{cpu="0",mode="idle"}` or `cpu/user`.
/// Not empty, without line breaks. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MetricName(Arc<str>);

impl MetricName {
    /// Checks and keeps a name.
    pub fn new(name: &str) -> Result<Self, SchemaError> {
        if name.is_empty() || name.contains(['\n', '\r']) {
            return Err(SchemaError::BadName(name.chars().take(80).collect()));
        }
        Ok(Self(name.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its labels: what stands before the first `{`.
    pub fn family(&self) -> &str {
        self.0.split('{').next().unwrap_or_default()
    }
}

/// Compares and hashes as its text does, so that maps by name can be asked with a `&str`.
impl Borrow<str> for MetricName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MetricName {
    type Error = SchemaError;

    fn try_from(name: String) -> Result<Self, SchemaError> {
        Self::new(&name)
    }
}

impl From<MetricName> for String {
    fn from(name: MetricName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// A level, used as it is.
    Gauge,
    /// A running total that falls only on a reset; becomes a rate per second in the pipeline.
    Counter,
}

/// Which changes of a metric are worth telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// Only values above what is expected: errors, latency.
    Above,
    /// Only values below what is expected: throughput, free space.
    Below,
}

/// What is known beforehand of one metric's values, from its source or its owner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// A deviation from what is expected that is smaller than this, in the metric's unit, is nothing. Not negative.
    pub least: f64,
    /// Which deviations count.
    pub direction: Direction,
    /// The lowest possible value. What is below is anomalous, whatever was learnt.
    pub lowest: f64,
    /// The highest possible value. What is above is anomalous, whatever was learnt.
    pub highest: f64,
}

impl Bounds {
    /// Nothing is known.
    pub const NONE: Self =
        Self { least: 0.0, direction: Direction::Both, lowest: f64::NEG_INFINITY, highest: f64::INFINITY };

    /// The part of a deviation that counts: 0 in the direction that nobody asked for.
    pub fn counts(&self, deviation: f64) -> f64 {
        match self.direction {
            Direction::Both => deviation,
            Direction::Above => deviation.max(0.0),
            Direction::Below => deviation.min(0.0),
        }
    }

    /// Whether a value is outside what is possible.
    pub fn excludes(&self, value: f64) -> bool {
        value < self.lowest || value > self.highest
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::NONE
    }
}

/// One metric of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: MetricName,
    /// What its values mean.
    pub kind: MetricKind,
    /// What is known beforehand of its values.
    pub bounds: Bounds,
}

impl Metric {
    /// A metric of which nothing is known beforehand.
    pub fn new(name: MetricName, kind: MetricKind) -> Self {
        Self { name, kind, bounds: Bounds::NONE }
    }
}

/// Why metrics make no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A name that can't be one.
    #[error("`{0}` is not a metric name: expected a text that is not empty and has no line breaks")]
    BadName(String),
    /// A name that stands twice.
    #[error("metric `{0}` stands twice in one schema: expected each name once")]
    Duplicate(MetricName),
}

/// The ordered metrics of a target. Immutable and shared: a change is a new schema, handed over explicitly.
/// The default one has no metrics.
#[derive(Default)]
pub struct Schema {
    metrics: Vec<Metric>,
    /// Positions in order of name, for look-up without a table of its own.
    by_name: Vec<u32>,
}

impl Schema {
    /// Checks that each name stands once.
    pub fn new(metrics: Vec<Metric>) -> Result<Arc<Self>, SchemaError> {
        let mut by_name: Vec<u32> = (0..metrics.len() as u32).collect();
        by_name.sort_unstable_by(|&a, &b| metrics[a as usize].name.cmp(&metrics[b as usize].name));
        for pair in by_name.windows(2) {
            if metrics[pair[0] as usize].name == metrics[pair[1] as usize].name {
                return Err(SchemaError::Duplicate(metrics[pair[0] as usize].name.clone()));
            }
        }
        Ok(Arc::new(Self { metrics, by_name }))
    }

    /// Metrics in their order.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// How many metrics it has.
    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// The name at a position.
    ///
    /// # Panics
    /// When `index` is not below [`Schema::len`].
    pub fn name(&self, index: usize) -> &MetricName {
        &self.metrics[index].name
    }

    /// Where a metric stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name
            .binary_search_by(|&i| self.metrics[i as usize].name.as_str().cmp(name))
            .ok()
            .map(|i| self.by_name[i] as usize)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.metrics == other.metrics
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.metrics.iter().map(|m| &m.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(name: &str) -> Metric {
        Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge)
    }

    #[test]
    fn positions_are_found_by_name_whatever_the_order() {
        let schema = Schema::new(vec![gauge("b"), gauge("a"), gauge("c{x=\"1\"}")]).unwrap();
        assert_eq!(schema.position("a"), Some(1));
        assert_eq!(schema.position("c{x=\"1\"}"), Some(2));
        assert_eq!(schema.position("d"), None);
        assert_eq!(schema.name(2).family(), "c");
    }

    #[test]
    fn a_name_that_stands_twice_is_named_in_the_error() {
        let error = Schema::new(vec![gauge("a"), gauge("b"), gauge("a")]).unwrap_err();
        assert!(error.to_string().contains("`a` stands twice"), "{error}");
    }
}
