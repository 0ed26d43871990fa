//! The alert budget: one knob per group of components, "at most one alert a week".
//!
//! It works twice. *Forward*: it says how rare a flagged sample must be ([`AlertBudget::tail`]), from which detectors derive
//! their limits: p = budget · sampling period / (period of the budget · components that share it), the number of alerts
//! allowed over the number of samples that will be judged.
//!
//! *Backward*: samples are not independent, tails are not what models think, and so anomalies that are none come more often
//! than promised. Three things keep the promise:
//! - **What usually happens is not told.** The anomalies of the last four periods, alerted or not, are remembered with their
//!   peak and how long they lasted. One is alerted when it is stronger than all but k of them, or when it has lasted longer
//!   than all but k, with k half of what is allowed in that time. Whatever they are drawn from, the next of n anomalies of one
//!   kind is among the k strongest with probability k/n: so many alerts are given as were promised, in the long run.
//!   A fault no stronger than what happens every week is told when it lasts longer. A controller that moves a level until
//!   the rate fits does the same, but takes as many alerts to learn it.
//! - **Every alert beyond the budget raises the bar** that the next peak must exceed by a quarter, up to 4, so that a bad
//!   week does not become a flood.
//! - **While less than one period has been seen**, nobody can know what a period brings; each power of ten of it that is
//!   unseen asks one more of a score, bar = 1 + log10(period / seen): 3.5 after half an hour of a week, 1.8 after a day. What
//!   is four times beyond its limit comes through, however often, until that has become a flood: the first faults that a
//!   new agent sees must not silence each other.
//!
//! Anomalies below the bar are recorded, and alert later if they grow beyond it.

use std::collections::VecDeque;
use std::time::Duration;

use larnax_core::model_store::Envelope;
use larnax_core::{Score, Timestamp};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::detector::{DetectError, open};

/// Each alert beyond the budget raises the bar by this factor.
const RAISE: f64 = 1.25;
/// What is asked for alerts given, and for time not seen, never gets higher. What usually happens may be stronger.
const MAX_BAR: f64 = 4.0;
/// Alert times that are kept; beyond this many the bar is at its highest anyway.
const KEPT: usize = 256;
/// The strongest and the longest anomalies that are remembered. A larger budget than half of it has no use for them.
const REMEMBERED: usize = 256;
/// So many alerts in a period, and as many times what is allowed, are a flood.
const FLOOD: f64 = 20.0;
/// Anomalies are remembered for so many periods. Fewer know less of what is rare, more are slower to see that things have changed.
const HORIZON: u32 = 4;
/// Share of the budget for what is strong; the rest is for what lasts.
const STRONG: f64 = 0.5;

/// The newest format that is read, and the one that is written.
const VERSION: u16 = 1;
const KIND: &str = "budget";

#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    /// Times of alerts, in nanoseconds since the epoch, oldest first.
    #[prost(sint64, repeated, tag = "1")]
    recent: Vec<i64>,
    /// Since when it runs.
    #[prost(sint64, optional, tag = "2")]
    since: Option<i64>,
    /// The strongest anomalies.
    #[prost(message, optional, tag = "3")]
    strongest: Option<Rarest>,
    /// The longest anomalies.
    #[prost(message, optional, tag = "4")]
    longest: Option<Rarest>,
}

/// The largest of something that anomalies have, with when they ended; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
struct Rarest {
    /// In descending order.
    #[prost(double, repeated, tag = "1")]
    values: Vec<f64>,
    /// In nanoseconds since the epoch.
    #[prost(sint64, repeated, tag = "2")]
    ended: Vec<i64>,
}

impl Rarest {
    /// Takes one in and forgets what ended before `from`, and the smallest where there are too many.
    fn add(&mut self, value: f64, ended: Timestamp, from: Timestamp) {
        let mut kept = self.ended.iter().map(|ended| *ended > from.nanos());
        self.values.retain(|_| kept.next().unwrap_or(false));
        self.ended.retain(|ended| *ended > from.nanos());
        let at = self.values.partition_point(|x| *x > value);
        self.values.insert(at, value);
        self.ended.insert(at, ended.nanos());
        self.values.truncate(REMEMBERED);
        self.ended.truncate(REMEMBERED);
    }

    fn remove(&mut self, value: f64, ended: Timestamp) {
        let pairs = self.values.iter().zip(&self.ended);
        if let Some(at) = pairs.into_iter().position(|(x, at)| *x == value && *at == ended.nanos()) {
            self.values.remove(at);
            self.ended.remove(at);
        }
    }

    /// The `k`-th largest of those that ended after `from`; 0 where there are fewer.
    fn largest(&self, k: usize, from: Timestamp) -> f64 {
        let within = self.values.iter().zip(&self.ended).filter(|(_, ended)| **ended > from.nanos());
        within.map(|(value, _)| *value).nth(k.saturating_sub(1)).unwrap_or(0.0)
    }

