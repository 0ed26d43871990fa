//! What deviated: for each component and kind of metric, how far, and how much of it is its own.

use std::collections::{HashMap, HashSet};

use larnax_core::{ComponentId, MetricName};

use crate::case::{Case, Series};
use crate::deviation::{Normal, median};
use crate::sides::{Sorted, Span};

/// No deviation counts for more than that of a metric that moved by the whole of its level: a thousand of the thousandths that
/// are the least scale. What rises from an exact 0 would count for any number.
const MOST_DEVIATIONS: f64 = 1_000.0;

/// What left its band is out by more than this many deviations: the threshold of the graph traversal that PetShop's authors
/// compare with.
pub(crate) const HOT: f64 = 5.0;

/// What Prometheus calls the series that is 0 while a target can't be scraped; of what is down nothing else is looked at.
pub const UP: &str = "up";

/// What is compared between components: metrics of one name, and the two things that call latencies tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind<'a> {
    Metric(&'a str),
    /// How long it took to answer.
    Answers,
    /// How much longer its calls took for the caller than for the callee.
    Transport,
}

impl<'a> Kind<'a> {
    /// The same without labels.
    pub(crate) fn family(self) -> Self {
        match self {
            Self::Metric(name) => Self::Metric(name.split('{').next().unwrap_or_default()),
            other => other,
        }
    }

    /// Whether a label says that it was measured of the component with this name, as a client does of a server.
    pub(crate) fn is_of(self, name: &str) -> bool {
        let Self::Metric(metric) = self else { return false };
        metric.split_once('{').is_some_and(|(_, labels)| {
            // `="name"`, without making a string of it.
            labels.split("=\"").skip(1).any(|rest| rest.split('"').next() == Some(name))
        })
    }
}

/// One kind of metric of one component.
#[derive(Clone, Debug)]
pub(crate) struct Signal<'a> {
    pub(crate) component: usize,
    pub(crate) kind: Kind<'a>,
    /// ln(1 + z) of the value farthest out.
    pub(crate) size: f64,
    /// Whether it left its band: farther out than [`HOT`] at the most, and as a rule beyond everything normal.
    pub(crate) hot: bool,
    /// Its part of what its kind did everywhere: what everybody does at once says little.
    pub(crate) share: f64,
    /// What the metric did; none of call latencies, which are several metrics.
    pub(crate) moved: Option<Moved<'a>>,
}

/// What a metric did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved<'a> {
    pub(crate) metric: &'a MetricName,
    /// Its place in the list of all series.
    pub(crate) series: usize,
    pub(crate) normal: Normal,
    /// The incident's value farthest from the normal mean.
    pub(crate) extreme: f64,
    /// How far out half of the incident lies at least, in units of how far any normal value did. Where not even the extreme is
    /// beyond, that of the extreme.
    pub(crate) typical: f64,
}

impl Moved<'_> {
    /// Signed deviations of the extreme value.
    pub(crate) fn z(&self) -> f64 {
        self.normal.z(self.extreme).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    }
}

/// All signals of a case. `series` are its metrics in order, component by component.
pub(crate) fn signals<'a>(
    case: &'a Case,
    places: &HashMap<&ComponentId, usize>,
    series: &[Sorted<'_>],
    span: &Span,
) -> Vec<Signal<'a>> {
    let all = case.components.iter().flat_map(|observed| {
        let place = places.get(&observed.component).copied();
        observed.series.iter().map(move |series| (place, &series.metric))
    });
    let mut signals = Vec::with_capacity(series.len());
    let mut buffer = Vec::new();
    for (at, ((place, metric), sorted)) in all.zip(series).enumerate() {
        let Some(component) = place else { continue };
        if let Some(moved) = moved(metric, at, sorted, span, &mut buffer) {
            let (kind, size) = (Kind::Metric(metric.as_str()), moved.z().abs().ln_1p());
            let hot = size > HOT.ln_1p() && moved.typical >= 1.0;
            signals.push(Signal { component, kind, size, hot, share: 0.0, moved: Some(moved) });
        }
    }
    leave_silent(&mut signals);
    signals.extend(calls(case, places, span));
    share_out(&mut signals, places.len());
    signals
}

