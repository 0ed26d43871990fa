//! How far a metric left what it did before, two-sided.

/// Fewer normal values than that say nothing about what is normal.
pub const MIN_NORMAL: usize = 5;
/// A deviation below this share of the level is not worth being told from noise.
const LEVEL_SHARE: f64 = 1e-3;
/// Nor one below this, where the level is 0.
const LEAST_SCALE: f64 = 1e-9;

/// What a metric usually does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// Mean of the values.
    pub mean: f64,
    /// Their standard deviation, but at least a thousandth of the level.
    pub scale: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl Normal {
    /// Of the finite values of all parts; none if there are fewer than [`MIN_NORMAL`]. A hot path.
    ///
    /// The median absolute deviation instead of the standard deviation was tried and found worse: metrics with rare
    /// bursts, such as garbage collection, leave it all the time.
    pub fn of(parts: &[&[f64]]) -> Option<Self> {
        let mut sums = Sums::default();
        parts.iter().for_each(|part| sums.add(part));
        let count: f64 = sums.count.iter().sum();
        if count < MIN_NORMAL as f64 {
            return None;
        }
        let mean = sums.sum.iter().sum::<f64>() / count;
        let low = sums.low.into_iter().fold(f64::INFINITY, f64::min);
        let high = sums.high.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let variance = parts.iter().map(|part| squares(part, mean)).sum::<f64>() / count;
        let (deviation, largest) = (variance.sqrt(), low.abs().max(high.abs()));
        // The median costs more than all the rest, and can only matter where it may be the larger one.
        let level = if deviation < LEVEL_SHARE * largest {
            let finite = parts.iter().copied().flatten().copied().filter(|value| value.is_finite());
            median(&mut finite.collect::<Vec<_>>())
        } else {
            0.0
        };
        let scale = deviation.max(LEVEL_SHARE * level.abs()).max(LEAST_SCALE);
        (mean.is_finite() && scale.is_finite()).then_some(Self { mean, scale, low, high })
    }

    /// How many deviations a value is away, signed.
    pub fn z(&self, value: f64) -> f64 {
        (value - self.mean) / self.scale
    }

    /// How far out a value lies in units of how far out a normal one ever was: above 1 it is beyond all of them. Of a metric that
    /// stood still it can only be said whether it is beyond (1) or not (0).
    pub fn beyond(&self, value: f64) -> f64 {
        let (reach, distance) =
            ((self.high - self.mean).max(self.mean - self.low), (value - self.mean).abs());
        let least = (LEVEL_SHARE * self.mean.abs()).max(LEAST_SCALE);
        if reach > least { distance / reach } else { f64::from(u8::from(distance > least)) }
    }

    /// Whether it never changed.
    pub fn is_constant(&self) -> bool {
        self.low == self.high
    }
}

/// Values are summed up side by side, since one sum would wait for itself at each of them.
const LANES: usize = 8;

/// Sums of every eighth value.
struct Sums {
    count: [f64; LANES],
    sum: [f64; LANES],
    low: [f64; LANES],
    high: [f64; LANES],
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            count: [0.0; LANES],
            sum: [0.0; LANES],
            low: [f64::INFINITY; LANES],
            high: [f64::NEG_INFINITY; LANES],
        }
    }
}

impl Sums {
    fn add(&mut self, values: &[f64]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        chunks.iter().for_each(|chunk| self.add_some(chunk));
        self.add_some(rest);
    }

    #[inline(always)]
    fn add_some(&mut self, values: &[f64]) {
        for (lane, &value) in values.iter().enumerate().take(LANES) {
            let finite = value.is_finite();
            self.count[lane] += f64::from(u8::from(finite));
            self.sum[lane] += if finite { value } else { 0.0 };
            self.low[lane] = if finite && value < self.low[lane] { value } else { self.low[lane] };
            self.high[lane] = if finite && value > self.high[lane] { value } else { self.high[lane] };
        }
    }
}

/// The sum of the squares of how far the finite values are from `mean`.
fn squares(values: &[f64], mean: f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks.iter().map(<[f64; LANES]>::as_slice).chain([rest]) {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += if value.is_finite() { (value - mean) * (value - mean) } else { 0.0 };
        }
    }
    sums.into_iter().sum()
}

/// What BARO's `RobustScorer` says of a metric (Pham et al., "BARO", FSE 2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RobustScore {
    /// Median before.
    pub median: f64,
    /// Interquartile range before, interpolated linearly; at least a thousandth of the median.
    pub range: f64,
    /// The largest distance from the median since, in ranges: as the paper says.
    pub two_sided: f64,
    /// The largest rise above the median since, in ranges: as the published code does, which misses what falls.
    pub upwards: f64,
}

/// Scores what came after by what was before. None where one of them has no finite value.
pub fn robust_score(before: &[f64], since: &[f64]) -> Option<RobustScore> {
    let mut before: Vec<f64> = before.iter().copied().filter(|value| value.is_finite()).collect();
    before.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let at = share * before.len().checked_sub(1)? as f64;
        let (low, high) = (*before.get(at.floor() as usize)?, *before.get(at.ceil() as usize)?);
        Some(low + (high - low) * at.fract())
    };
    let median = quantile(0.5)?;
    let range = (quantile(0.75)? - quantile(0.25)?).max(LEVEL_SHARE * median.abs()).max(LEAST_SCALE);
    let scores = since.iter().filter(|value| value.is_finite()).map(|value| (value - median) / range);
    let (two_sided, upwards) = scores
        .fold((None, f64::NEG_INFINITY), |(far, up), z| (Some(z.abs().max(far.unwrap_or(0.0))), z.max(up)));
    Some(RobustScore { median, range, two_sided: two_sided?, upwards })
}

/// The median, the lower one of two. 0 of nothing. Reorders.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    *values.select_nth_unstable_by(last / 2, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_never_moved_deviates_by_a_share_of_its_level() {
        let normal = Normal::of(&[&[10.0; 8]]).unwrap();
        assert!(normal.is_constant());
        assert!((normal.z(11.0) - 100.0).abs() < 1e-9, "{}", normal.z(11.0));
        assert_eq!((normal.beyond(11.0), normal.beyond(10.0)), (1.0, 0.0));
    }

    #[test]
    fn gaps_are_left_out_and_too_few_values_say_nothing() {
        let normal = Normal::of(&[&[1.0, f64::NAN, 3.0, 1.0], &[f64::INFINITY, 3.0, 1.0, 3.0]]).unwrap();
        assert_eq!((normal.mean, normal.scale, normal.low, normal.high), (2.0, 1.0, 1.0, 3.0));
        assert_eq!((normal.z(5.0), normal.beyond(5.0)), (3.0, 3.0));
        assert_eq!(Normal::of(&[&[1.0, 2.0, 3.0, 4.0, f64::NAN]]), None);
    }

    #[test]
    fn what_falls_scores_as_much_as_what_rises() {
        let before = [1.0, 2.0, 3.0, 4.0, 5.0];
        let (fall, rise) = (robust_score(&before, &[-7.0]).unwrap(), robust_score(&before, &[13.0]).unwrap());
        assert_eq!((fall.two_sided, fall.upwards), (5.0, -5.0));
        assert_eq!((rise.two_sided, rise.upwards), (5.0, 5.0));
        assert_eq!(robust_score(&before, &[f64::NAN]), None);
        assert_eq!(robust_score(&[], &before), None);
    }

    #[test]
    fn the_median_is_a_value_that_is_there() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
