//! From flagged samples to anomalies: when one opens, when it ends, and what may be learnt meanwhile.
//!
//! States: *calm* → (3 of the last 5 flagged, or 60 % of the last seconds at fast sampling) → *open* → (calm for
//! [`Times::close_after`]) → closed. All times in seconds with a minimum number of samples (specification 0.7).
//!
//! One incident is one anomaly: where the same component is flagged again within [`Times::rejoin`] of the end, the anomaly
//! is continued under its id, no second alert is due, and it then takes a calm of that length to end. The alternative, to
//! hold every anomaly open for minutes to be sure, would show a healthy component as sick.
//!
//! Learning: nothing from a flagged row and nothing while an anomaly is open, so that a fault is never learnt.

use larnax_core::Timestamp;

/// Fewest samples in the opening window, and fewest calm samples before the end.
const MIN_SAMPLES: usize = 5;
/// Most samples in the opening window: at fewer than 40 ms between samples it is shorter than asked for.
const MAX_SAMPLES: usize = 128;
/// Share of the window that must be flagged: 3 in 5.
const SHARE: f64 = 0.6;
/// A stretch of flagged samples that never gets dense enough is decided on after this many seconds.
const MAX_UNDECIDED: f64 = 60.0;

/// Durations in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Length of the opening window.
    pub open_after: f64,
    /// Calm before the end.
    pub close_after: f64,
    /// Flagged again within this time, it is the same anomaly.
    pub rejoin: f64,
    /// A change that lasts so long is adopted.
    pub adopt_after: f64,
}

/// What a sample did to the anomaly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Nothing changed.
    Same,
    /// An anomaly began at this onset.
    Open(Timestamp),
    /// The anomaly that had ended goes on.
    Reopen,
    /// It ended.
    Close,
    /// It has lasted so long that it is the new normal.
    Adopt,
}

/// The state machine; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tracker {
    /// Flags of the last samples, the newest in the lowest bit.
    #[prost(uint64, tag = "1")]
    low: u64,
    #[prost(uint64, tag = "2")]
    high: u64,
    /// First flagged sample of the stretch.
    #[prost(int64, optional, tag = "3")]
    onset: Option<i64>,
    /// When the open anomaly opened.
    #[prost(int64, optional, tag = "4")]
    opened: Option<i64>,
    /// When the last one ended.
    #[prost(int64, optional, tag = "5")]
    closed: Option<i64>,
    /// Last flagged sample.
    #[prost(int64, optional, tag = "6")]
    flagged: Option<i64>,
    /// Samples since the last flagged one.
    #[prost(uint32, tag = "7")]
    calm: u32,
    /// Whether the open anomaly was continued: it then takes longer to end.
    #[prost(bool, tag = "8")]
    reopened: bool,
}

impl Tracker {
    /// Whether an anomaly is open.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether flagged samples are being judged, or an anomaly is open: nothing is learnt from flagged rows now.
    pub fn is_undecided(&self) -> bool {
        self.onset.is_some()
    }

    /// First flagged sample of the stretch.
    pub fn began(&self) -> Option<Timestamp> {
        self.onset.map(Timestamp::from_nanos)
    }

    /// The weight with which the sample just taken in may be learnt: 0 while flagged or open.
    pub fn weight(&self, flagged: bool) -> f64 {
        if flagged || self.is_open() { 0.0 } else { 1.0 }
    }

    /// Flagged samples in the opening window, and its length.
    pub fn window(&self, times: &Times, period: f64) -> (u32, u32) {
        let length = ((times.open_after / period.max(1e-3)).ceil() as usize).clamp(MIN_SAMPLES, MAX_SAMPLES);
        let bits = u128::from(self.high) << 64 | u128::from(self.low);
        let mask = if length >= 128 { u128::MAX } else { (1 << length) - 1 };
        ((bits & mask).count_ones(), length as u32)
    }

    /// Takes in a sample. `begins` says that it is enough to open an anomaly by itself. The second result says that a stretch
    /// is over: `Some(true)` where it was an anomaly, `Some(false)` where it was not.
    pub fn step(
        &mut self,
        time: Timestamp,
        flagged: bool,
        begins: bool,
        times: &Times,
        period: f64,
    ) -> (Step, Option<bool>) {
        self.high = self.high << 1 | self.low >> 63;
        self.low = self.low << 1 | u64::from(flagged);
        let now = time.nanos();
        if flagged {
            self.calm = 0;
            self.flagged = Some(now);
            self.onset.get_or_insert(now);
        } else {
            self.calm = self.calm.saturating_add(1);
        }
        let (count, length) = self.window(times, period);
        let since = |at: Option<i64>| at.map_or(f64::INFINITY, |at| time.since(Timestamp::from_nanos(at)));
        if self.is_open() {
            let needed = if self.reopened { times.rejoin.max(times.close_after) } else { times.close_after };
            if self.calm as usize >= MIN_SAMPLES && since(self.flagged) >= needed {
                self.end(now);
                return (Step::Close, Some(true));
            }
            if since(self.opened) >= times.adopt_after && flagged {
                self.end(now);
                self.closed = None;
                return (Step::Adopt, Some(true));
            }
            return (Step::Same, None);
        }
        if flagged && (begins || f64::from(count) >= SHARE * f64::from(length) - 1e-9) {
            self.opened = Some(now);
            if since(self.closed) <= times.rejoin + since(self.onset) {
                self.reopened = true;
                return (Step::Reopen, None);
            }
            self.reopened = false;
            return (Step::Open(Timestamp::from_nanos(self.onset.unwrap_or(now))), None);
        }
        let over = self.onset.is_some()
            && (count == 0 || since(self.onset) > MAX_UNDECIDED.max(3.0 * f64::from(length) * period));
        if over {
            self.onset = None;
            return (Step::Same, Some(false));
        }
        (Step::Same, None)
    }

