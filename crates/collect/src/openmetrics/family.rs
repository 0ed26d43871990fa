//! What the values of a series mean, from the types that the body declares and from the series' name.

use std::collections::HashMap;

use larnax_core::MetricKind;

use super::parser::FamilyType;
use super::series;

/// What becomes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is a metric of the schema.
    Metric(MetricKind),
    /// It says when a counter, histogram or summary began: known, but no metric.
    Created,
}

/// The types that a target has declared, by the name of the family.
#[derive(Debug)]
pub(super) struct Families {
    types: HashMap<Box<str>, FamilyType>,
    max: usize,
    scratch: String,
}

impl Families {
    /// Remembers at most `max` families.
    pub(super) fn new(max: usize) -> Self {
        Self { types: HashMap::new(), max, scratch: String::new() }
    }

    /// Takes a declaration; says whether it is news. `family` is the name as it stands, perhaps in quotes.
    ///
    /// When there are too many, all are forgotten and the next scrapes learn them anew: series that are known keep
    /// their kind, so that a flood of families costs the target precision and nothing else.
    pub(super) fn declare(&mut self, family: &[u8], declared: FamilyType) -> bool {
        self.scratch.clear();
        match family.strip_prefix(b"\"").and_then(|family| family.strip_suffix(b"\"")) {
            Some(quoted) => {
                series::unescape(quoted, &mut self.scratch);
            }
            None => self.scratch.push_str(std::str::from_utf8(family).unwrap_or_default()),
        }
        if let Some(known) = self.types.get_mut(self.scratch.as_str()) {
            let news = *known != declared;
            *known = declared;
            return news;
        }
        if self.types.len() >= self.max {
            self.types.clear();
        }
        self.types.insert(self.scratch.as_str().into(), declared);
        true
    }

    /// What becomes of a series called `name` (without labels).
    ///
    /// Sums, counts and buckets of histograms and summaries only grow, so they are counters; quantiles, info, state sets
    /// and gauge histograms are gauges. Without a type, the customary endings of counters decide.
    pub(super) fn role(&self, name: &str) -> Role {
        if let Some(base) = name.strip_suffix("_created")
            && self.has_created(base)
        {
            return Role::Created;
        }
        let kind = match self.types.get(name) {
            Some(FamilyType::Counter) => MetricKind::Counter,
            Some(FamilyType::Unknown) => kind_by_name(name),
            Some(_) => MetricKind::Gauge,
            None => self.kind_in_family(name),
        };
        Role::Metric(kind)
    }

    /// The kind of a series that has its family's name and an ending.
    fn kind_in_family(&self, name: &str) -> MetricKind {
        let base_type =
            name.rsplit_once('_').and_then(|(base, ending)| Some((self.types.get(base)?, ending)));
        match base_type {
            Some((FamilyType::Counter, "total"))
            | Some((FamilyType::Histogram, "bucket" | "sum" | "count"))
            | Some((FamilyType::Summary, "sum" | "count")) => MetricKind::Counter,
            Some((FamilyType::GaugeHistogram, "bucket" | "gsum" | "gcount")) => MetricKind::Gauge,
            _ => kind_by_name(name),
        }
    }

    /// Whether a family has a time of creation. In text 0.0.4 a counter's family is called `…_total`.
    fn has_created(&self, base: &str) -> bool {
        let declared = self.types.get(base).or_else(|| self.types.get(format!("{base}_total").as_str()));
        matches!(
            declared,
            Some(
                FamilyType::Counter
                    | FamilyType::Histogram
                    | FamilyType::Summary
                    | FamilyType::GaugeHistogram
            )
        )
    }
}

/// The kind that a series without a type has.
fn kind_by_name(name: &str) -> MetricKind {
    if ["_total", "_count", "_sum", "_bucket"].iter().any(|ending| name.ends_with(ending)) {
        MetricKind::Counter
    } else {
        MetricKind::Gauge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: Role = Role::Metric(MetricKind::Counter);
    const GAUGE: Role = Role::Metric(MetricKind::Gauge);

    #[test]
    fn a_series_means_what_its_family_says() {
        let mut families = Families::new(100);
        for (family, declared) in [
            ("http_requests", FamilyType::Counter),
            ("old_requests_total", FamilyType::Counter),
            ("latency", FamilyType::Histogram),
            ("queue", FamilyType::GaugeHistogram),
            ("rpc", FamilyType::Summary),
            ("build", FamilyType::Info),
            ("feature", FamilyType::StateSet),
            ("users_count", FamilyType::Gauge),
            ("events_total", FamilyType::Unknown),
            ("\"my.counter\"", FamilyType::Counter),
        ] {
            assert!(families.declare(family.as_bytes(), declared));
            assert!(!families.declare(family.as_bytes(), declared), "{family} is no news the second time");
        }
        for (name, role) in [
            ("http_requests_total", COUNTER),
            ("http_requests_created", Role::Created),
            ("old_requests_total", COUNTER),
            ("old_requests_created", Role::Created),
            ("latency_bucket", COUNTER),
            ("latency_sum", COUNTER),
            ("latency_count", COUNTER),
            ("latency_created", Role::Created),
            ("queue_bucket", GAUGE),
            ("queue_gcount", GAUGE),
            ("rpc", GAUGE),
            ("rpc_sum", COUNTER),
            ("rpc_count", COUNTER),
            ("build_info", GAUGE),
            ("feature", GAUGE),
            ("users_count", GAUGE),
            ("events_total", COUNTER),
            ("my.counter", COUNTER),
            ("my.counter_total", COUNTER),
            ("sandbox_created", GAUGE),
            ("untyped", GAUGE),
            ("untyped_total", COUNTER),
            ("untyped_bucket", COUNTER),
        ] {
            assert_eq!(families.role(name), role, "{name}");
        }
    }

    #[test]
    fn a_type_that_changes_is_news() {
        let mut families = Families::new(100);
        assert!(families.declare(b"a", FamilyType::Gauge));
        assert!(families.declare(b"a", FamilyType::Counter));
        assert_eq!(families.role("a"), COUNTER);
    }

    #[test]
    fn a_flood_of_families_stays_bounded() {
        let mut families = Families::new(10);
        for i in 0..1000 {
            families.declare(format!("f{i}").as_bytes(), FamilyType::Counter);
        }
        assert!(families.types.len() <= 10);
    }
}
