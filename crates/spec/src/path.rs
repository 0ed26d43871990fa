//! Where in the config a value stands: `scrape_configs[0].tls_config.ca_file`.

use std::fmt;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// The way from the root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Step>);

impl Path {
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// One field further.
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// Whether it leads into an element of the list `list` at `index` or later.
    pub(crate) fn is_below(&self, list: &str, index: usize) -> bool {
        let at = self.0.iter().position(|step| matches!(step, Step::Index(_)));
        match at.and_then(|at| Some((self.0.get(at)?, self.0.get(..at)?, self.0.len() > at + 1))) {
            Some((Step::Index(found), before, true)) => {
                *found >= index && Self(before.to_vec()).to_string() == list
            }
            _ => false,
        }
    }

    /// Where Prometheus' block `global` says the same.
    pub(crate) fn before_folding(&self) -> Option<Self> {
        let global = Self::root().key("global");
        match self.0.as_slice() {
            [Step::Key(first)] if first == "interval" => Some(global.key("scrape_interval")),
            [Step::Key(first), Step::Key(label)] if first == "external_labels" => {
                Some(global.key(first).key(label))
            }
            _ => None,
        }
    }

    /// One element further.
    pub(crate) fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(&crate::yaml::shorten(key))?;
                }
            }
        }
        Ok(())
    }
}
