//! What a batch becomes on its way from collect to detect.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Batch, Bounds, Direction, Metric, MetricKind, MetricName, Schema, Timestamp};
use larnax_pipeline::{Options, Pattern, Pipeline, Rule, Step};

use MetricKind::{Counter, Gauge};

fn schema(metrics: &[(&str, MetricKind)]) -> Arc<Schema> {
    let metric = |&(name, kind): &(&str, MetricKind)| Metric::new(MetricName::new(name).unwrap(), kind);
    Schema::new(metrics.iter().map(metric).collect()).unwrap()
}

fn batch(schema: &Arc<Schema>, rows: &[(f64, &[f64])]) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for (time, values) in rows {
        batch.push_row(Timestamp::from_seconds(*time)).copy_from_slice(values);
    }
    batch
}

/// Steps as text: `schema a b`, `gap 1..9`, `1: 2 NaN`, `1: 2 (reset)`.
fn write(steps: &mut Vec<String>) -> impl FnMut(Step<'_>) {
    |step| {
        steps.push(match step {
            Step::Schema(schema) => {
                assert!(schema.metrics().iter().all(|metric| metric.kind == Gauge));
                let names: Vec<_> = schema.metrics().iter().map(|m| m.name.as_str()).collect();
                format!("schema {}", names.join(" "))
            }
            Step::Gap { after, until } => format!("gap {}..{}", after.seconds(), until.seconds()),
            Step::Row(row) => {
                let values: Vec<_> = row.values.iter().map(|value| value.to_string()).collect();
                let mark = if row.learnable { "" } else { " (reset)" };
                format!("{}: {}{mark}", row.time.seconds(), values.join(" "))
            }
        });
    }
}

fn push(pipeline: &mut Pipeline, input: usize, batch: &Batch) -> Vec<String> {
    let mut steps = Vec::new();
    pipeline.push(input, batch, &mut write(&mut steps));
    steps
}

fn flush(pipeline: &mut Pipeline) -> Vec<String> {
    let mut steps = Vec::new();
    pipeline.flush(&mut write(&mut steps));
    steps
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text).unwrap()).collect()
}

#[test]
fn gauges_go_through_and_counters_become_rates() {
    let schema = schema(&[("load", Gauge), ("requests", Counter)]);
    let mut pipeline = Pipeline::new(Options::default(), 1);
    let steps = push(&mut pipeline, 0, &batch(&schema, &[(0.0, &[1.0, 100.0]), (5.0, &[2.0, 150.0])]));
    assert_eq!(steps, ["schema load requests", "0: 1 NaN", "5: 2 10"]);
    // The same schema is not said twice.
    let steps = push(&mut pipeline, 0, &batch(&schema, &[(10.0, &[3.0, 150.0])]));
    assert_eq!(steps, ["10: 3 0"]);
    assert_eq!((pipeline.counters().rows_in, pipeline.counters().rows_out), (3, 3));
}

#[test]
fn a_row_with_a_reset_is_scored_but_not_learnt() {
    let schema = schema(&[("a", Counter), ("b", Counter)]);
    let mut pipeline = Pipeline::new(Options::default(), 1);
    let rows: &[(f64, &[f64])] = &[(0.0, &[90.0, 90.0]), (1.0, &[91.0, 5.0]), (2.0, &[92.0, 6.0])];
    let steps = push(&mut pipeline, 0, &batch(&schema, rows));
    assert_eq!(steps[2..], ["1: 1 5 (reset)", "2: 1 1"]);
    assert_eq!(pipeline.counters().resets, 1);
}

#[test]
fn metrics_are_selected_by_pattern() {
    let schema =
        schema(&[("cpu{cpu=\"0\"}", Gauge), ("cpu{cpu=\"1\"}", Gauge), ("mem", Gauge), ("up", Gauge)]);
    let options = Options {
        include: patterns(&["cpu", "m.*"]),
        exclude: patterns(&["cpu.*cpu=\"1\".*"]),
        ..Options::default()
    };
    let mut pipeline = Pipeline::new(options, 1);
    let steps = push(&mut pipeline, 0, &batch(&schema, &[(0.0, &[1.0, 2.0, 3.0, 4.0])]));
    assert_eq!(steps, ["schema cpu{cpu=\"0\"} mem", "0: 1 3"]);
}

