//! Regular expressions that match a whole name, as Prometheus does it.

use std::fmt;
use std::str::FromStr;

use regex_lite::{Regex, RegexBuilder};

use super::{ValueError, written_as_text};

/// A compiled expression may take this much memory; an edge agent has little.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A regular expression that has to match the whole name: `node_cpu_.*`, `(cpu|mem)/.+`.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Whether the whole of `name` matches.
    pub fn is_match(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// As it was written, without the anchors.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected = |why: &str| ValueError::new(text, &format!("a regular expression: {why}"));
        if text.is_empty() {
            return Err(expected("it is empty and would match nothing"));
        }
        // On its own first, so that an unbalanced `)` can't reach out of the group below.
        RegexBuilder::new(text)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .and_then(|_| RegexBuilder::new(&format!("^(?:{text})$")).size_limit(MAX_COMPILED_BYTES).build())
            .map(|regex| Self { text: text.to_owned(), regex })
            .map_err(|error| expected(&error.to_string()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

written_as_text!(Pattern, "regular expression", "string", None, "node_cpu_.*");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let pattern: Pattern = "cpu|mem.*".parse().unwrap();
        assert!(pattern.is_match("cpu") && pattern.is_match("mem_free"));
        assert!(!pattern.is_match("cpu_seconds") && !pattern.is_match("a_cpu"));
    }

    #[test]
    fn a_bad_pattern_says_why() {
        for text in ["(", "a)(b", "[", "", "a{1000000}"] {
            let message = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(message.contains("a regular expression: "), "{message}");
        }
    }
}
