//! What each metric should be, given the others.
//!
//! For standardised values z with covariance C, the ridge regression of one metric on all others has a residual that is
//! read off the inverse P = (C + I)⁻¹: r_j = (P·z)_j / P_jj. One matrix serves all metrics.
//!
//! **Bounded.** Metrics that stand next to each other in the schema come from one source and are peers; they form blocks, as
//! large as [`CELLS`] allows: one block up to 64 metrics, blocks of 8 at 500, none above 2,048 (there the edges of so many
//! metrics are enough). A row costs three passes over the blocks, whatever happens: a product, an update, and one
//! elimination step of the next inverse, which is ready after as many rows as a block is wide. C + I has no eigenvalue
//! below 1, so that elimination needs no pivoting and `f32` is enough. Rejected: rank-one updates of the inverse itself,
//! which drift and have to be redone exactly all the same.

/// Cells of the matrices, at most (each is kept three times): 64².
const CELLS: usize = 4_096;
/// A block is not larger than this.
const MAX_BLOCK: usize = 64;
/// A metric with fewer peers than this is not compared with them.
const MIN_BLOCK: usize = 2;
/// Standardised values are clipped here for the covariance, so that one burst does not make it.
pub(super) const LEARN_CLIP: f32 = 5.0;

/// Covariances in blocks, with their inverses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Peers {
    width: usize,
    block: usize,
    /// Row by row, block after block: the covariance C.
    covariance: Vec<f32>,
    /// (C + I)⁻¹ as of the last time it was ready.
    inverse: Vec<f32>,
    /// The next inverse in the making.
    work: Vec<f32>,
    /// Elimination steps done in `work`.
    done: usize,
}

impl Peers {
    /// Of metrics that have nothing to do with each other, as far as is known.
    pub(super) fn new(width: usize) -> Self {
        let block = block_size(width);
        let mut peers = Self { width, block, ..Self::default() };
        let cells = cells(width);
        peers.covariance = vec![0.0; cells];
        peers.inverse = vec![0.0; cells];
        let mut at = 0;
        for n in spans(width, block).map(|(_, n)| n) {
            for i in 0..n {
                peers.covariance[at + i * n + i] = 1.0;
                peers.inverse[at + i * n + i] = 0.5;
            }
            at += n * n;
        }
        peers.work = peers.covariance.clone();
        peers.done = usize::MAX;
        peers
    }

    /// Whether metrics are compared at all.
    pub(super) fn compare(&self) -> bool {
        self.block >= MIN_BLOCK
    }

    /// Whether metrics are compared or can't be, as of so many there are no peers.
    pub(super) fn is_usual(&self) -> bool {
        self.block == block_size(self.width)
    }

    /// First metric and number of metrics of each block.
    fn spans(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        spans(self.width, self.block)
    }

    /// Writes what is left of each z when its peers have been asked; both have one entry per metric.
    ///
    /// Hot: one pass over the inverse.
    pub(super) fn residuals(&self, z: &[f32], residuals: &mut [f32]) {
        let mut inverse = self.inverse.as_slice();
        for (first, n) in self.spans() {
            let (block, rest) = inverse.split_at(n * n);
            inverse = rest;
            let z = &z[first..first + n];
            for (i, (row, out)) in block.chunks_exact(n).zip(&mut residuals[first..first + n]).enumerate() {
                *out = dot(row, z) / row[i].max(f32::MIN_POSITIVE);
            }
        }
    }

    /// Takes a row of standardised values in, with a gain, and goes on with the next inverse.
    ///
    /// Hot: one pass over the covariance, one over the inverse in the making.
    pub(super) fn learn(&mut self, z: &[f32], gain: f32) {
        let mut covariance = self.covariance.as_mut_slice();
        for (first, n) in spans(self.width, self.block) {
            let (block, rest) = covariance.split_at_mut(n * n);
            covariance = rest;
            let z = &z[first..first + n];
            for (row, &zi) in block.chunks_exact_mut(n).zip(z) {
                for (c, &zk) in row.iter_mut().zip(z) {
                    *c += gain * (zi * zk - *c);
                }
            }
        }
        self.advance();
    }

    /// One step of the next inverse in each block.
    fn advance(&mut self) {
        if self.done >= self.block {
            self.work.copy_from_slice(&self.covariance);
            let mut work = self.work.as_mut_slice();
            for (_, n) in spans(self.width, self.block) {
                let (block, rest) = work.split_at_mut(n * n);
                work = rest;
                block.iter_mut().step_by(n + 1).for_each(|c| *c += 1.0);
            }
            self.done = 0;
            return;
        }
        let mut work = self.work.as_mut_slice();
        let mut sound = true;
        for (_, n) in spans(self.width, self.block) {
            let (block, rest) = work.split_at_mut(n * n);
            work = rest;
            if self.done < n {
                sound &= eliminate(block, n, self.done);
            }
        }
        self.done += 1;
        if !sound {
            *self = Self::new(self.width);
        } else if self.done == self.block {
            std::mem::swap(&mut self.inverse, &mut self.work);
        }
    }

