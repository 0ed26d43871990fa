//! The evidence ring: the samples of one component over the last hours, lossless, in a bounded folder.
//!
//! Rows gather in a buffer and go to disk as compressed blocks, about one a minute. A ring whose disk is full or
//! read-only keeps its last blocks in memory and tries again with each new one; it never stops the samples.

mod block;
mod segments;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Batch, MetricName, Row, Schema, Timestamp, Window};

use self::block::{BlockHead, Record};
use self::segments::Segments;
use crate::AlertError;

/// The smallest bound: four segments of 16 KiB.
const MIN_BYTES: u64 = 64 << 10;

/// How a ring is made.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// The most that all files together may have, in bytes.
    pub max_bytes: u64,
    /// How much time a block spans. A crash loses up to that much.
    pub block: Duration,
    /// A block ends early when its rows have so many bytes in memory.
    pub block_bytes: usize,
    /// The most that blocks which could not be written may take in memory.
    pub held_bytes: usize,
}

impl Default for RingOptions {
    /// 8 MiB on disk, a minute and 128 KiB a block, 256 KiB held.
    fn default() -> Self {
        Self {
            max_bytes: 8 << 20,
            block: Duration::from_secs(60),
            block_bytes: 128 << 10,
            held_bytes: 256 << 10,
        }
    }
}

/// Figures for `/metrics` and `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Rows taken since the start.
    pub rows: u64,
    /// Rows that were not as wide as their schema, or of a schema without metrics.
    pub refused: u64,
    /// Bytes written to disk since the start.
    pub written_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Blocks in memory that wait for the disk.
    pub held_blocks: usize,
    /// Blocks given up because the disk took nothing for too long.
    pub lost_blocks: u64,
    /// Records on disk that could not be read.
    pub damaged: u64,
    /// Why the disk takes nothing at the moment.
    pub problem: Option<String>,
}

/// The past of one component.
#[derive(Debug)]
pub struct Ring {
    options: RingOptions,
    segments: Option<Segments>,
    held: VecDeque<Held>,
    /// The rows of the block to come, row after row, under `schema`.
    schema: Option<(Arc<Schema>, u64)>,
    times: Vec<Timestamp>,
    values: Vec<f64>,
    stats: RingStats,
}

/// A block that is not on disk.
#[derive(Debug)]
struct Held {
    schema: Arc<Schema>,
    head: BlockHead,
    record: Vec<u8>,
}

impl Ring {
    /// Opens the ring of a folder, which is its alone; without a folder it holds what fits into
    /// [`RingOptions::held_bytes`]. Damage, or a folder that can't be used, is counted, not an error.
    pub fn open(folder: Option<&Path>, options: RingOptions) -> Result<Self, AlertError> {
        if options.max_bytes < MIN_BYTES {
            let found = options.max_bytes.to_string();
            return Err(AlertError::Option {
                option: "ring max_bytes",
                found,
                expected: "at least 65536 bytes",
            });
        }
        Ok(Self {
            segments: folder.map(|folder| Segments::open(folder, options.max_bytes)),
            options,
            held: VecDeque::new(),
            schema: None,
            times: Vec::new(),
            values: Vec::new(),
            stats: RingStats::default(),
        })
    }

