//! Numbers that look random and are the same everywhere.

/// Knuth's MMIX generator.
#[derive(Debug)]
pub(super) struct Noise(pub(super) u64);

impl Noise {
    /// Evenly between 0 and 1.
    pub(super) fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal with deviation 1: the sum of four even numbers.
    pub(super) fn normal(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.even() - 0.5).sum();
        sum * 3f64.sqrt()
    }
}

/// Noise that forgets slowly, with deviation 1.
#[derive(Debug, Default)]
pub(super) struct Slow(f64);

impl Slow {
    /// The next value; `keep`, below 1, is how much of the last one stays.
    pub(super) fn next(&mut self, keep: f64, noise: &mut Noise) -> f64 {
        self.0 = keep * self.0 + (1.0 - keep * keep).sqrt() * noise.normal();
        self.0
    }
}
