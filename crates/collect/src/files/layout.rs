//! What the columns of a file are, seen from its first lines.

use std::collections::HashSet;
use std::sync::Arc;

use larnax_core::{Metric, MetricKind, MetricName, Schema};

use super::fields::{Fields, Split, value};
use super::{FileError, FileOptions, MAX_COLUMNS, time};

/// How many lines are looked at. Few, so that a live stream starts soon.
pub(super) const HEAD_LINES: usize = 10;

/// Names of columns that hold the time, in order of preference, in any case.
const TIME_NAMES: [&str; 5] = ["timestamp", "datetime", "ts", "time", "date"];
/// Names of columns that hold what is known about a row, never a metric, in any case.
const LABEL_NAMES: [&str; 2] = ["label", "is_anomaly"];

/// Delimiters that are told apart, those that stand in numbers last.
const DELIMITERS: [u8; 3] = [b'\t', b';', b','];

/// Epoch seconds of the years 2000 and 2100: a number outside is no time unless its column's name says so.
const PLAUSIBLE_SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;

/// What the columns of a file are.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) delimiter: u8,
    pub(super) has_header: bool,
    /// How many columns there are.
    pub(super) width: usize,
    pub(super) time: Option<usize>,
    pub(super) label: Option<usize>,
    /// Column of each metric.
    pub(super) metrics: Vec<usize>,
    pub(super) schema: Arc<Schema>,
    /// What was decided that a person may want to know.
    pub(super) warnings: Vec<String>,
}

impl Layout {
    /// Looks at the first lines, of which at least one is not blank.
    pub(super) fn sniff(head: &[&[u8]], options: &FileOptions, file: &str) -> Result<Self, FileError> {
        let delimiter = sniff_delimiter(head);
        let mut rows = Vec::new();
        let mut fields = Fields::new(delimiter);
        for line in head.iter().filter(|line| !is_blank(line)) {
            let split = fields.split(line);
            if rows.is_empty() && split != Split::Whole {
                let name = file.to_owned();
                return Err(match split {
                    Split::TooMany => FileError::TooManyColumns { name },
                    _ => FileError::OpenQuote { name },
                });
            }
            let text = |i| String::from_utf8_lossy(fields.bytes(i).unwrap_or_default()).trim().to_owned();
            rows.push((0..fields.len()).map(text).collect::<Vec<String>>());
        }
        let first = rows.first().cloned().unwrap_or_default();
        let has_header = options.header.unwrap_or_else(|| !is_data(&first));
        let width = first.len();
        let data: Vec<&Vec<String>> =
            rows.iter().skip(usize::from(has_header)).filter(|row| row.len() == width).collect();
        let titles = if has_header { first } else { vec![String::new(); width] };
        Columns { titles, data, has_header, warnings: Vec::new() }.assign(delimiter, options, file)
    }
}

/// The first rows, ready to be judged column by column.
struct Columns<'a> {
    /// Empty where there is no header.
    titles: Vec<String>,
    data: Vec<&'a Vec<String>>,
    has_header: bool,
    warnings: Vec<String>,
}