    /// Takes a row. Hot: called at every sample, allocates nothing once warm, except when a block is full.
    pub fn push(&mut self, schema: &Arc<Schema>, row: Row<'_>) {
        if schema.is_empty() || row.values.len() != schema.len() {
            self.stats.refused += 1;
            return;
        }
        if !self.schema.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, schema)) {
            self.take_schema(schema);
        }
        let span = self.times.first().map_or(0.0, |first| row.time.since(*first).abs());
        if span >= self.options.block.as_secs_f64() {
            self.flush();
        }
        self.times.push(row.time);
        self.values.extend_from_slice(row.values);
        self.stats.rows += 1;
        if (self.values.len() + self.times.len()) * 8 >= self.options.block_bytes {
            self.flush();
        }
    }

    fn take_schema(&mut self, schema: &Arc<Schema>) {
        let id = match &self.schema {
            Some((current, id)) if current == schema => *id,
            _ => {
                self.flush();
                block::schema_id(schema)
            }
        };
        self.schema = Some((Arc::clone(schema), id));
    }

    /// Ends the block and writes it. Called by itself when it is time, and to be called before the program ends.
    pub fn flush(&mut self) {
        if let (Some((schema, id)), Some(from), Some(to)) =
            (&self.schema, self.times.iter().min(), self.times.iter().max())
        {
            let head = BlockHead { schema: *id, rows: self.times.len() as u32, from: *from, to: *to };
            match block::encode_block(*id, &self.times, &self.values) {
                Some(record) => self.held.push_back(Held { schema: Arc::clone(schema), head, record }),
                None => self.stats.lost_blocks += 1,
            }
        }
        self.times.clear();
        self.values.clear();
        self.write_held();
    }

    fn write_held(&mut self) {
        let mut written = Ok(());
        while let (Some(segments), Some(held)) = (&mut self.segments, self.held.front()) {
            match segments.append(&held.schema, held.head, &held.record) {
                Ok(bytes) => self.stats.written_bytes += bytes as u64,
                // Waiting makes no block smaller.
                Err(error)
                    if error.kind() == io::ErrorKind::FileTooLarge && error.raw_os_error().is_none() =>
                {
                    self.stats.lost_blocks += 1;
                    written = Err(error);
                }
                Err(error) => {
                    written = Err(error);
                    break;
                }
            }
            self.held.pop_front();
        }
        while self.held.iter().map(|held| held.record.len()).sum::<usize>() > self.options.held_bytes {
            self.held.pop_front();
            // Without a folder, memory is the ring, and its oldest end falls off as it should.
            self.stats.lost_blocks += u64::from(self.segments.is_some());
        }
        let problem = written.err().map(|error| error.to_string());
        if problem != self.stats.problem {
            match &problem {
                Some(problem) => tracing::warn!(
                    problem,
                    "the evidence ring can't be written: its last blocks stay in memory"
                ),
                None => tracing::info!("the evidence ring is written again"),
            }
            self.stats.problem = problem;
        }
    }

    /// Calls `each` with the rows of one block after the other, oldest first, that may have rows from `from` to `to`;
    /// the block still being gathered comes last. Bit for bit what was pushed.
    pub fn visit(&self, from: Timestamp, to: Timestamp, mut each: impl FnMut(&Batch)) {
        let wanted = |head: &BlockHead| head.from <= to && head.to >= from;
        let placed =
            self.segments.iter().flat_map(|segments| segments.blocks().map(move |placed| (segments, placed)));
        for (segments, placed) in placed.filter(|(_, placed)| wanted(&placed.head)) {
            if let Some(batch) = segments.read(placed) {
                each(&batch);
            }
        }
        for held in self.held.iter().filter(|held| wanted(&held.head)) {
            let payload = block::block_payload(&held.record);
            if let Some(batch) =
                payload.and_then(|payload| block::decode_block(&held.head, &held.schema, payload))
            {
                each(&batch);
            }
        }
        if let Some((schema, _)) = self.schema.as_ref().filter(|_| !self.times.is_empty()) {
            let mut batch = Batch::new(Arc::clone(schema));
            for (time, values) in self.times.iter().zip(self.values.chunks_exact(schema.len())) {
                batch.push_row(*time).copy_from_slice(values);
            }
            each(&batch);
        }
    }

    /// The rows from `from` to `to`, both included, with the metrics that `select` wants, thinned evenly to about
    /// `max_rows`, the newest always among them. Columns are in order of first appearance; what is not finite is none.
    pub fn read(
        &self,
        from: Timestamp,
        to: Timestamp,
        max_rows: usize,
        select: impl Fn(&MetricName) -> bool,
    ) -> Window {
        let mut rows = 0;
        let (mut newest, mut place) = (Timestamp::from_nanos(i64::MIN), 0);
        let within = |time: Timestamp| from <= time && time <= to;
        let wanted = |head: &BlockHead| head.from <= to && head.to >= from;
        let heads = self.segments.iter().flat_map(|segments| segments.blocks().map(|placed| &placed.head));
        for head in heads.chain(self.held.iter().map(|held| &held.head)).filter(|head| wanted(head)) {
            rows += head.rows as usize;
            newest = newest.max(head.to.min(to));
        }
        rows += self.times.iter().filter(|&&time| within(time)).count();
        newest = self.times.iter().copied().filter(|&time| within(time)).fold(newest, Timestamp::max);
        let step = rows.div_ceil(max_rows.max(1)).max(1);

        let mut window = Window::default();
        self.visit(from, to, |batch| {
            let columns = columns(&mut window, batch.schema(), &select);
            for row in batch.rows().filter(|row| within(row.time)) {
                if place % step == 0 || row.time == newest {
                    let mut values = vec![None; window.metrics.len()];
                    for &(source, target) in &columns {
                        values[target] = row.values.get(source).copied().filter(|value| value.is_finite());
                    }
                    window.times.push(row.time);
                    window.rows.push(values);
                }
                place += 1;
            }
        });
        let width = window.metrics.len();
        window.rows.iter_mut().for_each(|row| row.resize(width, None));
        window
    }

    /// The last `window` of rows before and at `now`: see [`Ring::read`].
    pub fn tail(
        &self,
        now: Timestamp,
        window: Duration,
        max_rows: usize,
        select: impl Fn(&MetricName) -> bool,
    ) -> Window {
        self.read(now.minus(window), now, max_rows, select)
    }

    /// Figures as they stand.
    pub fn stats(&self) -> RingStats {
        RingStats {
            disk_bytes: self.segments.as_ref().map_or(0, Segments::bytes),
            damaged: self.segments.as_ref().map_or(0, Segments::damaged),
            held_blocks: self.held.len(),
            ..self.stats.clone()
        }
    }
}

