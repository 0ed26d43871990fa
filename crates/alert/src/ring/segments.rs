//! The ring's files: a few segments, the newest appended to, the oldest deleted when there are too many bytes.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larnax_core::{Batch, Schema};

use crate::ring::block::{self, BlockHead, Record};

/// So many segments share the bound: deleting one loses a quarter of the past.
const SEGMENTS: u64 = 4;
const EXTENSION: &str = "ring";

/// Where a block is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) head: BlockHead,
    segment: u64,
    offset: u64,
    len: usize,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    len: u64,
    blocks: Vec<Placed>,
    schemas: Vec<u64>,
}

/// The files of one folder, with an index in memory of about 50 bytes a block.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    max_bytes: u64,
    segments: VecDeque<Segment>,
    schemas: HashMap<u64, Arc<Schema>>,
    damaged: Cell<u64>,
}

impl Segments {
    /// Looks at what is there. What can't be read counts as damaged and is left alone until its turn to be deleted.
    pub(super) fn open(folder: &Path, max_bytes: u64) -> Self {
        let mut all = Self {
            folder: folder.to_owned(),
            max_bytes,
            segments: VecDeque::new(),
            schemas: HashMap::new(),
            damaged: Cell::new(0),
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = entries.filter_map(|entry| number_of(&entry.path())).collect();
        numbers.sort_unstable();
        for number in numbers {
            all.load(number);
        }
        all
    }

    fn load(&mut self, number: u64) {
        let mut bytes = Vec::new();
        let file = File::open(self.path(number)).and_then(|file| {
            let len = file.metadata()?.len();
            file.take(self.max_bytes).read_to_end(&mut bytes).map(|_| len)
        });
        let mut segment = Segment { number, len: 0, blocks: Vec::new(), schemas: Vec::new() };
        let (end, mut damaged) = block::scan(&bytes, |record, offset, len| match record {
            Record::Schema { id, payload } => {
                if let Some(schema) =
                    self.schemas.get(&id).cloned().or_else(|| block::decode_schema(id, payload))
                {
                    self.schemas.insert(id, schema);
                    segment.schemas.push(id);
                }
            }
            Record::Block { head, .. } => {
                segment.blocks.push(Placed { head, segment: number, offset: offset as u64, len });
            }
        });
        damaged += usize::from(end < bytes.len() || file.is_err());
        // The next block is written where the last good record ended.
        segment.len = if file.is_err() { self.max_bytes } else { end as u64 };
        let before = segment.blocks.len();
        segment.blocks.retain(|placed| self.schemas.contains_key(&placed.head.schema));
        damaged += before - segment.blocks.len();
        self.damaged.set(self.damaged.get() + damaged as u64);
        self.segments.push_back(segment);
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}.{EXTENSION}"))
    }

    /// Appends a block; the oldest segments make room. Not synced: a power failure costs the last minutes, which the
    /// detector has judged already.
    pub(super) fn append(
        &mut self,
        schema: &Arc<Schema>,
        head: BlockHead,
        record: &[u8],
    ) -> io::Result<usize> {
        let share = self.max_bytes / SEGMENTS;
        let names = block::encode_schema(schema).ok_or_else(|| too_large("the schema"))?;
        let newest = self.segments.back();
        let known = newest.is_some_and(|newest| newest.schemas.contains(&head.schema));
        let needed = record.len() + if known { 0 } else { names.len() };
        let fits = newest.filter(|newest| newest.len + needed as u64 <= share);
        let number = fits.or(newest).map_or(1, |newest| newest.number + u64::from(fits.is_none()));
        // Each segment can be read by itself: a new one starts with the schema.
        let known = known && fits.is_some();
        let mut bytes = if known { Vec::new() } else { names };
        let offset = bytes.len();
        bytes.extend_from_slice(record);
        if bytes.len() as u64 > share {
            return Err(too_large("one block"));
        }
        self.write(number, &bytes)?;
        if self.segments.back().is_none_or(|newest| newest.number != number) {
            self.segments.push_back(Segment { number, len: 0, blocks: Vec::new(), schemas: Vec::new() });
        }
        if let Some(newest) = self.segments.back_mut() {
            let offset = newest.len + offset as u64;
            newest.blocks.push(Placed { head, segment: number, offset, len: record.len() });
            newest.len += bytes.len() as u64;
            if !known {
                newest.schemas.push(head.schema);
            }
        }
        self.schemas.entry(head.schema).or_insert_with(|| Arc::clone(schema));
        Ok(bytes.len())
    }

    fn write(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        while self.bytes() + bytes.len() as u64 > self.max_bytes {
            let Some(oldest) = self.segments.front().filter(|oldest| oldest.number != number) else { break };
            match fs::remove_file(self.path(oldest.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => self.segments.pop_front(),
            };
            let segments = &self.segments;
            self.schemas.retain(|id, _| segments.iter().any(|segment| segment.schemas.contains(id)));
        }
        let start =
            self.segments.back().filter(|newest| newest.number == number).map_or(0, |newest| newest.len);
        let file = File::options().create(true).truncate(false).write(true).open(self.path(number))?;
        // What stands beyond is the torn end of an earlier write.
        file.set_len(start)?;
        file.write_all_at(bytes, start).inspect_err(|_| {
            let _ = file.set_len(start);
        })
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Records that could not be read so far.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.get()
    }

    /// All blocks, oldest first.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Placed> {
        self.segments.iter().flat_map(|segment| &segment.blocks)
    }

    /// The rows of a block; one that can't be read is counted.
    pub(super) fn read(&self, placed: &Placed) -> Option<Batch> {
        let read = || {
            let schema = self.schemas.get(&placed.head.schema)?;
            let mut bytes = vec![0; placed.len];
            File::open(self.path(placed.segment)).ok()?.read_exact_at(&mut bytes, placed.offset).ok()?;
            block::decode_block(&placed.head, schema, block::block_payload(&bytes)?)
        };
        let rows = read();
        if rows.is_none() {
            self.damaged.set(self.damaged.get() + 1);
        }
        rows
    }
}

fn too_large(what: &str) -> io::Error {
    let message = format!("{what} is larger than a quarter of the ring: give it more bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

fn number_of(path: &Path) -> Option<u64> {
    (path.extension()? == EXTENSION).then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}