impl Columns<'_> {
    fn assign(mut self, delimiter: u8, options: &FileOptions, file: &str) -> Result<Layout, FileError> {
        let width = self.titles.len();
        let time = match &options.time_column {
            Some(wanted) => Some(self.titled(wanted).ok_or_else(|| FileError::NoTimeColumn {
                name: file.to_owned(),
                wanted: wanted.clone(),
                columns: self.list(),
            })?),
            None => self.find_time(),
        };
        let label = match &options.label_column {
            Some(wanted) => Some(self.titled(wanted).ok_or_else(|| FileError::NoLabelColumn {
                name: file.to_owned(),
                wanted: wanted.clone(),
                columns: self.list(),
            })?),
            None => LABEL_NAMES.iter().find_map(|name| self.titled(name)),
        };
        let is_taken = |i| Some(i) == time || Some(i) == label;
        let metrics: Vec<usize> = (0..width).filter(|&i| !is_taken(i) && self.is_metric(i)).collect();
        if metrics.is_empty() {
            return Err(FileError::NoMetrics { name: file.to_owned(), columns: self.list() });
        }
        let schema = self
            .schema(&metrics)
            .ok_or_else(|| FileError::NoMetrics { name: file.to_owned(), columns: self.list() })?;
        let Self { has_header, warnings, .. } = self;
        Ok(Layout { delimiter, has_header, width, time, label, metrics, schema, warnings })
    }

    fn titled(&self, name: &str) -> Option<usize> {
        self.titles.iter().position(|title| title.eq_ignore_ascii_case(name))
    }

    /// Values of a column that are not missing.
    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        self.data
            .iter()
            .map(move |row| row[column].as_str())
            .filter(|cell| !value(cell).is_some_and(f64::is_nan))
    }

    fn find_time(&mut self) -> Option<usize> {
        for name in TIME_NAMES {
            let Some(column) = self.titled(name) else { continue };
            let Some(first) = self.first(column) else { return Some(column) };
            if self.cells(column).any(|cell| time::parse(cell).is_some()) {
                return Some(column);
            }
            self.warnings.push(format!(
                "column `{}` is not used as the time: found `{first}`, expected RFC 3339, 2006-01-02 15:04:05 or an epoch",
                self.titles[column],
            ));
        }
        let is_calendar = self.first(0).is_some() && self.cells(0).all(time::is_calendar_time);
        (is_calendar || self.is_rising_epoch(0)).then_some(0)
    }

    /// The start of a column's first value that is not missing.
    fn first(&self, column: usize) -> Option<String> {
        self.cells(column).next().map(|cell| cell.chars().take(40).collect())
    }

    /// Whether a column without a name that says so holds epochs: at least two, all between the years 2000 and 2100,
    /// rising. A metric that happens to look like this must be given a time column.
    fn is_rising_epoch(&self, column: usize) -> bool {
        let times: Option<Vec<f64>> =
            self.cells(column).map(|cell| time::parse(cell).map(|time| time.seconds())).collect();
        times.is_some_and(|times| {
            times.len() >= 2
                && times.iter().all(|seconds| PLAUSIBLE_SECONDS.contains(seconds))
                && times.windows(2).all(|pair| pair[0] <= pair[1])
                && times.first() < times.last()
        })
    }

    /// Whether a column that is not the time is a metric.
    fn is_metric(&mut self, column: usize) -> bool {
        let title = &self.titles[column];
        if LABEL_NAMES.iter().any(|name| title.eq_ignore_ascii_case(name)) {
            return false;
        }
        if let Some(first) = self.first(column)
            && self.cells(column).all(|cell| value(cell).is_none())
        {
            let name = self.name(column);
            self.warnings.push(format!("column `{name}` is left out: found `{first}`, expected numbers"));
            return false;
        }
        let is_time = TIME_NAMES.iter().any(|name| self.titles[column].eq_ignore_ascii_case(name));
        if is_time && self.is_rising_epoch(column) {
            let name = self.name(column);
            self.warnings.push(format!("column `{name}` is left out: it holds another time"));
            return false;
        }
        if self.has_header && column == 0 && self.titles[0].is_empty() && self.is_row_number() {
            self.warnings.push("the first column is left out: it has no name and counts the rows".to_owned());
            return false;
        }
        true
    }

    /// Whether the first column counts 0, 1, 2 or 1, 2, 3, as data frames write their index.
    fn is_row_number(&self) -> bool {
        let numbers: Vec<Option<f64>> = self.data.iter().map(|row| value(&row[0])).collect();
        let start = numbers.first().copied().flatten().unwrap_or(f64::NAN);
        (start == 0.0 || start == 1.0)
            && numbers.len() >= 2
            && numbers.iter().zip(0u32..).all(|(&number, i)| number == Some(start + f64::from(i)))
    }

    /// A column's title, or `c` and its number from 0.
    fn name(&self, column: usize) -> String {
        let title = self.titles[column].replace(['\r', '\n'], " ");
        if title.trim().is_empty() { format!("c{column}") } else { title }
    }

    /// The schema of the metric columns. A name that stands twice gets a number from 2 on.
    fn schema(&mut self, metrics: &[usize]) -> Option<Arc<Schema>> {
        let mut names: HashSet<String> = HashSet::new();
        let mut schema = Vec::new();
        for &column in metrics {
            let title =
                if !self.has_header && metrics.len() == 1 { "value".to_owned() } else { self.name(column) };
            let mut name = title.clone();
            let mut number = 2;
            while !names.insert(name.clone()) {
                name = format!("{title}_{number}");
                number += 1;
            }
            if name != title {
                self.warnings
                    .push(format!("column name `{title}` stands twice: column {column} is called `{name}`"));
            }
            schema.push(Metric::new(MetricName::new(&name).ok()?, MetricKind::Gauge));
        }
        Schema::new(schema).ok()
    }

    /// Names of the first columns, for messages.
    fn list(&self) -> String {
        const SHOWN: usize = 8;
        let names: Vec<String> = (0..self.titles.len().min(SHOWN))
            .map(|i| format!("`{}`", self.name(i).chars().take(40).collect::<String>()))
            .collect();
        let more = if self.titles.len() > SHOWN {
            format!(" and {} more", self.titles.len() - SHOWN)
        } else {
            String::new()
        };
        format!("{}{more}", names.join(", "))
    }
}

/// Whether a line is none: only spaces, or nothing.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|&byte| byte == b' ')
}

/// Whether a first row is data rather than a header: it has a date, or all of it is numbers, times or missing.
fn is_data(row: &[String]) -> bool {
    row.iter().any(|cell| time::is_calendar_time(cell))
        || row.iter().all(|cell| value(cell).is_some() || time::parse(cell).is_some())
}