#[test]
fn rows_are_dropped_and_counted_when_no_metric_is_selected() {
    let schema = schema(&[("a", Gauge)]);
    for resample in [None, Some(Duration::from_secs(10))] {
        let options = Options { include: patterns(&["b"]), resample, ..Options::default() };
        let mut pipeline = Pipeline::new(options, 1);
        assert!(push(&mut pipeline, 0, &batch(&schema, &[(0.0, &[1.0])])).is_empty());
        assert_eq!(pipeline.counters().no_metrics, 1);
    }
}

#[test]
fn rows_that_are_not_later_are_dropped_and_counted() {
    let schema = schema(&[("a", Counter)]);
    let mut pipeline = Pipeline::new(Options::default(), 1);
    let rows: &[(f64, &[f64])] = &[(10.0, &[0.0]), (10.0, &[7.0]), (3.0, &[9.0]), (11.0, &[4.0])];
    let steps = push(&mut pipeline, 0, &batch(&schema, rows));
    assert_eq!(steps[1..], ["10: NaN", "11: 4"]);
    let counters = pipeline.counters();
    assert_eq!((counters.duplicate_time, counters.backwards, counters.rows_out), (1, 1, 2));
}

#[test]
fn a_gap_is_said_before_the_row_that_ends_it() {
    let schema = schema(&[("a", Counter)]);
    let options = Options { interval: Some(Duration::from_secs(5)), ..Options::default() };
    let mut pipeline = Pipeline::new(options, 1);
    let rows: &[(f64, &[f64])] = &[(0.0, &[0.0]), (12.0, &[12.0]), (25.0, &[25.0])];
    let steps = push(&mut pipeline, 0, &batch(&schema, rows));
    assert_eq!(steps[1..], ["0: NaN", "12: 1", "gap 12..25", "25: 1"]);
    assert_eq!(pipeline.counters().gaps, 1);
}

#[test]
fn inputs_are_joined_at_the_rows_of_the_first() {
    let (app, host) = (schema(&[("app", Gauge)]), schema(&[("host", Gauge)]));
    let options = Options { stale_after: Duration::from_secs(10), ..Options::default() };
    let mut pipeline = Pipeline::new(options, 2);
    assert!(push(&mut pipeline, 1, &batch(&host, &[(0.0, &[1.0]), (1.0, &[2.0])])).is_empty());
    let steps = push(&mut pipeline, 0, &batch(&app, &[(2.0, &[7.0]), (11.0, &[8.0]), (12.0, &[9.0])]));
    assert_eq!(steps, ["schema app host", "2: 7 2", "11: 8 2", "12: 9 NaN"]);
    // An input that does not exist is left out.
    assert!(push(&mut pipeline, 2, &batch(&host, &[(20.0, &[1.0])])).is_empty());
}

#[test]
fn a_reset_in_a_joined_input_counts_as_long_as_its_rate_is_used() {
    let (app, host) = (schema(&[("app", Gauge)]), schema(&[("host", Counter)]));
    let mut pipeline = Pipeline::new(Options::default(), 2);
    push(&mut pipeline, 1, &batch(&host, &[(0.0, &[9.0]), (1.0, &[2.0])]));
    let steps = push(&mut pipeline, 0, &batch(&app, &[(1.0, &[7.0])]));
    assert_eq!(steps[1..], ["1: 7 2 (reset)"]);
    push(&mut pipeline, 1, &batch(&host, &[(2.0, &[3.0])]));
    let steps = push(&mut pipeline, 0, &batch(&app, &[(2.0, &[7.0])]));
    assert_eq!(steps, ["2: 7 1"]);
}

#[test]
fn a_name_that_two_inputs_have_gets_the_later_ones_number() {
    let up = schema(&[("up", Gauge)]);
    let mut pipeline = Pipeline::new(Options::default(), 2);
    push(&mut pipeline, 1, &batch(&up, &[(0.0, &[1.0])]));
    let steps = push(&mut pipeline, 0, &batch(&up, &[(0.0, &[0.0])]));
    assert_eq!(steps, ["schema up input1/up", "0: 0 1"]);
}

#[test]
fn a_new_schema_is_said_before_the_next_row_and_rates_go_on_by_name() {
    let old = schema(&[("a", Counter), ("b", Counter)]);
    let new = schema(&[("c", Counter), ("b", Counter)]);
    let mut pipeline = Pipeline::new(Options::default(), 1);
    push(&mut pipeline, 0, &batch(&old, &[(0.0, &[0.0, 10.0])]));
    let steps = push(&mut pipeline, 0, &batch(&new, &[(1.0, &[5.0, 13.0]), (2.0, &[6.0, 14.0])]));
    assert_eq!(steps, ["schema c b", "1: NaN 3", "2: 1 1"]);
}

