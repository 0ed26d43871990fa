//! The pull parser: one entry after the other out of a body, without copying.

use larnax_core::Timestamp;

use super::{Format, number, series};

/// Walks a body once and yields its entries in order.
///
/// **Lifetimes.** Every slice that it yields borrows from the body and not from the parser: it stays valid, and can be
/// compared or kept as a key, as long as the body's buffer isn't touched. Nothing is copied or allocated.
///
/// **Errors** are lines: a bad line is yielded as an error once and the next call goes on behind it. UTF-8 is checked
/// nowhere here, because that costs as much as the parsing; who turns series bytes into text must check.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    body: &'a [u8],
    format: Format,
    max_line_bytes: usize,
    at: usize,
    line_start: usize,
    value_start: usize,
    ended: bool,
}

/// One thing in a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A sample of a series.
    Series {
        /// The series exactly as it stands, such as `http_requests_total{code="200"}`. Not checked for UTF-8.
        series: &'a [u8],
        /// What stands behind it.
        sample: Sample<'a>,
    },
    /// `# TYPE family type`.
    Type {
        /// The family's name as it stands, perhaps in quotes.
        family: &'a [u8],
        /// Its type.
        declared: FamilyType,
    },
    /// `# HELP family text`.
    Help {
        /// The family's name as it stands, perhaps in quotes.
        family: &'a [u8],
        /// The text, with its escapes.
        text: &'a [u8],
    },
    /// `# UNIT family unit`.
    Unit {
        /// The family's name as it stands, perhaps in quotes.
        family: &'a [u8],
        /// The unit.
        unit: &'a [u8],
    },
    /// Any other line that starts with `#`, whole.
    Comment(&'a [u8]),
    /// `# EOF`, in OpenMetrics only.
    Eof,
}

/// What a family's values are, by its `# TYPE` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// A total that grows.
    Counter,
    /// A level.
    Gauge,
    /// Buckets, sum and count of observations.
    Histogram,
    /// Buckets, sum and count of current things.
    GaugeHistogram,
    /// Quantiles, sum and count of observations.
    Summary,
    /// Labels whose value is 1.
    Info,
    /// States, each 0 or 1.
    StateSet,
    /// `unknown`, or `untyped` in text 0.0.4.
    Unknown,
}

impl FamilyType {
    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"counter" => Self::Counter,
            b"gauge" => Self::Gauge,
            b"histogram" => Self::Histogram,
            b"gaugehistogram" => Self::GaugeHistogram,
            b"summary" => Self::Summary,
            b"info" => Self::Info,
            b"stateset" => Self::StateSet,
            b"unknown" | b"untyped" => Self::Unknown,
            _ => return None,
        })
    }
}

/// What stands behind a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The value; NaN and infinities are values too.
    pub value: f64,
    /// The time that the target says, if it says one.
    pub time: Option<Timestamp>,
    /// An example observation, in OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
}

/// An example of what was counted, such as one request's trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its labels with braces, as they stand.
    pub labels: &'a [u8],
    /// The observed value.
    pub value: f64,
    /// When it was observed, if the target says.
    pub time: Option<Timestamp>,
}

/// A line that is not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine<'a> {
    /// Where it starts, in bytes from the start of the body.
    pub offset: usize,
    /// The whole line, without its line break.
    pub line: &'a [u8],
    /// What should have stood there.
    pub expected: &'static str,
}

impl<'a> Parser<'a> {
    /// At the start of a body.
    pub fn new(body: &'a [u8], format: Format) -> Self {
        let (max_line_bytes, at) = (usize::MAX, 0);
        Self { body, format, max_line_bytes, at, line_start: 0, value_start: 0, ended: false }
    }

    /// Takes lines that are longer than this for bad ones.
    #[must_use]
    pub fn max_line_bytes(mut self, max: usize) -> Self {
        self.max_line_bytes = max;
        self
    }

    /// Where the parser stands: at the start of a line, or at the end of the body.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where the last sample's line and its value start.
    pub(super) fn sample_start(&self) -> (usize, usize) {
        (self.line_start, self.value_start)
    }

    /// What hasn't been read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    /// Reads a sample whose series the caller has recognised: its value starts `ahead` bytes from here, in a line that
    /// starts `head` bytes before the value. Goes on to the next line.
    ///
    /// `None`, and stays here, if there is no such sample. That need not be a bad line: behind `a ` there may be labels
    /// or one more blank.
    #[inline]
    pub(super) fn recognised(&mut self, ahead: usize, head: usize) -> Option<Sample<'a>> {
        let value_start = self.at + ahead;
        let text = self.body.get(value_start..).unwrap_or_default();
        let sample = if let Some((value, length)) = number::short_decimal(text)
            && text.get(length) == Some(&b'\n')
            && head + length <= self.max_line_bytes
        {
            self.at = value_start + length + 1;
            Sample { value, time: None, exemplar: None }
        } else {
            self.recognised_with_care(value_start, head)?
        };
        self.value_start = value_start;
        self.line_start = value_start - head;
        Some(sample)
    }

    fn recognised_with_care(&mut self, value_start: usize, head: usize) -> Option<Sample<'a>> {
        let here = std::mem::replace(&mut self.at, value_start - head);
        let sample = self.take_line().ok().and_then(|line| sample(line, head, self.format).ok());
        if sample.is_none() {
            self.at = here;
        }
        sample
    }

    /// Cuts off the next line, without its line break.
    fn take_line(&mut self) -> Result<&'a [u8], BadLine<'a>> {
        let rest = self.rest();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.line_start = self.at;
        self.at = (self.at + end + 1).min(self.body.len());
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.max_line_bytes {
            return Err(self.bad(line, "a line within the limit on its length"));
        }
        Ok(line)
    }

    fn bad(&self, line: &'a [u8], expected: &'static str) -> BadLine<'a> {
        BadLine { offset: self.line_start, line, expected }
    }

    fn line(&mut self, line: &'a [u8], start: usize) -> Result<Entry<'a>, &'static str> {
        if line.get(start) == Some(&b'#') {
            let entry = comment(line, start, self.format)?;
            self.ended = entry == Entry::Eof;
            return Ok(entry);
        }
        let text = line.get(start..).unwrap_or_default();
        let end = start + series::scan(text, |_| {})?;
        let value_start = series::skip_blanks(line, end);
        let series = line.get(start..end).unwrap_or_default();
        if value_start == end && end < line.len() && !series.ends_with(b"}") {
            return Err("a blank behind the metric name");
        }
        self.value_start = self.line_start + value_start;
        Ok(Entry::Series { series, sample: sample(line, value_start, self.format)? })
    }
}

