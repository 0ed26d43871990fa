//! Files as sources: what is read, and what is wrong with the rest.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use larnax_collect::files::{FileError, FileOptions, FileSource, MAX_COLUMNS, Record};
use larnax_collect::{Collected, ErrorClass, Source};
use larnax_core::{Batch, Timestamp};

fn source(bytes: impl Into<Vec<u8>>) -> FileSource {
    try_source(bytes).unwrap()
}

fn try_source(bytes: impl Into<Vec<u8>>) -> Result<FileSource, FileError> {
    FileSource::from_reader("test.csv", std::io::Cursor::new(bytes.into()), &FileOptions::default())
}

fn error(bytes: impl Into<Vec<u8>>) -> String {
    match try_source(bytes) {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

/// Each record as `line time_text: values`, or `line time_text! problem`.
fn records(source: &mut FileSource) -> Vec<String> {
    let mut values = Vec::new();
    let mut records = Vec::new();
    while let Some(Record { line, time_text, problem, .. }) = source.next_record(&mut values).unwrap() {
        records.push(match problem {
            None => format!("{line} {time_text}: {values:?}"),
            Some(problem) => format!("{line} {time_text}! {problem}"),
        });
    }
    records
}

/// All batches of a source: times in seconds with values, and the error at the end if there is one.
fn collect(source: &mut FileSource) -> (Vec<(f64, Vec<f64>)>, Option<larnax_collect::SourceError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut batch = Batch::new(source.schema().clone());
    let mut rows = Vec::new();
    loop {
        let collected = runtime.block_on(source.collect(&mut batch));
        if collected.is_ok() {
            rows.extend(batch.rows().map(|row| (row.time.seconds(), row.values.to_vec())));
        }
        match collected {
            Ok(Collected::Rows | Collected::Nothing) => {}
            Ok(Collected::End) => return (rows, None),
            Err(error) => return (rows, Some(error)),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Rows that do not compress to nothing.
fn many_rows(count: u64) -> String {
    let mut text = "timestamp,a,b\n".to_owned();
    for i in 0..count {
        let noise = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        text.push_str(&format!("{},{noise},{}\n", 1_700_000_000 + i, i % 7));
    }
    text
}

#[test]
fn rows_come_back_in_order_with_their_time_as_it_was_written() {
    let text = "time,cpu,mem\r\n2024-01-01T00:00:00Z,1,\"2\"\r\n 2024-01-01 00:00:05,NA,4";
    let mut source = source(text);
    assert_eq!(source.schema().len(), 2);
    assert!(source.has_time());
    let expected = ["2 2024-01-01T00:00:00Z: [1.0, 2.0]", "3  2024-01-01 00:00:05: [NaN, 4.0]"];
    assert_eq!(records(&mut source), expected);
    assert!(source.warnings().is_empty());
}

#[test]
fn every_line_has_its_place_usable_or_not() {
    let mut bytes =
        b"timestamp,a,b\n1,1,1\nnoon,2,2\n3,3\n\n4,4,4,4\n5,,null\n6,\xff,6\n7,\"7,7\n8,x,8\n,9,9\n".to_vec();
    bytes.extend(vec![b'1'; 2 << 20]);
    bytes.extend(b"\n11,11,11\n");
    let mut source = source(bytes);
    let found = records(&mut source);
    let expected = [
        "2 1: [1.0, 1.0]",
        "3 noon! `noon` is not a time",
        "4 3! found 2 fields, expected 3",
        "6 4! found 4 fields, expected 3",
        "7 5! every value is missing",
        "8 6! found bytes that are not UTF-8",
        "9 7! a quote is not closed",
        "10 8: [NaN, 8.0]",
        "11 ! `` is not a time",
        "12 ! found more than 1048576 bytes",
        "13 11: [11.0, 11.0]",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} instead of {expected}");
    }
    let warning = source.warnings().last().unwrap();
    assert!(warning.contains("test.csv:10: column `a`: found `x`, expected a number"), "{warning}");
    collect(&mut source);
    assert_eq!(source.cost().bad_samples, 9);
}

#[test]
fn batches_hold_the_usable_rows() {
    let mut source = source("timestamp,a\n1,1\nnoon,2\n3,3\n2,2\n2,2\n");
    let (rows, error) = collect(&mut source);
    // Times that go backwards or stand still are passed on: the pipeline judges them.
    assert_eq!(rows, [(1.0, vec![1.0]), (3.0, vec![3.0]), (2.0, vec![2.0]), (2.0, vec![2.0])]);
    assert!(error.is_none());
    assert_eq!(collect(&mut source), (Vec::new(), None));
}

#[test]
fn a_file_without_time_has_a_row_each_step_from_the_epoch() {
    let options = FileOptions { step: Duration::from_millis(500), ..FileOptions::default() };
    let text = "a,b\n1,2\n3\n5,6\n";
    let mut source = FileSource::from_reader("test.csv", text.as_bytes(), &options).unwrap();
    assert!(!source.has_time());
    let mut values = Vec::new();
    let mut times = Vec::new();
    while let Some(record) = source.next_record(&mut values).unwrap() {
        assert_eq!(record.time_text, "");
        times.push((record.time.unwrap(), record.problem.is_none()));
    }
    let at = Timestamp::from_millis;
    assert_eq!(times, [(at(0), true), (at(500), false), (at(1000), true)]);
}

#[test]
fn labels_are_handed_out_and_never_metrics() {
    let mut source = source("ts,Is_Anomaly,a\n1,0,5\n2,1,6\n");
    assert_eq!(source.schema().len(), 1);
    let mut values = Vec::new();
    assert_eq!(source.next_record(&mut values).unwrap().unwrap().label, Some("0"));
    assert_eq!(source.next_record(&mut values).unwrap().unwrap().label, Some("1"));
}

#[test]
fn what_is_found_out_can_be_said_instead() {
    let options =
        FileOptions { header: Some(false), time_column: Some("C1".to_owned()), ..FileOptions::default() };
    let open = |text: &'static str| FileSource::from_reader("test.csv", text.as_bytes(), &options);
    // Without a header, columns have no titles to be called by.
    let message = open("1,2\n").err().unwrap().to_string();
    assert_eq!(message, "test.csv:1: there is no time column `C1`; found `c0`, `c1`");
    let options = FileOptions { header: Some(true), time_column: Some("2".to_owned()), ..options };
    let mut source = FileSource::from_reader("test.csv", "1,2\n5,6\n".as_bytes(), &options).unwrap();
    assert_eq!(source.schema().name(0).as_str(), "1");
    assert_eq!(records(&mut source), ["2 6: [5.0]"]);
}

#[test]
fn the_column_of_labels_can_be_named_and_is_no_metric() {
    let open = |column: &str| {
        let options = FileOptions { label_column: Some(column.to_owned()), ..FileOptions::default() };
        FileSource::from_reader("test.csv", "a,Incident,b\n5,1,6\n".as_bytes(), &options)
    };
    let mut source = open("incident").unwrap();
    assert_eq!(source.schema().len(), 2);
    let mut values = Vec::new();
    assert_eq!(source.next_record(&mut values).unwrap().unwrap().label, Some("1"));
    let message = open("c").err().unwrap().to_string();
    assert_eq!(message, "test.csv:1: there is no column of labels `c`; found `a`, `Incident`, `b`");
}

#[test]
fn compressed_files_are_told_by_their_first_bytes() {
    let text = many_rows(5000);
    let plain = collect(&mut source(text.clone()));
    assert_eq!(plain.0.len(), 5000);
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    // A frame that holds no data: magic number, length, content (RFC 8878, 3.1.2).
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    for bytes in [
        gzip(text.as_bytes()),
        [gzip(first), gzip(second)].concat(),
        zstd(text.as_bytes()),
        [zstd(first), skipped.to_vec(), zstd(second)].concat(),
    ] {
        assert_eq!(collect(&mut source(bytes)), plain);
    }
}

#[test]
fn a_cut_off_compressed_file_gives_its_rows_and_then_an_error() {
    let text = many_rows(50_000);
    for mut bytes in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        bytes.truncate(bytes.len() / 2);
        let mut source = source(bytes);
        let (rows, error) = collect(&mut source);
        assert!(rows.len() > 1000, "{}", rows.len());
        assert!(rows.iter().all(|(_, values)| values.iter().all(|value| value.is_finite())));
        let error = error.unwrap();
        assert_eq!(error.class, ErrorClass::Target);
        assert!(
            error.message.starts_with(&format!("test.csv:{}: can't be read further", rows.len() + 2)),
            "{error}"
        );
        // After it there is only the end.
        assert_eq!(collect(&mut source), (Vec::new(), None));
        assert_eq!(source.cost().failures, 1);
    }
}

#[test]
fn a_compressed_file_cut_off_at_its_start_is_an_error() {
    for bytes in [gzip(b"a,b\n1,2\n"), zstd(b"a,b\n1,2\n")] {
        for length in 4..12 {
            let message = error(&bytes[..length]);
            assert!(message.starts_with("test.csv:1: can't be read further"), "{message}");
        }
    }
}

#[test]
fn a_file_of_no_use_says_what_was_found_and_expected() {
    let wide = ",".repeat(MAX_COLUMNS);
    let long = "x".repeat(10 << 20);
    for (bytes, found, expected) in [
        (&b""[..], "is empty", "expected lines"),
        (b"\xef\xbb\xbf", "is empty", "expected lines"),
        (b"\n\n", "is empty", "expected lines"),
        (b"a\0b", "zero byte", "expected UTF-8 text"),
        (b"time,host\n1,web\n", "found `time`, `host`", "expected one metric per column"),
        (b"label\n1\n", "found `label`", "expected one metric per column"),
        (wide.as_bytes(), "more than 10000 columns", "leave some out"),
        (b"a,\"b\n1,2\n", "a quote in the first line", "expected a closing quote"),
        (long.as_bytes(), "more than 1048576 bytes", "expected comma-separated values"),
    ] {
        let message = error(bytes);
        assert!(message.contains(found) && message.contains(expected), "{message}");
        assert!(message.starts_with("test.csv") && message.len() < 300, "{message}");
    }
}

#[test]
fn a_file_with_a_header_only_has_metrics_and_no_rows() {
    let mut source = source("timestamp,a,b\n");
    assert_eq!(source.schema().len(), 2);
    assert_eq!(collect(&mut source), (Vec::new(), None));
}

#[test]
fn a_file_that_is_not_there_or_a_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| FileSource::open(path, &FileOptions::default()).err().unwrap();
    let missing = open(&directory.path().join("no.csv")).to_string();
    assert!(
        missing.contains("no.csv: can't be opened") && missing.contains("expected a readable"),
        "{missing}"
    );
    let message = open(directory.path()).to_string();
    assert!(message.contains("is a directory; expected a CSV file"), "{message}");
}

#[test]
fn progress_goes_to_the_end_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv.gz");
    let bytes = gzip(many_rows(20_000).as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let mut source = FileSource::open(&path, &FileOptions::default()).unwrap();
    let (start, total) = source.progress();
    assert!(start < bytes.len() as u64);
    assert_eq!(total, Some(bytes.len() as u64));
    assert_eq!(collect(&mut source).0.len(), 20_000);
    assert_eq!(source.progress().0, bytes.len() as u64);
    assert_eq!(source.name(), path.to_string_lossy());
}

#[test]
fn nothing_is_allocated_per_row_once_warm() {
    let mut source = source(many_rows(4000));
    let mut values = Vec::new();
    for _ in 0..10 {
        source.next_record(&mut values).unwrap();
    }
    let mut rows = 10;
    let info = allocation_counter::measure(|| {
        while source.next_record(&mut values).unwrap().is_some() {
            rows += 1;
        }
    });
    assert_eq!((info.count_total, rows), (0, 4000));
}

#[test]
fn a_bomb_is_read_in_bounded_memory() {
    // 16 MiB of one line in 16 kB, then a row.
    let mut text = b"a,b\n".to_vec();
    text.resize(16 << 20, b'7');
    text.extend(b"\n1,2\n");
    let bytes = gzip(&text);
    drop(text);
    let mut rows = Vec::new();
    let info = allocation_counter::measure(|| {
        let mut source = source(bytes);
        rows = records(&mut source);
    });
    assert!(rows[0].contains("found more than") && rows[1] == "3 : [1.0, 2.0]", "{rows:?}");
    assert!(info.bytes_max < 8 << 20, "{}", info.bytes_max);
}