#[test]
fn an_equal_schema_in_another_allocation_is_no_change() {
    let mut pipeline = Pipeline::new(Options::default(), 1);
    push(&mut pipeline, 0, &batch(&schema(&[("a", Counter)]), &[(0.0, &[0.0])]));
    let steps = push(&mut pipeline, 0, &batch(&schema(&[("a", Counter)]), &[(1.0, &[2.0])]));
    assert_eq!(steps, ["1: 2"]);
}

#[test]
fn a_metric_that_changes_its_kind_starts_again() {
    let mut pipeline = Pipeline::new(Options::default(), 1);
    push(&mut pipeline, 0, &batch(&schema(&[("a", Gauge)]), &[(0.0, &[10.0])]));
    let steps = push(&mut pipeline, 0, &batch(&schema(&[("a", Counter)]), &[(1.0, &[13.0])]));
    // The joined schema is the same: one gauge.
    assert_eq!(steps, ["1: NaN"]);
}

#[test]
fn the_limit_refuses_the_rest_and_keeps_those_that_had_a_place() {
    let options = Options { max_metrics: 2, ..Options::default() };
    let mut pipeline = Pipeline::new(options, 1);
    let first = schema(&[("c", Gauge), ("d", Gauge), ("e", Gauge)]);
    let steps = push(&mut pipeline, 0, &batch(&first, &[(0.0, &[3.0, 4.0, 5.0])]));
    assert_eq!(steps, ["schema c d", "0: 3 4"]);
    let more = schema(&[("a", Gauge), ("b", Gauge), ("c", Gauge), ("d", Gauge)]);
    let steps = push(&mut pipeline, 0, &batch(&more, &[(1.0, &[1.0, 2.0, 3.0, 4.0])]));
    assert_eq!(steps, ["1: 3 4"]);
    // Room that becomes free goes by order.
    let fewer = schema(&[("a", Gauge), ("b", Gauge), ("d", Gauge)]);
    let steps = push(&mut pipeline, 0, &batch(&fewer, &[(2.0, &[1.0, 2.0, 4.0])]));
    assert_eq!(steps, ["schema a d", "2: 1 4"]);
    let counters = pipeline.counters();
    assert_eq!((counters.metrics_refused, counters.values_refused), (1, 4));
}

#[test]
fn resampled_rows_are_means_at_the_end_of_their_interval() {
    let schema = schema(&[("a", Gauge), ("b", Counter)]);
    let options = Options { resample: Some(Duration::from_secs(10)), ..Options::default() };
    let mut pipeline = Pipeline::new(options, 1);
    let rows: &[(f64, &[f64])] = &[(1.0, &[1.0, 0.0]), (6.0, &[2.0, 10.0]), (11.0, &[9.0, 30.0])];
    assert_eq!(push(&mut pipeline, 0, &batch(&schema, rows)), ["schema a b", "10: 1.5 2"]);
    assert_eq!(flush(&mut pipeline), ["20: 9 4"]);
    assert!(flush(&mut pipeline).is_empty());
    // What comes too late for a bucket that has gone out is dropped.
    push(&mut pipeline, 0, &batch(&schema, &[(12.0, &[1.0, 31.0])]));
    assert!(flush(&mut pipeline).is_empty());
    assert_eq!(pipeline.counters().backwards, 1);
}

#[test]
fn empty_intervals_are_a_gap_once_they_are_too_many() {
    let schema = schema(&[("a", Gauge)]);
    let second = Some(Duration::from_secs(1));
    let options = Options { resample: second, interval: second, ..Options::default() };
    let mut pipeline = Pipeline::new(options, 1);
    let rows: &[(f64, &[f64])] = &[(0.0, &[1.0]), (2.5, &[2.0]), (5.5, &[3.0]), (6.5, &[4.0])];
    let steps = push(&mut pipeline, 0, &batch(&schema, rows));
    assert_eq!(steps, ["schema a", "1: 1", "3: 2", "gap 3..6", "6: 3"]);
}

#[test]
fn a_schema_that_changes_within_an_interval_makes_one_row() {
    let options = Options { resample: Some(Duration::from_secs(10)), ..Options::default() };
    let mut pipeline = Pipeline::new(options, 1);
    push(&mut pipeline, 0, &batch(&schema(&[("a", Gauge), ("b", Gauge)]), &[(1.0, &[1.0, 2.0])]));
    push(&mut pipeline, 0, &batch(&schema(&[("b", Gauge), ("c", Gauge)]), &[(2.0, &[4.0, 5.0])]));
    assert_eq!(flush(&mut pipeline), ["schema b c", "10: 3 5"]);
}