    fn is_sound(&self) -> bool {
        self.values.len() == self.ended.len()
            && self.values.len() <= REMEMBERED
            && self.values.iter().all(|x| x.is_finite() && *x >= 0.0)
            && self.values.is_sorted_by(|a, b| a >= b)
    }
}

/// How many alerts a group may give, and how many it gave.
#[derive(Clone, Debug)]
pub struct AlertBudget {
    allowed: f64,
    period: Duration,
    components: usize,
    recent: VecDeque<Timestamp>,
    strongest: Rarest,
    longest: Rarest,
    since: Option<Timestamp>,
}

/// How the budget is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetStatus {
    /// Alerts allowed in the period.
    pub allowed: f64,
    /// The period in seconds.
    pub period_seconds: f64,
    /// Alerts given in the period that ends now.
    pub given: usize,
    /// What the score of the next alert must exceed.
    pub bar: f64,
    /// Where it stands.
    pub phase: BudgetPhase,
}

/// Where a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BudgetPhase {
    /// It has not run for one of its periods yet, so it can't say whether the promise holds.
    Calibrating,
    /// No more alerts than allowed.
    Keeping,
    /// More than allowed; the bar is raised.
    Exceeded,
}

impl Default for AlertBudget {
    /// One alert a week.
    fn default() -> Self {
        Self::new(1.0, Duration::from_secs(7 * 86_400))
    }
}

impl AlertBudget {
    /// `allowed` alerts in each `period`, for one component until [`AlertBudget::share`] says otherwise. What is not
    /// above 0 becomes the default.
    pub fn new(allowed: f64, period: Duration) -> Self {
        let week = Duration::from_secs(7 * 86_400);
        Self {
            allowed: if allowed > 0.0 && allowed.is_finite() { allowed } else { 1.0 },
            period: if period.is_zero() { week } else { period },
            components: 1,
            recent: VecDeque::new(),
            strongest: Rarest::default(),
            longest: Rarest::default(),
            since: None,
        }
    }

    /// Says how many components share it.
    pub fn share(&mut self, components: usize) {
        self.components = components.max(1);
    }

    /// How likely a normal sample may be flagged when samples come every `sampling` seconds.
    pub fn tail(&self, sampling: f64) -> f64 {
        let samples = self.period.as_secs_f64() / sampling.max(1e-3) * self.components as f64;
        (self.allowed / samples).clamp(1e-12, 0.01)
    }

    /// What the score of the next alert must exceed, unless it lasts.
    pub fn bar(&self, now: Timestamp) -> f64 {
        self.bar_of_unknown(now).max(self.bar_of_certain(now)).max(self.usual(&self.strongest, STRONG, now))
    }

    /// While less than a period has been seen.
    fn bar_of_unknown(&self, now: Timestamp) -> f64 {
        (1.0 + (self.period.as_secs_f64() / self.seen(now)).log10().max(0.0)).min(MAX_BAR)
    }

    /// For what needs no experience to be known.
    fn bar_of_certain(&self, now: Timestamp) -> f64 {
        let over = self.given(now) as f64 + 1.0 - self.allowed;
        RAISE.powf(over.max(0.0)).min(MAX_BAR)
    }

    /// What more anomalies within the horizon reached than `share` of the budget allows; 0 where there were fewer.
    fn usual(&self, of: &Rarest, share: f64, now: Timestamp) -> f64 {
        let (seen, period) = (self.seen(now), self.period.as_secs_f64());
        if seen < period && self.given(now) as f64 <= FLOOD * self.allowed.max(1.0) {
            return 0.0;
        }
        let periods = (seen / period).min(f64::from(HORIZON));
        let allowed = (share * self.allowed * periods).max(1.0) as usize;
        of.largest(allowed, now.minus(self.period * HORIZON))
    }

    /// Seconds since it began to run.
    fn seen(&self, now: Timestamp) -> f64 {
        self.since.map_or(0.0, |since| now.since(since)).max(1.0)
    }

    /// Whether an anomaly with this peak, that has lasted for this many seconds, is worth an alert; if so, the alert counts
    /// from now on. `certain` is what needs no experience to be known: that all metrics together are unlike anything seen,
    /// where one metric alone may just do what it does once a day.
    pub fn spend(&mut self, now: Timestamp, peak: Score, lasted: f64, certain: bool) -> bool {
        if !certain && peak.get() <= self.bar_of_unknown(now) {
            return false;
        }
        let strong = self.bar_of_certain(now).max(self.usual(&self.strongest, STRONG, now));
        let long = self.usual(&self.longest, 1.0 - STRONG, now);
        let worth = peak.get() > strong || (long > 0.0 && lasted > long);
        if worth {
            self.count(now);
        }
        worth
    }

