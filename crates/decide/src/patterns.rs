//! Known patterns: signatures of incidents that were alike, and whether another one is like them.

use serde::{Deserialize, Serialize};

use crate::likeness::{Likeness, Weights};
use crate::signature::Signature;

/// A pattern is kept as so many signatures at most.
const PROTOTYPES: usize = 5;
/// From then on two signatures are one.
const SAME: f64 = 0.9;
/// So many patterns are kept at most: with the bounds of a signature that is less than the 16 MiB that a store keeps of what is known.
const MOST: usize = 100;
/// Nothing is known where the second pattern is nearly as near.
const MARGIN: f64 = 0.05;

/// Signatures of incidents that were alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// `U-3`, until somebody names it.
    pub name: String,
    /// How often it was seen.
    pub seen: u64,
    prototypes: Vec<Prototype>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Prototype {
    signature: Signature,
    weight: u64,
}

impl Pattern {
    /// What it is kept as.
    pub(crate) fn signatures(&self) -> impl Iterator<Item = &Signature> {
        self.prototypes.iter().map(|one| &one.signature)
    }

    /// How like it a signature is: as the prototype that is most like it, since a pattern looks otherwise where it happens to something
    /// that nobody calls. The mean of the two that are most like it (ALGORITHMS 7.4 of the design) rejects fewer unknown ones.
    fn similarity(&self, signature: &Signature, weights: &Weights<'_>) -> f64 {
        let similarity = |one: &Prototype| weights.similarity(&one.signature, signature);
        self.prototypes.iter().map(similarity).fold(0.0, f64::max)
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
    likeness: Likeness,
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
    /// How much less like it the next one is, by what tells patterns apart.
    pub margin: f64,
}

impl Patterns {
    /// What is known, by when it was first seen.
    pub fn all(&self) -> &[Pattern] {
        &self.patterns
    }

    /// What a signature is. None while there is no pattern, and of an empty one.
    ///
    /// Two questions are asked in two ways. *Which one is it?* goes by what tells patterns apart: kinds of metrics count by how much they
    /// vary between patterns, compared with within them. *Is it that one at all?* goes by all kinds of metrics alike, since what tells
    /// the known ones apart may be just what an unknown one has in common with one of them. It is, if the similarity is more typical
    /// of two incidents of one pattern than of two patterns ([`Likeness`]), and no other pattern is nearly as near.
    ///
    /// FINDINGS
    pub fn recognise(&self, signature: &Signature) -> Option<Recognised> {
        if signature.is_empty() {
            return None;
        }
        let weights = Weights::of(&self.patterns, signature);
        let similarity = |pattern| (Pattern::similarity(pattern, signature, &weights), pattern);
        let mut all: Vec<(f64, &Pattern)> = self.patterns.iter().map(similarity).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (most, nearest) = *all.first()?;
        let margin = most - all.get(1).map_or(0.0, |(second, _)| *second);
        let similarity = nearest.similarity(signature, &Weights::EQUAL);
        let known = similarity >= self.likeness.least() && margin >= MARGIN;
        Some(Recognised { nearest: nearest.name.clone(), known, similarity, margin })
    }

    /// Learns that a signature is of this pattern, which begins with it if there is none of the name. How alike those of one pattern
    /// are, and two patterns, is learnt here, too: by how this one was seen before.
    pub fn learn(&mut self, name: &str, signature: Signature) {
        if signature.is_empty() {
            return;
        }
        let similarity = |pattern: &Pattern| pattern.similarity(&signature, &Weights::EQUAL);
        let others = self.patterns.iter().filter(|pattern| pattern.name != name);
        if let Some(beside) = others.map(similarity).reduce(f64::max) {
            self.likeness.beside.add(beside);
        }
        let Some(pattern) = self.patterns.iter_mut().find(|pattern| pattern.name == name) else {
            self.insert(name, signature);
            return;
        };
        self.likeness.within.add(similarity(pattern));
        pattern.learn(signature);
    }

    fn insert(&mut self, name: &str, signature: Signature) {
        self.patterns.push(Pattern {
            name: name.to_owned(),
            seen: 1,
            prototypes: vec![Prototype { signature, weight: 1 }],
        });
    }

    /// Whether a pattern of that name is there, or may begin without one being forgotten that has a name.
    pub fn has_room_for(&self, name: &str) -> bool {
        let named = || self.patterns.iter().filter(|pattern| !is_unnamed(&pattern.name));
        named().any(|pattern| pattern.name == name) || named().count() < MOST
    }

    /// Forgets a pattern if there are too many, and gives back how it was called: of those that nobody has named the one that was seen
    /// least, and of these the oldest. The latest only if there is no other.
    pub fn forget(&mut self) -> Option<String> {
        if self.patterns.len() <= MOST {
            return None;
        }
        let latest = self.patterns.len() - 1;
        let unnamed = self.patterns.iter().enumerate().filter(|(_, pattern)| is_unnamed(&pattern.name));
        let (at, _) = unnamed.min_by_key(|(at, pattern)| (*at == latest, pattern.seen, *at))?;
        Some(self.patterns.remove(at).name)
    }

    /// Begins a pattern that nobody has named yet, and gives back how it is called until then. Nothing is learnt of how alike patterns
    /// are: it may turn out to be one that is known.
    pub fn begin(&mut self, signature: Signature) -> String {
        loop {
            self.begun += 1;
            let name = format!("{UNNAMED}{}", self.begun);
            // Somebody may have called another one so.
            if self.patterns.iter().all(|pattern| pattern.name != name) {
                if !signature.is_empty() {
                    self.insert(&name, signature);
                }
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

