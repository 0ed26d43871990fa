//! Which metrics an anomaly is about, how much, and since when.
//!
//! A metric's part is its *shift*: how far it is from where it was in the last hour, in deviations of that hour, at least
//! three tenths of the range that it has covered. What sets a metric apart in a fault is not how far it leaves its band (of
//! forty bands one is always narrower than it should be) but how much of all it ever did it does at once. The largest shift
//! since the anomaly began is what counts.
//!
//! **When it fails.** Metrics that follow the one at fault at once and as far; a metric whose range is one old spike (it
//! takes months to forget it).
//!
//! **Cost.** A root and two divisions a metric; 80 bytes a metric.
//!
//! **Source.** Shift against the last hour in local deviations is a common baseline for the Server Machine Dataset; the floor
//! was chosen on one half of the development machines and anything from 0.1 to 0.5 does as well on both.

use larnax_core::{Row, Timestamp, Verdict};

use crate::bands::ratio;
use crate::normalise::{Moments, gain};
use crate::row_context::{MAX_PERIODS, is_value};

/// The hour, in seconds, and samples at least.
const HOUR: (f64, f64) = (3_600.0, 60.0);
/// Share of the range covered that is the least deviation.
const RANGE_FLOOR: f64 = 0.3;
/// The range is half forgotten after three months, in seconds: what a metric does once a month is part of it.
const RANGE_HALF_LIFE: f64 = 90.0 * 86_400.0;

/// What is known of one metric; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Recent {
    /// Values seen.
    #[prost(double, tag = "1")]
    seen: f64,
    /// Mean and variance of the last hour.
    #[prost(double, tag = "2")]
    mean: f64,
    #[prost(double, tag = "3")]
    var: f64,
    /// Lowest and highest value, fading.
    #[prost(double, tag = "4")]
    low: f64,
    #[prost(double, tag = "5")]
    high: f64,
    /// The largest shift of the stretch that is being judged or open.
    #[prost(double, tag = "6")]
    held: f64,
    /// When it left its band in that stretch, in nanoseconds since the epoch.
    #[prost(int64, optional, tag = "7")]
    since: Option<i64>,
}

impl Recent {
    /// Signed; 0 for what can't be told.
    fn shift(&self, x: f64) -> f64 {
        if self.seen == 0.0 || !is_value(x) {
            return 0.0;
        }
        ratio(x - self.mean, self.var.sqrt().max(RANGE_FLOOR * (self.high - self.low)))
    }

    fn learn(&mut self, x: f64, dt: f64, memory: f64, fade: f64) {
        if self.seen == 0.0 {
            *self = Self { seen: 1.0, mean: x, low: x, high: x, ..Self::default() };
            return;
        }
        self.seen += 1.0;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.learn(x, gain(self.seen, dt, memory));
        (self.mean, self.var) = (moments.mean, moments.var);
        self.low += fade * (self.mean - self.low);
        self.high += fade * (self.mean - self.high);
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
    }

    fn is_sound(&self) -> bool {
        let numbers = [self.mean, self.low, self.high, self.held];
        self.low <= self.high
            && numbers.iter().all(|x| x.is_finite())
            && [self.seen, self.var].iter().all(|x| x.is_finite() && *x >= 0.0)
    }
}

/// One metric's part in what is going on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// The metric, as a position in the schema.
    pub(crate) metric: usize,
    /// Since when it has been outside its band.
    pub(crate) since: Option<Timestamp>,
}

/// The parts of all metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attribution {
    recent: Vec<Recent>,
    /// Of the row taken in last; 0 for what can't be told.
    shifts: Vec<f64>,
    last: Option<Timestamp>,
}

impl Attribution {
    /// What was saved, if it can have been.
    pub(crate) fn of(recent: Vec<Recent>) -> Option<Self> {
        let shifts = vec![0.0; recent.len()];
        recent.iter().all(Recent::is_sound).then_some(Self { recent, shifts, last: None })
    }

    /// What is to be saved.
    pub(crate) fn saved(&self) -> Vec<Recent> {
        self.recent.clone()
    }

