//! The score of the Numenta Anomaly Benchmark, version 1.1.
//!
//! Source: Lavin and Ahmad, *Evaluating Real-time Anomaly Detection Algorithms*, ICMLA 2015, and the benchmark's own
//! scorer. A detection inside a labelled window counts once, the more the earlier it comes; every other detection costs,
//! the less the sooner it comes after a window; a window missed costs. All streams have one threshold. 0 is a detector
//! that says nothing, 100 one that says only the first row of each window.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::series::{EvaluateError, finite};

/// Share of a stream, and rows, of which no more than either are not scored: detectors warm up.
const PROBATION_SHARE: f64 = 0.15;
const PROBATION_ROWS: f64 = 750.0;
/// Steepness of the curve along which detections lose worth.
const STEEPNESS: f64 = 5.0;
/// Beyond three widths after a window, a detection is simply false.
const BEYOND: f64 = 3.0;

/// What counts how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name in results.
    pub name: &'static str,
    /// What a false detection costs at most.
    pub false_positive: f64,
    /// What a missed window costs.
    pub false_negative: f64,
}

/// The benchmark's three; a window found at its first row is worth 1 in each.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", false_positive: 0.11, false_negative: 1.0 },
    Profile { name: "reward_low_FP_rate", false_positive: 0.22, false_negative: 1.0 },
    Profile { name: "reward_low_FN_rate", false_positive: 0.11, false_negative: 2.0 },
];

/// A score and the threshold that gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// At most 100.
    pub score: f64,
    /// Rows with this score or more are detections. 1.1 where it is best to say nothing.
    pub threshold: f64,
}

/// The streams of a corpus, prepared for scoring.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    rows: Vec<Scored>,
    /// Labelled windows, scorable or not.
    windows: usize,
}

/// A row that counts.
#[derive(Clone, Copy, Debug)]
struct Scored {
    score: f64,
    /// What a detection here is worth before weighting: positive only in a window.
    worth: f64,
    window: Option<usize>,
}

impl Corpus {
    /// Adds a stream with one score per row, at most 1, and its labelled windows in order. The first 15 % of its rows (at
    /// most 750) don't count.
    pub fn add(&mut self, scores: &[f64], windows: &[Range<usize>]) -> Result<(), EvaluateError> {
        let rows = scores.len();
        if let Some(outside) = windows.iter().find(|window| window.end > rows) {
            return Err(EvaluateError::Rows { scores: rows, labels: outside.end });
        }
        let mut places: Vec<(f64, Option<usize>)> = vec![(-1.0, None); rows];
        for (i, window) in windows.iter().enumerate().filter(|(_, window)| !window.is_empty()) {
            let width = window.len() as f64;
            for row in window.clone() {
                places[row] = (curve(-((window.end - row) as f64) / width), Some(self.windows + i));
            }
            let until = windows.get(i + 1).map_or(rows, |next| next.start).max(window.end);
            for (row, place) in places.iter_mut().enumerate().take(until).skip(window.end) {
                *place = (curve((row + 1 - window.end) as f64 / (width - 1.0)), None);
            }
        }
        self.windows += windows.len();
        let probation = (PROBATION_SHARE * rows as f64).floor().min(PROBATION_ROWS) as usize;
        let scored = places.into_iter().zip(scores).skip(probation);
        self.rows.extend(scored.map(|((worth, window), &score)| Scored {
            score: finite(score),
            worth,
            window,
        }));
        Ok(())
    }

    /// The score at a threshold; none without a window.
    pub fn at(&self, threshold: f64, profile: &Profile) -> Option<f64> {
        let mut sum = self.nothing_said(profile);
        for row in self.rows.iter().filter(|row| row.score >= threshold) {
            sum.detect(row);
        }
        self.normalised(sum.total, profile)
    }

    /// The score at the best threshold, chosen afterwards; none without a window.
    pub fn best(&self, profile: &Profile) -> Option<Best> {
        let mut sum = self.nothing_said(profile);
        let mut best = (sum.total, 1.1);
        let mut rows: Vec<&Scored> = self.rows.iter().collect();
        rows.sort_by(|a, b| b.score.total_cmp(&a.score));
        for equal in rows.chunk_by(|a, b| a.score == b.score) {
            equal.iter().for_each(|row| sum.detect(row));
            if let Some(row) = equal.first().filter(|_| sum.total > best.0) {
                best = (sum.total, row.score);
            }
        }
        self.normalised(best.0, profile).map(|score| Best { score, threshold: best.1 })
    }

