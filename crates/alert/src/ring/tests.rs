use std::fs;
use std::path::Path;

use larnax_core::{Metric, MetricKind};
use proptest::prelude::*;

use super::*;
use crate::testing::{assert_passed, at, run_with_small_disk, small_disk};

fn schema(names: &[&str]) -> Arc<Schema> {
    let metric = |name: &&str| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
    Schema::new(names.iter().map(metric).collect()).unwrap()
}

fn wide(metrics: usize) -> Arc<Schema> {
    let names: Vec<String> = (0..metrics).map(|i| format!("metric_{i}{{cpu=\"{i}\"}}")).collect();
    schema(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn ring(folder: &Path, max_bytes: u64) -> Ring {
    Ring::open(Some(folder), RingOptions { max_bytes, ..RingOptions::default() }).unwrap()
}

fn push(ring: &mut Ring, schema: &Arc<Schema>, seconds: f64, values: &[f64]) {
    ring.push(schema, Row { time: at(seconds), values, learnable: true });
}

/// Every row of a ring: schema, time, bits.
fn contents(ring: &Ring) -> Vec<(Arc<Schema>, Timestamp, Vec<u64>)> {
    let mut all = Vec::new();
    let (first, last) = (Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX));
    ring.visit(first, last, |batch| {
        for row in batch.rows() {
            let bits = row.values.iter().map(|value| value.to_bits()).collect();
            all.push((Arc::clone(batch.schema()), row.time, bits));
        }
    });
    all
}

/// Noise that doesn't compress, the same every time.
fn noise(i: u64) -> f64 {
    f64::from_bits(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2)
}

#[derive(Clone, Debug)]
enum Step {
    Push { schema: usize, time: i64, values: Vec<f64> },
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0),
        (0..9i32).prop_map(f64::from)
    ];
    let time = prop_oneof![3 => 0..200_000_000_000i64, 1 => any::<i64>()];
    prop_oneof![
        8 => (0..3usize, time, prop::collection::vec(value, 4))
            .prop_map(|(schema, time, values)| Step::Push { schema, time, values }),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_bit_comes_back_through_restarts_and_schema_changes(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let schemas = [schema(&["a", "b"]), schema(&["a", "c", "b"]), schema(&["d{x=\"1\"}"])];
        let mut ring = ring(folder.path(), 8 << 20);
        let mut expected = Vec::new();
        for step in steps {
            match step {
                Step::Push { schema, time, values } => {
                    let (schema, time) = (&schemas[schema], Timestamp::from_nanos(time));
                    let values = &values[..schema.len()];
                    ring.push(schema, Row { time, values, learnable: true });
                    expected.push((schema.clone(), time, values.iter().map(|value| value.to_bits()).collect()));
                }
                Step::Flush => ring.flush(),
                Step::Restart => {
                    ring.flush();
                    ring = self::ring(folder.path(), 8 << 20);
                }
            }
        }
        prop_assert_eq!(contents(&ring), expected);
        prop_assert_eq!(ring.stats().damaged, 0);
    }

    #[test]
    fn a_changed_byte_costs_at_most_its_own_record(place in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let folder = tempfile::tempdir().unwrap();
        let schema = schema(&["a", "b"]);
        let mut ring = ring(folder.path(), 8 << 20);
        for minute in 0..5 {
            for second in 0..3 {
                push(&mut ring, &schema, f64::from(minute * 60 + second), &[f64::from(second), 0.1]);
            }
            ring.flush();
        }
        let file = folder.path().join("00000001.ring");
        let mut bytes = fs::read(&file).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        fs::write(&file, &bytes).unwrap();
        let first_block = block::encode_schema(&schema).unwrap().len();
        let again = self::ring(folder.path(), 8 << 20);
        let left = contents(&again).len();
        prop_assert!(again.stats().damaged > 0);
        // Without the schema no block can be read; without one block the others can.
        prop_assert_eq!(left, if place < first_block { 0 } else { 12 });
        prop_assert!(salvage(&bytes).1 > 0);
    }

    #[test]
    fn no_bytes_make_salvaging_or_opening_fail(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(salvage(&bytes).0.is_empty());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("00000001.ring"), &bytes).unwrap();
        let mut ring = ring(folder.path(), 8 << 20);
        let schema = schema(&["a"]);
        push(&mut ring, &schema, 0.0, &[1.0]);
        ring.flush();
        prop_assert_eq!(contents(&self::ring(folder.path(), 8 << 20)).len(), 1);
    }
}

#[test]
fn a_header_that_promises_too_much_is_refused_without_taking_the_memory() {
    let schema = schema(&["a"]);
    let id = block::schema_id(&schema);
    let record = block::encode_block(id, &[at(0.0)], &[1.0]).unwrap();
    let payload = block::block_payload(&record).unwrap();
    for rows in [0, 2, u32::MAX] {
        let head = BlockHead { schema: id, rows, from: at(0.0), to: at(0.0) };
        assert!(block::decode_block(&head, &schema, payload).is_none());
    }
}

