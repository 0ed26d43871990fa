//! What holds for any file.

#![allow(clippy::unwrap_used, clippy::panic)]

use larnax_collect::files::{FileOptions, FileSource};
use proptest::prelude::*;

/// Line, time text, values, whether it can be used.
type Found = (u64, String, Vec<f64>, bool);

/// Reads a file to its end.
fn read(bytes: Vec<u8>) -> Option<Vec<Found>> {
    let reader = std::io::Cursor::new(bytes);
    let mut source = FileSource::from_reader("test.csv", reader, &FileOptions::default()).ok()?;
    let mut values = Vec::new();
    let mut records = Vec::new();
    while let Ok(Some(record)) = source.next_record(&mut values) {
        let usable = record.problem.is_none();
        assert!(!usable || record.time.is_some());
        records.push((record.line, record.time_text.to_owned(), values.clone(), usable));
    }
    for (_, _, values, usable) in &records {
        assert_eq!(values.len(), source.schema().len());
        assert_eq!(values.iter().any(|value| value.is_finite()), *usable);
    }
    Some(records)
}

/// Pieces of which files are made, good and bad.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![",", ";", "\t", "\n", "\r\n", "\"", "1", "2.5", "NaN", "-", "\r"])
            .prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::sample::select(vec!["time", "a", "label", "2024-01-01", "1700000000", "\u{feff}", "é"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => Just(vec![0x1f, 0x8b]),
        1 => Just(vec![0x28, 0xb5, 0x2f, 0xfd]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_are_rows_or_an_error(bytes in pieces()) {
        read(bytes);
    }

    #[test]
    fn damaged_compressed_files_are_rows_or_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        rows in prop::collection::vec(any::<u16>(), 1..200),
        use_zstd: bool,
    ) {
        let mut text = "time,a\n".to_owned();
        for row in rows {
            text += &format!("1700000000,{row}\n");
        }
        let mut bytes = if use_zstd {
            ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
        } else {
            let mut reader = flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast());
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
            bytes
        };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        read(bytes);
    }

    #[test]
    fn what_was_written_is_read(
        rows in prop::collection::vec((0i64..4_000_000_000, prop::collection::vec(any::<f64>(), 3)), 1..30),
        delimiter in prop::sample::select(vec![',', ';', '\t']),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let line = |cells: Vec<String>| cells.join(&delimiter.to_string()) + end;
        let mut text = line(["timestamp", "a", "b", "c"].map(String::from).to_vec());
        for (time, values) in &rows {
            let mut cells = vec![time.to_string()];
            cells.extend(values.iter().map(f64::to_string));
            text += &line(cells);
        }
        let records = read(text.into_bytes()).unwrap();
        prop_assert_eq!(records.len(), rows.len());
        for (i, ((number, time, found, usable), (expected_time, expected))) in records.iter().zip(&rows).enumerate() {
            prop_assert_eq!(*number, i as u64 + 2);
            prop_assert_eq!(time, &expected_time.to_string());
            if *usable {
                for (found, expected) in found.iter().zip(expected) {
                    prop_assert!(found == expected || (found.is_nan() && expected.is_nan()));
                }
            }
        }
    }
}
