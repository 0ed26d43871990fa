//! Known patterns: signatures of incidents that were alike, and whether another one is like them.

use serde::{Deserialize, Serialize};

use crate::signature::Signature;

/// A pattern is kept as so many signatures at most.
const PROTOTYPES: usize = 5;
/// From then on two signatures are one.
const SAME: f64 = 0.9;
/// Below it nothing is known, however alike those of a pattern are among themselves.
const LEAST: f64 = 0.6;
/// Nor is it, where the second pattern is nearly as near.
const MARGIN: f64 = 0.05;
/// What is farther from a pattern than this many deviations of what was known as it is another one.
const WITHIN: f64 = 2.0;

/// Signatures of incidents that were alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// `U-3`, until somebody names it.
    pub name: String,
    /// How often it was seen.
    pub seen: u64,
    prototypes: Vec<Prototype>,
    within: Within,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Prototype {
    signature: Signature,
    weight: u64,
}

/// How alike those of one pattern are: a running mean and sum of squares (Welford).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Within {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Within {
    fn add(&mut self, similarity: f64) {
        self.count += 1;
        let off = similarity - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (similarity - self.mean);
    }

    /// What is less like it is another pattern.
    fn least(&self) -> f64 {
        if self.count < 2 {
            return LEAST;
        }
        let deviation = (self.squares / (self.count - 1) as f64).sqrt();
        LEAST.max(self.mean - WITHIN * deviation)
    }
}

impl Pattern {
    /// How like it a signature is: on average of the two prototypes that are most like it.
    fn similarity(&self, signature: &Signature) -> f64 {
        let mut near: Vec<f64> =
            self.prototypes.iter().map(|one| one.signature.similarity(signature)).collect();
        near.sort_by(|a, b| b.total_cmp(a));
        near.truncate(2);
        near.iter().sum::<f64>() / near.len().max(1) as f64
    }

    fn learn(&mut self, signature: Signature) {
        self.seen += 1;
        let near = self.prototypes.iter_mut().map(|one| (one.signature.similarity(&signature), one));
        match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((similarity, one)) if similarity > SAME => {
                one.signature.merge(&signature, one.weight);
                one.weight += 1;
            }
            _ => self.prototypes.push(Prototype { signature, weight: 1 }),
        }
        if self.prototypes.len() > PROTOTYPES {
            self.merge_nearest();
        }
    }

    /// Makes one of the two prototypes that are most alike.
    fn merge_nearest(&mut self) {
        let pairs = (0..self.prototypes.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let similarity = |&(a, b): &(usize, usize)| {
            let (a, b) = (self.prototypes.get(a), self.prototypes.get(b));
            a.zip(b).map_or(0.0, |(a, b)| a.signature.similarity(&b.signature))
        };
        let Some((a, b)) = pairs.max_by(|x, y| similarity(x).total_cmp(&similarity(y))) else { return };
        let gone = self.prototypes.swap_remove(b);
        if let Some(stays) = self.prototypes.get_mut(a) {
            for _ in 0..gone.weight {
                stays.signature.merge(&gone.signature, stays.weight);
                stays.weight += 1;
            }
        }
    }
}

/// What patterns are called until somebody names them, with a number after it.
const UNNAMED: &str = "U-";

/// Whether nobody has named a pattern.
pub(crate) fn is_unnamed(name: &str) -> bool {
    name.strip_prefix(UNNAMED).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// All patterns that are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    /// How many were ever begun: no name is given twice.
    begun: u64,
}

/// What a signature was taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// The pattern that is most like it.
    pub nearest: String,
    /// Whether it is that one.
    pub known: bool,
    /// How alike they are, from 0 to 1.
    pub similarity: f64,
    /// How like it the next one is.
    pub second: f64,
}

impl Patterns {
    /// What is known, by when it was first seen.
    pub fn all(&self) -> &[Pattern] {
        &self.patterns
    }

    /// What a signature is. None while there is no pattern, and of an empty one.
    pub fn recognise(&self, signature: &Signature) -> Option<Recognised> {
        if signature.is_empty() {
            return None;
        }
        let mut first: Option<(f64, &Pattern)> = None;
        let mut second = 0.0;
        for pattern in &self.patterns {
            let similarity = pattern.similarity(signature);
            match first {
                Some((most, _)) if similarity <= most => second = f64::max(second, similarity),
                _ => {
                    second = first.map_or(0.0, |(most, _)| most);
                    first = Some((similarity, pattern));
                }
            }
        }
        let (similarity, nearest) = first?;
        let known = similarity >= nearest.within.least() && similarity - second >= MARGIN;
        Some(Recognised { nearest: nearest.name.clone(), known, similarity, second })
    }

