//! How large an error has to be: from the errors themselves, whatever they are drawn from, and without labels.
//!
//! A histogram of past errors on a logarithmic scale gives the quantile that belongs to the wanted tail. A Gaussian limit on
//! these errors, whose tails are heavy, would give several times the promised alerts. An event keeps the error up for a
//! number of rows, so that the tail of rows is so many times the tail of alerts. While fewer rows have been seen than the
//! quantile needs, the limit is also a multiple of the largest error so far: among n exchangeable values the next one
//! exceeds a times the record with a probability of about a⁻³/n where tails fall with the third power. A prior limit gives
//! way to that in the first rows, so that the limit neither jumps nor starts at nothing; it guards against tails, and errors that
//! have none need no guard.

/// Bins, each 2^(1/4) wide, from 2⁻⁶ to 2¹⁰.
const BINS: usize = 64;
const PER_OCTAVE: f64 = 4.0;
const LOWEST: f64 = -6.0;
/// What is remembered is halved at so many errors, and not before two weeks.
const MAX_ERRORS: f64 = 40_000.0;
const MAX_SECONDS: f64 = 14.0 * 86_400.0;

/// Errors before it is known what one in a hundred reaches.
const USUAL_SEEN: f64 = 300.0;

/// What was flagged and was no anomaly moves the limit no farther than by half of it: it was over too soon to be told, so it
/// says little of what lasts. Without this, one row far out would hide all lasting faults up to its size.
const PASSED_OVER: f64 = 1.5;

/// The prior limit belongs to this tail, one alert a week at a sample a minute; the rarer an error, the larger, with a tail
/// that falls with the twelfth power (errors are bounded: no metric alone counts more than some).
const PRIOR_TAIL: f64 = 1e-4;
const PRIOR_POWER: f64 = 12.0;

/// What kind of error it is.
#[derive(Debug)]
pub(super) struct Form {
    /// Rows that one event keeps the error above the limit.
    pub event_rows: f64,
    /// How far beyond the record the limit is while little is known, at least and at most.
    pub margins: (f64, f64),
    /// The limit is never below.
    pub least: f64,
    /// The limit that is taken before anything is known, and the rows in which it gives way.
    pub prior: (f64, f64),
    /// In limits, where an anomaly counts.
    pub event_at: f64,
    /// What is so many times what one error in a hundred reaches is beyond the limit in any case.
    pub over_usual: f64,
}

/// Past errors; also the form in which they are saved.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Calibration {
    /// How many errors each bin has seen, the lowest first.
    #[prost(float, repeated, tag = "1")]
    counts: Vec<f32>,
    /// All of them.
    #[prost(double, tag = "2")]
    seen: f64,
    /// Seconds over which they came.
    #[prost(double, tag = "3")]
    age: f64,
    /// Largest error, fading.
    #[prost(double, tag = "4")]
    record: f64,
    /// Largest error of the stretch of flagged rows that still goes on.
    #[prost(double, tag = "5")]
    pending: f64,
    /// How many of all of them stand for events.
    #[prost(double, tag = "6")]
    events: f64,
    /// What the stretch of flagged rows that still goes on has added to each bin; none in what earlier versions saved.
    #[prost(float, repeated, tag = "7")]
    stretch: Vec<f32>,
}

impl Calibration {
    /// No errors yet.
    pub(super) fn new() -> Self {
        Self { counts: vec![0.0; BINS], stretch: vec![0.0; BINS], ..Self::default() }
    }

    /// The error that a normal row exceeds with a probability of `tail`, an event counting once.
    pub(super) fn limit(&self, tail: f64, form: &Form) -> f64 {
        let wanted = tail * form.event_rows * self.seen;
        let margin = wanted.max(1e-9).powf(-1.0 / 3.0).clamp(form.margins.0, form.margins.1);
        let beyond = if wanted < 1.0 { margin * self.record } else { 0.0 };
        // Of less than one error there is no quantile: the record speaks for them.
        let own = self.exceeded_by(wanted.max(1.0)).max(beyond);
        let known = (self.seen / form.prior.1).min(1.0);
        let prior = form.prior.0 * (PRIOR_TAIL / tail).powf(1.0 / PRIOR_POWER);
        let limit = prior + known * (own - prior);
        let enough = if self.seen >= USUAL_SEEN {
            // One in a hundred of the rows without an event: a few anomalies would make up the hundredth by themselves.
            form.over_usual * self.exceeded_by(self.events + 0.01 * (self.seen - self.events))
        } else {
            f64::MAX
        };
        limit.min(enough).max(form.least)
    }

