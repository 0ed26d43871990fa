//! What an outbox holds and how it comes to disk and back: the queue and its file together.

use std::io;
use std::rc::Rc;

use larnax_core::CloudEvent;

use crate::outbox::log::Log;
use crate::outbox::queue::{Entry, Place, Queue};
use crate::outbox::record::{self, HEADER_BYTES, Kind};
use crate::outbox::{Accepted, Batch, OutboxStats, Recovered};
use crate::told::Told;

/// What events may take in memory while the disk takes nothing.
const HELD_BYTES: u64 = 1 << 20;
/// Below this size a file is not worth rewriting.
const SMALL_FILE_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Option<Log>,
    pub(super) queue: Queue,
    pub(super) max_bytes: u64,
    pub(super) stats: OutboxStats,
}

impl State {
    /// Fills the queue from the bytes of the file.
    pub(super) fn recover<D: Told>(&mut self, bytes: &[u8], recovered: &mut Recovered<D>) {
        let Some(log) = &mut self.log else { return };
        let path = log.path();
        let scan = record::scan(bytes);
        let mut unreadable = Vec::new();
        // Sequences rise in the file; one that doesn't is the remains of an older write.
        let mut last_event = 0;
        for found in &scan.records {
            match found.kind {
                Kind::Event if found.sequence <= last_event => {}
                Kind::Event => match serde_json::from_slice::<CloudEvent<D>>(found.payload) {
                    Ok(event) => {
                        last_event = found.sequence;
                        self.queue.insert(Entry {
                            sequence: found.sequence,
                            subject: event.data.subject(),
                            open: event.data.goes_on(),
                            bytes: found.payload.len() as u32,
                            place: Place::Disk { offset: found.offset as u64 },
                        });
                    }
                    Err(error) => unreadable.push(format!(
                        "{}: the event at byte {} is not one that this version reads: {error}",
                        path.display(),
                        found.offset
                    )),
                },
                Kind::Ack => self.queue.note(&String::from_utf8_lossy(found.payload), found.sequence),
                Kind::Mark => self.queue.last = self.queue.last.max(found.sequence),
            }
        }
        self.queue.forget_finished();
        for gap in &scan.damaged {
            unreadable.push(format!(
                "{}: bytes {} to {} are no record: expected the mark and checksum of one; {} records around them were \
                 read",
                path.display(),
                gap.start,
                gap.end,
                scan.records.len()
            ));
        }
        self.stats.damaged += unreadable.len() as u64;
        recovered.torn_bytes = scan.torn;
        if scan.torn > 0 || !unreadable.is_empty() {
            log.distrust();
        }
        if !unreadable.is_empty() {
            match log.set_aside() {
                Ok(aside) => unreadable.push(format!("the damaged file is kept as {}", aside.display())),
                Err(error) => unreadable.push(format!("the damaged file could not be set aside: {error}")),
            }
        }
        recovered.damaged.append(&mut unreadable);
    }

    pub(super) fn accept(&mut self, data: &impl Told, json: Vec<u8>) -> Accepted {
        self.stats.accepted += 1;
        self.queue.push(Entry {
            sequence: self.queue.last + 1,
            subject: data.subject(),
            open: data.goes_on(),
            bytes: json.len() as u32,
            place: Place::Memory(Rc::from(json)),
        });
        self.make_room(self.max_bytes, |_| true);
        match self.persist() {
            Ok(()) => Accepted::Durable,
            Err(reason) => {
                if self.log.is_some() {
                    self.make_room(HELD_BYTES, |entry| matches!(entry.place, Place::Memory(_)));
                }
                Accepted::Held { reason }
            }
        }
    }

    /// Gives up events until those that `among` names fit into `limit`, with a quarter to spare so that a full outbox
    /// is not rewritten at every event.
    fn make_room(&mut self, limit: u64, among: impl Fn(&Entry) -> bool) {
        let mut total: u64 = self.queue.entries().filter(|entry| among(entry)).map(frame_bytes).sum();
        if total <= limit {
            return;
        }
        while total > limit - limit / 4 {
            let Some(dropped) = self.queue.give_up(&among) else { return };
            self.stats.dropped_subjects += 1;
            self.stats.dropped_events += dropped.events as u64;
            tracing::warn!(
                subject = format_args!("{:016x}", dropped.subject),
                events = dropped.events,
                open = dropped.was_open,
                "outbox full: events were given up before every sink had them"
            );
            total = self.queue.entries().filter(|entry| among(entry)).map(frame_bytes).sum();
        }
    }

    /// Brings to disk what is in memory, durably; says why it can't.
    pub(super) fn persist(&mut self) -> Result<(), String> {
        let Some(log) = &self.log else { return Err("no state directory is set".to_owned()) };
        let path = log.path();
        let problem = self.write_held().err().map(|error| format!("{}: {error}", path.display()));
        if problem != self.stats.problem {
            match &problem {
                Some(problem) => {
                    tracing::warn!(problem, "the outbox can't be written: events are held in memory")
                }
                None => tracing::info!(path = %path.display(), "the outbox is written again"),
            }
        }
        self.stats.problem.clone_from(&problem);
        problem.map_or(Ok(()), Err)
    }

