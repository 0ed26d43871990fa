//! The alert budget: one knob per group of components, "at most one alert a week".
//!
//! It works twice. *Forward*: it says how rare a flagged sample must be ([`AlertBudget::tail`]), from which detectors derive
//! their limits: p = budget · sampling period / (period of the budget · components that share it), the number of alerts
//! allowed over the number of samples that will be judged. *Backward*: while less than one period has been seen, nobody can
//! know what a period brings; each power of ten of it that is unseen asks one more of a score, bar = 1 + log10(period /
//! seen): 3.5 after half an hour of a week, 1.8 after a day. And every alert given raises the bar that the score of
//! the next one must exceed, bar = min(4, 1.25^max(0, alerts in the period + 1 − budget)), so that a machine whose noise the
//! models get wrong falls silent about small things within a few alerts, while what is four times beyond its limit always
//! comes through. Anomalies below the bar are recorded, and alert later if they grow beyond it.

use std::collections::VecDeque;
use std::time::Duration;

use larnax_core::model_store::Envelope;
use larnax_core::{Score, Timestamp};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::detector::{DetectError, open};

/// Each alert beyond the budget raises the bar by this factor.
const RAISE: f64 = 1.25;
/// The bar never gets higher.
const MAX_BAR: f64 = 4.0;
/// Alert times that are kept; beyond this many the bar is at its highest anyway.
const KEPT: usize = 256;

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
}

/// How many alerts a group may give, and how many it gave.
#[derive(Clone, Debug)]
pub struct AlertBudget {
    allowed: f64,
    period: Duration,
    components: usize,
    recent: VecDeque<Timestamp>,
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

    /// What the score of the next alert must exceed.
    pub fn bar(&self, now: Timestamp) -> f64 {
        let seen = self.since.map_or(0.0, |since| now.since(since)).max(1.0);
        let unseen = (self.period.as_secs_f64() / seen).log10().max(0.0);
        (1.0 + unseen).max(self.bar_of_certain(now)).min(MAX_BAR)
    }

    /// The same for what needs no experience to be known.
    fn bar_of_certain(&self, now: Timestamp) -> f64 {
        let over = self.given(now) as f64 + 1.0 - self.allowed;
        RAISE.powf(over.max(0.0)).min(MAX_BAR)
    }

    /// Whether an anomaly with this score is worth an alert; if so, the alert counts from now on. `certain` is what needs no
    /// experience to be known: that something stopped or vanished, or that all metrics together are unlike anything seen,
    /// where one metric alone may just do what it does once a day.
    pub fn spend(&mut self, now: Timestamp, score: Score, certain: bool) -> bool {
        if score.get() <= if certain { self.bar_of_certain(now) } else { self.bar(now) } {
            return false;
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        true
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
        let recent = std::mem::take(&mut self.recent);
        let since = self.since;
        *self = Self { components: components.max(1), recent, since, ..Self::new(allowed, period) };
    }

    /// Which alerts were given, in an envelope of kind `budget`. What is allowed is the config's matter.
    pub fn save(&self) -> Vec<u8> {
        let saved = Saved {
            recent: self.recent.iter().map(|at| at.nanos()).collect(),
            since: self.since.map(Timestamp::nanos),
        };
        Envelope { kind: KIND, version: VERSION, payload: &saved.encode_to_vec() }.encode()
    }

    /// Takes over which alerts were given. On an error nothing has changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        let saved: Saved = open(bytes, KIND, VERSION)?;
        let newest = saved.recent.len().saturating_sub(KEPT);
        self.recent = saved.recent.iter().skip(newest).map(|&at| Timestamp::from_nanos(at)).collect();
        self.since = saved.since.map(Timestamp::from_nanos);
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
        assert!(!budget.spend(at(0.02), Score::new(3.0), false));
        assert!(budget.spend(at(0.02), Score::new(1.1), true));
    }

    #[test]
    fn the_first_alert_is_free_and_each_further_one_costs_more_up_to_four() {
        let mut budget = old();
        assert!(budget.spend(at(1.0), Score::new(1.01), false));
        assert!(!budget.spend(at(1.1), Score::new(1.2), false));
        assert!(budget.spend(at(1.2), Score::new(1.3), false));
        for _ in 0..20 {
            budget.spend(at(1.3), Score::new(10.0), false);
        }
        assert_eq!(budget.bar(at(1.4)), 4.0);
        assert_eq!(budget.status(at(1.4)).phase, BudgetPhase::Exceeded);
    }

    #[test]
    fn the_bar_falls_back_when_the_period_is_over() {
        let mut budget = old();
        budget.spend(at(1.0), Score::new(9.0), false);
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
        budget.spend(at(1.0), Score::new(9.0), false);
        let mut restored = AlertBudget::new(3.0, Duration::from_secs(86_400));
        restored.restore(&budget.save()).unwrap();
        assert_eq!(restored.status(at(1.5)).given, 1);
        restored.retune(1.0, Duration::from_secs(7 * 86_400), 4);
        assert!(restored.bar(at(3.0)) > 1.0);
        assert!(restored.restore(b"nonsense").is_err());
        assert_eq!(restored.status(at(3.0)).given, 1);
    }
}
