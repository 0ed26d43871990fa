//! What people say is anomalous, and how much of it was told.
//!
//! Counted as a person would who is woken by what is told: see [`larnax_evaluate::of_alerts`]. Rows are counted as they stand
//! in the file, also those that can't be used. Point-wise figures are not given: they reward flagging much.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};
use larnax_collect::files::parse_time;
use larnax_core::Timestamp;
use larnax_evaluate::{Alert, Deployed, EvaluateError, Events, of_alerts};
use serde::Serialize;

use crate::walk::Told;

/// The largest file of labels that is read, in bytes: a label for each second of a year is 64 MB.
const MAX_BYTES: u64 = 256 << 20;
/// What separates the fields of a line.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// The first and the last anomalous instant.
pub(crate) type Window = (Timestamp, Timestamp);

/// A text file of limited size.
pub(crate) fn text(file: &Path) -> anyhow::Result<String> {
    let failed = || format!("{}: can't be read as text", file.display());
    let mut text = String::new();
    File::open(file)
        .with_context(failed)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(failed)?;
    if text.len() as u64 > MAX_BYTES {
        bail!("{}: has more than {} MiB; expected labels", file.display(), MAX_BYTES >> 20);
    }
    Ok(text)
}

/// Whether a label in a column says anomalous: anything but 0, nothing and `false`.
pub(crate) fn is_anomalous(label: &str) -> bool {
    let label = label.trim();
    said(label).unwrap_or(!label.is_empty())
}

/// What a number, `true` or `false` says.
fn said(label: &str) -> Option<bool> {
    match label.parse::<f64>() {
        Ok(number) => Some(number != 0.0 && !number.is_nan()),
        Err(_) if label.eq_ignore_ascii_case("true") => Some(true),
        Err(_) if label.eq_ignore_ascii_case("false") => Some(false),
        Err(_) => None,
    }
}

/// Two times, the second not before the first.
pub(crate) fn window(start: &str, end: &str) -> Option<Window> {
    let (start, end) = (parse_time(start.trim())?, parse_time(end.trim())?);
    (start <= end).then_some((start, end))
}

/// What people say is anomalous.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Truth {
    /// The rows are known.
    Rows(Events),
    /// First and last instant of each event.
    Windows(Vec<Window>),
    /// The file has a column that says so.
    Column,
}

impl Truth {
    /// A label for each row, the last field of its line: 0 or 1.
    pub(crate) fn rows(file: &Path) -> anyhow::Result<Self> {
        rows(file, &text(file)?)
    }

    /// A line with `start,end` for each event.
    pub(crate) fn windows(file: &Path) -> anyhow::Result<Self> {
        windows(file, &text(file)?)
    }

    /// Either of the two, by the last line: one that ends with a 0 or 1 is a label.
    pub(crate) fn either(file: &Path) -> anyhow::Result<Self> {
        let text = text(file)?;
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let second = Timestamp::from_seconds(1.0);
        let is_window = as_window(last).is_some_and(|(_, end)| end > second);
        if is_window { windows(file, &text) } else { rows(file, &text) }
    }
}

fn rows(file: &Path, text: &str) -> anyhow::Result<Truth> {
    let label = |line: &str| said(line.rsplit(SEPARATORS).next()?.trim());
    let labels = lines(file, text, "a label 0 or 1 for each row", label)?;
    Ok(Truth::Rows(Events::from_labels(labels)))
}

fn windows(file: &Path, text: &str) -> anyhow::Result<Truth> {
    let expected = "start,end of an event in each line, as in `2006-01-02 15:04:05,2006-01-02 15:10:00`";
    Ok(Truth::Windows(lines(file, text, expected, as_window)?))
}

/// Reads each line that is not blank. One that can't be read is the head if it is the first of all.
fn lines<T>(
    file: &Path,
    text: &str,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        match read(line) {
            Some(one) => all.push(one),
            None if number == 1 => {}
            None => {
                let found: String = line.chars().take(60).collect();
                bail!("{}:{number}: found `{found}`, expected {expected}", file.display())
            }
        }
    }
    Ok(all)
}

fn as_window(line: &str) -> Option<Window> {
    let (start, end) = line.split_once(SEPARATORS)?;
    window(start, end)
}

/// What has to be remembered of each row of a file, so that it can be compared with labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// When it was taken; none where that can't be read.
    pub(crate) times: Vec<Option<Timestamp>>,
    /// What the column of labels says.
    pub(crate) labelled: Vec<bool>,
}

