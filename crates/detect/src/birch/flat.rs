//! The clusters: BIRCH's leaf entries in one flat array, found by exact scan.
//!
//! A tree only pays above about a thousand entries, and its greedy descent misses the nearest one; a scan of M ≤ 64
//! entries of 500 series takes a few microseconds (specification 3.2, engineering shortcut). Forgetting is exponential
//! (3.3), and an entry is dropped when hardly anything is left of it.

use super::features::{Real, absorb, distance, merge, merged_radius, radius};

/// Half-life of a cluster's mass in seconds (specification 3.3).
const HALF_LIFE: f64 = 6.0 * 3_600.0;
/// First squared radius per dimension. The specification starts at 0.05², for plain z-scores; the residuals that come here
/// have variances up to 1 by construction, so that this is noise, and what is one cluster from the start.
const FIRST_LIMIT: f64 = 1.0;
/// A point further away than this many limits (squared distances) makes an entry of its own: the merged radius of a heavy
/// entry alone would take in anything.
const REACH: f64 = 3.0;
/// An entry lighter than this is dropped, except the last one.
const MIN_MASS: f64 = 0.05;
/// Memory for means and variances in bytes: bounds the number of entries.
const BYTES: usize = 96 << 10;
/// Fewest and most entries.
const MIN_ENTRIES: usize = 4;
const MAX_ENTRIES: usize = 64;
/// Attempts of a rebuild to make room (specification 3.2).
const MAX_ATTEMPTS: usize = 40;

/// At most [`Clusters::capacity`] clusters of `width` dimensions.
#[derive(Clone, Debug)]
pub struct Clusters<R> {
    width: usize,
    capacity: usize,
    /// Squared radius up to which an entry takes points in.
    limit: f64,
    masses: Vec<f64>,
    radii: Vec<f64>,
    means: Vec<R>,
    vars: Vec<R>,
}

impl<R: Real> Clusters<R> {
    /// None yet.
    pub fn new(width: usize) -> Self {
        let per_entry = 2 * width.max(1) * size_of::<R>();
        let capacity = (BYTES / per_entry).clamp(MIN_ENTRIES, MAX_ENTRIES);
        Self {
            width,
            capacity,
            limit: FIRST_LIMIT * width.max(1) as f64,
            masses: Vec::with_capacity(capacity + 1),
            radii: Vec::with_capacity(capacity + 1),
            means: Vec::with_capacity((capacity + 1) * width),
            vars: Vec::with_capacity((capacity + 1) * width),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.masses.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.masses.is_empty()
    }

    /// The most there can be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Dimensions.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Squared radius up to which an entry takes points in; it only grows.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// Restores the limit.
    pub fn set_limit(&mut self, limit: f64) {
        self.limit = self.limit.max(limit);
    }

    /// Mass, mean and variance of an entry.
    pub fn entry(&self, i: usize) -> (f64, &[R], &[R]) {
        let at = i * self.width..(i + 1) * self.width;
        (self.masses[i], &self.means[at.clone()], &self.vars[at])
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.means.capacity() + self.vars.capacity()) * size_of::<R>()
            + (self.masses.capacity() + self.radii.capacity()) * size_of::<f64>()
    }

    /// The entry whose centre is nearest, and the squared distance.
    ///
    /// Hot: width · len multiplications.
    pub fn nearest(&self, x: &[R]) -> Option<(usize, f64)> {
        if self.width == 0 {
            return (!self.is_empty()).then_some((0, 0.0));
        }
        let mut best: Option<(usize, R)> = None;
        for (i, mean) in self.means.chunks_exact(self.width).enumerate() {
            let d = distance(mean, x);
            if best.is_none_or(|(_, b)| d < b) {
                best = Some((i, d));
            }
        }
        best.map(|(i, d)| (i, d.wide()))
    }

    /// Forgets what `dt` seconds make one forget.
    pub fn age(&mut self, dt: f64) {
        let keep = (-dt / HALF_LIFE).exp2();
        for mass in &mut self.masses {
            *mass *= keep;
        }
        let mut i = 0;
        while i < self.len() {
            if self.masses[i] < MIN_MASS && self.len() > 1 {
                self.remove(i);
            } else {
                i += 1;
            }
        }
    }

    /// Learns a point of weight `w` > 0; `x` has `width` entries.
    ///
    /// Hot: no allocation; a rebuild when a new entry finds no room.
    pub fn insert(&mut self, x: &[R], w: f64) {
        if let Some((i, d)) = self.nearest(x) {
            let merged = merged_radius(self.masses[i], self.radii[i], w, 0.0, d);
            if merged <= self.limit && d <= REACH * self.limit {
                let at = i * self.width..(i + 1) * self.width;
                self.masses[i] =
                    absorb(self.masses[i], &mut self.means[at.clone()], &mut self.vars[at], x, w);
                self.radii[i] = merged;
                return;
            }
        }
        self.masses.push(w);
        self.radii.push(0.0);
        self.means.extend_from_slice(x);
        self.vars.resize(self.masses.len() * self.width, R::default());
        if self.len() > self.capacity {
            self.rebuild();
        }
    }

    /// Adds a whole entry; `mean` and `var` have `width` entries.
    pub fn insert_entry(&mut self, mass: f64, mean: &[R], var: &[R]) {
        self.masses.push(mass);
        self.radii.push(radius(var));
        self.means.extend_from_slice(mean);
        self.vars.extend_from_slice(var);
        if self.len() > self.capacity {
            self.rebuild();
        }
    }

