//! The outbox: events wait here until every sink has them, through outages, crashes and full disks.
//!
//! One file is appended to and now and then rewritten without what nobody needs any more. Kept are the events that a
//! sink still has to get and the latest event of each open anomaly; nothing else. Memory holds an index only, so that
//! hours without network cost disk, not memory. Rejected: a database (a megabyte of program for one queue) and numbered
//! segment files (the live part of an 8 MiB file is rewritten in milliseconds, and one file is one thing to salvage).

mod log;
mod queue;
mod record;
mod state;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::path::Path;

use larnax_core::CloudEvent;
use larnax_core::event::AnomalyEvent;
use tokio::sync::Notify;

use self::log::{InUse, Log};
use self::queue::{Place, Queue};
use self::record::{Kind, MAX_PAYLOAD_BYTES};
use self::state::State;
use crate::AlertError;
use crate::told::Told;

/// The smallest bound that leaves room for a few events.
const MIN_BYTES: u64 = 64 << 10;

/// How an outbox is made.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    /// The largest the file (or, without a folder, the memory) may become, in bytes. While it is rewritten the new file
    /// stands beside the old one.
    pub max_bytes: u64,
    /// The names of the sinks that must get every event. A name that is new gets everything that is still here.
    pub sinks: Vec<String>,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self { max_bytes: 8 << 20, sinks: Vec::new() }
    }
}

/// What an outbox found when it was opened.
#[derive(Clone, Debug)]
pub struct Recovered<D = AnomalyEvent> {
    /// The latest event of each anomaly or incident that was open. Times have lost what is below a millisecond.
    pub open: Vec<CloudEvent<D>>,
    /// How many events some sink still has to get.
    pub pending: usize,
    /// What could not be read or written, in sentences for the log.
    pub damaged: Vec<String>,
    /// Bytes of a last record whose writing never finished, cut off: the normal trace of a crash.
    pub torn_bytes: usize,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Accepted {
    /// It is on disk: no crash loses it.
    Durable,
    /// It is held in memory: a crash would lose it. The disk is tried again with the next event and at every tick.
    Held {
        /// Why.
        reason: String,
    },
}

/// Events for one sink.
#[derive(Clone, Debug)]
pub struct Batch<D = AnomalyEvent> {
    /// Oldest first.
    pub events: Vec<CloudEvent<D>>,
    /// The sequence of each event, to acknowledge it with.
    pub sequences: Vec<u64>,
}

/// Figures for `/metrics` and `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Events accepted since the start.
    pub accepted: u64,
    /// Events that some sink still has to get.
    pub pending: usize,
    /// Events that are in memory only.
    pub held: usize,
    /// Anomalies or incidents of which events were given up because the outbox was full.
    pub dropped_subjects: u64,
    /// Those events.
    pub dropped_events: u64,
    /// Stretches and records that could not be read.
    pub damaged: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Why the disk takes nothing at the moment.
    pub problem: Option<String>,
}

/// A durable queue with one reader per sink. All calls are short; none may be made from two threads.
#[derive(Debug)]
pub struct Outbox<D = AnomalyEvent> {
    state: RefCell<State>,
    changed: Notify,
    told: PhantomData<D>,
}

impl<D: Told> Outbox<D> {
    /// Opens the outbox of a folder and reads what is in it; without a folder it lives in memory.
    ///
    /// A folder that can't be written to is not an error: events are then held in memory, and `damaged` says why.
    pub fn open(folder: Option<&Path>, options: OutboxOptions) -> Result<(Self, Recovered<D>), AlertError> {
        if options.max_bytes < MIN_BYTES {
            let found = options.max_bytes.to_string();
            return Err(AlertError::Option {
                option: "outbox max_bytes",
                found,
                expected: "at least 65536 bytes",
            });
        }
        let mut state = State {
            log: None,
            queue: Queue::new(&options.sinks),
            max_bytes: options.max_bytes,
            stats: OutboxStats::default(),
        };
        let mut recovered = Recovered { open: Vec::new(), pending: 0, damaged: Vec::new(), torn_bytes: 0 };
        if let Some(folder) = folder {
            let (log, bytes, problem) =
                Log::open(folder).map_err(|InUse(path)| AlertError::InUse { path })?;
            if let Some(error) = problem {
                recovered
                    .damaged
                    .push(format!("{}: {error}: events are held in memory", log.path().display()));
            }
            state.log = Some(log);
            state.recover(&bytes, &mut recovered);
            drop(bytes);
            if let Err(error) = state.persist() {
                recovered.damaged.push(error);
            }
        }
        recovered.open = state.load(state.queue.open().cloned().collect()).events;
        recovered.pending = state.queue.pending_anywhere();
        Ok((Self { state: RefCell::new(state), changed: Notify::new(), told: PhantomData }, recovered))
    }

