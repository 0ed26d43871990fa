//! The order of components of which only symptoms are known: one kind of metric each, which callers feel too, such as a latency. Then
//! who calls whom says more than how far each is out.

use larnax_core::Timestamp;

use crate::graph::Graph;
use crate::sides::{Sorted, Span};
use crate::signals::{HOT, Moved};

/// How likely it began with a component, as a key: larger is likelier.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Key {
    /// 2 if the alerting component feels it and nothing that it depends on explains it, 1 if something does, 0 for the rest.
    place: u8,
    /// Whether it was seen to depend on others: then it is instrumented, and those others are known to be well. What depends on
    /// nothing that is known, such as an address somewhere else, is seen by its callers only, and may be another name for one of
    /// the others, or stand in front of it.
    seen_from_within: bool,
    /// How many components that left their band it explains, with its own.
    explains: usize,
    /// How far out it is.
    size: f64,
}

impl Key {
    /// Whether the walk came by it.
    pub(crate) fn is_reached(&self) -> bool {
        self.place > 0
    }
}

/// The keys of all components. `moved` is what each did; none of a component without metrics.
///
/// From the alerting component on, through what it depends on and left its band when the alerting one did: PetShop's authors call
/// that traversal (Hardt et al., 2024), and take any of the last ones; here the last ones have an order.
pub(crate) fn keys(
    alerting: usize,
    graph: &Graph,
    moved: &[Option<Moved<'_>>],
    series: &[Sorted<'_>],
    span: &Span,
) -> Vec<Key> {
    let at = began(moved.get(alerting).copied().flatten(), series, span);
    let size = |moved: &Option<Moved<'_>>| moved.and_then(|moved| size_at(&moved, series, at)).unwrap_or(0.0);
    let sizes: Vec<f64> = moved.iter().map(size).collect();
    let hot = |place: usize| place == alerting || sizes.get(place).is_some_and(|size| *size > HOT.ln_1p());
    let felt = graph.reach(alerting, Graph::dependencies, hot);
    let key = |(place, &size): (usize, &f64)| {
        if !felt.contains_key(&place) {
            return Key { place: 0, seen_from_within: false, explains: 0, size };
        }
        let explained = graph.dependencies(place).iter().any(|other| felt.contains_key(other));
        Key {
            place: if explained { 1 } else { 2 },
            seen_from_within: !graph.dependencies(place).is_empty(),
            explains: graph.reach(place, Graph::dependents, hot).len(),
            size,
        }
    };
    sizes.iter().enumerate().map(key).collect()
}

/// The first time of the incident at which the alerting component is out of its band; the first of all if it never is.
fn began(alerting: Option<Moved<'_>>, series: &[Sorted<'_>], span: &Span) -> Option<Timestamp> {
    let moved = alerting?;
    let sorted = series.get(moved.series)?;
    let rows = sorted.rows(&span.incident);
    let values = sorted.values().get(rows.clone())?;
    let out = values.iter().position(|value| moved.normal.z(*value).abs() > HOT);
    sorted.times().get(rows.start + out.unwrap_or(0)).copied()
}

/// How far out a component was at a time, or at its last value before.
fn size_at(moved: &Moved<'_>, series: &[Sorted<'_>], at: Option<Timestamp>) -> Option<f64> {
    let Some(at) = at else { return Some(moved.z().abs().ln_1p()) };
    let sorted = series.get(moved.series)?;
    let row = sorted.times().partition_point(|time| *time <= at).checked_sub(1)?;
    let value = sorted.values().get(row)?;
    Some(moved.normal.z(*value).abs().ln_1p())
}
