//! What an incident looks like, seen from where it began.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larnax_core::{ComponentId, Edge, Timestamp};
use larnax_decide::{Feature, Look, Place, Signature, Track};
use larnax_diagnose::deviation::Normal;
use larnax_diagnose::{Case, Observed, Series, UP, When};
use larnax_session::EvidencePart;

use crate::calls;
use crate::evidence::observed;
use crate::up::up;

/// It is looked at for so long at the most: then what comes is the same.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// What an incident that began with `cause` at `onset` looks like, by what edges answered, by one clock: what a hub makes of it, for
/// those who judge recorded incidents.
pub fn signature_of(
    parts: Vec<(ComponentId, EvidencePart)>,
    edges: &[Edge],
    cause: &ComponentId,
    onset: Timestamp,
) -> Signature {
    let seen = |(component, part): (ComponentId, EvidencePart)| {
        let up = up(&part, onset);
        observed(component, part.window, up, 0.0)
    };
    let mut components: Vec<Observed> = parts.into_iter().map(seen).collect();
    let calls = calls::take(&mut components, edges, &BTreeMap::new());
    let edges = edges.to_vec();
    let case = Case { components, calls, edges, when: When::Since(onset), ..Case::default() };
    look(&case, cause, onset, onset).whole
}

/// What a case that began with `cause` at `onset` and was noticed when it was `opened` looks like.
pub(crate) fn look(case: &Case, cause: &ComponentId, onset: Timestamp, opened: Timestamp) -> Look {
    let places = places(case, cause);
    let names: BTreeSet<&str> =
        case.components.iter().flat_map(|observed| case.names_of(&observed.component)).collect();
    let mut of: BTreeMap<&ComponentId, Vec<&Series>> = BTreeMap::new();
    for observed in &case.components {
        of.entry(&observed.component).or_default().extend(&observed.series);
    }
    for call in &case.calls {
        for (end, view) in [(&call.caller, &call.caller_view), (&call.callee, &call.callee_view)] {
            of.entry(end).or_default().extend(view);
        }
    }
    let mut tracks = Vec::new();
    let mut latest = onset;
    for (component, series) in of {
        let Some(place) = places.get(component) else { continue };
        let up = series.iter().find(|series| series.metric.as_str() == UP);
        let is_down = up.is_some_and(|up| is_down(up, onset));
        for series in series {
            // Of what is down, what else it did says nothing.
            if is_down && series.metric.as_str() != UP {
                continue;
            }
            let Some(points) = points(series, onset) else { continue };
            latest = series.times.last().copied().map_or(latest, |last| latest.max(last));
            for kind in kinds(series.metric.as_str(), &names) {
                let feature = Feature { place: *place, kind };
                tracks.push(Track { feature, points: points.clone() });
            }
        }
    }
    let until =
        |end: Timestamp| Duration::try_from_secs_f64(end.since(onset)).unwrap_or_default().min(LOOKED_AT);
    let whole = Signature::of(&tracks, until(latest));
    // What every component has a sample of by the time it is looked at first, so that it is of the same length each time.
    let glimpse = Signature::of(&tracks, until(opened.min(latest)));
    Look { whole, glimpse, early: false }
}

/// Where each component is, seen from the cause: what depends on it is above, what it depends on below.
fn places<'a>(case: &'a Case, cause: &'a ComponentId) -> BTreeMap<&'a ComponentId, Place> {
    let reached = |up: bool| {
        let (mut reached, mut left) = (BTreeSet::new(), vec![cause]);
        while let Some(here) = left.pop() {
            for edge in &case.edges {
                let (from, to) = if up { (&edge.to, &edge.from) } else { (&edge.from, &edge.to) };
                if from == here && reached.insert(to) {
                    left.push(to);
                }
            }
        }
        reached
    };
    let mut places: BTreeMap<&ComponentId, Place> = BTreeMap::new();
    // Of what is both, in a circle, that it depends on the cause.
    places.extend(reached(false).into_iter().map(|id| (id, Place::Below)));
    places.extend(reached(true).into_iter().map(|id| (id, Place::Above)));
    places.insert(cause, Place::Cause);
    places
}

/// Whether most of what should have come since the onset did not.
fn is_down(up: &Series, onset: Timestamp) -> bool {
    let since = up.times.iter().zip(&up.values).filter(|(time, _)| **time >= onset);
    let (came, all) =
        since.fold((0, 0), |(came, all), (_, value)| (came + usize::from(*value > 0.5), all + 1));
    2 * came < all
}