impl Seen {
    /// The next row.
    pub(crate) fn push(&mut self, time: Option<Timestamp>, labelled: bool) {
        self.times.push(time);
        self.labelled.push(labelled);
    }

    /// The usual time between rows, in seconds.
    fn row_seconds(&self) -> Option<f64> {
        let times: Vec<f64> = self.times.iter().flatten().map(|time| time.seconds()).collect();
        let mut gaps: Vec<f64> =
            times.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    }

    /// The rows of a window; none where no row is in it. Where clocks went back, an instant comes twice: as in NAB's scorer
    /// the first is meant.
    fn rows_of(&self, (start, end): Window) -> Option<Range<usize>> {
        let times = &self.times;
        let at = |instant| times.iter().position(|&time| time == Some(instant));
        let first =
            at(start).or_else(|| times.iter().position(|time| time.is_some_and(|time| time >= start)))?;
        let last = at(end).or_else(|| times.iter().rposition(|time| time.is_some_and(|time| time <= end)))?;
        (first <= last).then_some(first..last + 1)
    }

    /// The row after the last one before `row` that is before an instant.
    fn first_from(&self, instant: Timestamp, row: usize) -> usize {
        let before = self.times.get(..row).unwrap_or(&self.times);
        before.iter().rposition(|time| time.is_some_and(|time| time < instant)).map_or(0, |before| before + 1)
    }
}

/// The events of a file that was read to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) events: Events,
    /// The labelled windows as they stand; in `events`, those that touch are one.
    pub(crate) windows: Vec<Range<usize>>,
    /// The usual time between rows.
    pub(crate) row_seconds: f64,
    seen: Seen,
}

impl Known {
    /// Finds the rows of events. `step` is the time between rows, in seconds, where it can't be seen.
    ///
    /// # Errors
    /// Labels that are not about the rows of this file.
    pub(crate) fn of(truth: &Truth, seen: Seen, step: f64) -> anyhow::Result<Self> {
        let rows = seen.times.len();
        let events = match truth {
            Truth::Rows(events) => events.clone(),
            Truth::Column => Events::from_labels(seen.labelled.iter().copied()),
            Truth::Windows(instants) => {
                let rows_of = |&window: &Window| {
                    let none = || format!("has no row in the labelled window {} to {}", window.0, window.1);
                    seen.rows_of(window).with_context(none)
                };
                let windows: Vec<_> = instants.iter().map(rows_of).collect::<anyhow::Result<_>>()?;
                let events = Events::from_stretches(rows, windows.iter().cloned());
                return Ok(Self { events, windows, row_seconds: seen.row_seconds().unwrap_or(step), seen });
            }
        };
        if events.rows() != rows {
            return Err(EvaluateError::Rows { scores: rows, labels: events.rows() }.into());
        }
        let windows = events.iter().cloned().collect();
        Ok(Self { events, windows, row_seconds: seen.row_seconds().unwrap_or(step), seen })
    }

    /// How much of it was told.
    pub(crate) fn caught(&self, told: &[Told]) -> anyhow::Result<Deployed> {
        let alert = |told: &Told| Alert { onset: self.seen.first_from(told.onset, told.row), told: told.row };
        let alerts: Vec<Alert> = told.iter().map(alert).collect();
        Ok(of_alerts(&alerts, &self.events, self.row_seconds)?)
    }

    /// First and last instant of each event.
    pub(crate) fn instants(&self) -> Vec<Window> {
        let instants = |event: &Range<usize>| {
            let mut times = self.seen.times.get(event.clone())?.iter().flatten();
            let first = *times.next()?;
            Some((first, times.next_back().copied().unwrap_or(first)))
        };
        self.events.iter().filter_map(instants).collect()
    }
}

/// What a person would have got at default settings, as it is printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Caught {
    pub(crate) events: usize,
    pub(crate) caught: usize,
    pub(crate) caught_share: Option<f64>,
    pub(crate) alarms: usize,
    pub(crate) false_alarms: usize,
    pub(crate) false_alarms_per_day: Option<f64>,
    pub(crate) median_delay_seconds: Option<f64>,
    pub(crate) days: f64,
}

impl From<&Deployed> for Caught {
    fn from(found: &Deployed) -> Self {
        Self {
            events: found.events,
            caught: found.caught,
            caught_share: found.caught_share(),
            alarms: found.alarms,
            false_alarms: found.false_alarms,
            false_alarms_per_day: found.false_alarms_a_day(),
            median_delay_seconds: found.median_delay(),
            days: found.days,
        }
    }
}

