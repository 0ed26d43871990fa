//! The signature of an incident: what it looks like, whatever it is that it happens to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::density::{Grid, Mass, rounded};

/// Of at most so many kinds of metrics it is kept what they did, those that deviate most.
pub(crate) const FEATURES: usize = 128;
/// Of at most so many more it is kept that they were there, and as usual.
pub(crate) const USUAL: usize = 256;
/// What has a longer name, as it is written in JSON, is left out: what is kept of all patterns has to be bounded.
pub(crate) const NAME_BYTES: usize = 128;
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
/// Of a kind that was measured several times, in several components or with other labels, there is the one that deviated most and the
/// one that deviated least: whether all calls of a service are slow or only those to one other is what tells a slow service from a
/// slow way to it.
///
/// The authors' grids of several metrics together are left out, pairs of the six that deviate most among them: of which metrics there are
/// pairs is different in each incident, and what only one of two incidents has can't be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// By [`name`].
    seen: BTreeMap<String, Seen>,
    /// What was there besides and deviated less, by [`hash`]. Without it nobody could tell what was as usual from what is not measured
    /// there: of 48 recorded incidents 81 % were most like one with the same fault with all features, 62 % with the first 128, and
    /// 81 % with the first 128 and this.
    usual: BTreeSet<u32>,
}

/// Of one kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Where it has been.
    pub(crate) grid: Grid,
    /// ln(1 + how many deviations it was out on average).
    size: f32,
    /// From -1, it was out at first and came back, to 1, it went farther and farther; 0: it was as far out all the time.
    growth: f32,
}

/// What was there and as usual.
const AS_USUAL: Seen = Seen { grid: Grid::USUAL, size: 0.0, growth: 0.0 };
/// Of two that did the opposite over time, so much of what their grids have in common counts. In a leak and a hog a metric is as far out
/// after some seconds, and not in the same way: of 56 recorded incidents 88 % instead of 79 % were nearest to one with the same fault
/// 30 s after the onset; after 10 s as many, but none of 5 with a hog or a leak was known without it, and all are with it.
const OPPOSITE: f64 = 0.5;
/// Deviations that say nothing of growth: as many as are usual.
const STILL: f64 = 3.0;

impl Signature {
    /// Of what metrics did from the onset until `at`.
    pub fn of(tracks: &[Track], at: Duration) -> Self {
        let mut seen: BTreeMap<&Feature, (Seen, Option<Seen>)> = BTreeMap::new();
        for track in tracks {
            let Some(this) = Seen::of(track, at) else { continue };
            let Some((most, least)) = seen.get_mut(&track.feature) else {
                seen.insert(&track.feature, (this, None));
                continue;
            };
            *least = match *least {
                Some(least) if this.size >= least.size => Some(least),
                None if this.size >= most.size => Some(*most),
                _ => Some(this),
            };
            if this.size > most.size {
                *most = this;
            }
        }
        let mut all = Vec::with_capacity(2 * seen.len());
        for (feature, (most, least)) in seen {
            let name = name(feature);
            if let Some(least) = least {
                all.push((format!("least {name}"), least));
            }
            all.push((name, most));
        }
        Self::kept(all, BTreeSet::new())
    }

    /// The features that deviate most, and that the others were as usual.
    fn kept(mut all: Vec<(String, Seen)>, mut usual: BTreeSet<u32>) -> Self {
        all.retain(|(name, _)| bytes(name) <= NAME_BYTES);
        all.sort_by(|a, b| b.1.size.total_cmp(&a.1.size).then_with(|| a.0.cmp(&b.0)));
        let rest = all.split_off(all.len().min(FEATURES));
        usual.extend(rest.iter().map(|(name, _)| hash(name)));
        // The same ones stay of two signatures, so that they can be compared.
        while usual.len() > USUAL {
            usual.pop_last();
        }
        Self { seen: all.into_iter().collect(), usual }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Of which kinds of metrics it is known what they did.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.seen.keys().map(String::as_str)
    }

