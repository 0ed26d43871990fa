//! Which metrics are wanted, by name.

use std::fmt;
use std::str::FromStr;

use larnax_core::{MetricName, Schema};
use regex_lite::{Regex, RegexBuilder};

/// The longest pattern that is accepted, in bytes.
const MAX_PATTERN_BYTES: usize = 4096;

/// The most memory that one compiled pattern may take, in bytes. Names of metrics need a few kilobytes; nested
/// repetitions such as `((a{100}){100}){100}` are refused instead of compiled.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A regular expression over metric names, anchored at both ends as in Prometheus: `node_cpu.*`, `cpu/(user|system)`.
///
/// It matches a metric when it matches the whole name with its labels, `up{job="api"}`, or the whole name without
/// them, `up`. So `node_load1` is exactly that metric, and `node_disk.*device="sda".*` reaches into labels.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a metric pattern: {reason}; expected a regular expression such as `node_cpu.*`")]
pub struct PatternError {
    found: String,
    reason: String,
}

impl Pattern {
    /// Compiles a pattern of at most 4096 bytes.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let error = |reason: String| PatternError { found: text.chars().take(80).collect(), reason };
        if text.is_empty() {
            return Err(error("it is empty and would match no name".to_owned()));
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(error(format!("it has {} bytes and may have {MAX_PATTERN_BYTES}", text.len())));
        }
        // The text is compiled alone first: `a)|(b` is an error, though it would be none between the anchors.
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(MAX_COMPILED_BYTES)
                .build()
                .map_err(|source| error(source.to_string()))
        };
        build(text)?;
        let regex = build(&format!("^(?:{text})$"))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a metric is meant.
    pub fn matches(&self, name: &MetricName) -> bool {
        let family = name.family();
        self.regex.is_match(name.as_str())
            || (family.len() < name.as_str().len() && self.regex.is_match(family))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

/// Positions of the metrics that are wanted, in the schema's order: those that an `include` pattern matches (all, when
/// there is none) and no `exclude` pattern does.
pub(crate) fn select(schema: &Schema, include: &[Pattern], exclude: &[Pattern]) -> Vec<u32> {
    let wanted = |name: &MetricName| {
        (include.is_empty() || include.iter().any(|pattern| pattern.matches(name)))
            && !exclude.iter().any(|pattern| pattern.matches(name))
    };
    let positions = schema.metrics().iter().enumerate();
    positions.filter(|(_, metric)| wanted(&metric.name)).map(|(i, _)| i as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(&MetricName::new(name).unwrap())
    }

    #[test]
    fn a_pattern_is_anchored_at_both_ends() {
        assert!(matches("node_load1", "node_load1"));
        assert!(!matches("node_load1", "node_load15"));
        assert!(!matches("load1", "node_load1"));
        assert!(matches("a|b", "b") && !matches("a|b", "ab"));
    }

    #[test]
    fn a_pattern_matches_the_name_with_or_without_its_labels() {
        assert!(matches("up", "up{job=\"api\"}"));
        assert!(matches("up.*job=\"api\".*", "up{job=\"api\"}"));
        assert!(!matches("up.*job=\"web\".*", "up{job=\"api\"}"));
    }

    #[test]
    fn a_text_that_is_no_pattern_says_what_was_found_and_expected() {
        for text in ["node_(cpu", "", "a)|(b", "*", "((a{100}){100}){100}"] {
            let message = Pattern::new(text).unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")), "{message}");
            assert!(message.contains("expected a regular expression"), "{message}");
        }
        let message = Pattern::new(&"a".repeat(5000)).unwrap_err().to_string();
        assert!(message.contains("5000 bytes") && message.len() < 300, "{message}");
    }
}
