//! How fast a body is read, in bytes per second: on a warm cache, with its lines in another order, on a cold cache, and
//! by the obvious program (split lines, `str::parse`, a map by series) for comparison.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larnax_collect::openmetrics::{Entry, Format, Limits, Parser, SeriesCache};
use larnax_core::{Batch, Schema, Timestamp};

const LIMITS: Limits = Limits { max_series: 10_000, max_line_bytes: 64 * 1024 };

fn openmetrics(c: &mut Criterion) {
    let body = include_str!("../tests/corpus/openmetrics/node_exporter.prom");
    // Other values in the same places, so that no scrape is byte for byte the one before.
    let other: String = body.lines().map(|line| other_value(line) + "\n").collect();
    let mut group = c.benchmark_group("openmetrics");
    group.throughput(Throughput::Bytes(body.len() as u64));

    let (mut cache, mut batch) = (SeriesCache::new(LIMITS), empty());
    let mut parse = move |body: &str| {
        cache.parse(body.as_bytes(), Format::Text004, Timestamp::default(), &mut batch).unwrap().samples
    };
    parse(body);
    let mut turn = 0;
    group.bench_function("warm", |b| {
        b.iter(|| {
            turn ^= 1;
            parse(black_box(if turn == 0 { body } else { &other }))
        })
    });

    let reversed: String =
        body.lines().filter(|l| !l.starts_with('#')).rev().map(|l| format!("{l}\n")).collect();
    let series_only: String =
        body.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    group.throughput(Throughput::Bytes(reversed.len() as u64));
    group.bench_function("warm, series in another order each time", |b| {
        b.iter(|| {
            turn ^= 1;
            parse(black_box(if turn == 0 { &reversed } else { &series_only }))
        })
    });

    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("cold", |b| {
        b.iter(|| {
            let (mut cache, mut batch) = (SeriesCache::new(LIMITS), empty());
            cache
                .parse(black_box(body).as_bytes(), Format::Text004, Timestamp::default(), &mut batch)
                .unwrap()
                .samples
        })
    });

    group.bench_function("pull parser alone", |b| {
        b.iter(|| {
            Parser::new(black_box(body).as_bytes(), Format::Text004)
                .filter_map(|entry| match entry {
                    Ok(Entry::Series { sample, .. }) => Some(sample.value),
                    _ => None,
                })
                .sum::<f64>()
        })
    });

    let mut slots: HashMap<String, usize> = HashMap::new();
    let mut row: Vec<f64> = Vec::new();
    let mut naive = move |body: &str| {
        row.fill(f64::NAN);
        for line in body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            match slots.get(series) {
                Some(&slot) => row[slot] = value,
                None => {
                    slots.insert(series.to_owned(), row.len());
                    row.push(value);
                }
            }
        }
        row.len()
    };
    naive(body);
    group.bench_function("naive: lines, str::parse and a map, warm", |b| {
        b.iter(|| {
            turn ^= 1;
            naive(black_box(if turn == 0 { body } else { &other }))
        })
    });
    group.finish();
}

fn empty() -> Batch {
    Batch::new(Schema::new(Vec::new()).unwrap())
}

/// The same line with other digits in its value.
fn other_value(line: &str) -> String {
    match line.rsplit_once(' ') {
        Some((series, value)) if !line.starts_with('#') => {
            let next = |c: char| match c {
                '1'..='8' => (c as u8 + 1) as char,
                _ => c,
            };
            format!("{series} {}", value.chars().map(next).collect::<String>())
        }
        _ => line.to_owned(),
    }
}

criterion_group!(benches, openmetrics);
criterion_main!(benches);