    /// Changes who must get every event, as when the configuration was read again.
    pub fn set_sinks(&self, sinks: &[String]) {
        self.state.borrow_mut().queue.set_sinks(sinks);
        self.changed.notify_waiters();
    }

    /// Takes an event. Metrics without a finite deviation are left out of it, and its evidence if it is too large.
    pub fn accept(&self, event: &CloudEvent<D>) -> Result<Accepted, AlertError> {
        let json = encode_event(event)?;
        let outcome = self.state.borrow_mut().accept(&event.data, json);
        self.changed.notify_waiters();
        Ok(outcome)
    }

    /// Tries again to bring to disk what is held in memory. Cheap when there is nothing. To be called now and then.
    pub fn tick(&self) {
        let mut state = self.state.borrow_mut();
        if state.stats.problem.is_some() {
            // The reason is kept in the figures.
            let _ = state.persist();
        }
    }

    /// What a sink still has to get: at most `max` events, oldest first.
    pub fn pending(&self, sink: &str, max: usize) -> Batch<D> {
        let mut state = self.state.borrow_mut();
        let entries = state.queue.pending(sink).take(max).cloned().collect();
        state.load(entries)
    }

    /// How many events a sink still has to get.
    pub fn pending_count(&self, sink: &str) -> usize {
        self.state.borrow().queue.pending(sink).count()
    }

    /// Whether a sink has everything.
    pub fn is_delivered(&self, sink: &str) -> bool {
        self.state.borrow().queue.pending(sink).next().is_none()
    }

    /// The latest event of each open anomaly or incident that a sink already has, to remind it.
    pub fn open_events(&self, sink: &str) -> Vec<CloudEvent<D>> {
        let mut state = self.state.borrow_mut();
        let first_pending = state.queue.pending(sink).next().map_or(u64::MAX, |entry| entry.sequence);
        let entries = state.queue.open().filter(|entry| entry.sequence < first_pending).cloned().collect();
        state.load(entries).events
    }

    /// Whether an anomaly or incident is open.
    pub fn has_open(&self) -> bool {
        self.state.borrow().queue.open().next().is_some()
    }

    /// Notes that a sink has everything up to a sequence. Written without waiting for the disk: losing the note costs
    /// a second delivery, never an event.
    pub fn ack(&self, sink: &str, sequence: u64) {
        self.state.borrow_mut().ack(sink, sequence);
        self.changed.notify_waiters();
    }

    /// Resolves at the next event or acknowledgement after its first poll or `enable`.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Figures as they stand.
    pub fn stats(&self) -> OutboxStats {
        let state = self.state.borrow();
        OutboxStats {
            pending: state.queue.pending_anywhere(),
            held: state.queue.entries().filter(|entry| matches!(entry.place, Place::Memory(_))).count(),
            file_bytes: state.log.as_ref().map_or(0, Log::len),
            ..state.stats.clone()
        }
    }
}

/// The events that can be read from the bytes of an outbox file, however damaged, with the number of damaged
/// stretches. Never fails: an entry point for fuzzing and for repair by hand.
pub fn salvage<D: Told>(bytes: &[u8]) -> (Vec<CloudEvent<D>>, usize) {
    let scan = record::scan(bytes);
    let events = scan.records.iter().filter(|record| record.kind == Kind::Event);
    let events = events.filter_map(|record| serde_json::from_slice(record.payload).ok()).collect();
    (events, scan.damaged.len())
}

fn encode_event<D: Told>(event: &CloudEvent<D>) -> Result<Vec<u8>, AlertError> {
    let too_large =
        |found| AlertError::EventTooLarge { id: event.id.clone(), found, limit: MAX_PAYLOAD_BYTES };
    let mut event = event.clone();
    event.data.clean();
    // Serializing these types to memory can't fail; should it ever, the event is refused like one of no size.
    let json = serde_json::to_vec(&event).map_err(|_| too_large(0))?;
    if json.len() <= MAX_PAYLOAD_BYTES {
        return Ok(json);
    }
    event.data.shorten();
    let json = serde_json::to_vec(&event).map_err(|_| too_large(0))?;
    if json.len() <= MAX_PAYLOAD_BYTES { Ok(json) } else { Err(too_large(json.len())) }
}

#[cfg(test)]
mod tests;
