//! What lasts longer than a sample: a distance averaged over time, and the largest such average that was taken as normal.
//!
//! Two questions are asked with it. *Has the series shifted?* averages what is left of a forecast over
//! [`crate::bands::SHIFT_SECONDS`]: a value that is a peak like others is a shift where it stays. *Does that last?* averages
//! the distance from the level over [`crate::bands::LASTING_SECONDS`], where bursts of a minute are usual. Each sample is
//! bounded, so that one that is far out says no more than that it is out.

use crate::bands::{Caution, ratio};
use crate::normalise::Record;

/// Share of the smallest deviation of a series that is the smallest deviation of its shift.
const SHIFT_FLOOR: f64 = 0.5;
/// The smallest deviation of a shift, in deviations of the series: on a ramp that is followed well the shift is next to
/// nothing, and an error next to nothing must not be much.
const MIN_SHIFT: f64 = 0.15;
/// One sample moves the shift by at most this many limits of its gain,
const SHIFT_CLIP: f64 = 3.0;
/// and by at most this share of its limit. At slow sampling the gain is a half: without this, one spike would be a shift,
/// and its record would hide shifts for days.
const SHIFT_SHARE: f64 = 0.6;
/// The smallest deviation of what lasts, in deviations of the series: it is for steps that hide among bursts, not for
/// small changes of level.
const MIN_LASTING: f64 = 0.5;
/// What lasts is at most this many limits: it is over within a minute and a half of its cause.
const LASTING_CLIP: f64 = 2.0;

/// The average and its record, in deviations of the series.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sustained {
    /// The average.
    pub(crate) mean: f64,
    /// The largest.
    pub(crate) record: Record,
}

/// How large what is asked about is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distance {
    /// From what was expected, signed, in the unit of the series.
    pub(crate) value: f64,
    /// A deviation.
    pub(crate) scale: f64,
    /// The least that counts, in the unit of the series.
    pub(crate) least: f64,
    /// Gain of the average.
    pub(crate) gain: f64,
    /// Half-width of a band in deviations.
    pub(crate) k0: f64,
}

impl Sustained {
    /// Takes in what is left of a forecast; the limit of the average. `square` is the mean square of the average, `floor` the
    /// smallest deviation of the series in its unit. Hot: no allocation.
    pub(crate) fn shift(&mut self, left: &Distance, square: f64, floor: f64, caution: &Caution) -> f64 {
        let scale = square.sqrt().max(SHIFT_FLOOR * ratio(floor, left.scale)).max(MIN_SHIFT);
        self.take(left, scale, SHIFT_CLIP.min(SHIFT_SHARE / left.gain.max(f64::MIN_POSITIVE)), caution)
    }

    /// Takes in a distance from the level; the limit of the average. Hot: no allocation.
    pub(crate) fn lasting(&mut self, away: &Distance, caution: &Caution) -> f64 {
        self.take(away, MIN_LASTING, LASTING_CLIP, caution)
    }

    /// `scale` is a deviation of the average, `clip` how many limits a sample counts at most.
    fn take(&mut self, distance: &Distance, scale: f64, clip: f64, caution: &Caution) -> f64 {
        let record = self.record.value;
        let limit = (distance.k0 * scale)
            .max(caution.margin(record, scale) * record)
            .max(ratio(distance.least, distance.scale));
        let bound = clip * limit;
        let sample = ratio(distance.value, distance.scale).clamp(-bound, bound);
        self.mean += distance.gain * (sample - self.mean);
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row_context::RowContext;

    fn left(value: f64) -> Distance {
        Distance { value, scale: 1.0, least: 0.0, gain: 0.15, k0: 5.0 }
    }

    /// Of a series that has seen so many values.
    fn caution(seen: f64) -> Caution {
        Caution::at(seen, &RowContext { moving: 1.0, ..RowContext::default() })
    }

    #[test]
    fn one_sample_however_far_out_is_no_shift_and_a_few_are() {
        let caution = caution(10_000.0);
        let (mut shift, square) = (Sustained::default(), 0.08);
        let limit = shift.shift(&left(1e9), square, 0.0, &caution);
        assert!(shift.mean < limit, "{} {limit}", shift.mean);
        let samples = (1..10).find(|_| shift.shift(&left(1e9), square, 0.0, &caution) < shift.mean);
        assert_eq!(samples, Some(2));
    }

    #[test]
    fn what_lasted_before_takes_half_as_much_again_to_be_told() {
        let caution = caution(1e6);
        let mut lasting = Sustained { record: Record { value: 4.0, pending: 0.0 }, mean: 0.0 };
        assert_eq!(lasting.lasting(&left(0.0), &caution), 6.0);
        let least = Distance { least: 7.0, ..left(0.0) };
        assert_eq!(lasting.lasting(&least, &caution), 7.0);
    }
}