    /// What a kind of metric did. None if it is not known whether it was there.
    pub(crate) fn at(&self, name: &str) -> Option<Seen> {
        self.seen.get(name).copied().or_else(|| self.usual.contains(&hash(name)).then_some(AS_USUAL))
    }

    /// How alike two are, from 0 to 1: what the grids of kinds of metrics that both have have in common, on average. One that is far
    /// out in either counts for more than one that is as usual in both. What only one has says nothing: the other may have begun where
    /// nobody is above or below.
    pub fn similarity(&self, other: &Self) -> f64 {
        self.similarity_by(other, |_| 1.0)
    }

    /// The same, with weights of the kinds of metrics besides.
    pub(crate) fn similarity_by(&self, other: &Self, weight: impl Fn(&str) -> f64) -> f64 {
        let here = self.seen.iter().filter_map(|(name, seen)| Some((name, *seen, other.at(name)?)));
        let only_there = other.seen.iter().filter(|(name, _)| !self.seen.contains_key(*name));
        let there = only_there.filter_map(|(name, seen)| Some((name, *seen, self.at(name)?)));
        let (mut sum, mut weights) = (0.0, 0.0);
        for (name, one, other) in here.chain(there) {
            let weight = weight(name) * f64::from(one.size.max(other.size)).powi(2);
            sum += weight * one.in_common(&other);
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// Makes it the mean of itself, which stands for `weight` signatures, and another one.
    pub(crate) fn merge(&mut self, other: &Self, weight: u64) {
        let share = 1.0 / (weight + 1) as f64;
        let names: BTreeSet<&String> = self.seen.keys().chain(other.seen.keys()).collect();
        let merged = names.into_iter().filter_map(|name| {
            let both = match (self.at(name), other.at(name)) {
                (Some(mut here), Some(there)) => {
                    here.grid.merge(&there.grid, share);
                    here.size = rounded(here.size + share as f32 * (there.size - here.size));
                    here.growth = rounded(here.growth + share as f32 * (there.growth - here.growth));
                    here
                }
                (here, there) => here.or(there)?,
            };
            Some((name.clone(), both))
        });
        let merged: Vec<(String, Seen)> = merged.collect();
        let known: BTreeSet<u32> = merged.iter().map(|(name, _)| hash(name)).collect();
        let usual = self.usual.union(&other.usual).filter(|hash| !known.contains(hash)).copied();
        *self = Self::kept(merged, usual.collect());
    }
}

impl Seen {
    fn of(track: &Track, at: Duration) -> Option<Self> {
        let points = || track.points.iter().filter(|(time, z)| *time <= at && z.is_finite());
        let third = points().next_back()?.0 / 3;
        let (mut mass, mut early, mut late) = (Mass::default(), Mean::default(), Mean::default());
        let mut all = Mean::default();
        for (time, z) in points() {
            mass.hit(*z, at.saturating_sub(*time));
            let z = z.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS);
            all.add(z.abs());
            if *time <= third {
                early.add(z);
            }
            if *time >= 2 * third {
                late.add(z);
            }
        }
        let (early, late) = (early.get(), late.get());
        Some(Self {
            grid: mass.grid()?,
            size: rounded(all.get().ln_1p() as f32),
            growth: rounded(((late - early) / (late.abs() + early.abs() + STILL)) as f32),
        })
    }

    /// How much two have in common, from 0 to 1.
    fn in_common(&self, other: &Self) -> f64 {
        let opposite = f64::from((self.growth - other.growth).abs()) / 2.0;
        self.grid.in_common(&other.grid) * (1.0 - (1.0 - OPPOSITE) * opposite.clamp(0.0, 1.0))
    }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// 0 of none.
    fn get(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
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

/// How long a name is in JSON.
fn bytes(name: &str) -> usize {
    let byte = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    name.bytes().map(byte).sum()
}

/// FNV-1a, 32 bits: is written down, so it has to be the same everywhere and always. One of some hundred kinds of metrics is taken for
/// another one in one of ten million comparisons.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(kind: &str, z: f64) -> Track {
        Track {
            feature: Feature { place: Place::Cause, kind: kind.to_owned() },
            points: (0..10).map(|second| (Duration::from_secs(second), z)).collect(),
        }
    }

    fn of(tracks: &[(&str, f64)]) -> Signature {
        let tracks: Vec<Track> = tracks.iter().map(|(kind, z)| track(kind, *z)).collect();
        Signature::of(&tracks, Duration::from_secs(10))
    }

    #[test]
    fn whether_all_or_only_one_of_a_kind_is_out_can_be_told() {
        let (one, all) = (of(&[("calls", 50.0), ("calls", 0.1)]), of(&[("calls", 50.0), ("calls", 50.0)]));
        assert!(one.similarity(&all) < 0.6, "{}", one.similarity(&all));
        assert!(
            one.at("least cause calls").is_some() && of(&[("calls", 50.0)]).at("least cause calls").is_none()
        );
        let three = of(&[("calls", 5.0), ("calls", 50.0), ("calls", 0.1)]);
        assert_eq!(three, one);
    }

    #[test]
    fn what_grows_can_be_told_from_what_jumps() {
        let over_time = |z: fn(f64) -> f64| {
            let mut track = track("cpu", 0.0);
            track.points.iter_mut().for_each(|(time, value)| *value = z(time.as_secs_f64()));
            Signature::of(&[track], Duration::from_secs(10))
        };
        let (jumps, grows, ends) =
            (over_time(|_| 80.0), over_time(|t| 31.0 + 16.0 * t), over_time(|t| 190.0 - 16.0 * t));
        let growth = |of: &Signature| of.at("cause cpu").unwrap().growth;
        assert!(growth(&jumps) == 0.0 && growth(&grows) > 0.4 && growth(&ends) < -0.4, "{grows:?} {ends:?}");
        assert!(jumps.similarity(&grows) < 0.95 && grows.similarity(&ends) < jumps.similarity(&grows));
    }

    #[test]
    fn what_is_not_kept_was_as_usual_and_what_was_not_there_says_nothing() {
        let many: Vec<(String, f64)> = (0..FEATURES).map(|i| (format!("metric {i}"), 20.0)).collect();
        let many = || many.iter().map(|(kind, z)| (kind.as_str(), *z));
        let calm = of(&many().chain([("cpu", 0.1)]).collect::<Vec<_>>());
        assert_eq!((calm.seen.len(), calm.usual.len()), (FEATURES, 1));
        let cpu = of(&[("cpu", 50.0)]);
        let without = of(&many().collect::<Vec<_>>());
        assert_eq!(calm.similarity(&cpu), Grid::USUAL.in_common(&cpu.seen["cause cpu"].grid));
        assert_eq!((cpu.similarity(&calm), without.similarity(&cpu)), (calm.similarity(&cpu), 0.0));
    }

    #[test]
    fn a_signature_is_bounded_also_when_many_are_merged() {
        let mut merged = of(&[("x", 1.0)]);
        for round in 0..4 {
            let tracks: Vec<(String, f64)> =
                (0..400).map(|i| (format!("metric {round} {i}"), f64::from(i) / 7.0)).collect();
            let tracks: Vec<(&str, f64)> = tracks.iter().map(|(kind, z)| (kind.as_str(), *z)).collect();
            merged.merge(&of(&tracks), round);
            assert!(merged.seen.len() <= FEATURES && merged.usual.len() <= USUAL);
            assert!(merged.seen.keys().all(|name| !merged.usual.contains(&hash(name))));
        }
    }

    #[test]
    fn names_that_are_too_long_are_left_out() {
        let long = "x".repeat(NAME_BYTES);
        assert!(of(&[(&long, 50.0)]).is_empty());
        assert_eq!(bytes("a\"\u{1}"), 1 + 2 + 6);
    }

    #[test]
    fn a_hash_is_always_the_same() {
        // Of FNV's authors.
        assert_eq!((hash(""), hash("a"), hash("foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
    }
}