    /// Learns that a signature is of this pattern, which begins with it if there is none of the name. How alike those of a pattern
    /// are is learnt here, too: by how this one was seen before.
    pub fn learn(&mut self, name: &str, signature: Signature) {
        if signature.is_empty() {
            return;
        }
        let Some(pattern) = self.patterns.iter_mut().find(|pattern| pattern.name == name) else {
            self.patterns.push(Pattern {
                name: name.to_owned(),
                seen: 1,
                prototypes: vec![Prototype { signature, weight: 1 }],
                within: Within::default(),
            });
            return;
        };
        let similarity = pattern.similarity(&signature);
        pattern.within.add(similarity);
        pattern.learn(signature);
    }

    /// Begins a pattern that nobody has named yet, and gives back how it is called until then.
    pub fn begin(&mut self, signature: Signature) -> String {
        loop {
            self.begun += 1;
            let name = format!("{UNNAMED}{}", self.begun);
            // Somebody may have called another one so.
            if self.patterns.iter().all(|pattern| pattern.name != name) {
                self.learn(&name, signature);
                return name;
            }
        }
    }

    /// Gives a pattern another name. If there is one of that name, the two are one from now on. False if there is none to be named.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(at) = self.patterns.iter().position(|pattern| pattern.name == from) else { return false };
        if from == to {
            return true;
        }
        let Some(into) = self.patterns.iter().position(|pattern| pattern.name == to) else {
            if let Some(pattern) = self.patterns.get_mut(at) {
                to.clone_into(&mut pattern.name);
            }
            return true;
        };
        let gone = self.patterns.get(at).cloned();
        if let (Some(into), Some(gone)) = (self.patterns.get_mut(into), gone) {
            into.seen += gone.seen;
            into.prototypes.extend(gone.prototypes);
            while into.prototypes.len() > PROTOTYPES {
                into.merge_nearest();
            }
        }
        self.patterns.remove(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::signature::{Feature, Place, Track};

    /// Of metrics that are so many deviations out for half a minute.
    fn signature(out: &[(&str, f64)]) -> Signature {
        let track = |(kind, z): &(&str, f64)| Track {
            feature: Feature { place: Place::Cause, kind: (*kind).to_owned() },
            points: (0..60).map(|i| (Duration::from_millis(500 * i), z + (i % 5) as f64 / 5.0)).collect(),
        };
        Signature::of(&out.iter().map(track).collect::<Vec<_>>(), Duration::from_secs(30))
    }

    fn cpu(z: f64) -> Signature {
        signature(&[("cpu", z), ("memory", 0.1), ("latency", 3.0), ("errors", 0.0)])
    }

    fn memory(z: f64) -> Signature {
        signature(&[("cpu", 0.2), ("memory", z), ("latency", -1.0), ("errors", 5.0)])
    }

    #[test]
    fn what_was_seen_before_is_known_and_what_was_not_is_not() {
        let mut patterns = Patterns::default();
        assert_eq!(patterns.recognise(&cpu(5.0)), None);
        let name = patterns.begin(cpu(5.0));
        assert_eq!(name, "U-1");
        let seen = patterns.recognise(&cpu(5.3)).unwrap();
        assert!(seen.known && seen.nearest == name, "{seen:?}");
        let other = patterns.recognise(&memory(6.0)).unwrap();
        assert!(!other.known, "{other:?}");
        patterns.begin(memory(6.0));
        assert_eq!(patterns.recognise(&memory(6.0)).unwrap().nearest, "U-2");
    }

    #[test]
    fn few_prototypes_are_kept_however_often_a_pattern_is_seen() {
        let mut patterns = Patterns::default();
        for i in 0..50 {
            patterns.learn("cpu", cpu(f64::from(i % 12) - 6.0));
        }
        let pattern = &patterns.all()[0];
        assert_eq!((pattern.seen, patterns.all().len()), (50, 1));
        assert!(pattern.prototypes.len() <= PROTOTYPES);
        assert_eq!(pattern.prototypes.iter().map(|one| one.weight).sum::<u64>(), 50);
    }

    #[test]
    fn a_pattern_that_is_named_like_another_joins_it() {
        let mut patterns = Patterns::default();
        let (first, second) = (patterns.begin(cpu(5.0)), patterns.begin(cpu(-5.0)));
        assert!(patterns.rename(&first, "busy") && patterns.rename(&second, "busy"));
        assert!(!patterns.rename(&first, "busy") && patterns.rename("busy", "busy"));
        assert_eq!((patterns.all().len(), patterns.all()[0].seen), (1, 2));
        for z in [5.0, -5.0] {
            assert!(patterns.all()[0].similarity(&cpu(z)) > 0.5);
        }
        assert!(patterns.rename("busy", "U-3"));
        assert_eq!(patterns.begin(memory(6.0)), "U-4", "no other one's name");
    }

    #[test]
    fn they_are_the_same_after_they_were_written_down() {
        let mut patterns = Patterns::default();
        patterns.begin(cpu(5.0));
        let text = serde_json::to_string(&patterns).unwrap();
        let read: Patterns = serde_json::from_str(&text).unwrap();
        assert_eq!(read.recognise(&cpu(5.0)), patterns.recognise(&cpu(5.0)));
    }
}
