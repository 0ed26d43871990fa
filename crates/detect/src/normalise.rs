//! Moving mean and variance, records that fade, and the normal quantile.

/// Moving mean and variance (exponentially weighted West/Welford update).
///
/// With gain 1/n it is the exact mean and population variance of all values; with a constant gain it forgets
/// exponentially. No cancellation: values around 1e9 keep their variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The mean.
    pub mean: f64,
    /// The variance, divided by n.
    pub var: f64,
}

impl Moments {
    /// Takes `x` in with a gain between 0 (ignored) and 1 (all earlier values are forgotten).
    pub fn learn(&mut self, x: f64, gain: f64) {
        let difference = x - self.mean;
        let increment = gain * difference;
        self.mean += increment;
        self.var = (1.0 - gain) * (self.var + difference * increment);
    }

    /// Adds the moments of other values, which are `share` of all of them afterwards. Exact.
    pub fn merge(&mut self, other: &Self, share: f64) {
        let difference = other.mean - self.mean;
        self.mean += difference * share;
        self.var =
            self.var * (1.0 - share) + other.var * share + difference * difference * share * (1.0 - share);
    }

    /// The standard deviation.
    pub fn deviation(&self) -> f64 {
        self.var.sqrt()
    }
}

/// Gain for the n-th value when values `dt` seconds apart shall be remembered for `memory` seconds: 1/n while there
/// are few, then dt/memory.
pub fn gain(n: f64, dt: f64, memory: f64) -> f64 {
    (1.0 / n.max(1.0)).max(dt / memory).clamp(0.0, 1.0)
}

/// How long a record takes to fade to half, in seconds: a day, so that what happens daily stays known.
pub const RECORD_HALF_LIFE: f64 = 86_400.0;

/// The largest surprise seen, fading, and the largest of the stretch that is still being judged.
///
/// Limits built on records need no distribution: among n exchangeable values the next one is the largest with
/// probability 1/(n+1), whatever they are drawn from. Gaussian limits on heavy tails give many times the promised alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Record {
    /// The largest that was taken as normal.
    pub value: f64,
    /// The largest that is not yet decided on.
    pub pending: f64,
}

impl Record {
    /// Fades by a factor and takes in a normal value: at once with gain 1, else step by step, so that the first sample of a
    /// fault that stays just inside the limit does not lift the limit for the next one.
    pub fn learn(&mut self, surprise: f64, fade: f64, gain: f64) {
        self.value *= fade;
        self.suspect(surprise);
        if self.pending > self.value {
            self.value += gain * (self.pending - self.value);
        }
        if self.value >= 0.99 * self.pending {
            self.value = self.value.max(surprise);
            self.pending = 0.0;
        }
    }

    /// Notes a value that may turn out to belong to an anomaly.
    pub fn suspect(&mut self, surprise: f64) {
        self.pending = self.pending.max(surprise);
    }

    /// Decides on what was noted.
    pub fn settle(&mut self, was_anomaly: bool) {
        if !was_anomaly {
            self.value = self.value.max(self.pending);
        }
        self.pending = 0.0;
    }
}

/// z with P(|Z| > z) = `tail` for a standard normal Z, by Abramowitz and Stegun 26.2.23 (error below 4.5e-4).
pub fn normal_quantile(tail: f64) -> f64 {
    let t = (-2.0 * (0.5 * tail.clamp(1e-300, 1.0)).ln()).sqrt();
    t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Golden vectors of the algorithm specification: exponential and complete-history thresholds.
    const XS: [f64; 8] = [1.0, 2.0, 1.5, 3.0, 10.0, 2.0, 2.5, 1.0];

    #[test]
    fn constant_gain_gives_the_exponential_moving_average_of_the_reference() {
        let expected = [
            (1.0, 0.0),
            (1.1, 0.09),
            (1.14, 0.09540000000000001),
            (1.326, 0.39722399999999997),
            (2.1934, 7.128946439999999),
            (2.17406, 6.419418116399999),
            (2.206654, 5.787037624283999),
            (2.0859886, 5.33937511067004),
        ];
        let mut moments = Moments { mean: XS[0], var: 0.0 };
        for (&x, (mean, var)) in XS.iter().zip(expected).skip(1) {
            moments.learn(x, 0.1);
            assert!((moments.mean - mean).abs() < 1e-12 && (moments.var - var).abs() < 1e-12, "{moments:?}");
        }
    }

    #[test]
    fn gain_one_over_n_gives_the_mean_and_deviation_of_all_values() {
        let mut moments = Moments::default();
        for (i, &x) in XS.iter().enumerate() {
            moments.learn(x, gain(i as f64 + 1.0, 0.0, 1.0));
        }
        let sample_deviation = (moments.var * 8.0 / 7.0).sqrt();
        assert!((moments.mean - 2.875).abs() < 1e-12);
        assert!((sample_deviation - 2.9610567611677325).abs() < 1e-12);
    }

    #[test]
    fn a_large_offset_does_not_lose_the_variance() {
        let mut moments = Moments::default();
        for i in 1..=3 {
            moments.learn(1e9 + f64::from(i), gain(f64::from(i), 0.0, 1.0));
        }
        assert!((moments.var * 3.0 - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_surprise_counts_only_when_the_stretch_turns_out_to_be_no_anomaly() {
        let mut record = Record::default();
        record.suspect(5.0);
        record.settle(true);
        assert_eq!(record.value, 0.0);
        record.suspect(5.0);
        record.settle(false);
        assert_eq!(record.value, 5.0);
        record.learn(9.0, 1.0, 0.25);
        assert_eq!(record.value, 6.0);
        record.settle(true);
        record.learn(9.0, 1.0, 1.0);
        assert_eq!((record.value, record.pending), (9.0, 0.0));
    }

    #[test]
    fn the_normal_quantile_is_right_where_alert_budgets_are() {
        for (tail, z) in [(0.05, 1.95996), (1e-6, 4.89164), (1e-9, 6.10941)] {
            assert!((normal_quantile(tail) - z).abs() < 1e-3, "{tail}");
        }
    }
}
