//! What a component's owner knows beforehand of its metrics.

use larnax_core::MetricName;
use larnax_core::schema::{Bounds, Direction};

use crate::pattern::Pattern;

/// What is known beforehand of the metrics that a pattern matches. What is none stays as the metric's source says it.
/// Of a counter, it is the rate per second that is meant.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which metrics.
    pub pattern: Pattern,
    /// The smallest deviation that counts, not negative: see [`Bounds::least`].
    pub least: Option<f64>,
    /// Which deviations count.
    pub direction: Option<Direction>,
    /// The lowest and the highest possible value.
    pub range: Option<(f64, f64)>,
}

impl Rule {
    /// What is known of a metric's values, from its source and from the rule.
    fn over(&self, source: Bounds) -> Bounds {
        let (lowest, highest) = self.range.unwrap_or((source.lowest, source.highest));
        Bounds {
            least: self.least.unwrap_or(source.least),
            direction: self.direction.unwrap_or(source.direction),
            lowest,
            highest,
        }
    }
}

/// What is known of a metric's values: what its source says, and over that the first rule that matches its name.
pub(crate) fn bounds(rules: &[Rule], name: &MetricName, source: Bounds) -> Bounds {
    rules.iter().find(|rule| rule.pattern.matches(name)).map_or(source, |rule| rule.over(source))
}
