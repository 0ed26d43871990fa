//! What an action is worth in a situation: LinUCB with one model for each action (Li et al., "A contextual-bandit approach to
//! personalized news article recommendation", WWW 2010, algorithm 1), which forgets.
//!
//! The paper keeps the inverse of its matrix. Here the matrix itself is kept, and solved with when something is asked: there are few
//! dimensions and few questions, what is forgotten can be taken off a matrix but not off its inverse, and errors don't add up.

use serde::{Deserialize, Serialize};

/// How much of what was learnt is forgotten with each outcome: what helped a year ago may not help any more.
const FORGET: f64 = 0.001;

/// What is known of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// I + Σ x xᵀ over the situations, row by row.
    situations: Vec<f64>,
    /// Σ r x.
    rewards: Vec<f64>,
    /// How often its outcome was seen.
    pub outcomes: u64,
    /// After how many of them all was well,
    #[serde(default)]
    pub helped: u64,
    /// and how many seconds that took, in all.
    #[serde(default)]
    pub seconds: f64,
}

/// What may be expected of an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The reward.
    pub mean: f64,
    /// One deviation of that, where rewards vary by 1.
    pub error: f64,
}

impl Arm {
    /// Of which nothing is known: a reward of 0 is expected, give or take 1.
    pub fn new(dimensions: usize) -> Self {
        let mut situations = vec![0.0; dimensions * dimensions];
        situations.iter_mut().step_by(dimensions + 1).for_each(|cell| *cell = 1.0);
        Self { situations, rewards: vec![0.0; dimensions], outcomes: 0, helped: 0, seconds: 0.0 }
    }

    /// What may be expected in a situation. None where it has other dimensions or isn't finite.
    pub fn expected(&self, situation: &[f64]) -> Option<Expected> {
        self.is_possible(situation).then_some(())?;
        // A⁻¹x is all that is needed: bᵀA⁻¹x is the mean, xᵀA⁻¹x the variance.
        let solved = solve(&self.situations, situation)?;
        let mean = dot(&solved, &self.rewards);
        Some(Expected { mean, error: dot(&solved, situation).max(0.0).sqrt() })
    }

    /// Learns which reward a situation brought. One that is impossible teaches nothing.
    pub fn learn(&mut self, situation: &[f64], reward: f64) {
        if !(self.is_possible(situation) && reward.is_finite()) {
            return;
        }
        let size = situation.len();
        for (row, (values, a)) in self.situations.chunks_mut(size.max(1)).zip(situation).enumerate() {
            for (column, (cell, b)) in values.iter_mut().zip(situation).enumerate() {
                *cell = (1.0 - FORGET) * *cell + if row == column { FORGET } else { 0.0 } + a * b;
            }
        }
        for (sum, x) in self.rewards.iter_mut().zip(situation) {
            *sum = (1.0 - FORGET) * *sum + reward * x;
        }
        self.outcomes += 1;
    }

    fn is_possible(&self, situation: &[f64]) -> bool {
        situation.len() == self.rewards.len() && situation.iter().all(|x| x.is_finite())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A⁻¹x by Cholesky. None if the matrix is not positive definite.
fn solve(matrix: &[f64], x: &[f64]) -> Option<Vec<f64>> {
    let size = x.len();
    let mut lower = vec![0.0; size * size];
    let at = |lower: &[f64], row: usize, column: usize| lower.get(row * size + column).copied();
    for row in 0..size {
        for column in 0..=row {
            let done = dot(lower.get(row * size..row * size + column)?, lower.get(column * size..)?);
            let left = matrix.get(row * size + column)? - done;
            let value = if row == column {
                (left > 0.0).then(|| left.sqrt())?
            } else {
                left / at(&lower, column, column)?
            };
            *lower.get_mut(row * size + column)? = value;
        }
    }
    let mut solved = Vec::with_capacity(size);
    for (row, x) in x.iter().enumerate() {
        let done = dot(lower.get(row * size..row * size + row)?, &solved);
        solved.push((x - done) / at(&lower, row, row)?);
    }
    for row in (0..size).rev() {
        let done: f64 = (row + 1..size)
            .map(|below| Some(at(&lower, below, row)? * solved.get(below)?))
            .sum::<Option<f64>>()?;
        let value = (solved.get(row)? - done) / at(&lower, row, row)?;
        *solved.get_mut(row)? = value;
    }
    Some(solved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `linucb` of the golden vectors, which forget nothing.
    #[test]
    fn it_expects_what_the_golden_vectors_do() {
        let arm = Arm {
            situations: vec![3.25, 1.5, 1.5, 3.0],
            rewards: vec![1.0 + 0.0 + 0.3, 0.6],
            outcomes: 3,
            ..Arm::new(2)
        };
        let expected = arm.expected(&[1.0, 0.5]).unwrap();
        assert!((expected.mean - 0.4).abs() < 1e-12, "{expected:?}");
        assert!((expected.mean + expected.error - 0.955_277_708_298_589_8).abs() < 1e-12, "{expected:?}");
    }

    #[test]
    fn what_is_learnt_comes_near_the_golden_vectors_and_what_is_old_is_forgotten() {
        let mut arm = Arm::new(2);
        for (situation, reward) in [([1.0, 0.0], 1.0), ([1.0, 1.0], 0.0), ([0.5, 1.0], 0.6)] {
            arm.learn(&situation, reward);
        }
        assert!((arm.expected(&[1.0, 0.5]).unwrap().mean - 0.4).abs() < 1e-3);
        (0..20_000).for_each(|_| arm.learn(&[0.0, 1.0], -1.0));
        let expected = arm.expected(&[1.0, 0.0]).unwrap();
        assert!(expected.mean.abs() < 0.01 && expected.error > 0.99, "{expected:?}");
    }

    #[test]
    fn what_is_impossible_teaches_nothing() {
        let mut arm = Arm::new(2);
        arm.learn(&[1.0], 1.0);
        arm.learn(&[1.0, f64::NAN], 1.0);
        arm.learn(&[1.0, 1.0], f64::INFINITY);
        assert_eq!(arm, Arm::new(2));
        assert_eq!(arm.expected(&[1.0]), None);
    }

    proptest! {
        #[test]
        fn the_more_is_seen_of_a_situation_the_surer_it_is_and_the_mean_stays_among_the_rewards(
            situations in proptest::collection::vec(proptest::array::uniform4(-1.0..1.0f64), 1..30),
            reward in -1.0..1.0f64,
        ) {
            let mut arm = Arm::new(4);
            for situation in &situations {
                let before = arm.expected(situation).unwrap();
                arm.learn(situation, reward);
                let after = arm.expected(situation).unwrap();
                prop_assert!(after.error <= before.error + 0.01);
                prop_assert!(after.mean.is_finite());
            }
        }
    }
}
