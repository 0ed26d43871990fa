//! BETULA cluster features (n, mean, variance per dimension): BIRCH's without its cancellation.
//!
//! Source: Lang and Schubert, "BETULA: Numerically stable CF-trees for BIRCH clustering", SISAP 2020. They keep
//! S = n·variance; here the variance itself is kept, so that forgetting touches only n.

use std::ops::{Add, Div, Mul, Sub};

/// `f32` in the running program, where values are a few units around 0; `f64` where invariants are checked to 1e-9.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + std::fmt::Debug
    + Send
{
    /// Nearest value.
    fn of(x: f64) -> Self;
    /// Exact value.
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn wide(self) -> f64 {
        self
    }
}

/// Adds a point of weight `w` to a cluster of mass `n`; returns the new mass. Slices of one length.
pub fn absorb<R: Real>(n: f64, mean: &mut [R], var: &mut [R], x: &[R], w: f64) -> f64 {
    let total = n + w;
    let (share, rest) = (R::of(w / total), R::of(n / total));
    for ((m, v), &x) in mean.iter_mut().zip(var).zip(x) {
        let difference = x - *m;
        *m = *m + difference * share;
        *v = *v * rest + share * rest * difference * difference;
    }
    total
}

/// Adds cluster B to cluster A; returns the mass of both.
pub fn merge<R: Real>(
    n_a: f64,
    mean_a: &mut [R],
    var_a: &mut [R],
    n_b: f64,
    mean_b: &[R],
    var_b: &[R],
) -> f64 {
    let total = n_a + n_b;
    let (share, rest) = (R::of(n_b / total), R::of(n_a / total));
    for (((m, v), &mb), &vb) in mean_a.iter_mut().zip(var_a).zip(mean_b).zip(var_b) {
        let difference = mb - *m;
        *m = *m + difference * share;
        *v = *v * rest + vb * share + share * rest * difference * difference;
    }
    total
}

/// Squared distance of two points. Eight running sums, so that it becomes vector instructions.
///
/// Hot.
pub fn distance<R: Real>(a: &[R], b: &[R]) -> R {
    let mut sums = [R::default(); 8];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let (rest_a, rest_b) = (chunks_a.remainder(), chunks_b.remainder());
    for (x, y) in chunks_a.zip(chunks_b) {
        for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
            let difference = x - y;
            *sum = *sum + difference * difference;
        }
    }
    for ((sum, &x), &y) in sums.iter_mut().zip(rest_a).zip(rest_b) {
        let difference = x - y;
        *sum = *sum + difference * difference;
    }
    sums.into_iter().fold(R::default(), |total, sum| total + sum)
}

/// Squared radius of the union of two clusters whose centres are `distance` (squared) apart and whose own squared
/// radii are given.
pub fn merged_radius(n_a: f64, radius_a: f64, n_b: f64, radius_b: f64, distance: f64) -> f64 {
    let total = n_a + n_b;
    (n_a * radius_a + n_b * radius_b) / total + n_a * n_b * distance / (total * total)
}

/// Sum of the variances: the squared radius.
pub fn radius<R: Real>(var: &[R]) -> f64 {
    var.iter().map(|v| v.wide()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Feature {
        n: f64,
        mean: Vec<f64>,
        var: Vec<f64>,
    }

    fn of(points: &[&[f64]]) -> Feature {
        let d = points[0].len();
        let mut f = Feature { n: 0.0, mean: vec![0.0; d], var: vec![0.0; d] };
        for point in points {
            f.n = absorb(f.n, &mut f.mean, &mut f.var, point, 1.0);
        }
        f
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= 1e-12 * e.abs().max(1.0), "{found:?} instead of {expected:?}");
        }
    }

    fn check(f: &Feature, n: f64, mean: &[f64], s: &[f64], r: f64) {
        assert_eq!(f.n, n);
        assert_close(&f.mean, mean);
        assert_close(&f.var.iter().map(|v| v * f.n).collect::<Vec<_>>(), s);
        assert_close(&[radius(&f.var).sqrt()], &[r]);
    }

    #[test]
    fn features_and_their_union_are_those_of_the_reference() {
        let mut a = of(&[&[1.0, 2.0], &[2.0, 4.0], &[3.0, 9.0]]);
        let b = of(&[&[10.0, 0.0], &[12.0, 1.0]]);
        check(&a, 3.0, &[2.0, 5.0], &[2.0, 26.0], 3.0550504633038935);
        check(&b, 2.0, &[11.0, 0.5], &[2.0, 0.5], 1.118033988749895);
        let d = distance(&a.mean, &b.mean);
        let r = merged_radius(a.n, radius(&a.var), b.n, radius(&b.var), d);
        a.n = merge(a.n, &mut a.mean, &mut a.var, b.n, &b.mean, &b.var);
        check(&a, 5.0, &[5.6, 3.2], &[101.2, 50.8], 5.513619500836088);
        assert_close(&[r.sqrt()], &[5.513619500836088]);
    }

    #[test]
    fn an_offset_of_1e9_keeps_the_variance() {
        let f = of(&[&[1e9 + 1.0], &[1e9 + 2.0], &[1e9 + 3.0]]);
        assert!((f.var[0] * 3.0 - 2.0).abs() < 1e-6, "{}", f.var[0] * 3.0);
    }
}