    /// Appends what is in memory, or rewrites the file if that is due.
    fn write_held(&mut self) -> io::Result<()> {
        let mut frames = Vec::new();
        let mut offsets = Vec::new();
        for entry in self.queue.entries() {
            if let Place::Memory(json) = &entry.place {
                offsets.push(frames.len() as u64);
                record::encode(Kind::Event, entry.sequence, json, &mut frames);
            }
        }
        if self.is_rewrite_due(frames.len()) {
            return self.rewrite();
        }
        let Some(log) = self.log.as_mut().filter(|_| !frames.is_empty()) else { return Ok(()) };
        let len = log.len();
        let start = match log.append(&frames, true) {
            Ok(start) => start,
            // On a full disk a shorter file may still fit where a longer one doesn't.
            Err(error) if self.live_bytes() < len => return self.rewrite().map_err(|_| error),
            Err(error) => return Err(error),
        };
        let held = self.queue.entries_mut().filter(|entry| matches!(entry.place, Place::Memory(_)));
        for (entry, offset) in held.zip(offsets) {
            entry.place = Place::Disk { offset: start + offset };
        }
        Ok(())
    }

    /// Whether the file can't be appended to, would become too large, or is mostly waste.
    fn is_rewrite_due(&self, more: usize) -> bool {
        let Some(log) = &self.log else { return false };
        let len = log.len() + more as u64;
        let wasteful = len > SMALL_FILE_BYTES && self.live_bytes() < len / 2;
        !log.is_writable() || len > self.max_bytes || wasteful
    }

    /// What the file would have if it were rewritten, but for a few cursors.
    fn live_bytes(&self) -> u64 {
        self.queue.entries().map(frame_bytes).sum()
    }

    /// Writes a new file with what is still needed.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let queue = &self.queue;
        let mut places = Vec::new();
        let mut lost = Vec::new();
        let synced = log.rewrite(|old, new| {
            let mut frames = Vec::new();
            record::encode(Kind::Mark, queue.last, &[], &mut frames);
            for cursor in &queue.cursors {
                record::encode(Kind::Ack, cursor.delivered, cursor.sink.as_bytes(), &mut frames);
            }
            new.write(&frames)?;
            for entry in queue.entries() {
                frames.clear();
                match read_entry(Some(old), entry) {
                    Ok(json) => record::encode(Kind::Event, entry.sequence, &json, &mut frames),
                    Err(error) => {
                        lost.push((entry.sequence, error));
                        continue;
                    }
                }
                places.push(new.write(&frames)?);
            }
            Ok(())
        })?;
        for (sequence, error) in lost {
            self.lose(sequence, &error.to_string());
        }
        for (entry, offset) in self.queue.entries_mut().zip(places) {
            entry.place = Place::Disk { offset };
        }
        synced
    }

    pub(super) fn ack(&mut self, sink: &str, sequence: u64) {
        self.queue.ack(sink, sequence);
        let mut frame = Vec::new();
        record::encode(Kind::Ack, sequence, sink.as_bytes(), &mut frame);
        let due = self.is_rewrite_due(frame.len());
        let result = match &mut self.log {
            // While the disk takes nothing, the next event or tick tries it again.
            Some(_) if self.stats.problem.is_some() => Ok(()),
            Some(_) if due => self.rewrite(),
            Some(log) => log.append(&frame, false).map(|_| ()),
            None => Ok(()),
        };
        if let Err(error) = result {
            tracing::debug!(%sink, %error, "an acknowledgement was not written: a restart would deliver again");
        }
    }

    /// Reads events back. One that can't be read is given up loudly, so that it never holds back the others.
    pub(super) fn load<D: Told>(&mut self, entries: Vec<Entry>) -> Batch<D> {
        let mut batch = Batch { events: Vec::new(), sequences: Vec::new() };
        for entry in entries {
            let event = read_entry(self.log.as_ref(), &entry)
                .map_err(|error| error.to_string())
                .and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()));
            match event {
                Ok(event) => {
                    batch.events.push(event);
                    batch.sequences.push(entry.sequence);
                }
                Err(error) => self.lose(entry.sequence, &error),
            }
        }
        batch
    }

    fn lose(&mut self, sequence: u64, error: &str) {
        self.stats.damaged += 1;
        self.queue.remove(sequence);
        tracing::error!(sequence, error, "an event in the outbox can't be read any more and is lost");
    }
}

fn frame_bytes(entry: &Entry) -> u64 {
    HEADER_BYTES as u64 + u64::from(entry.bytes)
}

fn read_entry(log: Option<&Log>, entry: &Entry) -> io::Result<Vec<u8>> {
    match (&entry.place, log) {
        (Place::Memory(json), _) => Ok(json.to_vec()),
        (Place::Disk { offset }, Some(log)) => log.read(*offset, entry.bytes),
        (Place::Disk { .. }, None) => Err(io::Error::other("the outbox has no file")),
    }
}