#[test]
fn the_files_never_have_more_than_they_may_and_the_oldest_rows_go() {
    let folder = tempfile::tempdir().unwrap();
    let schema = wide(50);
    let mut ring = ring(folder.path(), 64 << 10);
    for i in 0..600_u64 {
        let values: Vec<f64> = (0..50).map(|column| noise(i * 50 + column)).collect();
        push(&mut ring, &schema, i as f64 * 5.0, &values);
        let on_disk: u64 =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(on_disk <= 64 << 10 && on_disk == ring.stats().disk_bytes, "{on_disk}");
    }
    let rows = contents(&ring);
    assert!(rows.len() > 50 && rows.len() < 500, "{}", rows.len());
    assert!(rows.is_sorted_by_key(|row| row.1));
    assert_eq!(rows.last().unwrap().1, at(2995.0));
    assert_eq!(ring.stats().lost_blocks, 0);
}

#[test]
fn a_folder_that_can_not_be_used_keeps_the_last_blocks_in_memory_until_it_can() {
    let parent = tempfile::tempdir().unwrap();
    let blocker = parent.path().join("state");
    fs::write(&blocker, "a file where the folder should be").unwrap();
    let mut ring = ring(&blocker.join("ring"), 8 << 20);
    let schema = schema(&["a"]);
    for i in 0..30 {
        push(&mut ring, &schema, f64::from(i) * 10.0, &[f64::from(i)]);
    }
    let stats = ring.stats();
    assert!(stats.problem.is_some() && stats.held_blocks > 2 && stats.lost_blocks == 0, "{stats:?}");
    assert_eq!(contents(&ring).len(), 30);
    fs::remove_file(&blocker).unwrap();
    ring.flush();
    assert_eq!((ring.stats().problem, ring.stats().held_blocks), (None, 0));
    assert_eq!(contents(&self::ring(&blocker.join("ring"), 8 << 20)).len(), 30);
}

#[test]
fn a_full_disk_costs_old_samples_only() {
    let Some(folder) = small_disk() else {
        return assert_passed(&run_with_small_disk("ring::tests::a_full_disk_costs_old_samples_only"));
    };
    let schema = wide(100);
    let options = RingOptions { max_bytes: 8 << 20, held_bytes: 32 << 10, ..RingOptions::default() };
    let mut ring = Ring::open(Some(&folder), options).unwrap();
    for i in 0..600_u64 {
        let values: Vec<f64> = (0..100).map(|column| noise(i * 100 + column)).collect();
        push(&mut ring, &schema, i as f64 * 5.0, &values);
    }
    let stats = ring.stats();
    assert!(stats.problem.is_some() && stats.lost_blocks > 0 && stats.held_blocks > 0, "{stats:?}");
    assert_eq!(contents(&ring).last().unwrap().1, at(2995.0));
    let again = contents(&self::ring(&folder, 8 << 20));
    assert!(!again.is_empty() && again[0].1 == at(0.0), "what was written before can still be read");
}

#[test]
fn a_window_has_the_wanted_columns_is_thinned_and_ends_with_the_newest_row() {
    let mut ring = Ring::open(None, RingOptions::default()).unwrap();
    let (before, after) = (schema(&["a", "b"]), schema(&["c", "a"]));
    for i in 0..100 {
        push(&mut ring, &before, f64::from(i), &[f64::from(i), f64::NAN]);
    }
    for i in 100..200 {
        push(&mut ring, &after, f64::from(i), &[-1.0, f64::from(i)]);
    }
    let all = ring.tail(at(199.0), Duration::from_secs(500), 1000, |_| true);
    assert_eq!(all.metrics.iter().map(MetricName::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(all.rows[0], [Some(0.0), None, None]);
    assert_eq!(all.rows[199], [Some(199.0), None, Some(-1.0)]);

    let some = ring.read(at(50.0), at(149.0), 20, |name| name.as_str() == "a");
    assert!(some.rows.len() <= 21 && some.rows.len() >= 10, "{}", some.rows.len());
    assert_eq!((some.times.last(), some.rows.last()), (Some(&at(149.0)), Some(&vec![Some(149.0)])));
    assert!(some.times[0] >= at(50.0));
}

#[test]
fn rows_that_do_not_fit_their_schema_are_counted_and_left_out() {
    let mut ring = Ring::open(None, RingOptions::default()).unwrap();
    push(&mut ring, &schema(&["a", "b"]), 0.0, &[1.0]);
    push(&mut ring, &schema(&[]), 0.0, &[]);
    assert_eq!((ring.stats().refused, contents(&ring).len()), (2, 0));
}

#[test]
fn taking_a_row_allocates_nothing_once_warm() {
    let mut ring = Ring::open(None, RingOptions::default()).unwrap();
    let schema = wide(100);
    let values = vec![1.0; 100];
    for i in 0..13 {
        push(&mut ring, &schema, f64::from(i) * 5.0, &values);
    }
    let counted = allocation_counter::measure(|| {
        for i in 13..24 {
            push(&mut ring, &schema, f64::from(i) * 5.0, &values);
        }
    });
    assert_eq!(counted.count_total, 0);
}