    /// The same for something that stopped or vanished, which no noise does.
    pub fn spend_on_absence(&mut self, now: Timestamp, score: Score) -> bool {
        let worth = score.get() > self.bar_of_certain(now);
        if worth {
            self.count(now);
        }
        worth
    }

    fn count(&mut self, now: Timestamp) {
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }

    /// Remembers an anomaly that ended, and how many seconds it lasted.
    pub fn remember(&mut self, ended: Timestamp, peak: Score, lasted: f64) {
        let from = ended.minus(self.period * HORIZON);
        self.strongest.add(peak.get(), ended, from);
        self.longest.add(lasted.max(0.0), ended, from);
    }

    /// An anomaly that was remembered goes on.
    pub fn take_back(&mut self, ended: Timestamp, peak: Score, lasted: f64) {
        self.strongest.remove(peak.get(), ended);
        self.longest.remove(lasted.max(0.0), ended);
    }

    /// Notes that time passes, for [`BudgetPhase::Calibrating`].
    pub fn observe(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }

    /// How it is doing.
    pub fn status(&self, now: Timestamp) -> BudgetStatus {
        let given = self.given(now);
        let young = self.since.is_none_or(|since| now.since(since) < self.period.as_secs_f64());
        BudgetStatus {
            allowed: self.allowed,
            period_seconds: self.period.as_secs_f64(),
            given,
            bar: self.bar(now),
            phase: if given as f64 > self.allowed {
                BudgetPhase::Exceeded
            } else if young {
                BudgetPhase::Calibrating
            } else {
                BudgetPhase::Keeping
            },
        }
    }

    /// Changes what is allowed (at a reload of the config); alerts that were given still count.
    pub fn retune(&mut self, allowed: f64, period: Duration, components: usize) {
        let old = std::mem::replace(self, Self::new(allowed, period));
        (self.recent, self.since, self.components) = (old.recent, old.since, components.max(1));
        (self.strongest, self.longest) = (old.strongest, old.longest);
    }

    /// Which alerts were given and which anomalies there were, in an envelope of kind `budget`. What is allowed is the config's matter.
    pub fn save(&self) -> Vec<u8> {
        let saved = Saved {
            recent: self.recent.iter().map(|at| at.nanos()).collect(),
            since: self.since.map(Timestamp::nanos),
            strongest: Some(self.strongest.clone()),
            longest: Some(self.longest.clone()),
        };
        Envelope { kind: KIND, version: VERSION, payload: &saved.encode_to_vec() }.encode()
    }