/// None of a metric of which too little is known, and of one that stands still.
fn moved<'a>(
    metric: &'a MetricName,
    at: usize,
    sorted: &Sorted<'_>,
    span: &Span,
    buffer: &mut Vec<f64>,
) -> Option<Moved<'a>> {
    let sides = span.sides(sorted);
    let normal = Normal::of(&sides.normal())?;
    let incident = || sides.incident.iter().copied();
    let (low, high) = incident()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high || (normal.is_constant() && low == normal.low && high == normal.low) {
        return None;
    }
    let extreme = if normal.mean - low > high - normal.mean { low } else { high };
    let mut typical = normal.beyond(extreme);
    // What is not beyond at its farthest is not as a rule either, and that is nearly all there is.
    if typical >= 1.0 {
        buffer.clear();
        buffer.extend(incident().map(|value| (value - normal.mean).abs()));
        typical = normal.beyond(normal.mean + median(buffer));
    }
    Some(Moved { metric, series: at, normal, extreme, typical })
}

/// Of what is down most of the incident, nothing but that: what else it has is from before it fell silent.
fn leave_silent(signals: &mut Vec<Signal<'_>>) {
    let is_down = |signal: &&Signal<'_>| {
        signal.hot && signal.kind == Kind::Metric(UP) && signal.moved.is_some_and(|moved| moved.z() < 0.0)
    };
    let down: HashSet<usize> = signals.iter().filter(is_down).map(|signal| signal.component).collect();
    signals.retain(|signal| signal.kind == Kind::Metric(UP) || !down.contains(&signal.component));
}

/// Of calls: to the callee, on average, how far its answers deviate; to both ends, how much farther the caller's view does, which is
/// what the network does to them.
fn calls<'a>(case: &Case, places: &HashMap<&ComponentId, usize>, span: &Span) -> Vec<Signal<'a>> {
    let size = |series: &Option<Series>| {
        let series = Sorted::new(series.as_ref()?);
        let name = MetricName::new("latency").ok()?;
        Some(moved(&name, 0, &series, span, &mut Vec::new())?.z().abs().ln_1p())
    };
    let mut sizes: HashMap<(usize, Kind<'a>), Vec<f64>> = HashMap::new();
    for call in &case.calls {
        let (Some(&caller), Some(&callee)) = (places.get(&call.caller), places.get(&call.callee)) else {
            continue;
        };
        let Some(answered) = size(&call.callee_view) else { continue };
        sizes.entry((callee, Kind::Answers)).or_default().push(answered);
        if let Some(seen) = size(&call.caller_view) {
            let transport = (seen - answered).max(0.0);
            sizes.entry((caller, Kind::Transport)).or_default().push(transport);
            sizes.entry((callee, Kind::Transport)).or_default().push(transport);
        }
    }
    let mut signals: Vec<Signal<'a>> = sizes
        .into_iter()
        .map(|((component, kind), sizes)| {
            let size = sizes.iter().sum::<f64>() / sizes.len() as f64;
            Signal { component, kind, size, hot: size > HOT.ln_1p(), share: 0.0, moved: None }
        })
        .collect();
    signals.sort_by_key(|signal| (signal.component, signal.kind));
    signals
}

/// The share of a signal is its size times its part of all sizes of its kind. A kind that only one component has is taken as if
/// all the others had it too and did what metrics do as a rule in this case: else it would be its component's own, however
/// little it moved.
fn share_out(signals: &mut [Signal<'_>], components: usize) {
    let mut kinds: HashMap<Kind<'_>, (f64, usize)> = HashMap::new();
    for signal in signals.iter() {
        let kind = kinds.entry(signal.kind).or_default();
        kind.0 += signal.size;
        kind.1 += 1;
    }
    let usual = median(&mut signals.iter().map(|signal| signal.size).collect::<Vec<_>>());
    for signal in signals {
        let (mut total, count) = kinds.get(&signal.kind).copied().unwrap_or_default();
        if count == 1 {
            total += usual * components.saturating_sub(1) as f64;
        }
        signal.share = if total > 0.0 { signal.size * signal.size / total } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_names_a_component_says_of_whom_a_metric_is() {
        let kind = Kind::Metric("client_seconds{dependency=\"stock\",le=\"0.1\"}");
        assert!(kind.is_of("stock") && kind.is_of("0.1"));
        assert!(!kind.is_of("stoc") && !kind.is_of("dependency"));
        assert!(!Kind::Metric("stock").is_of("stock"));
        assert_eq!(kind.family(), Kind::Metric("client_seconds"));
    }
}