    /// The error that `wanted` of the errors exceed.
    fn exceeded_by(&self, wanted: f64) -> f64 {
        let mut above = 0.0;
        for (bin, &count) in self.counts.iter().enumerate().rev() {
            let count = f64::from(count);
            if count > 0.0 && above + count >= wanted {
                let inside = (above + count - wanted) / count;
                return ((bin as f64 + inside) / PER_OCTAVE + LOWEST).exp2();
            }
            above += count;
        }
        0.0
    }

    /// Takes in the error of a normal row, `dt` seconds after the one before. One within a stretch of flagged rows decides
    /// nothing about these.
    pub(super) fn learn(&mut self, error: f64, dt: f64, fade: f64) {
        self.add(error, 1.0);
        self.age += dt;
        if self.seen > MAX_ERRORS && self.age > MAX_SECONDS {
            self.counts.iter_mut().chain(&mut self.stretch).for_each(|count| *count *= 0.5);
            [&mut self.seen, &mut self.events, &mut self.age].into_iter().for_each(|x| *x *= 0.5);
        }
        self.record = (fade * self.record).max(error);
    }

    fn add(&mut self, error: f64, part: f64) {
        if let Some(count) = self.counts.get_mut(bin(error)) {
            *count += part as f32;
        }
        self.seen += part;
    }

    /// Counts the error of a flagged row as part of an event, until it is known whether it is one.
    pub(super) fn count(&mut self, error: f64, part: f64) {
        self.add(error, part);
        self.events += part;
        self.stretch.resize(BINS, 0.0);
        if let Some(count) = self.stretch.get_mut(bin(error)) {
            *count += part as f32;
        }
    }

    /// Notes the error of a flagged row.
    pub(super) fn suspect(&mut self, error: f64) {
        self.pending = self.pending.max(error);
    }

    /// The stretch of flagged rows is over. An anomaly counts as an event that just reached the limit: leaving it out would
    /// pull the limit down each time, and counting its full size would make the next one of its kind normal. Only what
    /// lasts longer than one event keeps what it has counted: it is about to be what is usual.
    pub(super) fn settle(&mut self, was_anomaly: bool, tail: f64, form: &Form) {
        if was_anomaly {
            self.take_back();
        }
        self.stretch.fill(0.0);
        if was_anomaly && self.pending > 0.0 {
            self.add(form.event_at * self.limit(tail, form), form.event_rows);
            self.events += form.event_rows;
        } else if self.pending > 0.0 {
            self.learn(self.pending.min(PASSED_OVER * self.limit(tail, form)), 0.0, 1.0);
        }
        self.pending = 0.0;
    }

    /// Takes back one event of what the stretch has counted.
    fn take_back(&mut self) {
        let counted = self.stretch.iter().sum::<f32>();
        let share = if counted > 1.0 { 1.0 / counted } else { 1.0 };
        for (count, &part) in self.counts.iter_mut().zip(&self.stretch) {
            *count = (*count - share * part).max(0.0);
        }
        let taken = f64::from(share * counted);
        (self.seen, self.events) = ((self.seen - taken).max(0.0), (self.events - taken).max(0.0));
    }

    /// Adds what another instance learnt: counts add.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.seen += other.seen;
        self.events += other.events;
        self.age += other.age;
        self.record = self.record.max(other.record);
    }

    /// Whether every number in it is one that this program can have written.
    pub(super) fn is_sound(&self) -> bool {
        let numbers = [self.seen, self.events, self.age, self.record, self.pending];
        self.counts.len() == BINS
            && (self.stretch.is_empty() || self.stretch.len() == BINS)
            && self.counts.iter().chain(&self.stretch).all(|count| count.is_finite() && *count >= 0.0)
            && numbers.iter().all(|x| x.is_finite() && *x >= 0.0)
    }

    /// Bytes held besides itself.
    pub(super) fn bytes(&self) -> usize {
        (self.counts.capacity() + self.stretch.capacity()) * size_of::<f32>()
    }
}

