//! The one place where an [`super::Iftm`] meets its threshold over the error of all metrics together.

use crate::threshold::Threshold;

/// The error of all metrics together, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Joint {
    threshold: Threshold,
}

impl Joint {
    pub(super) fn limit(&self, c: f64) -> f64 {
        self.threshold.limit(c)
    }

    pub(super) fn learn(&mut self, error: f64, weight: f64, dt: f64, fade: f64) {
        self.threshold.learn(error, weight, dt, fade);
    }

    pub(super) fn suspect(&mut self, error: f64) {
        self.threshold.suspect(error);
    }

    pub(super) fn settle(&mut self, was_anomaly: bool) {
        self.threshold.settle(was_anomaly);
    }

    /// Learns afresh; the largest error stays known.
    pub(super) fn adopt(&mut self) {
        self.threshold = Threshold { record: self.threshold.record, ..Threshold::default() };
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.threshold.merge(&other.threshold);
    }

    pub(super) fn save(&self) -> Threshold {
        self.threshold.clone()
    }

    /// None where it can't be.
    pub(super) fn restore(saved: Option<Threshold>) -> Option<Self> {
        let threshold = saved.unwrap_or_default();
        threshold.is_sound().then_some(Self { threshold })
    }
}
