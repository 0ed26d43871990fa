//! The host as a source: which reader is due, and where its values go.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larnax_core::{Batch, Clock, Metric, Schema};

use super::cgroup::CgroupReader;
use super::cpu::CpuReader;
use super::disk::DiskReader;
use super::file::Buffer;
use super::filesystem::FilesystemReader;
use super::load::{FilesReader, LoadReader};
use super::memory::{EventsReader, MemoryReader};
use super::network::NetworkReader;
use super::options::HostOptions;
use super::pressure::PressureReader;
use super::process::{MAX_GROUPS, ProcessGroup, ProcessReader};
use super::reader::{Names, Reader, Roots, Slots, Total};
use super::sockets::{CountersReader, SocketsReader};
use crate::{Collected, Cost, ErrorClass, LocalFuture, Source, SourceError};

/// How often a reader is asked whether there are other metrics by now.
const LOOK_ROUND: Duration = Duration::from_secs(5);

struct Entry {
    reader: Box<dyn Reader>,
    metrics: Vec<Metric>,
    refused: u64,
    place: Range<usize>,
    last: Option<Duration>,
    due: Duration,
    look: Duration,
    reads: u64,
}

/// Metrics of this machine.
///
/// All are gauges: rates are per second since the reader's last read, by the monotonic clock. At the first collection
/// rates are missing (NaN), and once more for a counter that fell. Metrics that are expensive or slow (file systems,
/// control groups, processes, load) are read more seldom than collections may be, and keep their value in between.
///
/// A disk, interface or CPU that comes or goes is noticed within seconds and gives a new schema; until then one that has
/// gone is missing.
pub struct HostSource {
    entries: Vec<Entry>,
    schema: Arc<Schema>,
    values: Vec<f64>,
    totals: Vec<Total>,
    buffer: Buffer,
    clock: Rc<dyn Clock>,
    started: Instant,
    cost: Cost,
}

impl HostSource {
    /// Finds out what this machine can tell.
    ///
    /// # Errors
    /// Of class config: when nothing can be read at all, there are more than 64 process groups, or a group's name is none
    /// or stands twice.
    pub fn new(options: HostOptions, clock: Rc<dyn Clock>) -> Result<Self, SourceError> {
        let roots = Roots { proc: options.proc, sys: options.sys, rootfs: options.rootfs };
        check(&options.processes)?;
        let readers: Vec<Box<dyn Reader>> = vec![
            Box::new(CpuReader::new(&roots, options.max_cpus)),
            Box::new(LoadReader::new(&roots)),
            Box::new(MemoryReader::new(&roots)),
            Box::new(EventsReader::new(&roots)),
            Box::new(PressureReader::new(&roots)),
            Box::new(DiskReader::new(&roots, options.max_disks)),
            Box::new(FilesystemReader::new(&roots, options.max_mounts)),
            Box::new(NetworkReader::new(&roots, options.max_nics)),
            Box::new(CountersReader::snmp(&roots)),
            Box::new(CountersReader::netstat(&roots)),
            Box::new(SocketsReader::new(&roots)),
            Box::new(FilesReader::new(&roots)),
            Box::new(CgroupReader::new(&roots, options.cgroups, options.max_cgroups)),
            Box::new(ProcessReader::new(&roots, options.processes)),
        ];
        let count = readers.len() as u32;
        let mut buffer = Buffer::default();
        let entries = readers.into_iter().enumerate().map(|(i, mut reader)| {
            let (metrics, refused) = discover(reader.as_mut(), &mut buffer);
            // Spread over the time, so that they don't all look round in the same collection.
            let look = LOOK_ROUND + LOOK_ROUND * i as u32 / count;
            Entry { reader, metrics, refused, place: 0..0, last: None, due: Duration::ZERO, look, reads: 1 }
        });
        let mut source = Self {
            entries: entries.collect(),
            schema: Schema::new(Vec::new()).map_err(config)?,
            values: Vec::new(),
            totals: Vec::new(),
            buffer,
            clock,
            started: Instant::now(),
            cost: Cost::default(),
        };
        source.arrange()?;
        if source.schema.is_empty() {
            return Err(nothing(&roots));
        }
        Ok(source)
    }

    /// The metrics as they are known now.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Collects once into one row, at `now` since any fixed instant of a monotonic clock; the wall clock gives the row's
    /// time. [`Source::collect`] is this with the machine's monotonic clock; tests hold the time.
    ///
    /// Hot path: allocates nothing while the metrics stay the same, except that control groups, when any are watched,
    /// are walked every 5 s.
    ///
    /// # Errors
    /// Of class config: when no file could be read.
    pub fn collect_at(&mut self, now: Duration, batch: &mut Batch) -> Result<Collected, SourceError> {
        let time = self.clock.now();
        let result = self.look_round(now).and_then(|()| self.read(now));
        self.cost.bytes_read = self.buffer.bytes_read();
        if let Err(error) = result {
            self.cost.failures += 1;
            return Err(error);
        }
        self.cost.collections += 1;
        self.cost.refused_samples += self.entries.iter().map(|entry| entry.refused).sum::<u64>();
        batch.reset(&self.schema);
        batch.push_row(time).copy_from_slice(&self.values);
        Ok(Collected::Rows)
    }

