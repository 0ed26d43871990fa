//! What a Prometheus says of one target at its `/federate`, as the target would have said it.
//!
//! A target's `up` has exactly the labels that Prometheus gives to everything of that target; without them, series are called as the
//! target calls them, so that what was learnt from one is good for the other.

use larnax_core::Timestamp;

use super::Format;
use super::parser::{Entry, Parser};
use super::series::{Part, Text, scan};

/// What Prometheus says of a scrape besides `up`, and of its own alerts.
const ITS_OWN: [&[u8]; 10] = [
    b"ALERTS",
    b"ALERTS_FOR_STATE",
    b"scrape_body_size_bytes",
    b"scrape_duration_seconds",
    b"scrape_sample_limit",
    b"scrape_samples_post_metric_relabeling",
    b"scrape_samples_scraped",
    b"scrape_series_added",
    b"scrape_timeout_seconds",
    b"up",
];

/// Why there are no metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// It could not scrape the target at this time.
    #[error("this Prometheus can't scrape it (its `up` is 0)")]
    Down(Timestamp),
    /// It has scraped no such target in the last minutes.
    #[error(
        "this Prometheus has nothing of it: expected its `up`; does it scrape it, and are `by` and `labels` right?"
    )]
    Missing,
    /// It has several.
    #[error(
        "this Prometheus has several targets that are called so: expected one `up`; say which by `labels`"
    )]
    Several,
}

/// Writes into `text`, which is cleared first, what the target said when it was scraped last, in the text format 0.0.4; says when that
/// was. `body` is the answer of `/federate` to a selector of one target.
///
/// Left out are the labels that Prometheus gave, what it says of the scrape, its alerts, and what its rules made (names with a colon, as
/// its documentation has it).
///
/// # Errors
/// When it was not scraped.
pub fn unfold(body: &[u8], text: &mut Vec<u8>) -> Result<Timestamp, Unknown> {
    text.clear();
    let mut ups = lines(body).filter(|line| line.starts_with(b"up{"));
    let up = ups.next().ok_or(Unknown::Missing)?;
    if ups.next().is_some() {
        return Err(Unknown::Several);
    }
    let Some(Ok(Entry::Series { series: given, sample })) = Parser::new(up, Format::Text004).next() else {
        return Err(Unknown::Missing);
    };
    let scraped_at = sample.time.ok_or(Unknown::Missing)?;
    if sample.value != 1.0 {
        return Err(Unknown::Down(scraped_at));
    }
    let mut given_labels = Vec::new();
    let scanned = parts(given, &mut |part| {
        if let Part::Label(label, value) = part {
            given_labels.push((label.bytes, value));
        }
    });
    scanned.map_err(|_| Unknown::Missing)?;
    let time = up.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    for line in lines(body) {
        if !line.starts_with(b"#") && !line.is_empty() {
            one(line, &given_labels, time, text);
        }
    }
    Ok(scraped_at)
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = (rest.get(..end)?, rest.get(end + 1..).unwrap_or_default());
        rest = behind;
        Some(line)
    })
}

