//! Unlike any shape: the distance of the last twelve z-scores to the nearest of 64 earlier stretches.
//!
//! Stretches are kept because they were far from each other; the one that was longest of no use is replaced.
//!
//! Cost: 768 multiplications; 64 · 12 numbers in `f32`.

/// Values in a shape.
pub const LAGS: usize = 12;
/// Shapes that are kept.
const SHAPES: usize = 64;
/// A shape is kept for its distance while there is room: this many mean distances,
const NEW: f64 = 0.5;
/// and this many where it replaces another.
const REPLACE: f64 = 1.5;

/// The last twelve z-scores and 64 earlier stretches; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Shapes {
    /// The newest first.
    #[prost(float, repeated, tag = "1")]
    last: Vec<f32>,
    /// How many of `last` are neighbours.
    #[prost(uint32, tag = "2")]
    filled: u32,
    /// `LAGS` numbers for each shape.
    #[prost(float, repeated, tag = "3")]
    kept: Vec<f32>,
    /// At which step each was the nearest.
    #[prost(uint64, repeated, tag = "4")]
    used: Vec<u64>,
    /// Steps learnt.
    #[prost(uint64, tag = "5")]
    step: u64,
    /// Mean distance to the nearest.
    #[prost(double, tag = "6")]
    mean: f64,
}

impl Shapes {
    /// None known. All memory that will ever be needed is taken here.
    pub fn new() -> Self {
        Self {
            last: vec![0.0; LAGS],
            kept: Vec::with_capacity(SHAPES * LAGS),
            used: Vec::with_capacity(SHAPES),
            ..Self::default()
        }
    }

    /// Takes in a z-score; gives the distance of the last twelve to the nearest known shape, and which that is.
    pub fn push(&mut self, z: f64) -> Option<Nearest> {
        self.last.rotate_right(1);
        if let Some(newest) = self.last.first_mut() {
            *newest = z as f32;
        }
        self.filled = (self.filled + 1).min(LAGS as u32);
        if self.filled < LAGS as u32 {
            return None;
        }
        let mut nearest = Nearest { distance: 0.0, shape: None };
        let mut best = f32::INFINITY;
        for (shape, kept) in self.kept.chunks_exact(LAGS).enumerate() {
            // Four sums side by side: one vector instruction each, and the same rounding on every CPU.
            let mut sums = [0.0f32; 4];
            for (a, b) in kept.chunks_exact(4).zip(self.last.chunks_exact(4)) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += (a - b) * (a - b);
                }
            }
            let square = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            if square < best {
                best = square;
                nearest = Nearest { distance: f64::from(square).sqrt(), shape: Some(shape) };
            }
        }
        Some(nearest)
    }

    /// Learns the last twelve values, of which [`Shapes::push`] said what is nearest; `gain` is the least for their mean.
    pub fn learn(&mut self, nearest: Nearest, gain: f64, weight: f64) {
        if weight <= 0.0 {
            return;
        }
        self.step += 1;
        let distance = nearest.distance;
        let room = self.used.len() < SHAPES;
        let replaced = match nearest.shape {
            None => room.then_some(self.used.len()),
            Some(_) if room && distance > NEW * self.mean => Some(self.used.len()),
            Some(_) if !room && distance > REPLACE * self.mean => {
                self.used.iter().enumerate().min_by_key(|(_, used)| **used).map(|(i, _)| i)
            }
            Some(_) => None,
        };
        match replaced {
            Some(i) if i == self.used.len() => {
                self.kept.extend_from_slice(&self.last);
                self.used.push(self.step);
            }
            Some(i) => {
                if let Some(kept) = self.kept.chunks_exact_mut(LAGS).nth(i) {
                    kept.copy_from_slice(&self.last);
                }
                self.touch(i);
            }
            None => self.touch(nearest.shape.unwrap_or(SHAPES)),
        }
        self.mean += weight * (1.0 / self.step as f64).max(gain) * (distance - self.mean);
    }

    /// The next value is not the neighbour of the last one.
    pub fn gap(&mut self) {
        self.filled = 0;
    }

    /// Writes everything in another frame: z becomes `scale`·z + `shift`.
    pub fn reframe(&mut self, scale: f64, shift: f64) {
        self.mean *= scale;
        for z in self.last.iter_mut().chain(&mut self.kept) {
            *z = (scale * f64::from(*z) + shift) as f32;
        }
    }

    /// Takes over shapes of another instance in the same frame, while there is room.
    pub fn merge(&mut self, other: &Self) {
        let room = SHAPES - self.used.len().min(SHAPES);
        for kept in other.kept.chunks_exact(LAGS).take(room) {
            self.kept.extend_from_slice(kept);
            self.used.push(self.step);
        }
        self.mean = self.mean.max(other.mean);
        self.step = self.step.max(other.step);
    }

    /// Makes room as [`Shapes::new`] does, after having been read from saved state.
    pub fn reserve(&mut self) {
        self.kept.reserve_exact((SHAPES * LAGS).saturating_sub(self.kept.len()));
        self.used.reserve_exact(SHAPES.saturating_sub(self.used.len()));
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        self.last.len() == LAGS
            && self.filled <= LAGS as u32
            && self.used.len() <= SHAPES
            && self.kept.len() == self.used.len() * LAGS
            && self.last.iter().chain(&self.kept).all(|z| z.is_finite() && z.abs() < 1e9)
            && self.used.iter().all(|used| *used <= self.step)
            && self.mean.is_finite()
            && self.mean >= 0.0
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        (self.last.capacity() + self.kept.capacity()) * size_of::<f32>()
            + self.used.capacity() * size_of::<u64>()
    }

    fn touch(&mut self, shape: usize) {
        if let Some(used) = self.used.get_mut(shape) {
            *used = self.step;
        }
    }
}

/// The nearest known shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Euclidean, in z-scores; 0 where none is known.
    pub distance: f64,
    shape: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_was_seen_is_near_and_another_is_far() {
        let mut shapes = Shapes::new();
        let mut push = |z: f64| {
            let nearest = shapes.push(z);
            if let Some(nearest) = nearest {
                shapes.learn(nearest, 0.001, 1.0);
            }
            nearest.map_or(0.0, |n| n.distance)
        };
        for i in 0..400 {
            push(f64::from(i % 6));
        }
        assert!(push(f64::from(400 % 6)) < 1e-6);
        assert!(push(15.0) > 4.0);
    }

    #[test]
    fn shapes_do_not_reach_across_a_gap() {
        let mut shapes = Shapes::new();
        (0..LAGS).for_each(|_| {
            shapes.push(1.0);
        });
        assert!(shapes.push(1.0).is_some());
        shapes.gap();
        assert!(shapes.push(1.0).is_none());
    }
}