    /// Metrics in a new order: those that stay keep what is known of each pair that was and is in one block.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        let mut new = Self::new(from.len());
        new.each_pair(|i, k| {
            let (i, k) = (from[i]?, from[k]?);
            self.at(i, k).map(|at| self.covariance[at])
        });
        new.settle();
        *self = new;
    }

    /// Metrics that are not compared, or from now on are.
    pub(super) fn set(&mut self, compare: bool) {
        if !compare {
            *self = Self { width: self.width, ..Self::default() };
        } else if !self.is_usual() {
            *self = Self::new(self.width);
        }
    }

    /// Takes each covariance that `of` knows.
    fn each_pair(&mut self, of: impl Fn(usize, usize) -> Option<f32>) {
        for (first, n) in self.spans() {
            for i in first..first + n {
                for k in first..first + n {
                    if let (Some(at), Some(c)) = (self.at(i, k), of(i, k)) {
                        self.covariance[at] = c;
                    }
                }
            }
        }
    }

    /// Makes the inverse at once; only where nobody waits.
    fn settle(&mut self) {
        self.done = usize::MAX;
        for _ in 0..=self.block {
            self.advance();
        }
    }

    /// Adds what another instance of the same width learnt: `own` and `theirs` hold each metric's weight, mean and deviation.
    /// Exact for the covariances of the values: the means may differ.
    pub(super) fn merge(&mut self, other: &Self, own: &[(f64, f64, f64)], theirs: &[(f64, f64, f64)]) {
        let mut merged = self.clone();
        merged.each_pair(|i, k| {
            let (a, b) = (self.at(i, k).map(|at| self.covariance[at])?, other.at(i, k)?);
            let share = |j: usize| theirs[j].0 / (own[j].0 + theirs[j].0).max(f64::MIN_POSITIVE);
            let share = (share(i) * share(k)).sqrt();
            let apart = |j: usize| theirs[j].1 - own[j].1;
            let scale = |j: usize| {
                let w = theirs[j].0 / (own[j].0 + theirs[j].0).max(f64::MIN_POSITIVE);
                let var = (1.0 - w) * own[j].2.powi(2) + w * theirs[j].2.powi(2);
                (var + w * (1.0 - w) * apart(j).powi(2)).sqrt()
            };
            let sum = (1.0 - share) * f64::from(a) * own[i].2 * own[k].2
                + share * f64::from(other.covariance[b]) * theirs[i].2 * theirs[k].2
                + share * (1.0 - share) * apart(i) * apart(k);
            let scales = scale(i) * scale(k);
            let merged = if scales > 0.0 { sum / scales } else { f64::from(a) };
            merged.is_finite().then_some(merged.clamp(-MAX_COVARIANCE, MAX_COVARIANCE) as f32)
        });
        merged.settle();
        *self = merged;
    }

    /// Where the covariance of two metrics stands, if they are peers.
    fn at(&self, i: usize, k: usize) -> Option<usize> {
        let block = self.block;
        if block == 0 || i >= self.width || k >= self.width || i / block != k / block {
            return None;
        }
        let first = i / block * block;
        let n = block.min(self.width - first);
        Some(first / block * block * block + (i - first) * n + (k - first))
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        3 * self.covariance.capacity() * size_of::<f32>()
    }

    /// As it is saved: covariance, inverse, next inverse, steps done.
    pub(super) fn parts(&self) -> (&[f32], &[f32], &[f32], u64) {
        (&self.covariance, &self.inverse, &self.work, self.done as u64)
    }

    /// Restores what [`Peers::parts`] gave; none where it can't be.
    pub(super) fn from_parts(
        width: usize,
        covariance: Vec<f32>,
        inverse: Vec<f32>,
        work: Vec<f32>,
        done: u64,
    ) -> Option<Self> {
        let mut peers = Self::new(width);
        // One that was told not to compare has no cells.
        peers.set(!covariance.is_empty());
        let whole = |cells: &[f32]| {
            cells.len() == peers.covariance.len()
                && cells.iter().all(|c| c.is_finite() && c.abs() <= MAX_CELL)
        };
        if !whole(&covariance) || !whole(&inverse) || !whole(&work) {
            return None;
        }
        (peers.covariance, peers.inverse, peers.work) = (covariance, inverse, work);
        peers.done = usize::try_from(done).unwrap_or(usize::MAX);
        Some(peers)
    }
}

/// What a covariance of clipped values can be.
const MAX_COVARIANCE: f64 = (LEARN_CLIP * LEARN_CLIP) as f64;
/// What a cell can be, also half-way through an elimination.
const MAX_CELL: f32 = 1e6;

/// As many peers as there is room for.
fn block_size(width: usize) -> usize {
    let block = (CELLS / width.max(1)).min(MAX_BLOCK).min(width);
    if block < MIN_BLOCK { 0 } else { block }
}

/// Cells of one matrix.
pub(super) fn cells(width: usize) -> usize {
    spans(width, block_size(width)).map(|(_, n)| n * n).sum()
}

