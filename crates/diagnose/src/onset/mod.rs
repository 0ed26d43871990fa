//! When: the onset of an incident from all metrics together, and of one component's part in it.

mod bocpd;
mod cusum;
mod find;

use std::time::Duration;

pub use bocpd::{Bocpd, MAX_DIMENSIONS};
pub(crate) use cusum::onset as backward_cusum;
pub(crate) use find::{FEW, find};

/// How much later than its beginning an incident may be told: anomalies that belong together begin within two minutes.
pub const LATE: Duration = Duration::from_secs(120);
