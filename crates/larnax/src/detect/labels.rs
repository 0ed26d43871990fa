//! What is known to be anomalous, and how much of it was found.
//!
//! Counted as whoever is woken would: an event is caught if an anomaly was open in it, a false alarm is an anomaly that was
//! open in no event. Point-wise figures are not given: they reward flagging much.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use larnax_collect::files::parse_time;
use larnax_core::{Anomaly, AnomalyId, Timestamp};
use serde::Serialize;

use super::rows::is_set;

/// The largest file of labels that is read: a byte and a line feed for each of a hundred million rows.
const MAX_BYTES: u64 = 200 << 20;

/// From the first to the last anomalous instant.
type Event = (Timestamp, Timestamp);

/// What a file of labels says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Labels {
    /// Whether each row is anomalous, in the order of the rows.
    Rows(Vec<bool>),
    /// Windows of time.
    Windows(Vec<Event>),
}

impl Labels {
    /// Reads a file of labels: a 0 or 1 for each row, or a `start,end` for each window.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("{}: the labels can't be read", path.display());
        let mut text = String::new();
        let file = File::open(path).with_context(failed)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).with_context(failed)?;
        if text.len() as u64 > MAX_BYTES {
            bail!("{}: found more than {} MiB, expected labels", path.display(), MAX_BYTES >> 20);
        }
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let (mut rows, mut windows): (Vec<bool>, Vec<Event>) = Default::default();
        for (line, number) in lines {
            let fields: Vec<&str> = line.split([',', ';', '\t']).map(str::trim).collect();
            let window = |from: &str, to: &str| Some((parse_time(from)?, parse_time(to)?));
            match fields.as_slice() {
                [label] if windows.is_empty() && (is_set(label) || is_clear(label)) => {
                    rows.push(is_set(label))
                }
                [from, to] if rows.is_empty() && window(from, to).is_some_and(|(from, to)| from <= to) => {
                    windows.extend(window(from, to));
                }
                // A first line that is neither names the columns.
                _ if rows.is_empty() && windows.is_empty() && number == 1 => {}
                _ => bail!(
                    "line {number}: found `{}`, expected 0 or 1 for each row, or the start and the end of a window \
                     in each line, as in `2006-01-02 15:04:05,2006-01-02 15:10:00`",
                    line.chars().take(60).collect::<String>()
                ),
            }
        }
        Ok(if windows.is_empty() { Self::Rows(rows) } else { Self::Windows(windows) })
    }
}

fn is_clear(label: &str) -> bool {
    label.eq_ignore_ascii_case("false") || label.parse() == Ok(0.0)
}

/// Where it is said which rows are anomalous.
#[derive(Debug, Default)]
enum Source {
    /// In the file itself.
    #[default]
    Column,
    /// In another file, row by row.
    Rows(std::vec::IntoIter<bool>),
    /// Nowhere: windows are known beforehand.
    Windows,
}

/// Events of one file, while it is read.
#[derive(Debug, Default)]
pub(crate) struct Events {
    source: Source,
    known: Vec<Event>,
    within: bool,
    span: Option<Event>,
}

impl Events {
    /// With a file of labels, or with the column of labels.
    pub(crate) fn new(labels: Option<Labels>) -> Self {
        match labels {
            Some(Labels::Rows(rows)) => Self { source: Source::Rows(rows.into_iter()), ..Self::default() },
            Some(Labels::Windows(known)) => Self { source: Source::Windows, known, ..Self::default() },
            None => Self::default(),
        }
    }

    /// The next row of the file, with the label that stands in it; none for a row that can't be used.
    pub(crate) fn row(&mut self, time: Option<Timestamp>, labelled: bool) {
        let labelled = match &mut self.source {
            Source::Column => labelled,
            Source::Rows(rows) => rows.next().unwrap_or(false),
            Source::Windows => false,
        };
        let Some(time) = time else { return };
        let begin = self.span.map_or(time, |(begin, _)| begin);
        self.span = Some((begin.min(time), self.span.map_or(time, |(_, end)| end.max(time))));
        match self.known.last_mut() {
            Some((_, end)) if labelled && self.within => *end = time.max(*end),
            _ if labelled => self.known.push((time, time)),
            _ => {}
        }
        self.within = labelled;
    }

    /// From when to when something was anomalous.
    pub(crate) fn known(&self) -> &[Event] {
        &self.known
    }
}

