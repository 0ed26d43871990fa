//! Two kinds of novelty, and how rare a signal is.
//!
//! | file | what is in it |
//! |---|---|
//! | [`range`] | a value outside everything seen in the last 30 to 60 days |
//! | [`shapes`] | a stretch of values unlike any earlier one |
//! | [`rareness`] | a signal's distance from what it usually is, in decades |

pub mod range;
pub mod rareness;
pub mod shapes;

pub use self::range::Range;
pub use self::rareness::{Usual, decades, quantile};
pub use self::shapes::{LAGS, Nearest, Shapes};