/// The delimiter that stands equally often, and at least once, in each line; else the most frequent one of the first.
fn sniff_delimiter(head: &[&[u8]]) -> u8 {
    let lines: Vec<&[u8]> = head.iter().copied().filter(|line| !is_blank(line)).collect();
    let Some(first) = lines.first() else { return b',' };
    let is_even = |delimiter: u8| {
        let count = count_unquoted(first, delimiter);
        count > 0 && lines.iter().all(|line| count_unquoted(line, delimiter) == count)
    };
    DELIMITERS
        .into_iter()
        .find(|&delimiter| is_even(delimiter))
        .or_else(|| DELIMITERS.into_iter().max_by_key(|&delimiter| count_unquoted(first, delimiter)))
        .unwrap_or(b',')
}

fn count_unquoted(line: &[u8], delimiter: u8) -> usize {
    let mut quoted = false;
    let mut count = 0;
    for &byte in line {
        quoted ^= byte == b'"';
        count += usize::from(byte == delimiter && !quoted);
    }
    count.min(MAX_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniff(text: &str) -> Layout {
        let head: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
        Layout::sniff(&head, &FileOptions::default(), "test.csv").unwrap()
    }

    fn names(layout: &Layout) -> Vec<&str> {
        layout.schema.metrics().iter().map(|metric| metric.name.as_str()).collect()
    }

    #[test]
    fn delimiters_are_told_apart() {
        assert_eq!(sniff("a,b\n1,2").delimiter, b',');
        assert_eq!(sniff("a\tb, c\n1\t2").delimiter, b'\t');
        assert_eq!(sniff("a;b\n1;2").delimiter, b';');
        assert_eq!(sniff("\"a;x\",b\n1,2\n3,4").delimiter, b',');
        assert_eq!(sniff("a,b,c\n1,2\n3,4,5;").delimiter, b',');
        assert_eq!(sniff("1\n2").delimiter, b',');
    }

    #[test]
    fn a_first_row_of_numbers_and_times_is_data() {
        let layout = sniff("1,2\n3,4");
        assert!(!layout.has_header);
        assert_eq!(names(&layout), ["c0", "c1"]);
        let layout = sniff("2024-01-01 00:00:00,5,,NaN\n");
        assert_eq!((layout.has_header, layout.time), (false, Some(0)));
        assert_eq!(names(&layout), ["c1", "c2", "c3"]);
        assert_eq!(names(&sniff("5\n6")), ["value"]);
        assert_eq!(names(&sniff("1700000000,5\n1700000001,6")), ["value"]);
    }

    #[test]
    fn the_time_is_found_by_name_or_by_its_look() {
        assert_eq!(sniff("cpu,Timestamp\n1,0\n2,1").time, Some(1));
        assert_eq!(sniff("date,ts,cpu\n2024-01-01,1700000000,1").time, Some(1));
        assert_eq!(sniff("when,cpu\n2024-01-01T00:00:00Z,1").time, Some(0));
        assert_eq!(sniff("when,cpu\n1700000000,1\n1700000005,2").time, Some(0));
        // Too small, or falling: bytes rather than a time.
        assert_eq!(sniff("memory,cpu\n100000,1\n100001,2").time, None);
        assert_eq!(sniff("memory,cpu\n1700000000,1\n1600000000,2").time, None);
    }

    #[test]
    fn a_time_column_without_times_is_said() {
        let layout = sniff("time,cpu\nnoon,1\nlater,2");
        assert_eq!((layout.time, names(&layout)), (None, vec!["cpu"]));
        assert!(layout.warnings[0].contains("`noon`"), "{:?}", layout.warnings);
    }

    #[test]
    fn a_second_time_is_no_metric() {
        let layout = sniff("timestamp,time,cpu\n1700000000,1700000001,1\n1700000005,1700000006,2");
        assert_eq!((layout.time, names(&layout)), (Some(0), vec!["cpu"]));
        // A duration that is called so is one.
        assert_eq!(names(&sniff("timestamp,time\n1700000000,3.5\n1700000005,4.5")), ["time"]);
    }

    #[test]
    fn labels_texts_and_row_numbers_are_no_metrics() {
        let layout = sniff(",cpu,host,Label,IS_ANOMALY\n0,1,web,0,1\n1,2,web,0,1");
        assert_eq!(names(&layout), ["cpu"]);
        assert_eq!(layout.label, Some(3));
        assert_eq!(layout.warnings.len(), 2, "{:?}", layout.warnings);
    }

    #[test]
    fn a_column_name_that_stands_twice_gets_a_number() {
        let layout = sniff("a,a,a_2,,a\n1,2,3,4,5");
        assert_eq!(names(&layout), ["a", "a_2", "a_2_2", "c3", "a_3"]);
        assert_eq!(layout.warnings.len(), 3, "{:?}", layout.warnings);
    }
}