/// How much of what is known was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Findings {
    /// Events in the labels.
    pub(crate) events: usize,
    /// By anomalies, alerted or only recorded.
    pub(crate) anomalies: Caught,
    /// By alerts alone, from when they are given.
    pub(crate) alerts: Caught,
}

/// How much was found by one sort of alarm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Caught {
    /// Events in which an alarm was open.
    pub(crate) events: usize,
    /// Alarms that were open in no event.
    pub(crate) false_alarms: usize,
    /// The same for each day of the file; none for a file of no length.
    pub(crate) false_alarms_per_day: Option<f64>,
    /// Median time in seconds from the start of an event that was caught to its first alarm.
    pub(crate) delay_seconds: Option<f64>,
}

impl Findings {
    /// Compares. `alerted` says when each alert was given.
    pub(crate) fn of(events: &Events, found: &[Anomaly], alerted: &[(AnomalyId, Timestamp)]) -> Self {
        let end = |anomaly: &Anomaly| anomaly.last_seen.max(anomaly.opened);
        let anomalies: Vec<Event> = found.iter().map(|anomaly| (anomaly.opened, end(anomaly))).collect();
        let given = |anomaly: &Anomaly| alerted.iter().find(|(id, _)| *id == anomaly.id).map(|(_, at)| *at);
        let alerts: Vec<Event> =
            found.iter().filter_map(|anomaly| given(anomaly).map(|at| (at, end(anomaly).max(at)))).collect();
        Self {
            events: events.known.len(),
            anomalies: Caught::by(&anomalies, events),
            alerts: Caught::by(&alerts, events),
        }
    }
}

impl Caught {
    fn by(alarms: &[Event], events: &Events) -> Self {
        let meet = |a: &Event, b: &Event| a.0 <= b.1 && b.0 <= a.1;
        let first = |event: &Event| alarms.iter().filter(|alarm| meet(alarm, event)).map(|a| a.0).min();
        let mut delays: Vec<f64> = events
            .known
            .iter()
            .filter_map(|event| first(event).map(|alarm| alarm.since(event.0).max(0.0)))
            .collect();
        delays.sort_unstable_by(f64::total_cmp);
        let false_alarms =
            alarms.iter().filter(|alarm| !events.known.iter().any(|event| meet(alarm, event))).count();
        let days = events.span.map_or(0.0, |(begin, end)| end.since(begin) / 86_400.0);
        Self {
            events: delays.len(),
            false_alarms,
            false_alarms_per_day: (days > 0.0).then(|| false_alarms as f64 / days),
            delay_seconds: delays.get(delays.len().saturating_sub(1) / 2).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn labels_are_a_number_for_each_row_or_windows_of_time() {
        assert_eq!(Labels::parse("label\n0\n1\n\n1.0\n").unwrap(), Labels::Rows(vec![false, true, true]));
        let windows = Labels::parse("start,end\n2023-11-14 22:13:20,1700000005\n").unwrap();
        assert_eq!(windows, Labels::Windows(vec![(at(1_700_000_000.0), at(1_700_000_005.0))]));
        for text in ["0\nyes\n", "0\n1,2\n", "1,2\n0\n", "1,2\n5,3\n"] {
            let message = Labels::parse(text).unwrap_err().to_string();
            assert!(
                message.starts_with("line 2: found `") && message.contains("expected 0 or 1"),
                "{message}"
            );
        }
    }

    #[test]
    fn neighbouring_labelled_rows_are_one_event() {
        let mut events = Events::new(Some(Labels::Rows(vec![false, true, true, true, false, true])));
        for (i, usable) in [true, true, false, true, true, true, true].into_iter().enumerate() {
            events.row(usable.then(|| at(i as f64)), true);
        }
        assert_eq!(events.known(), [(at(1.0), at(3.0)), (at(5.0), at(5.0))]);
    }

    #[test]
    fn an_event_is_caught_by_what_was_open_in_it_and_the_rest_is_false() {
        let events = Events {
            known: vec![(at(10.0), at(20.0)), (at(50.0), at(60.0)), (at(90.0), at(91.0))],
            span: Some((at(0.0), at(43_200.0))),
            ..Events::default()
        };
        let caught = Caught::by(&[(at(13.0), at(14.0)), (at(30.0), at(40.0)), (at(45.0), at(55.0))], &events);
        assert_eq!((caught.events, caught.false_alarms), (2, 1));
        assert_eq!((caught.false_alarms_per_day, caught.delay_seconds), (Some(2.0), Some(0.0)));
        assert_eq!(Caught::by(&[], &Events::default()).delay_seconds, None);
    }
}