    fn read(&mut self, now: Duration) -> Result<(), SourceError> {
        let count = self.entries.len() as u32;
        let (mut due, mut told) = (false, false);
        for (i, entry) in self.entries.iter_mut().enumerate() {
            let elapsed = entry.last.map(|last| now.saturating_sub(last));
            if entry.metrics.is_empty() || now < entry.due {
                continue;
            }
            let (Some(values), Some(totals)) =
                (self.values.get_mut(entry.place.clone()), self.totals.get_mut(entry.place.clone()))
            else {
                continue;
            };
            values.fill(f64::NAN);
            entry.reads += 1;
            let before = self.buffer.bytes_read();
            let elapsed = elapsed.map_or(f64::NAN, |elapsed| elapsed.as_secs_f64());
            let mut slots = Slots { values, totals, elapsed, read: entry.reads };
            entry.reader.read(&mut self.buffer, &mut slots);
            due = true;
            told |= self.buffer.bytes_read() > before;
            let period = entry.reader.period();
            // After the first collection, which reads all, the seldom ones are spread over time. A tenth of slack, so
            // that a collection that comes a little early doesn't find its reader not yet due.
            let wait = if entry.last.is_none() { period * i as u32 / count } else { period * 9 / 10 };
            entry.due = now + wait;
            entry.last = Some(now);
        }
        if due && !told {
            let message = "no metric of this machine could be read, but some could before: expected a mounted procfs; \
                check the mounts of this container";
            return Err(SourceError::new(ErrorClass::Config, message));
        }
        Ok(())
    }

    /// Asks the readers whose turn it is whether their metrics are still the right ones.
    fn look_round(&mut self, now: Duration) -> Result<(), SourceError> {
        let mut other = false;
        for entry in self.entries.iter_mut().filter(|entry| now >= entry.look) {
            entry.look = now + LOOK_ROUND;
            if entry.reader.changed(&mut self.buffer) {
                let metrics;
                (metrics, entry.refused) = discover(entry.reader.as_mut(), &mut self.buffer);
                other |= metrics != entry.metrics;
                entry.metrics = metrics;
                // What is new is read now, not when the reader is next due.
                entry.due = now;
            }
        }
        if other { self.arrange() } else { Ok(()) }
    }

    /// Makes the schema of all readers' metrics; values and totals go with their names.
    fn arrange(&mut self) -> Result<(), SourceError> {
        let all: Vec<Metric> = self.entries.iter().flat_map(|entry| entry.metrics.iter().cloned()).collect();
        let schema = Schema::new(all).map_err(config)?;
        let old = |metric: &Metric| self.schema.position(metric.name.as_str());
        let kept: Vec<Option<usize>> = schema.metrics().iter().map(old).collect();
        self.values = kept.iter().map(|place| place.map_or(f64::NAN, |place| self.values[place])).collect();
        self.totals =
            kept.iter().map(|place| place.map_or(Total::default(), |place| self.totals[place])).collect();
        let mut start = 0;
        for entry in &mut self.entries {
            entry.place = start..start + entry.metrics.len();
            start = entry.place.end;
        }
        self.schema = schema;
        Ok(())
    }
}

impl Source for HostSource {
    fn name(&self) -> &str {
        "host"
    }

    fn collect<'a>(&'a mut self, batch: &'a mut Batch) -> LocalFuture<'a, Result<Collected, SourceError>> {
        // Files of procfs and sysfs are answered from memory: there is nothing to wait for.
        Box::pin(async move { self.collect_at(self.started.elapsed(), batch) })
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}

fn discover(reader: &mut dyn Reader, buffer: &mut Buffer) -> (Vec<Metric>, u64) {
    let mut names = Names::default();
    reader.discover(buffer, &mut names);
    names.into_metrics()
}

fn check(groups: &[ProcessGroup]) -> Result<(), SourceError> {
    let bad = |message| Err(SourceError::new(ErrorClass::Config, message));
    if groups.len() > MAX_GROUPS {
        return bad(format!("{} process groups: expected at most {MAX_GROUPS}; join some", groups.len()));
    }
    for (i, ProcessGroup { name, .. }) in groups.iter().enumerate() {
        if name.is_empty() || name.chars().any(char::is_control) {
            return bad(format!("{name:?} is no name of a process group: expected a text such as web"));
        }
        if groups.iter().take(i).any(|before| before.name == *name) {
            return bad(format!("process group `{name}` stands twice: expected each name once"));
        }
    }
    Ok(())
}

fn config(error: impl std::fmt::Display) -> SourceError {
    SourceError::new(ErrorClass::Config, format!("the host's metrics make no schema: {error}"))
}

fn nothing(roots: &Roots) -> SourceError {
    let message = format!(
        "nothing to read about this machine under `{}` and `{}`: expected procfs and sysfs there (Linux only); in a \
         container, mount the host's and name their paths",
        roots.proc.display(),
        roots.sys.display()
    );
    SourceError::new(ErrorClass::Config, message)
}