/// First metric and number of metrics of each block.
fn spans(width: usize, block: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let end = if block == 0 { 0 } else { width };
    (0..end).step_by(block.max(1)).map(move |first| (first, block.min(width - first)))
}

/// Sum of products, in eight lanes that the compiler can keep in one register; the same order on every machine.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_whole, a_rest) = a.as_chunks::<8>();
    let (b_whole, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Gauss-Jordan step `p` of an inversion in place. False where the pivot can't be one.
fn eliminate(block: &mut [f32], n: usize, p: usize) -> bool {
    let pivot = block[p * n + p];
    if !(pivot > 0.5 && pivot.is_finite()) {
        return false;
    }
    let (above, from) = block.split_at_mut(p * n);
    let (row, below) = from.split_at_mut(n);
    row[p] = 1.0;
    row.iter_mut().for_each(|x| *x /= pivot);
    for other in above.chunks_exact_mut(n).chain(below.chunks_exact_mut(n)) {
        let factor = other[p];
        other[p] = 0.0;
        for (x, &r) in other.iter_mut().zip(row.iter()) {
            *x -= factor * r;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two metrics that go together and one that does not.
    fn rows() -> impl Iterator<Item = [f32; 3]> {
        let mut seed = 1u32;
        let mut noise = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1u32 << 24) as f32 * 3.46 - 1.73
        };
        (0..4_000).map(move |_| {
            let a = noise();
            [a, a + 0.1 * noise(), noise()]
        })
    }

    fn taught() -> Peers {
        let mut peers = Peers::new(3);
        for (i, row) in rows().enumerate() {
            peers.learn(&row, 1.0 / (i + 1) as f32);
        }
        peers
    }

    #[test]
    fn a_metric_that_leaves_its_peer_stands_out_and_one_that_goes_along_does_not() {
        let peers = taught();
        let (mut apart, mut along) = ([0.0; 3], [0.0; 3]);
        peers.residuals(&[2.0, -2.0, 0.0], &mut apart);
        peers.residuals(&[2.0, 2.0, 0.0], &mut along);
        assert!(apart[0] > 2.5 && apart[1] < -2.5 && apart[2].abs() < 0.3, "{apart:?}");
        assert!(along[0] < 1.5 && along[1] < 1.5, "{along:?}");
    }

    #[test]
    fn the_inverse_is_one() {
        let mut peers = taught();
        peers.settle();
        for i in 0..3 {
            for k in 0..3 {
                let ridge = |j: usize| peers.covariance[j * 3 + k] + if j == k { 1.0 } else { 0.0 };
                let cell: f32 = (0..3).map(|j| peers.inverse[i * 3 + j] * ridge(j)).sum();
                assert!((cell - if i == k { 1.0 } else { 0.0 }).abs() < 1e-5, "{i} {k} {cell}");
            }
        }
    }

    #[test]
    fn blocks_cover_every_metric_within_bounds_at_any_width() {
        for width in [0, 1, 2, 63, 64, 65, 150, 500, 2_048, 2_049, 10_000] {
            let peers = Peers::new(width);
            assert!(peers.covariance.len() <= CELLS, "{width}");
            let covered: usize = peers.spans().map(|(_, n)| n).sum();
            assert_eq!(covered, if peers.compare() { width } else { 0 }, "{width}");
            let mut out = vec![0.0; width];
            peers.residuals(&vec![1.0; width], &mut out);
        }
    }

    #[test]
    fn what_does_not_compare_is_restored_as_that_and_can_be_told_to() {
        let mut peers = taught();
        peers.set(false);
        let restored = Peers::from_parts(3, Vec::new(), Vec::new(), Vec::new(), 0).unwrap();
        assert_eq!((restored.compare(), restored.bytes()), (false, 0));
        peers.set(true);
        assert_eq!(peers, Peers::new(3));
        assert!(Peers::from_parts(3, vec![1.0], vec![1.0], vec![1.0], 0).is_none());
    }

    #[test]
    fn metrics_in_a_new_order_keep_what_is_known_of_pairs() {
        let peers = taught();
        let mut moved = peers.clone();
        moved.rearrange(&[Some(2), None, Some(1), Some(0)]);
        let cell = |p: &Peers, i, k| p.covariance[p.at(i, k).unwrap()];
        assert_eq!(cell(&moved, 2, 3), cell(&peers, 1, 0));
        assert_eq!((cell(&moved, 1, 1), cell(&moved, 1, 0)), (1.0, 0.0));
    }

    #[test]
    fn two_halves_merged_are_the_whole() {
        let whole = taught();
        let (mut a, mut b) = (Peers::new(3), Peers::new(3));
        for (i, row) in rows().enumerate() {
            let half = if i < 2_000 { &mut a } else { &mut b };
            half.learn(&row, 1.0 / (i % 2_000 + 1) as f32);
        }
        let moments = [(2_000.0, 0.0, 1.0); 3];
        a.merge(&b, &moments, &moments);
        for (merged, expected) in a.covariance.iter().zip(&whole.covariance) {
            assert!((merged - expected).abs() < 1e-3, "{merged} {expected}");
        }
    }
}
