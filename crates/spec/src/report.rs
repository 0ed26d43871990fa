//! What the reader of a config is told: where, what was found, what was expected.

use std::fmt;

use crate::yaml::Located;

/// One thing that is wrong with a config, or that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or `environment`.
    pub file: String,
    /// Line and column, from 1, where they are known.
    pub position: Option<(usize, usize)>,
    /// The field: `scrape_configs[0].scrape_timeout`; empty for the config as a whole.
    pub field: String,
    /// What was found and what was expected. Never holds a secret.
    pub message: String,
}

/// Something that has no effect, or not the one that may be meant.
pub type Warning = Problem;

impl Problem {
    pub(crate) fn located(file: &str, found: Located) -> Self {
        Self {
            file: file.to_owned(),
            position: (found.at.line > 0).then_some((found.at.line, found.at.column)),
            field: found.path.to_string(),
            message: found.message,
        }
    }

    pub(crate) fn unplaced(file: &str, field: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), position: None, field: field.to_string(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What has no place in the file comes last; nothing is said twice.
pub(crate) fn in_file_order(problems: &mut Vec<Problem>) {
    problems.sort_by_key(|problem| (problem.position.is_none(), problem.position));
    problems.dedup();
}

/// Everything that is wrong with a config, in the order of the file; one line each when printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// The value, if nothing is wrong.
    pub(crate) fn unless_empty<T>(mut problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            return Ok(value);
        }
        in_file_order(&mut problems);
        Err(Self { problems })
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
