//! What sinks tell about: anomalies, where an agent speaks for itself, or incidents, where a hub speaks for many.

mod anomaly;
mod incident;

use std::collections::BTreeMap;
use std::fmt;

use larnax_core::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The data of an event about something that begins, changes and ends.
pub trait Told: Clone + fmt::Debug + Serialize + DeserializeOwned + 'static {
    /// Which anomaly or incident: the same in all of its events.
    fn subject(&self) -> u64;

    /// Whether that goes on after this event.
    fn goes_on(&self) -> bool;

    /// Whether it was worth an alert, or is only recorded.
    fn is_alerted(&self) -> bool;

    /// Takes out what JSON can't say: NaN would come back as null, and the event would be lost.
    fn clean(&mut self);

    /// Takes out what makes it long.
    fn shorten(&mut self);

    /// When it began.
    fn began(&self) -> Timestamp;

    /// When it ended.
    fn ended(&self) -> Option<Timestamp>;

    /// An alert's identity: the same over its life.
    fn labels(&self) -> BTreeMap<String, String>;

    /// All that changes. `late`: it began and ended before anybody heard of it.
    fn annotations(&self, late: bool) -> BTreeMap<&'static str, String>;

    /// Its page under a base URL.
    fn link(&self, base: &str) -> String;
}

/// Four significant digits, as short as that can be written.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..15.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (0.012_345_6, "0.01235"),
            (123_456.7, "123457"),
            (-2.0, "-2"),
            (1e-9, "1.000e-9"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
