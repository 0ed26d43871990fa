//! From dense surprise to sparse onsets: habituation and rest.
//!
//! **Habituation.** What has happened before is less surprising: a signal that reached the limit n times lately is
//! discounted by 5·log10(1 + n) decades. That is also what keeps the alert budget on heavy tails, where decades computed
//! from a mean and a deviation promise too much: with the cap of [`Limits::cap`] a signal falls silent after some twenty
//! events, and stays so until they are forgotten; sooner where the events are frequent for the samples seen, because n
//! events among N samples are what has probability n/N, whatever the decades say. A tail fitted to the exceedances of a
//! high quantile (generalised Pareto, moment estimator) keeps the budget too, but takes more real onsets with it: it was
//! tried and rejected.
//!
//! **Inexperience.** While fewer samples have been seen than the tail probability asks for, nobody can know that
//! something is so rare: each factor of ten that is missing costs three decades.
//!
//! **Rest.** An onset must clearly exceed everything within the rest period. Its maximum is kept in 16 slots of time.

/// Decades by which each factor of ten in earlier events discounts a signal.
const HABITUATION: f64 = 5.0;
/// Where the events of a signal were so frequent that even one so many decades rarer is within the limit, none begins anything.
const RARER: f64 = 1.5;
/// Earlier events are half forgotten after 35 days.
const FORGOTTEN: f64 = 35.0 * 86_400.0;
/// Events so many samples apart are two.
const APART: f64 = 12.0;
/// Decades for each factor of ten of experience that is missing.
const INEXPERIENCE: f64 = 3.0;
/// Decades above the limit at which surprise is cut off, and below it from which an event counts.
const ABOVE: f64 = 6.7;
const BELOW: f64 = 0.3;
/// Nothing is cut off below this many decades, whatever the limit.
const MIN_CAP: f64 = 10.0;
/// An event counts at no fewer decades than this.
const MIN_EVENT: f64 = 3.0;

/// The rest period in seconds: 16.8 hours.
const REST: f64 = 0.7 * 86_400.0;
/// It is at most this share of what has been seen,
const REST_SHARE: f64 = 0.15;
/// and at least this many samples.
const MIN_REST: f64 = 12.0;
/// How much an onset must exceed the largest of the rest period.
const FACTOR: f64 = 1.1;
const MARGIN: f64 = 0.5;
/// Slots in which the rest period is kept.
const SLOTS: usize = 16;

/// Decades, from how rare an onset shall be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Surprise beyond which there is an onset.
    pub limit: f64,
    /// Surprise that is told apart.
    pub cap: f64,
    /// Surprise from which an event counts.
    pub event: f64,
    /// What inexperience costs.
    pub inexperience: f64,
    /// Samples that this rests on.
    pub seen: f64,
}

impl Limits {
    /// For a tail probability, after so many samples.
    pub fn new(tail: f64, seen: f64) -> Self {
        let limit = -if tail > 0.0 { tail.clamp(1e-12, 0.1) } else { 1e-12 }.log10();
        Self {
            limit,
            cap: MIN_CAP.max(limit + ABOVE),
            event: MIN_EVENT.max(limit - BELOW),
            inexperience: INEXPERIENCE * (limit - seen.max(1.0).log10()).max(0.0),
            seen: seen.max(1.0),
        }
    }
}

/// What has happened before in one signal; also the form in which it is saved.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Habit {
    /// Events, fading.
    #[prost(double, tag = "1")]
    events: f64,
    /// Seconds since the last sample of one.
    #[prost(double, tag = "2")]
    since: f64,
}

impl Habit {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self { events: 0.0, since: f64::MAX }
    }

    /// What of a surprise remains, in decades; then notes it. `elapsed` seconds since the sample before.
    pub fn discount(&mut self, surprise: f64, limits: &Limits, elapsed: f64, period: f64) -> f64 {
        let mut left = surprise - HABITUATION * (1.0 + self.events).log10() - limits.inexperience;
        if self.events > 0.5 {
            let remembered = limits.seen.min(FORGOTTEN / std::f64::consts::LN_2 / period);
            let rarest = (remembered / (1.0 + self.events)).log10() + RARER;
            if rarest < limits.limit {
                left = left.min(rarest);
            }
        }
        self.events *= (-std::f64::consts::LN_2 * elapsed / FORGOTTEN).exp();
        self.since = (self.since + elapsed).min(f64::MAX);
        if surprise > limits.event {
            if self.since > APART * period {
                self.events += 1.0;
            }
            self.since = 0.0;
        }
        left.max(0.0)
    }

    /// Takes over what another instance has seen happen.
    pub fn merge(&mut self, other: &Self) {
        self.events = self.events.max(other.events);
        self.since = self.since.min(other.since);
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        self.events.is_finite() && self.events >= 0.0 && self.since >= 0.0
    }
}

