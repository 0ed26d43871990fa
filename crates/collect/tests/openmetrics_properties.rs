//! What must hold of every body, whatever a target sends.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use larnax_collect::openmetrics::{Entry, Format, Limits, ParseError, ParseReport, Parser, SeriesCache};
use larnax_core::{Batch, Schema, Timestamp};
use proptest::prelude::*;

const LIMITS: Limits = Limits { max_series: 10_000, max_line_bytes: 2_000 };
const NODE_EXPORTER: &str = include_str!("corpus/openmetrics/node_exporter.prom");
const NOW: Timestamp = Timestamp::from_millis(1_763_750_000_000);

type Values = BTreeMap<String, u64>;

/// What a cache makes of a body: the report, and the bits of every value that isn't missing.
fn scrape(cache: &mut SeriesCache, body: &[u8], format: Format) -> Result<(ParseReport, Values), ParseError> {
    let mut batch = Batch::new(Schema::new(Vec::new()).unwrap());
    let report = cache.parse(body, format, NOW, &mut batch)?;
    assert_eq!(batch.len(), 1);
    let row = batch.rows().next().unwrap();
    let values = batch.schema().metrics().iter().zip(row.values);
    let present = values.filter(|(_, value)| !value.is_nan());
    Ok((report, present.map(|(metric, value)| (metric.name.as_str().to_owned(), value.to_bits())).collect()))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A series as an exporter would write it, with its labels.
fn series() -> impl Strategy<Value = (String, BTreeMap<String, String>)> {
    let value = prop_oneof!["[a-z0-9/]{1,10}", r#"[\\"\n{},=# a-z]{1,12}"#, "\\PC{1,6}"];
    ("[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", value, 0..5))
}

fn written(name: &str, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

/// A body much like another: lines gone, doubled, moved, changed in a byte.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..6_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
    (0..700_usize, 10..80_usize, prop::collection::vec(edit, 0..6)).prop_map(|(start, count, edits)| {
        let mut lines: Vec<Vec<u8>> =
            NODE_EXPORTER.lines().skip(start).take(count).map(|line| line.as_bytes().to_vec()).collect();
        for (what, at, to, byte) in edits {
            let (at, to) = (at.index(lines.len()), to.index(lines.len()));
            match what {
                0 if lines.len() > 1 => drop(lines.remove(at)),
                1 => lines.insert(to, lines[at].clone()),
                2 => lines.swap(at, to),
                3 if !lines[at].is_empty() => {
                    let place = to % lines[at].len();
                    lines[at][place] = byte;
                }
                4 => {
                    let place = to % (lines[at].len() + 1);
                    lines[at].insert(place, b" \t{}\",=\\#\r0"[byte as usize % 11]);
                }
                _ => lines.insert(at, format!("new_{byte} {byte}").into_bytes()),
            }
        }
        lines.join(&b'\n')
    })
}

proptest! {
    #[test]
    fn what_an_exporter_writes_is_what_is_read(
        samples in prop::collection::vec((series(), prop::num::f64::NORMAL | prop::num::f64::ZERO), 1..20),
        openmetrics: bool,
    ) {
        let samples: BTreeMap<String, f64> =
            samples.iter().map(|((name, labels), value)| (written(name, labels), *value)).collect();
        let mut body: String = samples.iter().map(|(series, value)| format!("{series} {value:e}\n")).collect();
        body.push_str("# EOF\n");
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text004 };
        let mut cache = SeriesCache::new(LIMITS);
        for _ in 0..2 {
            let (report, values) = scrape(&mut cache, body.as_bytes(), format).unwrap();
            prop_assert_eq!(report, ParseReport { samples: samples.len() as u64, ..Default::default() });
            let expected: Values =
                samples.iter().map(|(series, value)| (series.replace('\r', "\\r"), value.to_bits())).collect();
            prop_assert_eq!(values, expected);
        }
    }

    #[test]
    fn a_warm_cache_reads_as_a_cold_one_does(bodies in prop::collection::vec(mutated(), 1..5)) {
        let mut warm = SeriesCache::new(LIMITS);
        for body in &bodies {
            let cold = scrape(&mut SeriesCache::new(LIMITS), body, Format::Text004);
            prop_assert_eq!(scrape(&mut warm, body, Format::Text004), cold);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4)) {
        let mut cache = SeriesCache::new(LIMITS);
        for body in &bodies {
            for format in [Format::Text004, Format::OpenMetrics] {
                let _ = scrape(&mut cache, body, format);
            }
        }
    }

    #[test]
    fn bytes_that_look_like_metrics_never_panic_and_read_the_same_twice(
        body in r##"([a-z]{1,2}|[{}",=#\\ \t\r\n]|# (TYPE|HELP|UNIT|EOF)|[0-9.e+-]{1,3}|counter|_total|_sum){0,60}"##,
    ) {
        for format in [Format::Text004, Format::OpenMetrics] {
            let mut cache = SeriesCache::new(LIMITS);
            let cold = scrape(&mut cache, body.as_bytes(), format);
            prop_assert_eq!(scrape(&mut cache, body.as_bytes(), format), cold);
        }
    }

    #[test]
    fn slices_of_entries_come_from_the_body_in_order(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut last = 0;
        for entry in Parser::new(&body, Format::OpenMetrics) {
            let slice = match entry {
                Ok(Entry::Series { series, .. }) => series,
                Ok(Entry::Comment(line)) => line,
                Err(bad) => bad.line,
                _ => continue,
            };
            let at = slice.as_ptr() as usize - body.as_ptr() as usize;
            prop_assert!(at >= last && at + slice.len() <= body.len());
            last = at + slice.len();
        }
    }
}
