//! How rows become a block of bytes and come back. Pure.
//!
//! A file of the ring is a sequence of records, `magic (4) · kind (1) · header (40) · CRC-32 (4) · payload`, little
//! endian; the checksum covers header and payload. A *schema* record lists metrics, a *block* holds rows under a schema
//! that stands before it in the same file.
//!
//! In a block the times, as differences of differences, and then each column, each value XORed with the one before it
//! (Pelkonen et al., "Gorilla", VLDB 2015, section 4.1), form one long list of 64-bit words. All first bytes of the words
//! are put together, then all second bytes and so on, so that the zeros that XOR makes stand side by side, and the whole
//! is deflated at the fastest level. Rejected: Gorilla's bit packing, which is neither smaller on rates nor cheaper
//! without a good deal of code; zstd, which is a megabyte of C.

use std::sync::Arc;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use larnax_core::{Batch, Metric, MetricKind, MetricName, Schema, Timestamp};

const MAGIC: [u8; 4] = [0xF5, b'L', b'R', 1];
const FIELDS: usize = 5;
const HEADER_BYTES: usize = 4 + 1 + FIELDS * 8 + 4;
/// The longest payload of a record, and the most that one may inflate to.
pub(super) const MAX_RAW_BYTES: usize = 16 << 20;

const SCHEMA: u8 = b'S';
const BLOCK: u8 = b'B';

/// Where a block is and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) schema: u64,
    pub(super) rows: u32,
    /// Earliest and latest time of its rows.
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// One record that checks out.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Schema { id: u64, payload: &'a [u8] },
    Block { head: BlockHead, payload: &'a [u8] },
}

/// Names a schema by its metrics: FNV-1a, 64 bits (Fowler, Noll, Vo), over names and kinds.
pub(super) fn schema_id(schema: &Schema) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for metric in schema.metrics() {
        eat(kind_byte(metric.kind));
        metric.name.as_str().bytes().for_each(&mut eat);
        eat(b'\n');
    }
    hash
}

fn kind_byte(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Gauge => b'g',
        MetricKind::Counter => b'c',
    }
}

