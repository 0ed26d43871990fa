//! The one knob: how many alerts a group of components may raise.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ValueError, written_as_text};

const EXPECTED: &str = "a number of alerts per day, week or month, such as `1/week` or `3/day`";
const DAY_SECONDS: u64 = 86_400;

/// At most so many alerts in so much time, for each group of components: `1/week`, `3/day`, `1/month` (30 days).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertBudget {
    /// How many, at least 1.
    pub alerts: u32,
    /// In how much time.
    pub per: BudgetSpan,
}

/// The time that a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BudgetSpan {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
}

impl AlertBudget {
    /// The time that the budget is for.
    pub const fn span(self) -> Duration {
        Duration::from_secs(match self.per {
            BudgetSpan::Day => DAY_SECONDS,
            BudgetSpan::Week => 7 * DAY_SECONDS,
            BudgetSpan::Month => 30 * DAY_SECONDS,
        })
    }

    /// Alerts per second.
    pub fn rate(self) -> f64 {
        f64::from(self.alerts) / self.span().as_secs_f64()
    }
}

impl Default for AlertBudget {
    fn default() -> Self {
        Self { alerts: 1, per: BudgetSpan::Week }
    }
}

impl FromStr for AlertBudget {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, EXPECTED);
        let (alerts, per) = text.split_once('/').ok_or_else(error)?;
        let per = match per.trim() {
            "day" => BudgetSpan::Day,
            "week" => BudgetSpan::Week,
            "month" => BudgetSpan::Month,
            _ => return Err(error()),
        };
        match alerts.trim().parse() {
            Ok(alerts) if alerts > 0 => Ok(Self { alerts, per }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for AlertBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            BudgetSpan::Day => "day",
            BudgetSpan::Week => "week",
            BudgetSpan::Month => "month",
        };
        write!(f, "{}/{per}", self.alerts)
    }
}

written_as_text!(AlertBudget, "alert budget", "string", Some("^[1-9][0-9]*/(day|week|month)$"), "1/week");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_per_day_week_or_month() {
        let budget: AlertBudget = "3/day".parse().unwrap();
        assert_eq!((budget.alerts, budget.span()), (3, Duration::from_secs(86_400)));
        assert_eq!(budget.to_string(), "3/day");
        for text in ["", "3", "0/week", "-1/week", "1/year", "1/week/day", "x/day"] {
            let message = text.parse::<AlertBudget>().unwrap_err().to_string();
            assert!(message.contains("1/week"), "{message}");
        }
    }
}
