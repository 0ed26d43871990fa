//! Online ARIMA: the next value of each metric from its own last values.
//!
//! ARIMA(p, d, q) is approximated by an autoregression with k lags of the d times differenced series, which needs no
//! estimates of past noise (Liu, Hoi, Zhao, Sun, AAAI 2016). The forecast is
//! x̂ₜ = Σᵢ γᵢ ∇ᵈxₜ₋ᵢ + Σ₀≤g<d ∇ᵍxₜ₋₁. Three ways of learning γ, each a detector:
//!
//! | file | detector | coefficients | a step costs |
//! |---|---|---|---|
//! | [`rls`] | `arima`, the one to take | each metric its own | k² a metric |
//! | [`ons`] | `arima_ons` | one set for all metrics | k a metric, and k² |
//! | [`ogd`] | `arima_ogd` | one set for all metrics | k a metric |
//!
//! [`shared`] is what the last two have in common.
//!
//! **When it fails.** A fault that builds up slower than the lags reach back is forecast like anything else; so is one
//! that comes back at once to what it was. Values that jump between levels at random have forecasts no better than
//! their mean.

mod inverse;
mod lags;
mod lanes;
pub mod ogd;
pub mod ons;
pub mod rls;
pub mod shared;

pub use ogd::Ogd;
pub use ons::Ons;
pub use rls::Rls;
pub use shared::Shared;

use crate::detector::{DetectError, DetectorKind};

fn inconsistent(kind: DetectorKind, what: &str) -> DetectError {
    DetectError::inconsistent(kind.as_str(), format!("{what} of another size, or not finite"))
}