/// How far a metric was out since the onset, by when. None where too little is known of what is usual.
fn points(series: &Series, onset: Timestamp) -> Option<Vec<(Duration, f64)>> {
    let begins = series.times.partition_point(|time| *time < onset);
    let (before, since) = series.values.split_at_checked(begins)?;
    let usual = Normal::of(&[before])?;
    let times = series.times.get(begins..)?;
    let point = |(time, value): (&Timestamp, &f64)| {
        let after = Duration::try_from_secs_f64(time.since(onset)).unwrap_or_default();
        (after, usual.z(*value))
    };
    Some(times.iter().zip(since).filter(|(_, value)| value.is_finite()).map(point).collect())
}

/// What a metric is called elsewhere: its family, and with labels, but for those that name a component. None of a histogram's bucket:
/// there are a dozen that say again what its sum and its count say, and would outweigh all others. Of 48 recorded incidents 82 % were
/// most like one with the same fault with them, and 90 % without.
fn kinds(metric: &str, components: &BTreeSet<&str>) -> BTreeSet<String> {
    let Some((family, labels)) = metric.split_once('{') else { return BTreeSet::from([metric.to_owned()]) };
    let labels = labels.strip_suffix('}').unwrap_or(labels);
    if labels.split("\",").any(|label| label.starts_with("le=\"")) {
        return BTreeSet::new();
    }
    let value =
        |label: &str| label.split_once("=\"").map_or("", |(_, value)| value.trim_end_matches('"')).to_owned();
    let kept: Vec<&str> =
        labels.split("\",").filter(|label| !components.contains(value(label).as_str())).collect();
    let whole = match kept.is_empty() {
        true => family.to_owned(),
        false => format!("{family}{{{}}}", kept.join("\",")),
    };
    BTreeSet::from([family.to_owned(), whole])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use larnax_core::{EdgeKind, MetricName};

    use super::*;

    fn at(second: f64) -> Timestamp {
        Timestamp::from_seconds(1e6 + second)
    }

    fn id(name: &str) -> ComponentId {
        ComponentId::from_parts("service", "shop", name)
    }

    fn series(metric: &str, since: f64) -> Series {
        let times: Vec<Timestamp> = (-100..20).map(|second| at(f64::from(second))).collect();
        let value = |time: &Timestamp| {
            let noise = ((time.seconds() * 7.0) % 5.0) / 5.0;
            if *time >= at(0.0) { since + noise } else { noise }
        };
        let values = times.iter().map(value).collect();
        Series { metric: MetricName::new(metric).unwrap(), times: Arc::from(times), values }
    }

    /// `cause` is busy, and who calls it waits; the others are as usual.
    fn case(cause: &str) -> Case {
        let calls = [("web", "orders"), ("orders", "stock")];
        let observed = |name: &str| {
            let waits = calls.iter().any(|(from, to)| *from == name && *to == cause);
            let callee = calls.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
            let client = callee
                .map(|to| series(&format!("wait_seconds{{to=\"{to}\"}}"), f64::from(u8::from(waits)) * 4.0));
            Observed {
                component: id(name),
                series: client
                    .into_iter()
                    .chain([series("cpu", if name == cause { 9.0 } else { 0.0 })])
                    .collect(),
            }
        };
        Case {
            components: ["web", "orders", "stock"].map(observed).to_vec(),
            edges: calls
                .map(|(from, to)| Edge { from: id(from), to: id(to), kind: EdgeKind::Calls })
                .to_vec(),
            ..Case::default()
        }
    }

    #[test]
    fn the_same_that_begins_elsewhere_looks_the_same_and_something_else_there_does_not() {
        let look = |of: &str, cause: &str| look(&case(of), &id(cause), at(0.0), at(3.0)).whole;
        let stock = look("stock", "stock");
        assert!(stock.similarity(&look("orders", "orders")) > 0.9);
        assert!(stock.similarity(&look("stock", "web")) < 0.5);
    }

    #[test]
    fn labels_that_name_components_are_left_out() {
        let names = BTreeSet::from(["stock"]);
        let kinds = |metric: &str| kinds(metric, &names).into_iter().collect::<Vec<_>>();
        assert_eq!(kinds("cpu"), ["cpu"]);
        assert_eq!(kinds("wait{to=\"stock\"}"), ["wait"]);
        assert_eq!(kinds("wait_bucket{why=\"late\",le=\"0.1\"}"), Vec::<String>::new());
        assert_eq!(kinds("wait{to=\"stock\",why=\"late\"}"), ["wait", "wait{why=\"late\"}"]);
    }

    #[test]
    fn of_what_is_down_only_that_is_seen() {
        let mut down = case("orders");
        let mut up = series(UP, 0.0);
        for (time, value) in up.times.iter().zip(&mut up.values) {
            *value = f64::from(u8::from(*time < at(0.0)));
        }
        down.components[1].series.push(up);
        let mut other = down.clone();
        other.components[1].series[1] = series("cpu", -5.0);
        let look = |case: &Case| look(case, &id("orders"), at(0.0), at(3.0));
        assert_eq!(look(&down), look(&other));
    }
}
