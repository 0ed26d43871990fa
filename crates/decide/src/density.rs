//! Density grids: where a metric has been lately.
//!
//! D-Stream (Chen & Tu, "Density-based clustering for real-time stream data", KDD 2007), as the ZerOps4E authors use it on metrics
//! (Acker et al., CloudCom 2018; their Bitflow step keeps such grids). An incident's samples are at hand when it is judged, so a grid is
//! made of all of them at once: the densities are those that a stream would have led to, and nothing has to be swept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Cells along the axis.
const CELLS: usize = 7;
/// Between them, in deviations: as usual, out, far out and as far as can be, to both sides. Equal cells up to 8 deviations, as in the
/// reconstruction of the authors' step, tell three deviations from five and not ten from three hundred: of 48 recorded incidents 34
/// were then most like one with the same fault, and with these cells 39 (docs/actions.md).
const BORDERS: [f64; CELLS - 1] = [-30.0, -10.0, -3.0, 3.0, 10.0, 30.0];
/// What is left of a density after half a second: .97 for each sample at two a second, as in the authors' step.
const DECAY: f64 = 0.97;
const DECAY_STEP: Duration = Duration::from_millis(500);
/// A cell is sparse with less than this share of what each would have if all had the same (D-Stream's `C_l`).
const SPARSE: f64 = 0.8;

/// Densities while they are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mass([f64; CELLS]);

impl Mass {
    /// A metric was so many deviations away, so long ago. Not a number was nowhere.
    pub(crate) fn hit(&mut self, deviations: f64, ago: Duration) {
        if let Some(density) = cell(deviations).and_then(|cell| self.0.get_mut(cell)) {
            *density += DECAY.powf(ago.as_secs_f64() / DECAY_STEP.as_secs_f64());
        }
    }

    /// Sparse cells are emptied, the rest sums up to 1, and each cell gives a quarter to each side, since what lies at the border of two
    /// cells is in both. None if nothing was hit.
    pub(crate) fn grid(&self) -> Option<Grid> {
        let least = SPARSE * self.0.iter().sum::<f64>() / CELLS as f64;
        let dense = self.0.map(|density| if density < least { 0.0 } else { density });
        let total: f64 = dense.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            return None;
        }
        let mut grid = [0.0; CELLS];
        for (at, density) in dense.iter().enumerate() {
            let share = density / total / 4.0;
            for (to, part) in [(at.saturating_sub(1), 1.0), (at, 2.0), ((at + 1).min(CELLS - 1), 1.0)] {
                grid[to] += part * share;
            }
        }
        Some(Grid(grid.map(|share| rounded(share as f32))))
    }
}

/// The cell of a value in deviations.
fn cell(deviations: f64) -> Option<usize> {
    if deviations.is_nan() {
        return None;
    }
    Some(BORDERS.iter().filter(|border| deviations > **border).count())
}

/// To three digits, which is as much as is written down: what was read again is what it was.
pub(crate) fn rounded(value: f32) -> f32 {
    (value * 1_000.0).round() / 1_000.0
}

/// Which share of the time a metric was in which cell, to three digits; they sum up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grid([f32; CELLS]);

impl Grid {
    /// Of what was as usual all the time.
    pub(crate) const USUAL: Self = Self([0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0]);

    /// What is in between all of them; none of none.
    pub(crate) fn mean(all: &[Self]) -> Option<Self> {
        let (first, rest) = all.split_first()?;
        let mut sum = first.0;
        for grid in rest {
            sum.iter_mut().zip(grid.0).for_each(|(sum, share)| *sum += share);
        }
        Some(Self(sum.map(|share| share / all.len() as f32)))
    }

    /// How much two have in common, from 0 to 1 (Bhattacharyya's coefficient, 1 minus the square of Hellinger's distance).
    pub(crate) fn in_common(&self, other: &Self) -> f64 {
        let roots = self.0.iter().zip(other.0).map(|(a, b)| f64::from((a * b).max(0.0)).sqrt());
        roots.sum::<f64>().clamp(0.0, 1.0)
    }

    /// Goes this share of the way to another one.
    pub(crate) fn merge(&mut self, other: &Self, share: f64) {
        for (here, there) in self.0.iter_mut().zip(other.0) {
            *here = rounded(*here + (share as f32) * (there - *here));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(values: &[f64]) -> Grid {
        let mut mass = Mass::default();
        values.iter().for_each(|value| mass.hit(*value, Duration::ZERO));
        mass.grid().unwrap()
    }

    #[test]
    fn a_density_decays_by_time_and_not_by_samples() {
        // `dstream` of the golden vectors: a density of 2.5 with a decay of .998 for each of ten steps, then another hit.
        let ago = DECAY_STEP.mul_f64(10.0 * 0.998_f64.ln() / DECAY.ln());
        let mut mass = Mass::default();
        (0..5).for_each(|_| mass.hit(0.0, ago));
        let old = mass.0[CELLS / 2] / 2.0;
        assert!((old + 1.0 - 3.450_447_608_379_873_6).abs() < 1e-9, "{old}");
    }

    #[test]
    fn every_number_has_a_cell_and_what_is_none_has_not() {
        assert_eq!(
            [-1e9, -29.0, -2.9, 0.0, 2.9, 9.0, 31.0, f64::INFINITY].map(cell),
            [0, 1, 3, 3, 3, 4, 6, 6].map(Some)
        );
        assert_eq!(cell(f64::NAN), None);
        let mut mass = Mass::default();
        mass.hit(f64::NAN, Duration::ZERO);
        assert_eq!(mass.grid(), None);
    }

    #[test]
    fn a_grid_has_all_in_common_with_itself_less_with_a_neighbour_and_nothing_with_what_is_far() {
        for value in [-9.0, -3.0, 0.5, 9.0] {
            assert!((grid(&[value]).in_common(&grid(&[value])) - 1.0).abs() < 1e-6);
        }
        let near = grid(&[0.5]).in_common(&grid(&[5.0]));
        assert!(near > 0.5 && near < 1.0, "{near}");
        assert_eq!(grid(&[-20.0]).in_common(&grid(&[20.0])), 0.0);
    }

    #[test]
    fn what_was_hit_by_chance_is_emptied() {
        let mut values = vec![0.5; 30];
        values.push(17.0);
        assert_eq!(grid(&values), grid(&[0.5]));
    }

    #[test]
    fn what_is_merged_is_in_between() {
        let mut merged = grid(&[0.5]);
        merged.merge(&grid(&[50.0]), 0.5);
        assert!((merged.0.iter().sum::<f32>() - 1.0).abs() < 1e-2);
        let both = [0.5, 50.0].map(|value| merged.in_common(&grid(&[value])));
        assert!((both[0] - both[1]).abs() < 1e-2 && both[0] > 0.6, "{both:?}");
    }
}
