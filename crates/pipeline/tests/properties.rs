//! What holds for any rows.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Batch, Metric, MetricKind, MetricName, Schema, Timestamp};
use larnax_pipeline::{Options, Pattern, Pipeline, Step};
use proptest::prelude::*;

fn schema(metrics: &[(String, bool)]) -> Arc<Schema> {
    let mut seen = std::collections::BTreeSet::new();
    let metric = |(name, counter): &(String, bool)| {
        let kind = if *counter { MetricKind::Counter } else { MetricKind::Gauge };
        Metric::new(MetricName::new(name).unwrap(), kind)
    };
    Schema::new(metrics.iter().filter(|(name, _)| seen.insert(name)).map(metric).collect()).unwrap()
}

/// A schema over a few names, so that schemas overlap.
fn schemas() -> impl Strategy<Value = Arc<Schema>> {
    prop::collection::vec(("[a-d]{1,2}", any::<bool>()), 0..8).prop_map(|metrics| schema(&metrics))
}

/// Times that are close, far, equal, backwards or at the ends of the range.
fn times() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0i64..100_000_000_000, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -10.0..1e10, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(f64::MAX)]
}

/// A time in nanoseconds and values.
type Record = (i64, Vec<f64>);

/// Batches for any of three inputs (and one that does not exist): schema, times, values.
fn batches() -> impl Strategy<Value = Vec<(usize, Batch)>> {
    let batch =
        (0usize..4, schemas(), prop::collection::vec((times(), prop::collection::vec(values(), 8)), 0..12));
    let fill = |(input, schema, rows): (usize, Arc<Schema>, Vec<Record>)| {
        let mut batch = Batch::new(schema);
        for (time, values) in rows {
            let row = batch.push_row(Timestamp::from_nanos(time));
            let width = row.len();
            row.copy_from_slice(&values[..width]);
        }
        (input, batch)
    };
    prop::collection::vec(batch.prop_map(fill), 0..20)
}

fn options() -> impl Strategy<Value = Options> {
    let nanos = || prop::option::of(prop_oneof![Just(0u64), Just(1), 1u64..10_000_000_000, Just(u64::MAX)]);
    (nanos(), nanos(), 0usize..10, any::<u64>(), prop::collection::vec("[a-d.*]{1,2}", 0..2)).prop_map(
        |(interval, resample, max_metrics, stale, exclude)| Options {
            interval: interval.map(Duration::from_nanos),
            resample: resample.map(Duration::from_nanos),
            max_metrics,
            stale_after: Duration::from_nanos(stale),
            exclude: exclude.iter().filter_map(|text| Pattern::new(text).ok()).collect(),
            rules: Vec::new(),
            include: Vec::new(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_comes_rows_come_out_in_order_under_the_schema_said_before(
        options in options(),
        batches in batches(),
    ) {
        let max_metrics = options.max_metrics;
        let mut pipeline = Pipeline::new(options, 3);
        let mut width = None;
        let mut last = None;
        let mut rows = 0;
        let mut check = |step: Step<'_>| match step {
            Step::Schema(schema) => {
                assert!(schema.len() <= max_metrics);
                width = Some(schema.len());
            }
            Step::Gap { after, until } => assert!(Some(after) == last && until > after),
            Step::Row(row) => {
                assert_eq!(Some(row.values.len()), width);
                assert!(last.is_none_or(|last| row.time > last));
                last = Some(row.time);
                rows += 1;
            }
        };
        for (input, batch) in &batches {
            pipeline.push(*input, batch, &mut check);
        }
        pipeline.flush(&mut check);
        let counters = pipeline.counters();
        prop_assert_eq!(counters.rows_out, rows);
        let accounted = counters.rows_out + counters.duplicate_time + counters.backwards + counters.no_metrics;
        prop_assert!(accounted <= counters.rows_in);
    }

    #[test]
    fn rates_of_a_counter_that_never_falls_are_never_negative(
        steps in prop::collection::vec((1i64..10_000_000_000, 0.0..1e12, any::<bool>()), 1..50),
    ) {
        let mut batch = Batch::new(schema(&[("a".to_owned(), true)]));
        let (mut time, mut total) = (0, 0.0);
        for (nanos, more, missing) in steps {
            time += nanos;
            total += more;
            batch.push_row(Timestamp::from_nanos(time))[0] = if missing { f64::NAN } else { total };
        }
        let mut pipeline = Pipeline::new(Options::default(), 1);
        pipeline.push(0, &batch, &mut |step| {
            if let Step::Row(row) = step {
                assert!(row.learnable && (row.values[0].is_nan() || row.values[0] >= 0.0));
            }
        });
        prop_assert_eq!(pipeline.counters().resets, 0);
    }

    #[test]
    fn selecting_from_what_was_selected_changes_nothing(
        names in prop::collection::vec("[a-c]{1,3}", 1..12),
        include in prop::collection::vec("[a-c.*]{1,3}", 0..3),
        exclude in prop::collection::vec("[a-c.*]{1,3}", 0..3),
    ) {
        let compile = |texts: Vec<String>| texts.iter().filter_map(|text| Pattern::new(text).ok()).collect();
        let options = Options { include: compile(include), exclude: compile(exclude), ..Options::default() };
        let selected = |schema: &Arc<Schema>| {
            let mut batch = Batch::new(schema.clone());
            batch.push_row(Timestamp::default());
            let mut selected = Arc::new(Schema::default());
            Pipeline::new(options.clone(), 1).push(0, &batch, &mut |step| {
                if let Step::Schema(schema) = step {
                    selected = schema.clone();
                }
            });
            selected
        };
        let names: Vec<_> = names.into_iter().map(|name| (name, false)).collect();
        let once = selected(&schema(&names));
        prop_assert_eq!(&selected(&once), &once);
    }

    #[test]
    fn every_row_falls_into_exactly_one_interval(
        interval in 1i64..20_000_000_000,
        distances in prop::collection::vec(1i64..5_000_000_000, 1..60),
    ) {
        let mut batch = Batch::new(schema(&[("a".to_owned(), false)]));
        let mut times = Vec::new();
        let mut time = -7_000_000_000;
        for distance in distances {
            time += distance;
            times.push(time);
            // The rows count themselves: each is worth 1, so each mean is 1.
            batch.push_row(Timestamp::from_nanos(time))[0] = 1.0;
        }
        let resample = Some(Duration::from_nanos(interval as u64));
        let mut pipeline = Pipeline::new(Options { resample, ..Options::default() }, 1);
        let mut ends = Vec::new();
        let mut keep = |step: Step<'_>| {
            if let Step::Row(row) = step {
                assert_eq!(row.values, [1.0]);
                ends.push(row.time.nanos());
            }
        };
        pipeline.push(0, &batch, &mut keep);
        pipeline.flush(&mut keep);
        prop_assert!(ends.iter().all(|end| end % interval == 0));
        let mut covered: Vec<i64> = times.iter().map(|time| (time.div_euclid(interval) + 1) * interval).collect();
        covered.dedup();
        prop_assert_eq!(covered, ends);
    }
}