impl Caught {
    /// The median delay as a person would say it.
    pub(crate) fn delay(&self) -> String {
        match self.median_delay_seconds {
            None => "–".to_owned(),
            Some(seconds) if seconds >= 7_200.0 => format!("{:.1} h", seconds / 3_600.0),
            Some(seconds) if seconds >= 120.0 => format!("{:.1} min", seconds / 60.0),
            Some(seconds) => format!("{seconds:.0} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn seen(seconds: &[i64]) -> Seen {
        let times = seconds.iter().map(|&seconds| Some(at(seconds))).collect();
        Seen { times, labelled: vec![false; seconds.len()] }
    }

    #[test]
    fn a_label_is_anomalous_unless_it_is_0_or_false_or_missing() {
        assert!(["1", "1.0", "true", " 2 ", "anomaly"].iter().all(|label| is_anomalous(label)));
        assert!(!["0", "0.0", "", "False", "NaN"].iter().any(|label| is_anomalous(label)));
    }

    #[test]
    fn labels_are_a_number_for_each_row_or_windows_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels");
        let either = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Truth::either(&file)
        };
        let rows = Truth::Rows(Events::from_labels([false, true, true]));
        for text in ["label\n0\n1\n\n1.0\n", "time,label\n0,0\n1,true\n2,1\n"] {
            assert_eq!(either(text).unwrap(), rows, "{text}");
        }
        let windows = Truth::Windows(vec![(at(1_700_000_000), at(1_700_000_005))]);
        assert_eq!(either("start;end\n2023-11-14 22:13:20;1700000005\n").unwrap(), windows);
        for (text, expected) in [
            ("0\nyes\n", "0 or 1"),
            ("0\n5,\n", "0 or 1"),
            ("1,2\n0\n1,2\n", "start,end"),
            ("1,2\n5,3\n1,2\n", "start,end"),
        ] {
            let message = format!("{:#}", either(text).unwrap_err());
            assert!(message.contains("labels:2: found `") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_window_has_the_rows_from_its_start_to_its_end() {
        let seen = seen(&[10, 20, 30, 40, 50]);
        assert_eq!(seen.rows_of((at(20), at(40))), Some(1..4));
        assert_eq!(seen.rows_of((at(15), at(45))), Some(1..4));
        assert_eq!(seen.rows_of((at(41), at(49))), None);
        assert_eq!(seen.rows_of((at(60), at(70))), None);
    }

    #[test]
    fn an_instant_that_comes_twice_is_the_first_row() {
        assert_eq!(seen(&[10, 20, 30, 20, 30, 40]).rows_of((at(20), at(30))), Some(1..3));
    }

    #[test]
    fn an_onset_before_all_rows_is_the_first_row_and_a_missing_time_does_not_matter() {
        let mut seen = seen(&[10, 20, 30]);
        seen.times[1] = None;
        assert_eq!(seen.first_from(at(5), 3), 0);
        assert_eq!(seen.first_from(at(20), 3), 1);
        assert_eq!(seen.first_from(at(30), 3), 1);
        assert_eq!(seen.first_from(at(31), 3), 3);
        assert_eq!(seen.first_from(at(31), 2), 1);
    }

    #[test]
    fn what_is_told_in_an_event_catches_it_and_labels_for_other_rows_are_refused() {
        let mut rows = seen(&[0, 60, 120, 180, 240]);
        rows.times[3] = None;
        let truth = Truth::Rows(Events::from_labels([false, true, true, true, false]));
        let known = Known::of(&truth, rows.clone(), 1.0).unwrap();
        assert_eq!(known.instants(), [(at(60), at(120))]);
        let told = |row, onset| Told { row, onset: at(onset), peak: 2.0 };
        let caught = known.caught(&[told(0, 0), told(2, 120)]).unwrap();
        assert_eq!((caught.events, caught.caught, caught.false_alarms), (1, 1, 1));
        assert_eq!(caught.median_delay(), Some(60.0));
        rows.push(Some(at(300)), true);
        assert!(Known::of(&truth, rows.clone(), 1.0).is_err());
        assert_eq!(Known::of(&Truth::Column, rows.clone(), 1.0).unwrap().events.len(), 1);
        let elsewhere = Truth::Windows(vec![(at(901), at(902))]);
        assert!(Known::of(&elsewhere, rows, 1.0).unwrap_err().to_string().contains("has no row"));
    }
}