    /// Makes room: raises the limit to the mean merged radius of nearest neighbours and puts all entries in again, the
    /// heaviest first; if that does not help, raises it further.
    fn rebuild(&mut self) {
        self.limit = self.limit.max(self.mean_neighbour_radius());
        for _ in 0..MAX_ATTEMPTS {
            self.reinsert();
            if self.len() <= self.capacity {
                return;
            }
            self.limit *= 1.5 * 1.5;
        }
        while self.len() > self.capacity {
            self.remove(self.len() - 1);
        }
    }

    fn mean_neighbour_radius(&self) -> f64 {
        let n = self.len();
        let mut sum = 0.0;
        for i in 0..n {
            let mut best = f64::INFINITY;
            for j in (0..n).filter(|&j| j != i) {
                let d = distance(self.entry(i).1, self.entry(j).1).wide();
                best =
                    best.min(merged_radius(self.masses[i], self.radii[i], self.masses[j], self.radii[j], d));
            }
            sum += best;
        }
        sum / n.max(1) as f64
    }

    /// In place: the first `kept` entries are done; the heaviest of the others either joins one of them or is next.
    fn reinsert(&mut self) {
        let mut kept = 0;
        while kept < self.len() {
            let heaviest = (kept..self.len())
                .max_by(|&a, &b| self.masses[a].total_cmp(&self.masses[b]).then(b.cmp(&a)))
                .unwrap_or(kept);
            self.swap(kept, heaviest);
            let (done, rest) = self.means.split_at(kept * self.width);
            let mean = &rest[..self.width];
            let nearest = done
                .chunks_exact(self.width.max(1))
                .map(|other| distance(other, mean).wide())
                .enumerate()
                .min_by(|a, b| a.1.total_cmp(&b.1));
            let fits = nearest.and_then(|(i, d)| {
                let merged =
                    merged_radius(self.masses[i], self.radii[i], self.masses[kept], self.radii[kept], d);
                (merged <= self.limit && d <= REACH * self.limit).then_some((i, merged))
            });
            let Some((i, merged)) = fits else {
                kept += 1;
                continue;
            };
            let at = i * self.width..(i + 1) * self.width;
            let (means, mean) = self.means.split_at_mut(kept * self.width);
            let (vars, var) = self.vars.split_at_mut(kept * self.width);
            self.masses[i] = merge(
                self.masses[i],
                &mut means[at.clone()],
                &mut vars[at],
                self.masses[kept],
                &mean[..self.width],
                &var[..self.width],
            );
            self.radii[i] = merged;
            self.remove(kept);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        self.masses.swap(a, b);
        self.radii.swap(a, b);
        for i in 0..self.width {
            self.means.swap(a * self.width + i, b * self.width + i);
            self.vars.swap(a * self.width + i, b * self.width + i);
        }
    }

    /// Removes an entry; the last one takes its place.
    fn remove(&mut self, i: usize) {
        let last = self.len() - 1;
        self.swap(i, last);
        self.masses.truncate(last);
        self.radii.truncate(last);
        self.means.truncate(last * self.width);
        self.vars.truncate(last * self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift), so that tests need nothing else.
    fn noise(seed: &mut u64) -> f64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }

    /// Σn, Σn·m and Σ(S + n·m²), which no rebuild or merge may change.
    fn sums(c: &Clusters<f64>) -> Vec<f64> {
        let mut sums = vec![0.0; 1 + 2 * c.width()];
        for i in 0..c.len() {
            let (n, mean, var) = c.entry(i);
            sums[0] += n;
            for d in 0..c.width() {
                sums[1 + d] += n * mean[d];
                sums[1 + c.width() + d] += n * (var[d] + mean[d] * mean[d]);
            }
        }
        sums
    }

    #[test]
    fn the_bound_on_entries_is_never_exceeded_and_nothing_is_lost() {
        let (mut c, mut seed) = (Clusters::<f64>::new(7), 42);
        let mut expected = vec![0.0; 15];
        for _ in 0..20_000 {
            let x: Vec<f64> = (0..7).map(|_| noise(&mut seed) * 10.0).collect();
            expected[0] += 1.0;
            for d in 0..7 {
                expected[1 + d] += x[d];
                expected[8 + d] += x[d] * x[d];
            }
            c.insert(&x, 1.0);
            assert!(c.len() <= c.capacity());
        }
        for (found, expected) in sums(&c).iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-9 * expected.abs().max(20_000.0), "{found} {expected}");
        }
    }

    #[test]
    fn two_modes_stay_two_modes() {
        let (mut c, mut seed) = (Clusters::<f32>::new(20), 7);
        for i in 0..5_000 {
            let mode = if i % 10 == 0 { 6.0 } else { 0.0 };
            let x: Vec<f32> = (0..20).map(|_| (mode + noise(&mut seed)) as f32).collect();
            c.insert(&x, 1.0);
        }
        for mode in [0.0, 6.0] {
            let (_, d) = c.nearest(&[mode; 20]).unwrap();
            assert!(d < 20.0, "{d}");
        }
    }

    #[test]
    fn what_is_not_seen_again_is_forgotten() {
        let mut c = Clusters::<f32>::new(2);
        c.insert(&[50.0, 50.0], 1.0);
        for _ in 0..200 {
            c.age(3_600.0);
            c.insert(&[0.0, 0.0], 1.0);
        }
        assert_eq!(c.len(), 1);
    }

    #[test]
    fn points_without_dimensions_are_one_cluster() {
        let mut c = Clusters::<f32>::new(0);
        for _ in 0..100 {
            c.insert(&[], 1.0);
        }
        assert_eq!(c.len(), 1);
    }

    #[test]
    fn duplicate_points_are_one_cluster() {
        let mut c = Clusters::<f32>::new(3);
        for _ in 0..1_000 {
            c.insert(&[1.0, 2.0, 3.0], 1.0);
        }
        assert_eq!(c.len(), 1);
    }
}