    /// There were no samples for a while: what was flagged before does not add up with what comes.
    pub fn gap(&mut self) {
        (self.low, self.high) = (0, 0);
        if !self.is_open() {
            self.onset = None;
        }
    }

    /// What was reopened is a new anomaly after all: it takes no longer to end than any other.
    pub fn begin_anew(&mut self) {
        self.reopened = false;
    }

    /// Ends what is open, without a later sample continuing it.
    pub fn stop(&mut self, now: Timestamp) {
        self.end(now.nanos());
        self.closed = None;
    }

    fn end(&mut self, now: i64) {
        (self.low, self.high) = (0, 0);
        (self.opened, self.onset, self.reopened) = (None, None, false);
        self.closed = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { open_after: 5.0, close_after: 15.0, rejoin: 120.0, adopt_after: 14_400.0 };

    /// Runs flags (`x` flagged, `.` not) through a tracker; says when, in seconds, something happened.
    fn run(flags: &str, period: f64) -> Vec<(f64, Step)> {
        let mut tracker = Tracker::default();
        let mut steps = Vec::new();
        for (i, flag) in flags.chars().enumerate() {
            let t = i as f64 * period;
            let (step, _) = tracker.step(Timestamp::from_seconds(t), flag == 'x', false, &TIMES, period);
            if step != Step::Same {
                steps.push((t, step));
            }
        }
        steps
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn three_in_five_open_an_anomaly_whose_onset_is_the_first() {
        assert_eq!(run("....x.xx", 1.0), vec![(7.0, Step::Open(at(4.0)))]);
    }

    #[test]
    fn two_in_a_row_and_every_second_sample_apart_do_not() {
        assert_eq!(run("..xx......xx.....x..x..x..x..x", 1.0), vec![]);
    }

    #[test]
    fn it_ends_after_fifteen_calm_seconds() {
        let steps = run(&format!("xxxxx{}", ".".repeat(30)), 1.0);
        assert_eq!(steps[1], (19.0, Step::Close));
    }

    #[test]
    fn the_same_fault_takes_the_same_seconds_at_any_period() {
        for period in [0.1, 1.0] {
            let n = |seconds: f64| (seconds / period).round() as usize;
            let flags = format!("{}{}{}", ".".repeat(n(10.0)), "x".repeat(n(20.0)), ".".repeat(n(60.0)));
            let steps = run(&flags, period);
            assert!(
                matches!(steps[0], (t, Step::Open(onset)) if t <= 13.1 && onset == at(10.0)),
                "{steps:?}"
            );
            assert!(matches!(steps[1], (t, Step::Close) if (44.0..46.0).contains(&t)), "{steps:?}");
        }
    }

    #[test]
    fn flagged_again_within_two_minutes_it_goes_on_and_then_needs_two_calm_minutes() {
        let flags = format!("xxxxx{}xxxxx{}", ".".repeat(60), ".".repeat(200));
        let steps = run(&flags, 1.0);
        assert_eq!(
            steps.iter().map(|s| s.1).collect::<Vec<_>>()[1..],
            [Step::Close, Step::Reopen, Step::Close]
        );
        assert_eq!(steps[3].0, 69.0 + 120.0);
    }

    #[test]
    fn a_change_that_lasts_four_hours_is_adopted() {
        let steps = run(&"x".repeat(3_000), 5.0);
        assert_eq!(steps[1].1, Step::Adopt);
        assert!((steps[1].0 - 14_400.0).abs() < 20.0);
    }

    #[test]
    fn a_short_stretch_is_reported_as_no_anomaly() {
        let mut tracker = Tracker::default();
        let ended: Vec<bool> = "..x.......x"
            .chars()
            .enumerate()
            .filter_map(|(i, flag)| tracker.step(at(i as f64), flag == 'x', false, &TIMES, 1.0).1)
            .collect();
        assert_eq!(ended, [false]);
    }

    #[test]
    fn a_sample_that_begins_something_opens_at_once() {
        let mut tracker = Tracker::default();
        let at = |t: f64| Timestamp::from_seconds(t);
        assert_eq!(tracker.step(at(0.0), false, false, &TIMES, 1.0).0, Step::Same);
        assert_eq!(tracker.step(at(1.0), true, true, &TIMES, 1.0).0, Step::Open(at(1.0)));
    }
}
