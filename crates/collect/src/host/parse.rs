//! Bytes of `/proc` and `/sys` files: lines, fields and numbers. Hot path: nothing here allocates or can panic.

use memchr::memchr;

/// Lines without their line breaks.
pub struct Lines<'a>(&'a [u8]);

/// The lines of a file.
pub fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines(bytes)
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr(b'\n', self.0).unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line)
    }
}

/// Fields between blanks (spaces and tabs).
pub struct Fields<'a>(&'a [u8]);

/// The fields of a line.
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields(line)
}

impl Fields<'_> {
    /// The next field as a number; `None` at the end of the line or when it isn't one.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        self.next().and_then(number)
    }

    /// Fills `into` with the next fields; whether each of them was a number.
    #[inline]
    pub fn numbers(&mut self, into: &mut [u64]) -> bool {
        for slot in into {
            match self.number() {
                Some(value) => *slot = value,
                None => return false,
            }
        }
        true
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let blank = |b: &u8| *b == b' ' || *b == b'\t';
        let start = self.0.iter().position(|b| !blank(b))?;
        let rest = &self.0[start..];
        let end = rest.iter().position(blank).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        self.0 = rest;
        Some(field)
    }
}

/// A whole number in decimal. Signs, other characters and what doesn't fit into 64 bits are no numbers.
#[inline]
pub fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A decimal fraction such as `0.52`; finite or `None`.
pub fn decimal(bytes: &[u8]) -> Option<f64> {
    std::str::from_utf8(bytes).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Text for a metric name: what isn't UTF-8 or is a control character becomes `_`.
pub fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '_' } else { c })
        .take(200)
        .collect()
}

/// Picks wanted keys out of a file of `key value` lines (`MemFree:  12 kB`, `pgfault 12`).
///
/// It remembers on which line each key stood, because such files keep their order: one pass then compares a key only
/// where it is expected. A file that has changed its order is searched again.
pub struct Picker {
    keys: Vec<&'static [u8]>,
    /// Line and key, in order of lines.
    plan: Vec<(usize, usize)>,
}

impl Picker {
    /// Wants these keys; one that ends a line's first field with `:` is found too.
    pub fn new(keys: impl IntoIterator<Item = &'static str>) -> Self {
        Self { keys: keys.into_iter().map(str::as_bytes).collect(), plan: Vec::new() }
    }

    /// Sets `found[i]` to the value of the i-th key, `None` where it is missing or no number.
    pub fn pick(&mut self, bytes: &[u8], found: &mut [Option<u64>]) {
        if !self.follow(bytes, found) {
            self.search(bytes);
            self.follow(bytes, found);
        }
    }

    fn follow(&self, bytes: &[u8], found: &mut [Option<u64>]) -> bool {
        found.fill(None);
        let mut plan = self.plan.iter();
        let Some(mut next) = plan.next() else { return false };
        for (at, line) in lines(bytes).enumerate() {
            if at != next.0 {
                continue;
            }
            let Some(value) = self.keys.get(next.1).and_then(|key| value_of(line, key)) else { return false };
            if let Some(slot) = found.get_mut(next.1) {
                *slot = number(value);
            }
            match plan.next() {
                Some(following) => next = following,
                None => return true,
            }
        }
        false
    }

    fn search(&mut self, bytes: &[u8]) {
        self.plan.clear();
        for (at, line) in lines(bytes).enumerate() {
            let wanted = self.keys.iter().position(|key| value_of(line, key).is_some());
            if let Some(key) = wanted.filter(|key| self.plan.iter().all(|(_, known)| known != key)) {
                self.plan.push((at, key));
            }
        }
    }
}

/// The first field after `key` (or `key:`) when the line starts with it.
#[inline]
fn value_of<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(key)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    if !matches!(rest.first(), Some(b' ' | b'\t')) {
        return None;
    }
    fields(rest).next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signs_letters_and_numbers_beyond_64_bits_are_no_numbers() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"+1", b"1x", b"18446744073709551616", b" 1"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        assert_eq!(decimal(b"inf"), None);
    }

    #[test]
    fn keys_are_found_again_when_the_file_changes_its_order() {
        let mut picker = Picker::new(["MemFree", "Dirty"]);
        let mut found = [None; 2];
        picker.pick(b"MemTotal: 9 kB\nMemFree:  7 kB\nDirty: 1 kB\n", &mut found);
        assert_eq!(found, [Some(7), Some(1)]);
        picker.pick(b"Dirty: 2 kB\nMemFreeze: 4 kB\nMemFree:  8 kB\n", &mut found);
        assert_eq!(found, [Some(8), Some(2)]);
        picker.pick(b"Dirty: 2 kB\n", &mut found);
        assert_eq!(found, [None, Some(2)]);
    }

    proptest! {
        #[test]
        fn any_bytes_split_into_lines_and_fields_that_were_in_them(bytes: Vec<u8>) {
            let lines: Vec<_> = lines(&bytes).collect();
            let joined = lines.join(&b'\n');
            prop_assert!(bytes == joined || bytes == [&joined[..], b"\n"].concat());
            for line in lines {
                for field in fields(line) {
                    prop_assert!(!field.is_empty() && !field.contains(&b' '));
                }
            }
        }

        #[test]
        fn a_picker_survives_any_bytes_and_finds_what_a_plain_search_finds(
            first in "(a|b|c|ab|a:|b:| |\t|1|22|\n|x){0,40}",
            second in "(a|b|c|ab|a:|b:| |\t|1|22|\n|x){0,40}",
        ) {
            let mut picker = Picker::new(["a", "b", "ab"]);
            let mut found = [None; 3];
            picker.pick(first.as_bytes(), &mut found);
            picker.pick(first.as_bytes(), &mut found);
            let mut fresh = [None; 3];
            Picker::new(["a", "b", "ab"]).pick(first.as_bytes(), &mut fresh);
            prop_assert_eq!(found, fresh);
            picker.pick(second.as_bytes(), &mut found);
        }
    }
}
