//! Random numbers that are the same for the same seed.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for arrivals and jitter.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each `name` under one seed.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self(seed ^ hash)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether a thing of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// The time to the next of events that come at random.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Around a median, with a tail to the right.
    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller's way to a normal number.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        median * (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_name_give_one_stream() {
        let bits = |seed, name| Random::new(seed, name).bits();
        assert_eq!(bits(7, "web"), bits(7, "web"));
        assert_ne!(bits(7, "web"), bits(7, "pay"));
        assert_ne!(bits(7, "web"), bits(8, "web"));
    }

    #[test]
    fn means_and_medians_are_what_was_asked_for() {
        let mut random = Random::new(1, "test");
        let mean = (0..20_000).map(|_| random.exponential(2.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 2.0).abs() < 0.1, "{mean}");
        let below = (0..20_000).filter(|_| random.lognormal(3.0, 0.3) < 3.0).count();
        assert!((9_500..10_500).contains(&below), "{below}");
        let share = (0..20_000).filter(|_| random.happens(0.25)).count();
        assert!((4_500..5_500).contains(&share), "{share}");
    }
}