/// As [`scan`], once for all that is done here: each of its copies is some kilobytes.
#[inline(never)]
fn parts<'a>(line: &'a [u8], visit: &mut dyn FnMut(Part<'a>)) -> Result<usize, &'static str> {
    scan(line, visit)
}

/// Appends one line without the labels that are `given`. One that is no sample goes on as it is: the parser says what is wrong with it.
fn one(line: &[u8], given: &[(&[u8], &[u8])], time: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    let (mut is_ours, mut separator) = (true, b'{');
    let scanned = parts(line, &mut |part| match part {
        Part::Name(name) => {
            is_ours = !(ITS_OWN.contains(&name.bytes) || name.bytes.contains(&b':'));
            if name.quoted {
                text.push(b'{');
                separator = b',';
            }
            spell(name, text);
        }
        Part::Label(label, value) => {
            if !given.contains(&(label.bytes, value)) {
                text.push(separator);
                separator = b',';
                spell(label, text);
                text.extend_from_slice(b"=\"");
                text.extend_from_slice(value);
                text.push(b'"');
            }
        }
    });
    let Ok(end) = scanned else {
        text.truncate(start);
        text.extend_from_slice(line);
        return text.push(b'\n');
    };
    if !is_ours {
        return text.truncate(start);
    }
    if separator == b',' {
        text.push(b'}');
    }
    // With the time of the scrape it would be the same for all, and slower to read. A time of its own stays.
    let behind = line.get(end..).unwrap_or_default();
    text.extend_from_slice(behind.strip_suffix(time).unwrap_or(behind).trim_ascii_end());
    text.push(b'\n');
}

fn spell(name: Text<'_>, text: &mut Vec<u8>) {
    let quote: &[u8] = if name.quoted { b"\"" } else { b"" };
    text.extend_from_slice(quote);
    text.extend_from_slice(name.bytes);
    text.extend_from_slice(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_700_000_000_123;

    fn unfolded(body: &str) -> Result<String, Unknown> {
        let mut text = b"old".to_vec();
        let at = unfold(body.as_bytes(), &mut text)?;
        assert_eq!(at, Timestamp::from_millis(AT));
        Ok(String::from_utf8(text).unwrap())
    }

    #[test]
    fn series_are_called_as_the_target_calls_them() {
        let body = format!(
            "# TYPE calls_total untyped\n\
             calls_total{{code=\"200\",instance=\"a:1\",job=\"x\"}} 7 {AT}\n\
             calls_total{{code=\"500\",exported_job=\"x\",instance=\"b:1\",job=\"x\"}} NaN {AT}\n\
             # TYPE load untyped\n\
             load{{instance=\"a:1\",job=\"x\"}} 0.5 {AT}\n\
             late{{instance=\"a:1\",job=\"x\"}} 1 1700000000000\n\
             {{\"my.metric\",instance=\"a:1\",\"my.label\"=\"y\",job=\"x\"}} 2 {AT}\n\
             up{{instance=\"a:1\",job=\"x\"}} 1 {AT}\n"
        );
        assert_eq!(
            unfolded(&body).unwrap(),
            "calls_total{code=\"200\"} 7\n\
             calls_total{code=\"500\",exported_job=\"x\",instance=\"b:1\"} NaN\n\
             load 0.5\n\
             late 1 1700000000000\n\
             {\"my.metric\",\"my.label\"=\"y\"} 2\n"
        );
    }

    #[test]
    fn what_prometheus_says_of_the_scrape_of_its_alerts_and_by_its_rules_is_left_out() {
        let body = format!(
            "ALERTS{{alertname=\"Down\",instance=\"a:1\"}} 1 {AT}\n\
             instance:load:mean5m{{instance=\"a:1\"}} 1 {AT}\n\
             scrape_duration_seconds{{instance=\"a:1\"}} 0.1 {AT}\n\
             up_since{{instance=\"a:1\"}} 3 {AT}\n\
             up{{instance=\"a:1\"}} 1 {AT}"
        );
        assert_eq!(unfolded(&body).unwrap(), "up_since 3\n");
    }

    #[test]
    fn a_target_that_was_not_scraped_is_down_or_unknown_or_one_of_several() {
        let up = |job: &str, value: u8| format!("up{{instance=\"a:1\",job=\"{job}\"}} {value} {AT}\n");
        assert_eq!(unfolded(&up("x", 0)), Err(Unknown::Down(Timestamp::from_millis(AT))));
        for nothing in ["", "load 1\n", "<html>", "up{instance=\"a:1\"} 1\n", "up{x"] {
            assert_eq!(unfolded(nothing), Err(Unknown::Missing), "{nothing}");
        }
        assert_eq!(unfolded(&(up("x", 1) + &up("y", 1))), Err(Unknown::Several));
    }

    #[test]
    fn lines_that_are_no_samples_are_left_to_the_parser() {
        let body = format!("load{{instance=\"a:1 7\nup{{instance=\"a:1\"}} 1 {AT}\n");
        assert_eq!(unfolded(&body).unwrap(), "load{instance=\"a:1 7\n");
    }
}