/// Where each wanted metric of a schema stands in the window, which gets columns for new ones.
fn columns(
    window: &mut Window,
    schema: &Schema,
    select: impl Fn(&MetricName) -> bool,
) -> Vec<(usize, usize)> {
    let wanted = schema.metrics().iter().enumerate().filter(|(_, metric)| select(&metric.name));
    wanted
        .enumerate()
        .map(|(guess, (source, metric))| {
            // Under an unchanged schema the guess is right, and nothing is searched for.
            if window.metrics.get(guess) == Some(&metric.name) {
                return (source, guess);
            }
            let known = window.metrics.iter().position(|name| *name == metric.name);
            let target = known.unwrap_or_else(|| {
                window.metrics.push(metric.name.clone());
                window.metrics.len() - 1
            });
            (source, target)
        })
        .collect()
}

/// The rows that can be read from the bytes of one segment file, however damaged, with the number of records that
/// can't. Never fails: an entry point for fuzzing and for repair by hand.
pub fn salvage(bytes: &[u8]) -> (Vec<Batch>, usize) {
    let mut schemas: Vec<(u64, Arc<Schema>)> = Vec::new();
    let mut batches = Vec::new();
    let mut unreadable = 0;
    let (end, damaged) = block::scan(bytes, |record, _, _| match record {
        Record::Schema { id, payload } => {
            schemas.extend(block::decode_schema(id, payload).map(|schema| (id, schema)))
        }
        Record::Block { head, payload } => {
            let schema = schemas.iter().find(|(id, _)| *id == head.schema);
            match schema.and_then(|(_, schema)| block::decode_block(&head, schema, payload)) {
                Some(batch) => batches.push(batch),
                None => unreadable += 1,
            }
        }
    });
    (batches, damaged + unreadable + usize::from(end < bytes.len()))
}

#[cfg(test)]
mod tests;