    /// Takes over which alerts were given and which anomalies there were. On an error nothing has changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        let saved: Saved = open(bytes, KIND, VERSION)?;
        let (strongest, longest) = (saved.strongest.unwrap_or_default(), saved.longest.unwrap_or_default());
        if !strongest.is_sound() || !longest.is_sound() {
            let reason = "the anomalies that it remembers hold a number that can't be";
            return Err(DetectError::inconsistent(KIND, reason));
        }
        let newest = saved.recent.len().saturating_sub(KEPT);
        self.recent = saved.recent.iter().skip(newest).map(|&at| Timestamp::from_nanos(at)).collect();
        self.since = saved.since.map(Timestamp::from_nanos);
        (self.strongest, self.longest) = (strongest, longest);
        Ok(())
    }

    fn given(&self, now: Timestamp) -> usize {
        let from = now.minus(self.period);
        self.recent.iter().filter(|&&at| at > from && at <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: f64) -> Timestamp {
        Timestamp::from_seconds(days * 86_400.0)
    }

    /// One that has run for more than its period.
    fn old() -> AlertBudget {
        let mut budget = AlertBudget::default();
        budget.observe(at(-8.0));
        budget
    }

    #[test]
    fn the_less_is_known_the_more_is_asked_except_of_what_is_certain() {
        let mut budget = AlertBudget::default();
        budget.observe(at(0.0));
        let bars = [at(0.001), at(0.02), at(1.0), at(7.0)].map(|now| budget.bar(now));
        assert_eq!((bars[0], bars[3]), (4.0, 1.0));
        assert!(bars.is_sorted_by(|a, b| a > b), "{bars:?}");
        assert!(!budget.spend(at(0.02), Score::new(3.0), 0.0, false));
        assert!(budget.spend(at(0.02), Score::new(1.1), 0.0, true));
    }

    #[test]
    fn the_first_alert_is_free_and_each_further_one_costs_more_up_to_four() {
        let mut budget = old();
        assert!(budget.spend(at(1.0), Score::new(1.01), 0.0, false));
        assert!(!budget.spend(at(1.1), Score::new(1.2), 0.0, false));
        assert!(budget.spend(at(1.2), Score::new(1.3), 0.0, false));
        for _ in 0..20 {
            budget.spend(at(1.3), Score::new(10.0), 0.0, false);
        }
        assert_eq!(budget.bar(at(1.4)), 4.0);
        assert_eq!(budget.status(at(1.4)).phase, BudgetPhase::Exceeded);
    }

    #[test]
    fn the_bar_falls_back_when_the_period_is_over() {
        let mut budget = old();
        budget.spend(at(1.0), Score::new(9.0), 0.0, false);
        assert!(budget.bar(at(7.9)) > 1.0);
        assert_eq!(budget.bar(at(8.1)), 1.0);
    }

    #[test]
    fn flags_must_be_rarer_with_more_components_and_faster_sampling() {
        let mut budget = AlertBudget::default();
        let alone = budget.tail(5.0);
        assert!((alone - 5.0 / 604_800.0).abs() < 1e-12);
        budget.share(10);
        assert!((budget.tail(1.0) - alone / 50.0).abs() < 1e-12);
    }

    #[test]
    fn it_says_that_it_calibrates_until_it_ran_for_a_period() {
        let mut budget = AlertBudget::default();
        budget.observe(at(0.0));
        assert_eq!(budget.status(at(3.0)).phase, BudgetPhase::Calibrating);
        assert_eq!(budget.status(at(8.0)).phase, BudgetPhase::Keeping);
    }

    #[test]
    fn alerts_that_were_given_count_after_a_restart_and_under_a_new_budget() {
        let mut budget = AlertBudget::default();
        budget.observe(at(0.5));
        budget.spend(at(1.0), Score::new(9.0), 0.0, false);
        let mut restored = AlertBudget::new(3.0, Duration::from_secs(86_400));
        restored.restore(&budget.save()).unwrap();
        assert_eq!(restored.status(at(1.5)).given, 1);
        restored.retune(1.0, Duration::from_secs(7 * 86_400), 4);
        assert!(restored.bar(at(3.0)) > 1.0);
        assert!(restored.restore(b"nonsense").is_err());
        assert_eq!(restored.status(at(3.0)).given, 1);
    }

    #[test]
    fn what_happens_more_often_than_is_allowed_is_told_only_when_it_is_stronger_or_lasts_longer() {
        let mut budget = old();
        for day in 0..28 {
            budget.remember(at(f64::from(day)), Score::new(2.0 + f64::from(day % 7)), 60.0);
        }
        let now = at(29.0);
        assert_eq!(budget.bar(now), 8.0);
        assert!(!budget.spend(now, Score::new(7.5), 30.0, true));
        assert!(!budget.spend(now, Score::new(7.5), 60.0, true));
        assert!(budget.clone().spend(now, Score::new(8.5), 0.0, true));
        assert!(budget.clone().spend(now, Score::new(1.5), 61.0, true));
        budget.take_back(at(27.0), Score::new(8.0), 60.0);
        budget.take_back(at(20.0), Score::new(8.0), 60.0);
        budget.take_back(at(13.0), Score::new(8.0), 60.0);
        assert_eq!(budget.bar(now), 7.0);
        assert_eq!(budget.bar(at(57.0)), 1.0);
    }

    #[test]
    fn as_many_alerts_as_allowed_are_given_whatever_anomalies_are_drawn_from() {
        for (allowed, gap) in [(1.0, 0.11), (1.0, 1.3), (10.0, 0.11)] {
            let mut budget = AlertBudget::new(allowed, Duration::from_secs(7 * 86_400));
            budget.observe(at(0.0));
            let (mut given, mut state) = (0, 1u64);
            let n = (7.0 * 200.0 / gap) as u32;
            for i in 0..n {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (a, b) = (
                    (state >> 40) as f64 / (1 << 24) as f64,
                    (state >> 16 & 0xFF_FFFF) as f64 / (1 << 24) as f64,
                );
                let (peak, lasted) = (Score::new(1.0 / (1e-9 + a)), 10.0 / (1e-9 + b));
                let now = at(gap * f64::from(i));
                let alerted = budget.spend(now, peak, 0.0, true) || budget.spend(now, peak, lasted, true);
                given += u32::from(alerted && now > at(7.0));
                budget.remember(now, peak, lasted);
            }
            let ratio = f64::from(given) / (199.0 * allowed);
            assert!(ratio < 1.2, "{allowed} a week, one each {gap} days: {ratio}");
        }
    }

    #[test]
    fn the_first_faults_that_are_seen_do_not_silence_each_other() {
        let mut budget = AlertBudget::default();
        budget.observe(at(0.0));
        for i in 1..10 {
            let now = at(0.01 * f64::from(i));
            assert!(budget.spend(now, Score::new(5.0), 0.0, false), "{i}");
            budget.remember(now, Score::new(5.0), 60.0);
        }
    }
}