    /// Takes in a row that was judged, `period` being the usual seconds between them. In a `stretch` that is being judged, or
    /// open, the largest shifts are held.
    ///
    /// Hot: no allocation.
    pub(crate) fn observe(&mut self, row: Row<'_>, period: f64, stretch: bool, verdict: &Verdict) {
        let since = self.last.map_or(period, |last| row.time.since(last));
        let (dt, memory) = (since.clamp(0.0, MAX_PERIODS * period), HOUR.0.max(HOUR.1 * period));
        let fade = (std::f64::consts::LN_2 * dt / RANGE_HALF_LIFE).min(1.0);
        self.last = Some(row.time);
        let slots = self.recent.iter_mut().zip(&mut self.shifts);
        for ((recent, shift), (&x, judged)) in slots.zip(row.values.iter().zip(&verdict.metrics)) {
            *shift = 0.0;
            if !is_value(x) {
                continue;
            }
            *shift = recent.shift(x);
            if !stretch {
                (recent.held, recent.since) = (0.0, None);
            } else {
                if shift.abs() > recent.held.abs() {
                    recent.held = *shift;
                }
                if judged.deviation.abs() > 1.0 {
                    recent.since.get_or_insert(row.time.nanos());
                }
            }
            recent.learn(x, dt, memory, fade);
        }
    }

    /// What is held of the stretch is that of the last row alone.
    pub(crate) fn begin_anew(&mut self, verdict: &Verdict) {
        for ((recent, &shift), judged) in self.recent.iter_mut().zip(&self.shifts).zip(&verdict.metrics) {
            recent.held = shift;
            if judged.deviation.is_nan() || judged.deviation.abs() <= 1.0 {
                recent.since = None;
            }
        }
    }

    /// How far each metric of the last row is from the hour before, signed; 0 for what can't be told.
    pub(crate) fn shifts(&self) -> &[f64] {
        &self.shifts
    }

    /// The `n` metrics with the largest parts, largest first.
    pub(crate) fn top(&self, n: usize) -> Vec<Part> {
        let mut held: Vec<(usize, f64)> =
            self.recent.iter().map(|recent| recent.held.abs()).enumerate().collect();
        held.retain(|(_, held)| *held > 0.0);
        held.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        held.truncate(n);
        held.into_iter().map(|(metric, _)| self.part(metric)).collect()
    }

    /// The part of one metric.
    pub(crate) fn part(&self, metric: usize) -> Part {
        let since = self.recent.get(metric).and_then(|recent| recent.since).map(Timestamp::from_nanos);
        Part { metric, since }
    }

    /// What is there now is normal.
    pub(crate) fn adopt(&mut self, values: &[f64]) {
        for (recent, &x) in self.recent.iter_mut().zip(values).filter(|(_, x)| is_value(**x)) {
            (recent.seen, recent.mean, recent.held, recent.since) = (1.0, x, 0.0, None);
        }
    }

    /// Takes other metrics: `from[i]` is where metric i stood.
    pub(crate) fn rearrange(&mut self, from: &[Option<usize>]) {
        let kept = |at: &Option<usize>| at.and_then(|at| self.recent.get(at)).cloned().unwrap_or_default();
        self.recent = from.iter().map(kept).collect();
        self.shifts = vec![0.0; from.len()];
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.recent.capacity() * size_of::<Recent>() + self.shifts.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(rows: impl IntoIterator<Item = [f64; 2]>, stretch_from: usize) -> Attribution {
        let mut attribution = Attribution::of(vec![Recent::default(); 2]).unwrap();
        let mut verdict = Verdict::default();
        for (i, values) in rows.into_iter().enumerate() {
            verdict.reset(2);
            verdict.metrics[1].deviation = if i > stretch_from { 2.0 } else { 0.0 };
            let row = Row { time: Timestamp::from_seconds(i as f64), values: &values, learnable: true };
            attribution.observe(row, 1.0, i >= stretch_from, &verdict);
        }
        attribution
    }

    #[test]
    fn what_does_most_of_what_it_ever_did_at_once_comes_first_with_when_it_left_its_band() {
        // The first is narrow now but has covered a wide range.
        let rows = (0..400).map(|i| {
            let wide = if i < 100 { f64::from(i % 2) * 100.0 } else { f64::from(i % 2) };
            if i < 390 { [wide, f64::from(i % 3)] } else { [wide + 20.0, 30.0] }
        });
        let top = fed(rows, 390).top(5);
        assert_eq!(top.iter().map(|part| part.metric).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(top[0].since, Some(Timestamp::from_seconds(391.0)));
        assert_eq!(top[1].since, None);
    }

    #[test]
    fn the_largest_shift_is_held_while_it_lasts_and_forgotten_when_it_is_over() {
        let step = |i: i32| [if i < 100 { f64::from(i % 2) } else { 10.0 }, f64::from(i % 2)];
        assert_eq!(fed((0..50_000).map(step), 100).top(1)[0].metric, 0);
        assert_eq!(fed((0..200).map(step), 300).top(2), []);
    }

    #[test]
    fn what_can_not_be_squared_and_what_is_missing_have_no_part() {
        let top = fed((0..100).map(|i| [f64::NAN, if i < 90 { 1.0 } else { f64::INFINITY }]), 90);
        assert!(top.top(2).is_empty() && Attribution::of(top.saved()).is_some());
    }
}
