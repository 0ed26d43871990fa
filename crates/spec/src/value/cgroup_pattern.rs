//! Patterns of cgroup paths.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, written_as_text};

/// More would make matching slow without saying more.
const MAX_DEEP: usize = 2;

/// A pattern of cgroup paths: `/system.slice/*.service`, `/kubepods.slice/**`. `*` stands for any part of one name, a name
/// `**` for any number of names, none included; `/` is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPattern(String);

impl CgroupPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CgroupPattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected = |what: &str| {
            Err(ValueError::new(
                text,
                &format!("a pattern of cgroup paths such as `/system.slice/*.service`: {what}"),
            ))
        };
        if !text.starts_with('/') {
            return expected("it begins with `/`");
        }
        if text.split('/').any(|name| name == "..") {
            return expected("it has no `..`");
        }
        if text.split('/').filter(|name| *name == "**").count() > MAX_DEEP {
            return expected("it has at most two `**`");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CgroupPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(CgroupPattern, "cgroup pattern", "string", Some("^/"), "/system.slice/*.service");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_pattern_is_a_path_with_stars() {
        for text in ["/", "/system.slice/*.service", "/kubepods.slice/**"] {
            assert_eq!(text.parse::<CgroupPattern>().unwrap().as_str(), text);
        }
        for (text, why) in
            [("system.slice", "begins with"), ("/a/../b", "no `..`"), ("/**/**/**", "two `**`")]
        {
            let message = text.parse::<CgroupPattern>().unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
