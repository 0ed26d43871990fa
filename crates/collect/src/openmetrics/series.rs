//! The grammar of a series, `name{label="value",…}` or `{"name",label="value",…}`, and its canonical name.

use std::ops::Range;

/// What a scan of a series meets. Quoted texts still have their escapes.
pub(super) enum Part<'a> {
    /// The metric's name.
    Name(Text<'a>),
    /// A label's name and its value, without the value's quotes.
    Label(Text<'a>, &'a [u8]),
}

/// A name that stands bare, or in quotes that are cut off.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) quoted: bool,
}

/// Reads a series at the start of `line`; shows its parts to `visit` and gives where it ends.
pub(super) fn scan<'a>(line: &'a [u8], mut visit: impl FnMut(Part<'a>)) -> Result<usize, &'static str> {
    let name_end = bare_name(line, 0, true);
    if name_end > 0 {
        visit(Part::Name(Text { bytes: slice(line, 0..name_end), quoted: false }));
    }
    let brace = skip_blanks(line, name_end);
    if line.get(brace) != Some(&b'{') {
        return if name_end > 0 { Ok(name_end) } else { Err("a metric name, or `#` and a comment") };
    }
    labels(line, brace, name_end > 0, &mut visit)
}

/// Reads labels in braces, `{label="value",…}`, at `brace`; gives where they end. Where the name isn't `named` yet, the
/// first thing in the braces is the name in quotes.
pub(super) fn labels<'a>(
    line: &'a [u8],
    brace: usize,
    named: bool,
    visit: &mut impl FnMut(Part<'a>),
) -> Result<usize, &'static str> {
    let mut named = named;
    let mut at = skip_blanks(line, brace + 1);
    loop {
        let text = match line.get(at) {
            Some(b'}') if named => return Ok(at + 1),
            Some(b'"') => {
                let end = quoted(line, at)?;
                let text = Text { bytes: slice(line, at + 1..end - 1), quoted: true };
                at = skip_blanks(line, end);
                text
            }
            _ => {
                let end = bare_name(line, at, false);
                if end == at {
                    return Err(if named {
                        "a label name or `}`"
                    } else {
                        "a metric name in quotes after `{`"
                    });
                }
                let text = Text { bytes: slice(line, at..end), quoted: false };
                at = skip_blanks(line, end);
                text
            }
        };
        if line.get(at) == Some(&b'=') {
            if !named {
                return Err("a metric name, before `{` or first in it");
            }
            at = skip_blanks(line, at + 1);
            if line.get(at) != Some(&b'"') {
                return Err("a label value in quotes after `=`");
            }
            let end = quoted(line, at)?;
            visit(Part::Label(text, slice(line, at + 1..end - 1)));
            at = skip_blanks(line, end);
        } else if !named && text.quoted {
            visit(Part::Name(text));
            named = true;
        } else {
            return Err("`=` after a label name");
        }
        match line.get(at) {
            Some(b',') => at = skip_blanks(line, at + 1),
            Some(b'}') => {}
            _ => return Err("`,` or `}` after a label value"),
        }
    }
}

/// Where the first byte that is neither a space nor a tab stands, from `at` on.
pub(super) fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while matches!(line.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Where a text in quotes that starts at `open` ends, behind its closing quote.
pub(super) fn quoted(line: &[u8], open: usize) -> Result<usize, &'static str> {
    let mut at = open + 1;
    loop {
        let Some(step) = memchr::memchr2(b'"', b'\\', line.get(at..).unwrap_or_default()) else {
            return Err("a closing quote");
        };
        at += step;
        if line.get(at) == Some(&b'"') {
            return Ok(at + 1);
        }
        at += 2;
    }
}

/// Where a bare name that starts at `at` ends; `at` if there is none. Only metric names may hold colons.
fn bare_name(line: &[u8], mut at: usize, colons: bool) -> usize {
    let start = at;
    while let Some(&byte) = line.get(at) {
        let fits = byte.is_ascii_alphabetic()
            || byte == b'_'
            || (colons && byte == b':')
            || (at > start && byte.is_ascii_digit());
        if !fits {
            break;
        }
        at += 1;
    }
    at
}

fn slice(line: &[u8], range: Range<usize>) -> &[u8] {
    line.get(range).unwrap_or_default()
}

/// Finds the canonical name of a series, so that its spellings (order of labels, white space, a quoted name that needs
/// no quotes, labels with empty values) make one metric and not several. Its buffers are reused.
///
/// The canonical name has its labels in the order of their names and no blanks. Names that need quotes by Prometheus'
/// rules (`my.metric`) stand bare as long as that can't be misread. Line breaks in values are written `\n` and `\r`.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    /// Texts without escapes, one behind the other.
    text: String,
    name: Range<usize>,
    labels: Vec<(Range<usize>, Range<usize>)>,
    out: String,
}

