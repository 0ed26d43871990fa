//! Cases whose cause is known.

use larnax_core::{ComponentId, MetricName, Timestamp};
use larnax_diagnose::{Case, Observed, Series};

/// One of them.
pub(super) struct Trial {
    /// Which system it comes from.
    pub(super) system: &'static str,
    pub(super) id: String,
    pub(super) case: Case,
    /// Where the fault was injected.
    pub(super) truth: ComponentId,
}

/// A component of a system, whatever characters its name has.
pub(super) fn component(system: &str, name: &str) -> ComponentId {
    ComponentId::from_parts("service", system, name)
}

/// Adds a metric to its component, which may be there already.
pub(super) fn observe(components: &mut Vec<Observed>, component: ComponentId, series: Series) {
    match components.iter_mut().find(|observed| observed.component == component) {
        Some(observed) => observed.series.push(series),
        None => components.push(Observed { component, series: vec![series] }),
    }
}

/// A metric from the values that are chosen.
pub(super) fn series(
    metric: &str,
    values: impl IntoIterator<Item = (Timestamp, f64)>,
) -> anyhow::Result<Series> {
    let (times, values): (Vec<Timestamp>, Vec<f64>) = values.into_iter().unzip();
    Ok(Series { metric: MetricName::new(metric)?, times: times.into(), values })
}