    /// Every window that has a row that counts is missed.
    fn nothing_said<'a>(&self, profile: &'a Profile) -> Sum<'a> {
        let windows = self.rows.iter().filter_map(|row| Some((row.window?, -profile.false_negative)));
        let found: BTreeMap<usize, f64> = windows.collect();
        Sum { profile, total: -profile.false_negative * found.len() as f64, found }
    }

    fn normalised(&self, total: f64, profile: &Profile) -> Option<f64> {
        let nothing = self.nothing_said(profile).total;
        let perfect = self.windows as f64;
        (self.windows > 0).then(|| 100.0 * (total - nothing) / (perfect - nothing))
    }
}

/// The score as detections are added.
struct Sum<'a> {
    profile: &'a Profile,
    total: f64,
    /// The best of each window so far.
    found: BTreeMap<usize, f64>,
}

impl Sum<'_> {
    fn detect(&mut self, row: &Scored) {
        match row.window.and_then(|window| self.found.get_mut(&window)) {
            None => self.total += row.worth * self.profile.false_positive,
            Some(best) => {
                let worth = row.worth / curve(-1.0);
                self.total += (worth - *best).max(0.0);
                *best = best.max(worth);
            }
        }
    }
}

/// From 1 long before the end of a window (negative places, in widths) through 0 at its end to −1 long after.
fn curve(place: f64) -> f64 {
    // A window of one row has no width to measure distances with: the first row after it is already beyond.
    if place > BEYOND || place.is_nan() { -1.0 } else { 2.0 / (1.0 + (STEEPNESS * place).exp()) - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Profile = PROFILES[0];

    fn corpus(detections: &[usize]) -> Corpus {
        let mut corpus = Corpus::default();
        let scores: Vec<f64> = (0..1_000).map(|row| f64::from(u8::from(detections.contains(&row)))).collect();
        corpus.add(&scores, &[300..400, 700..800]).unwrap();
        corpus
    }

    #[test]
    fn to_say_nothing_is_0_and_to_say_only_the_first_row_of_each_window_100() {
        for profile in &PROFILES {
            assert_eq!(corpus(&[]).at(0.5, profile), Some(0.0));
            assert!((corpus(&[300, 700]).at(0.5, profile).unwrap() - 100.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_detection_counts_once_in_a_window_more_when_early_and_costs_outside() {
        let at = |detections: &[usize]| corpus(detections).at(0.5, &STANDARD).unwrap();
        assert_eq!(at(&[320, 330, 390]), at(&[320]));
        assert!(at(&[310]) > at(&[390]) && at(&[390]) > 0.0);
        assert!((at(&[300, 600]) - (50.0 - 2.75)).abs() < 0.01);
        assert!(at(&[300, 401]) > at(&[300, 650]));
        // Before the end of the probation.
        assert_eq!(at(&[300, 149]), at(&[300]));
        assert!(at(&[300, 150]) < at(&[300]));
    }

    #[test]
    fn the_best_threshold_leaves_out_what_costs_more_than_it_brings() {
        let mut corpus = Corpus::default();
        let mut scores = vec![0.1; 1_000];
        (scores[305], scores[705], scores[500]) = (0.9, 0.7, 0.6);
        corpus.add(&scores, &[300..400, 700..800]).unwrap();
        let best = corpus.best(&STANDARD).unwrap();
        assert_eq!(best.threshold, 0.7);
        assert_eq!(corpus.at(0.7, &STANDARD), Some(best.score));
        assert!(corpus.at(0.5, &STANDARD).unwrap() < best.score);
    }

    #[test]
    fn a_window_outside_the_stream_is_an_error_and_a_corpus_without_windows_has_no_score() {
        let mut corpus = Corpus::default();
        assert!(corpus.add(&[0.0; 10], std::slice::from_ref(&(5..11))).is_err());
        corpus.add(&[0.0; 10], &[]).unwrap();
        assert_eq!((corpus.best(&STANDARD), corpus.at(0.5, &STANDARD)), (None, None));
    }
}
