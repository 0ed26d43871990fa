//! The signature of an incident: what it looks like, whatever it is that it happens to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::density::{Grid, Mass};

/// At most so many kinds of metrics are kept, those that deviate most.
const FEATURES: usize = 512;
/// No kind of metric deviates for more than that: as for root causes.
const MOST_DEVIATIONS: f64 = 1_000.0;

/// Where a metric was measured, seen from where the incident began: a pattern is to be known again elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Where it began.
    Cause,
    /// What depends on that, at once or in the end.
    Above,
    /// What that depends on, at once or in the end.
    Below,
}

/// A kind of metric: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feature {
    /// Where it was measured.
    pub place: Place,
    /// What, such as `process_cpu_seconds_total` or `client_errors_total{reason="timeout"}`: nothing in it names a component.
    pub kind: String,
}

/// What a kind of metric did during an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Which.
    pub feature: Feature,
    /// How long after the onset, and how many deviations away from what was usual before, signed. By time. What isn't finite is left
    /// out.
    pub points: Vec<(Duration, f64)>,
}

/// Where each kind of metric has been lately: a density grid each, with how much it says.
///
/// The authors' grids of several metrics together are left out, pairs of the six that deviate most among them: of which metrics there are
/// pairs is different in each incident, and what only one of two incidents has can't be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signature(BTreeMap<String, Seen>);

/// Of one kind of metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    grid: Grid,
    /// ln(1 + how many deviations it was out on average).
    size: f64,
}

impl Signature {
    /// Of what metrics did from the onset until `at`. Of several tracks of one feature, the one that deviates most counts.
    pub fn of(tracks: &[Track], at: Duration) -> Self {
        let mut seen: BTreeMap<&Feature, Seen> = BTreeMap::new();
        for track in tracks {
            let Some(this) = Seen::of(track, at) else { continue };
            match seen.get_mut(&track.feature) {
                Some(other) if other.size >= this.size => {}
                Some(other) => *other = this,
                None => drop(seen.insert(&track.feature, this)),
            }
        }
        let mut seen: Vec<(&Feature, Seen)> = seen.into_iter().collect();
        seen.sort_by(|a, b| b.1.size.total_cmp(&a.1.size).then_with(|| a.0.cmp(b.0)));
        Self(seen.into_iter().take(FEATURES).map(|(feature, seen)| (name(feature), seen)).collect())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How alike two are, from 0 to 1: what the grids of kinds of metrics that both have have in common, on average. One that is far
    /// out in either counts for more than one that is as usual in both. What only one has says nothing: the other may have begun where
    /// nobody is above or below.
    pub fn similarity(&self, other: &Self) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (key, here) in &self.0 {
            let Some(there) = other.0.get(key) else { continue };
            let weight = here.size.max(there.size).powi(2);
            sum += weight * here.grid.in_common(&there.grid);
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// Makes it the mean of itself, which stands for `weight` signatures, and another one.
    pub(crate) fn merge(&mut self, other: &Self, weight: u64) {
        let share = 1.0 / (weight + 1) as f64;
        for (key, there) in &other.0 {
            if let Some(here) = self.0.get_mut(key) {
                here.grid.merge(&there.grid, share);
                here.size += share * (there.size - here.size);
            } else if self.0.len() < FEATURES {
                self.0.insert(key.clone(), there.clone());
            }
        }
    }
}

impl Seen {
    fn of(track: &Track, at: Duration) -> Option<Self> {
        let points = track.points.iter().filter(|(time, z)| *time <= at && z.is_finite());
        let (mut mass, mut sum, mut count) = (Mass::default(), 0.0, 0);
        for (time, z) in points {
            mass.hit(*z, at.saturating_sub(*time));
            sum += z.abs().min(MOST_DEVIATIONS);
            count += 1;
        }
        Some(Self { grid: mass.grid()?, size: (sum / f64::from(count)).ln_1p() })
    }
}

fn name(feature: &Feature) -> String {
    let place = match feature.place {
        Place::Cause => "cause",
        Place::Above => "above",
        Place::Below => "below",
    };
    format!("{place} {}", feature.kind)
}