impl Canonical {
    /// Reads a series; says what it lacks if it isn't one.
    pub(super) fn read(&mut self, series: &[u8]) -> Result<(), &'static str> {
        let series = std::str::from_utf8(series).map_err(|_| "UTF-8 in names and labels")?;
        let Self { text, name, labels, out } = self;
        text.clear();
        labels.clear();
        out.clear();
        scan(series.as_bytes(), |part| match part {
            Part::Name(found) => *name = unescape(found.bytes, text),
            Part::Label(label, value) => {
                let label = unescape(label.bytes, text);
                let value = unescape(value, text);
                if !value.is_empty() {
                    labels.push((label, value));
                }
            }
        })?;
        let of = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
        if of(name).is_empty() {
            return Err("a metric name that is not empty");
        }
        labels.sort_unstable_by(|a, b| of(&a.0).cmp(of(&b.0)));
        if labels.windows(2).any(|pair| matches!(pair, [a, b] if of(&a.0) == of(&b.0))) {
            return Err("each label name once");
        }
        let plain = is_plain(of(name));
        if plain {
            out.push_str(of(name));
        } else {
            out.push('{');
            escape(of(name), out);
        }
        for (i, (label, value)) in labels.iter().enumerate() {
            out.push(if plain && i == 0 { '{' } else { ',' });
            if is_plain(of(label)) {
                out.push_str(of(label));
            } else {
                escape(of(label), out);
            }
            out.push('=');
            escape(of(value), out);
        }
        if !plain || !labels.is_empty() {
            out.push('}');
        }
        Ok(())
    }

    /// The canonical name of the series read last.
    pub(super) fn as_str(&self) -> &str {
        &self.out
    }

    /// The metric's name alone, without quotes and escapes.
    pub(super) fn metric_name(&self) -> &str {
        self.text.get(self.name.clone()).unwrap_or_default()
    }
}

/// Appends a text without its escapes; gives where it stands. An unknown escape stays as it is, as in Prometheus.
pub(super) fn unescape(escaped: &[u8], out: &mut String) -> Range<usize> {
    let start = out.len();
    // Texts are cut at ASCII characters out of a whole that was checked, so that they are UTF-8 too.
    let escaped = std::str::from_utf8(escaped).unwrap_or_default();
    let mut chars = escaped.chars();
    while let Some(found) = chars.next() {
        if found != '\\' {
            out.push(found);
            continue;
        }
        match chars.clone().next() {
            Some('n') => out.push('\n'),
            Some(literal @ ('"' | '\\')) => out.push(literal),
            _ => {
                out.push('\\');
                continue;
            }
        }
        chars.next();
    }
    start..out.len()
}

/// Appends a text in quotes with its escapes. A carriage return, which the format leaves as it is, is written `\r`:
/// metric names have no line breaks.
fn escape(text: &str, out: &mut String) {
    out.push('"');
    for found in text.chars() {
        match found {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ => out.push(found),
        }
    }
    out.push('"');
}

/// Whether a name can stand without quotes and still be told from what follows it.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(|c: char| {
            matches!(c, '{' | '}' | '"' | ',' | '=' | '\\') || c.is_whitespace() || c.is_control()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(series: &str) -> Result<String, &'static str> {
        let mut canonical = Canonical::default();
        canonical.read(series.as_bytes()).map(|()| canonical.as_str().to_owned())
    }

    #[test]
    fn spellings_of_one_series_have_one_canonical_name() {
        for spelling in [
            r#"a{x="1",y="2"}"#,
            r#"a{y="2",x="1"}"#,
            r#"a { x = "1" , y = "2" , }"#,
            r#"{"a",x="1",y="2"}"#,
            r#"{ "a" , "y"="2", x="1", z=""}"#,
            "a\t{\tx=\"1\",y=\"2\"}",
        ] {
            assert_eq!(canonical(spelling).as_deref(), Ok(r#"a{x="1",y="2"}"#), "{spelling}");
        }
        assert_eq!(canonical("a{}").as_deref(), Ok("a"));
    }

    #[test]
    fn series_that_differ_keep_different_names() {
        let spellings = [
            r#"a{x="\n"}"#,
            r#"a{x="\\n"}"#,
            "a{x=\"\r\"}",
            r#"a{x="\r"}"#,
            r#"a{x="n"}"#,
            r#"{"a{x=\"n\"}"}"#,
            r#"{"a.b"}"#,
            r#"{"a b"}"#,
            r#"{"a,b"}"#,
            "a",
            "A",
            "a:b",
        ];
        let mut names: Vec<String> = spellings.iter().map(|s| canonical(s).unwrap()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), spellings.len(), "{names:?}");
    }

    #[test]
    fn braces_commas_and_hashes_in_quotes_are_text() {
        assert_eq!(canonical(r#"a{x="},{=# \"\\"}"#).as_deref(), Ok(r#"a{x="},{=# \"\\"}"#));
        assert_eq!(scan(br#"a{x="} 5"} 7"#, |_| {}), Ok(10));
    }

    #[test]
    fn a_quoted_name_stands_bare_where_that_is_clear() {
        assert_eq!(canonical(r#"{"my.metric","my.label"="x"}"#).as_deref(), Ok(r#"my.metric{my.label="x"}"#));
        assert_eq!(canonical(r#"{"größe in m"}"#).as_deref(), Ok(r#"{"größe in m"}"#));
        assert_eq!(canonical(r#"{"größe in m",a="1"}"#).as_deref(), Ok(r#"{"größe in m",a="1"}"#));
    }

    #[test]
    fn what_is_no_series_says_what_is_missing() {
        for (text, expected) in [
            ("", "a metric name"),
            ("9a", "a metric name"),
            ("{}", "a metric name in quotes"),
            (r#"{a="b"}"#, "a metric name, before `{`"),
            (r#"{""}"#, "not empty"),
            ("a{x}", "`=`"),
            ("a{x=1}", "in quotes"),
            (r#"a{x="1"#, "closing quote"),
            (r#"a{x="1\"#, "closing quote"),
            (r#"a{x="1""#, "`,` or `}`"),
            (r#"a{x="1" y="2"}"#, "`,` or `}`"),
            (r#"a{,}"#, "a label name"),
            (r#"a{x="1",x="2"}"#, "each label name once"),
        ] {
            let found = canonical(text).unwrap_err();
            assert!(found.contains(expected), "`{text}`: expected {found}");
        }
        assert_eq!(Canonical::default().read(b"a{x=\"\xff\"}"), Err("UTF-8 in names and labels"));
    }
}