/// Yields `None` at the end of the body. Behind `# EOF` of OpenMetrics, anything but blank lines is a bad line.
impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, BadLine<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.body.len() {
            let line = match self.take_line() {
                Ok(line) => line,
                Err(bad) => return Some(Err(bad)),
            };
            let start = series::skip_blanks(line, 0);
            if start == line.len() {
                continue;
            }
            if self.ended {
                return Some(Err(self.bad(line, "nothing behind `# EOF`")));
            }
            return Some(self.line(line, start).map_err(|expected| self.bad(line, expected)));
        }
        None
    }
}

/// Reads what stands behind a series: the value from `start` on, then a time and an exemplar where there are any.
fn sample(line: &[u8], start: usize, format: Format) -> Result<Sample<'_>, &'static str> {
    let (token, at) = token(line, start);
    let value = number::parse(token).ok_or("a number as value")?;
    let (time, at) = time(line, at, format)?;
    let exemplar = match line.get(at) {
        None => None,
        Some(b'#') if format == Format::OpenMetrics => Some(exemplar(line, at + 1)?),
        Some(_) => return Err("the end of the line behind value and time"),
    };
    Ok(Sample { value, time, exemplar })
}

fn exemplar(line: &[u8], start: usize) -> Result<Exemplar<'_>, &'static str> {
    let brace = series::skip_blanks(line, start);
    if line.get(brace) != Some(&b'{') {
        return Err("an exemplar's labels in braces behind `#`");
    }
    let end = series::labels(line, brace, true, &mut |_| {})?;
    let (found, at) = token(line, series::skip_blanks(line, end));
    let value = number::parse(found).ok_or("a number as the exemplar's value")?;
    let (time, at) = time(line, at, Format::OpenMetrics)?;
    if at < line.len() {
        return Err("the end of the line behind the exemplar");
    }
    Ok(Exemplar { labels: line.get(brace..end).unwrap_or_default(), value, time })
}

/// Reads a time if there is one: milliseconds in text 0.0.4, seconds with a fraction in OpenMetrics.
fn time(line: &[u8], start: usize, format: Format) -> Result<(Option<Timestamp>, usize), &'static str> {
    if matches!(line.get(start), None | Some(b'#')) {
        return Ok((None, start));
    }
    let (token, at) = token(line, start);
    let time = match format {
        Format::Text004 => std::str::from_utf8(token)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Timestamp::from_millis)
            .ok_or("whole milliseconds as time behind the value")?,
        Format::OpenMetrics => number::parse(token)
            .filter(|seconds| seconds.is_finite())
            .map(Timestamp::from_seconds)
            .ok_or("seconds as time behind the value")?,
    };
    Ok((Some(time), at))
}

/// The text from `start` to the next blank, and where the text behind it starts.
fn token(line: &[u8], start: usize) -> (&[u8], usize) {
    let rest = line.get(start..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
    (rest.get(..length).unwrap_or_default(), series::skip_blanks(line, start + length))
}

/// Reads a line that has `#` at `hash`.
fn comment(line: &[u8], hash: usize, format: Format) -> Result<Entry<'_>, &'static str> {
    if format == Format::OpenMetrics && line == b"# EOF" {
        return Ok(Entry::Eof);
    }
    let plain = Ok(Entry::Comment(line));
    let word_start = series::skip_blanks(line, hash + 1);
    if word_start == hash + 1 {
        return plain;
    }
    let (word, family_start) = token(line, word_start);
    if !matches!(word, b"TYPE" | b"HELP" | b"UNIT") {
        return plain;
    }
    let (family, text_start) = match line.get(family_start) {
        Some(b'"') => {
            let end = series::quoted(line, family_start)?;
            (line.get(family_start..end).unwrap_or_default(), series::skip_blanks(line, end))
        }
        _ => token(line, family_start),
    };
    let text = line.get(text_start..).unwrap_or_default();
    match word {
        b"TYPE" => {
            let declared = FamilyType::parse(text.trim_ascii_end())
                .ok_or("`# TYPE` with a name and one of counter, gauge, histogram, summary, untyped")?;
            Ok(Entry::Type { family, declared })
        }
        b"HELP" => Ok(Entry::Help { family, text }),
        _ => Ok(Entry::Unit { family, unit: text }),
    }
}
