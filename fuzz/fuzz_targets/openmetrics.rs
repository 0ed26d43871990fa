//! Bodies of one target, scrape after scrape: nothing panics, and a warm cache reads what a cold one reads.
//!
//! The input is cut into bodies at bytes 0xFE, which no text holds; the first byte chooses the format.

#![no_main]

use std::collections::BTreeMap;

use larnax_collect::openmetrics::{Format, Limits, ParseError, ParseReport, SeriesCache};
use larnax_core::{Batch, Schema, Timestamp};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_series: 10_000, max_line_bytes: 200 };

fuzz_target!(|input: &[u8]| {
    let Some((choice, bodies)) = input.split_first() else { return };
    let format = if choice % 2 == 0 { Format::Text004 } else { Format::OpenMetrics };
    let mut warm = SeriesCache::new(LIMITS);
    let mut small = SeriesCache::new(Limits { max_series: 2, ..LIMITS });
    for body in bodies.split(|&byte| byte == 0xFE) {
        let _ = scrape(&mut small, body, format);
        let cold = scrape(&mut SeriesCache::new(LIMITS), body, format);
        let warm = scrape(&mut warm, body, format);
        // Whether a series is a time of creation is decided when it is first seen, so that bodies may differ in those.
        if !bodies.windows(8).any(|text| text == b"_created") {
            assert_eq!(warm, cold);
        }
    }
});

/// The report, and the bits of every value that isn't missing.
fn scrape(
    cache: &mut SeriesCache,
    body: &[u8],
    format: Format,
) -> Result<(ParseReport, BTreeMap<String, u64>), ParseError> {
    let mut batch = Batch::new(Schema::new(Vec::new()).unwrap());
    let report = cache.parse(body, format, Timestamp::from_millis(1_763_750_000_000), &mut batch)?;
    let row = batch.rows().next().unwrap();
    let values = batch.schema().metrics().iter().zip(row.values).filter(|(_, value)| !value.is_nan());
    Ok((report, values.map(|(metric, value)| (metric.name.as_str().to_owned(), value.to_bits())).collect()))
}