#[test]
fn nothing_is_allocated_once_warm() {
    let app = schema(&[("a", Gauge), ("b", Counter), ("c", Counter)]);
    let host = schema(&[("a", Gauge), ("d", Counter)]);
    for resample in [None, Some(Duration::from_secs(3))] {
        let mut pipeline = Pipeline::new(Options { resample, ..Options::default() }, 2);
        let minute = |start: f64| -> (Batch, Batch) {
            let mut batches = (Batch::new(app.clone()), Batch::new(host.clone()));
            for i in 0..60 {
                let time = start + f64::from(i);
                batches.0.push_row(Timestamp::from_seconds(time)).copy_from_slice(&[1.0, time, time]);
                batches.1.push_row(Timestamp::from_seconds(time)).copy_from_slice(&[1.0, time % 7.0]);
            }
            batches
        };
        let (warm, later) = (minute(0.0), minute(300.0));
        let mut rows = 0;
        let mut run = |(app, host): &(Batch, Batch)| {
            let mut count = |step: Step<'_>| rows += usize::from(matches!(step, Step::Row(_)));
            pipeline.push(1, host, &mut count);
            pipeline.push(0, app, &mut count);
        };
        run(&warm);
        let info = allocation_counter::measure(|| run(&later));
        assert_eq!(info.count_total, 0);
        assert!(rows > 30);
    }
}

fn rule(pattern: &str) -> Rule {
    Rule { pattern: Pattern::new(pattern).unwrap(), least: None, direction: None, range: None }
}

/// What the joined schema knows of each metric.
fn bounds(pipeline: &mut Pipeline, inputs: &[&Arc<Schema>]) -> Vec<(String, Bounds)> {
    let mut known = Vec::new();
    // Input 0 leads: what it joins is what came before.
    for (input, schema) in inputs.iter().enumerate().rev() {
        let values = vec![0.0; schema.len()];
        pipeline.push(input, &batch(schema, &[(0.0, &values)]), &mut |step| {
            if let Step::Schema(schema) = step {
                known = schema.metrics().iter().map(|m| (m.name.to_string(), m.bounds)).collect();
            }
        });
    }
    known
}

#[test]
fn what_a_rule_says_stands_over_what_the_source_says_and_the_first_rule_holds() {
    let source = Bounds { least: 0.2, lowest: 0.0, highest: 1.0, ..Bounds::NONE };
    let metric =
        |name: &str, kind| Metric { bounds: source, ..Metric::new(MetricName::new(name).unwrap(), kind) };
    let schema = Schema::new(vec![
        metric("disk{dev=\"sda\"}", Gauge),
        metric("disk{dev=\"sdb\"}", Gauge),
        metric("errors", Counter),
        metric("load", Gauge),
    ])
    .unwrap();
    let rules = vec![
        Rule { least: Some(0.5), ..rule("disk.*sda.*") },
        Rule { least: Some(9.0), range: Some((-1.0, f64::INFINITY)), ..rule("disk") },
        Rule { direction: Some(Direction::Above), ..rule("errors") },
    ];
    let mut pipeline = Pipeline::new(Options { rules: vec![rules], ..Options::default() }, 1);
    let known: Vec<Bounds> =
        bounds(&mut pipeline, &[&schema]).into_iter().map(|(_, bounds)| bounds).collect();
    assert_eq!(
        known,
        [
            Bounds { least: 0.5, ..source },
            Bounds { least: 9.0, lowest: -1.0, highest: f64::INFINITY, ..source },
            Bounds { direction: Direction::Above, ..source },
            source,
        ]
    );
}

#[test]
fn each_input_has_rules_of_its_own_by_the_names_that_its_metrics_have_there() {
    let up = schema(&[("up", Gauge)]);
    let rules = vec![Vec::new(), vec![Rule { range: Some((1.0, 1.0)), ..rule("up") }]];
    let mut pipeline = Pipeline::new(Options { rules, ..Options::default() }, 3);
    let known = bounds(&mut pipeline, &[&up, &up, &up]);
    let ranges: Vec<(&str, f64)> =
        known.iter().map(|(name, bounds)| (name.as_str(), bounds.lowest)).collect();
    assert_eq!(ranges, [("up", f64::NEG_INFINITY), ("input1/up", 1.0), ("input2/up", f64::NEG_INFINITY)]);
}