fn record(kind: u8, fields: [u64; FIELDS - 1], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.extend_from_slice(&MAGIC);
    out.push(kind);
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    let sum = checksum(&out[4..], payload);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(payload);
    out
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// The record that starts at `bytes`, with its length.
fn parse(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (head, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    if head[..4] != MAGIC {
        return None;
    }
    let mut fields = [0; FIELDS];
    for (field, raw) in fields.iter_mut().zip(head[5..].chunks_exact(8)) {
        *field = raw.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    }
    let [id, rows, from, to, len] = fields;
    let payload = rest.get(..usize::try_from(len).ok().filter(|&len| len <= MAX_RAW_BYTES)?)?;
    if head[HEADER_BYTES - 4..] != checksum(&head[4..HEADER_BYTES - 4], payload).to_le_bytes() {
        return None;
    }
    let found = match head[4] {
        SCHEMA => Record::Schema { id, payload },
        BLOCK => {
            let (from, to) = (Timestamp::from_nanos(from as i64), Timestamp::from_nanos(to as i64));
            Record::Block {
                head: BlockHead { schema: id, rows: u32::try_from(rows).ok()?, from, to },
                payload,
            }
        }
        _ => return None,
    };
    Some((found, HEADER_BYTES + payload.len()))
}

/// Calls `each` for every record that checks out, with its place, and returns where the last one ended and how many
/// stretches between them were damaged. Never fails.
pub(super) fn scan<'a>(bytes: &'a [u8], mut each: impl FnMut(Record<'a>, usize, usize)) -> (usize, usize) {
    let (mut offset, mut end, mut damaged) = (0, 0, 0);
    while offset < bytes.len() {
        match parse(&bytes[offset..]) {
            Some((record, len)) => {
                damaged += usize::from(offset > end);
                each(record, offset, len);
                offset += len;
                end = offset;
            }
            None => {
                let next = bytes[offset + 1..].windows(MAGIC.len()).position(|window| window == MAGIC);
                offset = next.map_or(bytes.len(), |distance| offset + 1 + distance);
            }
        }
    }
    (end, damaged)
}

/// A schema record.
pub(super) fn encode_schema(schema: &Schema) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for metric in schema.metrics() {
        text.push(kind_byte(metric.kind));
        text.extend_from_slice(metric.name.as_str().as_bytes());
        text.push(b'\n');
    }
    let payload = deflate(&text)?;
    let raw = text.len() as u64;
    (raw <= MAX_RAW_BYTES as u64).then(|| record(SCHEMA, [schema_id(schema), raw, 0, 0], &payload))
}

/// The schema of a record; none if it isn't one.
pub(super) fn decode_schema(id: u64, payload: &[u8]) -> Option<Arc<Schema>> {
    let text = String::from_utf8(inflate(payload, MAX_RAW_BYTES)?).ok()?;
    let metrics = text.lines().map(|line| {
        let kind = match line.as_bytes().first()? {
            b'g' => MetricKind::Gauge,
            b'c' => MetricKind::Counter,
            _ => return None,
        };
        Some(Metric::new(MetricName::new(line.get(1..)?).ok()?, kind))
    });
    let schema = Schema::new(metrics.collect::<Option<Vec<_>>>()?).ok()?;
    (schema_id(&schema) == id).then_some(schema)
}

/// A block record of rows (row after row, `times.len()` of them, at least one). Bits are kept, whatever they mean.
pub(super) fn encode_block(schema: u64, times: &[Timestamp], values: &[f64]) -> Option<Vec<u8>> {
    let rows = times.len();
    let columns = values.len().checked_div(rows)?;
    let words = rows * (columns + 1);
    let mut planes = vec![0; words * 8];
    let mut put = |word: u64, index: usize| {
        for (plane, byte) in word.to_le_bytes().into_iter().enumerate() {
            planes[plane * words + index] = byte;
        }
    };
    let (mut last, mut step) = (0_i64, 0_i64);
    for (row, time) in times.iter().enumerate() {
        let new_step = time.nanos().wrapping_sub(last);
        put(zigzag(new_step.wrapping_sub(step)), row);
        (last, step) = (time.nanos(), new_step);
    }
    for column in 0..columns {
        let mut before = 0;
        for row in 0..rows {
            let bits = values[row * columns + column].to_bits();
            put(bits ^ before, (column + 1) * rows + row);
            before = bits;
        }
    }
    let payload = deflate(&planes)?;
    let (from, to) = (times.iter().min()?, times.iter().max()?);
    let fields = [schema, rows as u64, from.nanos() as u64, to.nanos() as u64];
    (planes.len() <= MAX_RAW_BYTES).then(|| record(BLOCK, fields, &payload))
}

/// The rows of a block; none if the payload is not one of `schema` and `rows`.
pub(super) fn decode_block(head: &BlockHead, schema: &Arc<Schema>, payload: &[u8]) -> Option<Batch> {
    let (rows, columns) = (head.rows as usize, schema.len());
    let words = rows.checked_mul(columns + 1)?;
    let raw = words.checked_mul(8)?;
    let planes = inflate(payload, raw).filter(|planes| planes.len() == raw)?;
    let word = |index: usize| {
        (0..8).rev().fold(0_u64, |sum, plane| sum << 8 | u64::from(planes[plane * words + index]))
    };
    let mut batch = Batch::new(Arc::clone(schema));
    let mut before = vec![0; columns];
    let (mut last, mut step) = (0_i64, 0_i64);
    for row in 0..rows {
        step = step.wrapping_add(unzigzag(word(row)));
        last = last.wrapping_add(step);
        let values = batch.push_row(Timestamp::from_nanos(last));
        for (column, (value, before)) in values.iter_mut().zip(&mut before).enumerate() {
            *before ^= word((column + 1) * rows + row);
            *value = f64::from_bits(*before);
        }
    }
    Some(batch)
}

/// The payload of the block record that `bytes` are.
pub(super) fn block_payload(bytes: &[u8]) -> Option<&[u8]> {
    match parse(bytes)? {
        (Record::Block { payload, .. }, _) => Some(payload),
        (Record::Schema { .. }, _) => None,
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Level 1. The compressor lives only as long as the call: it has 300 kB, and a call comes once a minute.
fn deflate(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len() / 4 + 64);
    let mut compress = Compress::new(Compression::fast(), false);
    loop {
        let done = compress.total_in() as usize;
        match compress.compress_vec(raw.get(done..)?, &mut out, FlushCompress::Finish).ok()? {
            Status::StreamEnd => return Some(out),
            Status::Ok | Status::BufError => out.reserve(raw.len() / 2 + 64),
        }
    }
}

/// At most `limit` bytes, or nothing. Memory grows with what really comes: a length alone takes none.
fn inflate(payload: &[u8], limit: usize) -> Option<Vec<u8>> {
    let limit = limit.min(MAX_RAW_BYTES);
    let mut out = Vec::new();
    let mut inflate = Decompress::new(false);
    loop {
        let (read, written) = (inflate.total_in() as usize, out.len());
        // One byte more than the limit tells a stream that ends there from one that goes on.
        out.reserve_exact((limit + 1 - written).min(written + (64 << 10)));
        let status = inflate.decompress_vec(payload.get(read..)?, &mut out, FlushDecompress::None).ok()?;
        match status {
            Status::StreamEnd => return (out.len() <= limit).then_some(out),
            _ if out.len() > limit => return None,
            _ if inflate.total_in() as usize == read && out.len() == written => return None,
            Status::Ok | Status::BufError => {}
        }
    }
}