/// The largest surprises of the rest period; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rest {
    #[prost(double, repeated, tag = "1")]
    largest: Vec<f64>,
    /// When, in seconds since the epoch.
    #[prost(double, repeated, tag = "2")]
    when: Vec<f64>,
    #[prost(uint32, tag = "3")]
    slot: u32,
}

impl Rest {
    /// Nothing has happened.
    pub fn new() -> Self {
        Self { largest: vec![0.0; SLOTS], when: vec![f64::MIN; SLOTS], slot: 0 }
    }

    /// Whether a surprise clearly exceeds everything in the rest period before `now`; then notes it. `age`: seconds seen.
    pub fn exceeds(&mut self, surprise: f64, now: f64, age: f64, period: f64) -> bool {
        let rest = REST.min((MIN_REST * period).max(REST_SHARE * age));
        let recent = self.largest.iter().zip(&self.when).filter(|(_, when)| **when > now - rest);
        let largest = recent.map(|(largest, _)| *largest).fold(0.0, f64::max);
        let length = (REST / (SLOTS - 1) as f64).max(period);
        let slot = (now / length).floor().rem_euclid(SLOTS as f64) as usize;
        if let (Some(kept), Some(when)) = (self.largest.get_mut(slot), self.when.get_mut(slot)) {
            if slot != self.slot as usize || surprise >= *kept {
                (*kept, *when) = (surprise, now);
            }
            self.slot = slot as u32;
        }
        surprise > FACTOR * largest + MARGIN
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        self.largest.len() == SLOTS
            && self.when.len() == SLOTS
            && (self.slot as usize) < SLOTS
            && self.largest.iter().all(|x| x.is_finite() && *x >= 0.0)
            && self.when.iter().all(|x| x.is_finite())
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        (self.largest.capacity() + self.when.capacity()) * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEKLY: f64 = 300.0 / 604_800.0;

    #[test]
    fn what_happens_again_surprises_less() {
        let limits = Limits::new(WEEKLY, 1e6);
        let mut habit = Habit::new();
        let mut after = |hours: f64| habit.discount(5.0, &limits, hours * 3_600.0, 300.0);
        assert_eq!(after(1.0), 5.0);
        assert!((after(24.0) - (5.0 - 5.0 * 2f64.log10())).abs() < 0.2);
        assert!(after(24.0) < 3.0);
    }

    #[test]
    fn what_happens_often_is_not_rare_however_large_it_is() {
        let limits = Limits::new(1e-4, 10_000.0);
        let limits = Limits { seen: 1_000.0, ..limits };
        let mut habit = Habit::new();
        let left: Vec<f64> = (0..4).map(|_| habit.discount(9.0, &limits, 86_400.0, 300.0)).collect();
        assert!(left[0] > 8.9, "{left:?}");
        assert!(left[3..].iter().all(|&decades| decades < limits.limit), "{left:?}");
    }

    #[test]
    fn one_long_event_is_one_event() {
        let limits = Limits::new(WEEKLY, 1e6);
        let mut habit = Habit::new();
        for _ in 0..100 {
            habit.discount(9.0, &limits, 300.0, 300.0);
        }
        assert!(habit.events <= 1.0);
    }

    #[test]
    fn nothing_is_known_to_be_rare_before_it_could_have_been_seen() {
        let (young, old) = (Limits::new(1e-4, 100.0), Limits::new(1e-4, 10_000.0));
        assert!((young.inexperience - 6.0).abs() < 1e-9);
        assert_eq!(old.inexperience, 0.0);
    }

    #[test]
    fn an_onset_exceeds_everything_within_the_rest_period_and_nothing_before_it() {
        let (mut rest, age) = (Rest::new(), 30.0 * 86_400.0);
        assert!(rest.exceeds(5.0, 0.0, age, 300.0));
        assert!(!rest.exceeds(5.0, 3_600.0, age, 300.0));
        assert!(rest.exceeds(6.1, 7_200.0, age, 300.0));
        assert!(!rest.exceeds(6.1, 0.6 * 86_400.0, age, 300.0));
        assert!(rest.exceeds(6.1, 1.5 * 86_400.0, age, 300.0));
    }
}
