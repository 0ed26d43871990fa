//! How records stand in the outbox file, and how they are found again in a file that was torn or damaged.
//!
//! A record is `magic (4) · kind (1) · payload length (4) · sequence (8) · CRC-32 (4) · payload`, little endian; the
//! checksum covers everything but the magic and itself. The magic starts with a byte that no UTF-8 text contains, so a
//! search for it never stops inside an event.

use std::ops::Range;

const MAGIC: [u8; 4] = [0xF5, b'L', b'X', 1];
/// Magic, kind, length, sequence, checksum.
pub(crate) const HEADER_BYTES: usize = 4 + 1 + 4 + 8 + 4;
/// The longest payload that is written or read. An event with the default evidence has about 10 kB.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 256 << 10;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An event in JSON; its sequence is its own.
    Event = 1,
    /// A sink (payload: its name) has everything up to the sequence.
    Ack = 2,
    /// Sequences up to this one were used, whether or not their events are still here.
    Mark = 3,
}

/// One record that checks out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) sequence: u64,
    pub(crate) payload: &'a [u8],
    /// Where the record starts in the file.
    pub(crate) offset: usize,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Scan<'a> {
    pub(crate) records: Vec<Record<'a>>,
    /// Stretches that are no records although they should be.
    pub(crate) damaged: Vec<Range<usize>>,
    /// Bytes at the end that belong to a record whose writing never finished: it was never accepted.
    pub(crate) torn: usize,
}

/// Appends one record to `out`.
pub(crate) fn encode(kind: Kind, sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; 13];
    head[0] = kind as u8;
    head[1..5].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[5..].copy_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&head);
    out.extend_from_slice(&checksum(&head, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// What stands at a place.
enum Found<'a> {
    Record(Record<'a>),
    /// The start of a record that the file ends in.
    CutOff,
    Nothing,
}

fn at(bytes: &[u8], offset: usize) -> Found<'_> {
    let rest = &bytes[offset..];
    let Some((header, body)) = rest.split_at_checked(HEADER_BYTES) else {
        return if rest.starts_with(&MAGIC) || MAGIC.starts_with(rest) {
            Found::CutOff
        } else {
            Found::Nothing
        };
    };
    let kind = match header[4] {
        1 => Kind::Event,
        2 => Kind::Ack,
        3 => Kind::Mark,
        _ => return Found::Nothing,
    };
    let word =
        |range: Range<usize>| header[range].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let length = word(5..9) as usize;
    if header[..4] != MAGIC || length > MAX_PAYLOAD_BYTES {
        return Found::Nothing;
    }
    let Some(payload) = body.get(..length) else { return Found::CutOff };
    if u64::from(checksum(&header[4..17], payload)) != word(17..21) {
        return Found::Nothing;
    }
    Found::Record(Record { kind, sequence: word(9..17), payload, offset })
}

/// Finds every record that checks out, whatever stands between them. Never fails; linear in an intact file.
pub(crate) fn scan(bytes: &[u8]) -> Scan<'_> {
    let mut scan = Scan::default();
    let mut offset = 0;
    let mut gap: Option<usize> = None;
    while offset < bytes.len() {
        if let Found::Record(record) = at(bytes, offset) {
            if let Some(start) = gap.take() {
                scan.damaged.push(start..offset);
            }
            offset += HEADER_BYTES + record.payload.len();
            scan.records.push(record);
        } else {
            gap.get_or_insert(offset);
            let next = bytes[offset + 1..].windows(MAGIC.len()).position(|window| window == MAGIC);
            offset = next.map_or(bytes.len(), |distance| offset + 1 + distance);
        }
    }
    if let Some(start) = gap {
        // A crash leaves either the first part of a record or, on some file systems, zeros. All else is damage.
        let torn = matches!(at(bytes, start), Found::CutOff) || bytes[start..].iter().all(|&byte| byte == 0);
        if torn {
            scan.torn = bytes.len() - start;
        } else {
            scan.damaged.push(start..bytes.len());
        }
    }
    scan
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for (i, payload) in payloads.iter().enumerate() {
            encode(Kind::Event, i as u64 + 1, payload, &mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    proptest! {
        #[test]
        fn a_file_cut_at_any_byte_keeps_every_whole_record(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
        ) {
            let (bytes, ends) = file(&payloads);
            for cut in 0..=bytes.len() {
                let scan = scan(&bytes[..cut]);
                let whole = ends.iter().filter(|&&end| end <= cut).count() - 1;
                prop_assert_eq!(scan.records.len(), whole);
                prop_assert!(scan.damaged.is_empty());
                prop_assert_eq!(scan.torn, cut - ends[whole]);
            }
        }

        #[test]
        fn a_changed_byte_costs_only_the_record_that_it_stands_in(
            payloads in prop::collection::vec("[ -~]{0,60}".prop_map(String::into_bytes), 2..6),
            place in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let (mut bytes, ends) = file(&payloads);
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            let hit = ends.iter().filter(|&&end| end <= place).count() as u64;
            let found: Vec<u64> = scan(&bytes).records.iter().map(|record| record.sequence).collect();
            let expected: Vec<u64> = (1..=payloads.len() as u64).filter(|&sequence| sequence != hit).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_bytes_make_the_scan_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let scan = scan(&bytes);
            prop_assert!(scan.records.len() * HEADER_BYTES <= bytes.len());
        }
    }

    #[test]
    fn zeros_after_the_last_record_are_a_torn_tail_and_other_bytes_are_damage() {
        let (mut bytes, _) = file(&[b"one".to_vec()]);
        bytes.extend([0; 40]);
        assert_eq!((scan(&bytes).torn, scan(&bytes).damaged.len()), (40, 0));
        bytes.extend(b"something else that nobody here wrote");
        assert_eq!((scan(&bytes).torn, scan(&bytes).damaged.len()), (0, 1));
    }
}
