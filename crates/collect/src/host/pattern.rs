//! Patterns of cgroup paths.

use crate::{ErrorClass, SourceError};

/// A pattern of cgroup paths: `/system.slice/*.service`, `/kubepods.slice/**`. `*` stands for any part of one name, a
/// name `**` for any number of names, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPattern {
    names: Vec<String>,
}

/// More would make matching slow without saying more.
const MAX_DEEP: usize = 2;

impl CgroupPattern {
    /// Reads a pattern. `/` is the root: the whole machine, or this container.
    ///
    /// # Errors
    /// When it doesn't start with `/`, or has `..` or more than two `**`.
    pub fn new(text: &str) -> Result<Self, SourceError> {
        let bad = |expected: &str| {
            let message = format!(
                "`{text}` is no pattern of cgroup paths: expected {expected}, such as /system.slice/*.service"
            );
            Err(SourceError::new(ErrorClass::Config, message))
        };
        let Some(rest) = text.strip_prefix('/') else { return bad("a path that starts with `/`") };
        let names: Vec<String> = rest.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if names.iter().any(|name| name == "..") {
            return bad("no `..`");
        }
        if names.iter().filter(|name| *name == "**").count() > MAX_DEEP {
            return bad("at most two `**`");
        }
        Ok(Self { names })
    }

    /// Whether a path (its names from the root on) matches, and whether one below it may.
    pub(super) fn test(&self, path: &[String]) -> (bool, bool) {
        test(&self.names, path)
    }
}

fn test(pattern: &[String], path: &[String]) -> (bool, bool) {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => (true, false),
        (None, Some(_)) => (false, false),
        (Some(_), None) => (pattern.iter().all(|name| name == "**"), true),
        (Some((first, rest)), Some((_, below))) if first == "**" => {
            let (none, some) = (test(rest, path), test(pattern, below));
            (none.0 || some.0, none.1 || some.1)
        }
        (Some((first, rest)), Some((name, below))) => {
            if one_name(first.as_bytes(), name.as_bytes()) {
                test(rest, below)
            } else {
                (false, false)
            }
        }
    }
}

/// Whether a name matches a pattern with `*`: goes back to the last `*` only, which is enough.
fn one_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(same) if same == byte => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, at)) => {
                    back = Some((star, at + 1));
                    p = star + 1;
                    n = at + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn stars_match_within_a_name_and_two_stars_across_names() {
        let cases = [
            ("/", "/", true),
            ("/", "/a", false),
            ("/system.slice/*.service", "/system.slice/nginx.service", true),
            ("/system.slice/*.service", "/system.slice/x/nginx.service", false),
            ("/kube*/**", "/kubepods", true),
            ("/kube*/**", "/kubepods/burstable/pod1", true),
            ("/**/*.scope", "/docker/a/b.scope", true),
            ("/**/*.scope", "/docker/a/b", false),
        ];
        for (pattern, at, expected) in cases {
            assert_eq!(CgroupPattern::new(pattern).unwrap().test(&path(at)).0, expected, "{pattern} {at}");
        }
    }

    #[test]
    fn nothing_is_walked_that_cannot_match() {
        let pattern = CgroupPattern::new("/system.slice/*.service").unwrap();
        assert!(pattern.test(&path("/")).1 && pattern.test(&path("/system.slice")).1);
        assert!(!pattern.test(&path("/user.slice")).1 && !pattern.test(&path("/system.slice/a.service")).1);
    }

    #[test]
    fn a_pattern_that_is_none_says_what_was_expected() {
        for bad in ["", "system.slice", "/a/../b", "/**/a/**/b/**"] {
            let error = CgroupPattern::new(bad).unwrap_err();
            assert!(error.message.contains("expected") && error.class == ErrorClass::Config, "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_name_with_parts_starred_out_still_matches(name in "[ab.]{0,12}", from in 0usize..12, len in 0usize..12) {
            let (from, to) = (from.min(name.len()), (from + len).min(name.len()));
            let pattern = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(one_name(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
