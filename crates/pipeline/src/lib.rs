//! The way of a sample between collect and detect, for one component: select → rate → join → resample.
//!
//! - [`Pattern`]s select metrics by name, once per schema.
//! - [`Rule`]s say what is known beforehand of a metric's values, over what its source says.
//! - `rate` turns running totals into rates per second and knows resets.
//! - `period` learns how often rows come and says what is a gap.
//! - `join` lays the metrics of several inputs side by side under one schema with a fixed limit.
//! - `resample` takes the mean over fixed intervals.
//! - [`Pipeline`] leads a batch through all of them.
//!
//! Everything here is pure: time comes with the samples, and the same rows give the same steps.

mod join;
mod pattern;
mod period;
mod pipeline;
mod rate;
mod resample;
mod rule;

pub use pattern::{Pattern, PatternError};
pub use pipeline::{Counters, Options, Pipeline, Step};
pub use rule::Rule;
