//! ANALYZE, for one component: what is normal, and what is not.
//!
//! Pure: no clock, no I/O, no await; the same samples give the same answers, online and offline.
//!
//! | file | what is in it |
//! |---|---|
//! | [`detector`] | the trait that every detector implements, and its errors |
//! | [`auto`] | the detector that needs no choice: what all metrics do together, and bands per metric |
//! | [`birch`] | the first detector: per-series bands, and clusters over all series together |
//! | [`iftm`] | identity function and threshold, as a detector |
//! | [`arima`] | forecasts from a metric's own past |
//! | [`pca`] | what a metric should be, given the others |
//! | [`identity`] | what a detector of the IFTM family is made of: forecasts or reconstructions of rows |
//! | [`lstm`] | a recurrent network that forecasts all metrics together |
//! | [`bands`] | what one series is expected to do: level, local forecast, its own record of surprises |
//! | `sustained` | has it shifted, and does that last: averages and the record of them |
//! | [`row_context`] | what is the same for all series of one row
//! | [`normalise`] | moving mean and variance; records that fade; the normal quantile |
//! | [`threshold`] | how large an error has to be: moving, window, spot or conformal |
//! | [`tracker`] | from flagged samples to anomalies: onset, end, learning weight |
//! | `attribution` | which metrics an anomaly is about, how much, since when |
//! | [`presence`] | silent components and vanished metrics |
//! | [`budget`] | the one knob: how many alerts in a week |
//! | [`watch`] | all of it for one component |
//! | [`explain`] | why it did or didn't alert |
//! | [`state`] | how a watch is saved and restored |

pub mod arima;
mod attribution;
pub mod auto;
pub mod bands;
pub mod birch;
pub mod budget;
pub mod detector;
pub mod explain;
pub mod identity;
pub mod iftm;
pub mod lstm;
pub mod normalise;
pub mod pca;
pub mod presence;
pub mod row_context;
pub mod state;
mod sustained;
pub mod threshold;
pub mod tracker;
pub mod watch;

pub use auto::cost::CostPlan;
pub use budget::{AlertBudget, BudgetPhase, BudgetStatus};
pub use detector::{Basis, DetectError, Detector, DetectorKind, Tuning};
pub use explain::{Explanation, MetricExplanation};
pub use threshold::ThresholdKind;
pub use watch::{Change, Settings, Watch, WatchState};