/// Where an error is counted.
fn bin(error: f64) -> usize {
    ((error.max(1e-9).log2() - LOWEST) * PER_OCTAVE).clamp(0.0, BINS as f64 - 1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        event_rows: 3.0,
        margins: (1.1, 1.5),
        least: 0.1,
        prior: (0.0, 1.0),
        event_at: 1.0,
        over_usual: f64::INFINITY,
    };

    /// Errors with a heavy tail: (1/u)^⅓ for evenly spread u, in an order that has nothing to do with size.
    fn heavy(i: usize) -> f64 {
        ((i * 7_919 % 10_007 + 1) as f64 / 10_008.0).powf(-1.0 / 3.0)
    }

    #[test]
    fn as_many_exceed_the_limit_as_were_asked_for() {
        let mut calibration = Calibration::new();
        (0..10_007).for_each(|i| calibration.learn(heavy(i), 60.0, 1.0));
        let tail = 1e-3;
        let limit = calibration.limit(tail, &FORM);
        let above = (0..10_007).filter(|&i| heavy(i) > limit).count() as f64;
        let wanted = tail * FORM.event_rows * 10_007.0;
        assert!((0.7..1.4).contains(&(above / wanted)), "{above} of {wanted}");
    }

    #[test]
    fn while_little_is_known_the_limit_is_beyond_the_record() {
        let mut calibration = Calibration::new();
        (0..100).for_each(|i| calibration.learn(heavy(i), 1.0, 1.0));
        let record = (0..100).map(heavy).fold(0.0, f64::max);
        assert!((calibration.limit(1e-6, &FORM) - 1.5 * record).abs() < 1e-9);
    }

    #[test]
    fn the_prior_holds_at_first_and_gives_way() {
        let form = Form { prior: (16.0, 100.0), ..FORM };
        let mut calibration = Calibration::new();
        assert_eq!(calibration.limit(PRIOR_TAIL, &form), 16.0);
        (0..100).for_each(|_| calibration.learn(1.0, 1.0, 1.0));
        assert!(calibration.limit(0.01, &form) < 2.0);
    }

    /// The limit after a hundred errors of one, and a stretch.
    fn limit_after(stretch: impl FnOnce(&mut Calibration)) -> f64 {
        let mut calibration = Calibration::new();
        (0..100).for_each(|_| calibration.learn(1.0, 1.0, 1.0));
        stretch(&mut calibration);
        calibration.limit(1e-6, &FORM)
    }

    #[test]
    fn an_anomaly_moves_the_limit_a_little_however_large_it_was_and_what_was_none_not_far() {
        let before = limit_after(|_| {});
        let after = |was_anomaly| {
            limit_after(|calibration| {
                calibration.suspect(30.0);
                calibration.settle(was_anomaly, 1e-6, &FORM);
            })
        };
        assert!((before..1.2 * before).contains(&after(true)), "{before} {}", after(true));
        assert!((1.5 * before..2.5 * before).contains(&after(false)), "{before} {}", after(false));
    }

    #[test]
    fn a_normal_row_among_flagged_ones_decides_nothing_about_them() {
        let flickering = limit_after(|calibration| {
            calibration.suspect(30.0);
            calibration.learn(1.0, 1.0, 1.0);
            calibration.suspect(30.0);
            calibration.settle(true, 1e-6, &FORM);
        });
        assert!(flickering < 1.2 * limit_after(|_| {}), "{flickering}");
    }

    #[test]
    fn after_a_dozen_anomalies_one_large_error_that_was_none_does_not_make_its_size_normal() {
        let form = Form { event_rows: 33.0, over_usual: 3.0, ..FORM };
        let mut calibration = Calibration::new();
        (0..1200).for_each(|i| calibration.learn(1.0 + f64::from(i % 100) / 100.0, 1.0, 1.0));
        for _ in 0..30 {
            calibration.suspect(30.0);
            calibration.settle(true, 1e-6, &form);
        }
        calibration.suspect(100.0);
        calibration.settle(false, 1e-6, &form);
        let limit = calibration.limit(1e-6, &form);
        assert!(limit < 8.0, "{limit}");
    }

    #[test]
    fn what_lasted_some_minutes_counts_at_its_full_size_only_where_it_was_no_anomaly() {
        let tail = 1e-4;
        let after = |was_anomaly| {
            let mut calibration = Calibration::new();
            (0..3000).for_each(|_| calibration.learn(1.0, 1.0, 1.0));
            for _ in 0..12 {
                for _ in 0..300 {
                    calibration.suspect(30.0);
                    calibration.count(30.0, 1.0 / 600.0);
                }
                calibration.settle(was_anomaly, tail, &FORM);
            }
            calibration.limit(tail, &FORM)
        };
        assert!(after(true) < 2.0, "{}", after(true));
        assert!(after(false) > 25.0, "{}", after(false));
    }
}
