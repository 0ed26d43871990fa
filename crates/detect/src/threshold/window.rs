//! The mean and deviation of the log-errors of the last hour, without what came before it.
//!
//! As the moving threshold, but nothing older than the window counts, and all within it counts alike. The window is kept
//! in blocks of a sixteenth of it, each a count, a mean and a sum of squares, merged without loss (Chan, Golub, LeVeque
//! 1979): as exact as keeping the errors, except that the window's end moves in sixteenths. Fails where an hour is too
//! short to show what happens daily.

/// Length in seconds.
const SECONDS: f64 = 3_600.0;
/// It covers at least this many samples.
const MIN_SAMPLES: f64 = 200.0;
/// Parts that it is kept in.
const BLOCKS: usize = 16;

/// The window; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Window {
    /// Oldest first; the last one is being filled.
    #[prost(message, repeated, tag = "1")]
    blocks: Vec<Block>,
}

/// Errors that came together.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Block {
    #[prost(double, tag = "1")]
    count: f64,
    #[prost(double, tag = "2")]
    mean: f64,
    /// Sum of squared distances from the mean.
    #[prost(double, tag = "3")]
    squares: f64,
    #[prost(double, tag = "4")]
    seconds: f64,
}

impl Block {
    fn add(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count <= 0.0 {
            return self;
        }
        let difference = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + difference * other.count / count,
            squares: self.squares
                + other.squares
                + difference * difference * self.count * other.count / count,
            seconds: self.seconds + other.seconds,
        }
    }
}

impl Window {
    /// Takes in a value, `dt` seconds after the one before.
    pub fn learn(&mut self, value: f64, weight: f64, dt: f64) {
        let length = SECONDS.max(MIN_SAMPLES * dt) / BLOCKS as f64;
        if self.blocks.last().is_none_or(|last| last.seconds >= length) {
            if self.blocks.len() > BLOCKS {
                self.blocks.remove(0);
            } else if self.blocks.is_empty() {
                self.blocks.reserve_exact(BLOCKS + 1);
            }
            self.blocks.push(Block::default());
        }
        if let Some(last) = self.blocks.last_mut() {
            *last = last.add(Block { count: weight, mean: value, squares: 0.0, seconds: dt });
        }
    }

    /// Mean and sample deviation (divided by n − 1); none before there are two values.
    pub fn moments(&self) -> Option<(f64, f64)> {
        let all = self.blocks.iter().fold(Block::default(), |all, block| all.add(*block));
        (all.count >= 2.0).then(|| (all.mean, (all.squares / (all.count - 1.0)).max(0.0).sqrt()))
    }

    /// Adds what another instance learnt in its window.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.blocks.iter_mut().rev().zip(other.blocks.iter().rev()) {
            *mine = Block { seconds: mine.seconds, ..mine.add(*theirs) };
        }
        if self.blocks.is_empty() {
            self.blocks.clone_from(&other.blocks);
        }
    }

    /// Bytes of memory that it holds elsewhere.
    pub fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
    }

    /// Whether every number in it is one that this program can have written.
    pub fn is_sound(&self) -> bool {
        self.blocks.len() <= BLOCKS + 1
            && self.blocks.iter().all(|b| {
                b.mean.is_finite()
                    && [b.count, b.squares, b.seconds].iter().all(|x| x.is_finite() && *x >= 0.0)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_an_hour_is_forgotten() {
        let mut window = Window::default();
        for i in 0..8_000 {
            window.learn(if i < 4_000 { 50.0 } else { f64::from(i % 2) }, 1.0, 1.0);
        }
        let (mean, deviation) = window.moments().unwrap();
        assert!((mean - 0.5).abs() < 1e-3 && (deviation - 0.5).abs() < 1e-3, "{mean} {deviation}");
        assert!(window.is_sound());
    }

    #[test]
    fn merging_equals_learning_both() {
        let (mut a, mut b, mut both) = (Window::default(), Window::default(), Window::default());
        for i in 0..150 {
            let value = f64::from(i * 7 % 11);
            if i % 3 == 0 { &mut a } else { &mut b }.learn(value, 1.0, 1.0);
            both.learn(value, 1.0, 1.0);
        }
        a.merge(&b);
        let ((mean, deviation), (m, d)) = (a.moments().unwrap(), both.moments().unwrap());
        assert!((mean - m).abs() < 1e-12 && (deviation - d).abs() < 1e-12);
    }
}
