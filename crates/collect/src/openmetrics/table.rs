//! The series that a target has, their slots in the schema, and every spelling by which they are recognised.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::schema::SchemaError;
use larnax_core::{Metric, MetricKind, MetricName, Schema, Timestamp};

use super::convention;
use super::family::Role;
use super::series::Canonical;
use super::template::{LEFT_OUT, NO_STEP};

/// How long a series may stay away before its place can be given away: Prometheus' look-back, after which a series is
/// stale there too.
const GONE_AFTER: Duration = Duration::from_secs(300);

/// How many scrapes in a row it must be missing as well, so that one failed scrape at a long interval drops nothing.
const GONE_SCRAPES: u64 = 3;

/// One part in this many of the schema may be gone before it is rebuilt without them.
const GONE_PART: usize = 4;

/// What the names, and likewise the spellings, of all series may take, per series of the limit. cAdvisor's, the longest
/// in common use, take about half of it.
pub(super) const BYTES_PER_SERIES: usize = 1024;

/// A series may be remembered by this many spellings on average.
const SPELLINGS_PER_SERIES: usize = 2;

/// The part of a series that a scrape touches.
#[derive(Clone, Copy, Debug)]
struct Slot {
    value: f64,
    /// The scrape that gave the value.
    scrape: u64,
    /// Its place in the template.
    step: u32,
}

#[derive(Debug)]
struct Known {
    metric: Metric,
    absent_since: Option<Timestamp>,
}

/// The series of a target. Bounded by the limit on series in number and, with [`BYTES_PER_SERIES`], in bytes.
///
/// Spellings are hashed with the standard library's keyed hash: a target must not be able to choose collisions.
#[derive(Debug)]
pub(super) struct Table {
    max_series: usize,
    /// `None` when series or kinds have become known that it lacks.
    schema: Option<Arc<Schema>>,
    known: Vec<Known>,
    slots: Vec<Slot>,
    by_name: HashMap<MetricName, u32>,
    name_bytes: usize,
    spellings: HashMap<Box<[u8]>, u32>,
    spelling_bytes: usize,
    scrape: u64,
    /// How many series have a value in this scrape.
    present: usize,
    any_absent: bool,
}

impl Table {
    /// No series yet, and at most `max_series` ever.
    pub(super) fn new(max_series: usize) -> Self {
        Self {
            max_series: max_series.min(LEFT_OUT as usize),
            schema: None,
            known: Vec::new(),
            slots: Vec::new(),
            by_name: HashMap::new(),
            name_bytes: 0,
            spellings: HashMap::new(),
            spelling_bytes: 0,
            scrape: 0,
            present: 0,
            any_absent: false,
        }
    }

    /// Starts on a new scrape.
    pub(super) fn begin(&mut self) {
        self.scrape += 1;
        self.present = 0;
    }

    /// The slot of a series by its raw bytes, or [`LEFT_OUT`].
    pub(super) fn find(&self, spelling: &[u8]) -> Option<u32> {
        self.spellings.get(spelling).copied()
    }

    /// Finds or makes the slot of a series that is spelt like this for the first time. `None` if there is no room.
    pub(super) fn admit(&mut self, spelling: &[u8], name: &Canonical, role: Role) -> Option<u32> {
        let slot = match (role, self.by_name.get(name.as_str())) {
            (Role::Created, _) => LEFT_OUT,
            (Role::Metric(_), Some(&slot)) => slot,
            (Role::Metric(kind), None) => self.add(name.as_str(), kind)?,
        };
        self.remember(spelling, slot);
        Some(slot)
    }

    fn add(&mut self, name: &str, kind: MetricKind) -> Option<u32> {
        let name_bytes = self.name_bytes.saturating_add(name.len());
        if self.known.len() >= self.max_series || name_bytes > self.max_bytes() {
            return None;
        }
        let bounds = convention::bounds(name);
        let name = MetricName::new(name).ok()?;
        let slot = self.known.len() as u32;
        self.by_name.insert(name.clone(), slot);
        self.known.push(Known { metric: Metric { name, kind, bounds }, absent_since: None });
        self.slots.push(Slot { value: f64::NAN, scrape: 0, step: NO_STEP });
        self.name_bytes = name_bytes;
        self.schema = None;
        Some(slot)
    }

    /// Keeps a spelling. When there are too many, all are forgotten and the next scrapes learn them anew: a target that
    /// spells its series differently each time costs time, and no memory.
    fn remember(&mut self, spelling: &[u8], slot: u32) {
        if self.spellings.len() >= self.max_series.saturating_mul(SPELLINGS_PER_SERIES)
            || self.spelling_bytes.saturating_add(spelling.len()) > self.max_bytes()
        {
            self.spellings.clear();
            self.spelling_bytes = 0;
        }
        self.spelling_bytes += spelling.len();
        self.spellings.insert(spelling.into(), slot);
    }

    fn max_bytes(&self) -> usize {
        self.max_series.saturating_mul(BYTES_PER_SERIES)
    }

    /// Sets the kind of a series anew.
    pub(super) fn set_kind(&mut self, slot: u32, kind: MetricKind) {
        if let Some(known) = self.known.get_mut(slot as usize)
            && known.metric.kind != kind
        {
            known.metric.kind = kind;
            self.schema = None;
        }
    }

    /// Keeps a value. False if the series already has one in this scrape: the first one stays.
    #[inline]
    pub(super) fn store(&mut self, slot: u32, value: f64) -> bool {
        let Some(slot) = self.slots.get_mut(slot as usize).filter(|slot| slot.scrape != self.scrape) else {
            return false;
        };
        slot.value = value;
        slot.scrape = self.scrape;
        self.present += 1;
        true
    }

    /// Where in the template a series stands.
    pub(super) fn step(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).map_or(NO_STEP, |slot| slot.step)
    }

    /// Forgets where in the template all series stand.
    pub(super) fn forget_steps(&mut self) {
        for slot in &mut self.slots {
            slot.step = NO_STEP;
        }
    }

    /// Notes where in the template a series stands.
    pub(super) fn set_step(&mut self, slot: u32, step: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.step = step;
        }
    }

    /// Ends a scrape: drops series that are gone if there is a reason to make a new schema, or too many of them, or no
    /// room for others (`crowded`). If it drops some, gives the new slot of each old one, or [`LEFT_OUT`].
    pub(super) fn settle(&mut self, now: Timestamp, crowded: bool) -> Option<Vec<u32>> {
        if self.present == self.slots.len() && !self.any_absent {
            return None;
        }
        let scrape = self.scrape;
        self.any_absent = self.present < self.slots.len();
        let mut gone = 0;
        for (known, slot) in self.known.iter_mut().zip(&self.slots) {
            if slot.scrape == scrape {
                known.absent_since = None;
            } else {
                known.absent_since.get_or_insert(now);
                gone += usize::from(known.is_gone(slot, scrape, now));
            }
        }
        let reason = self.schema.is_none() || crowded || gone > self.slots.len() / GONE_PART;
        (gone > 0 && reason).then(|| self.drop_gone(now))
    }

    fn drop_gone(&mut self, now: Timestamp) -> Vec<u32> {
        let mut new_slots = Vec::with_capacity(self.slots.len());
        let mut kept = 0;
        for (known, slot) in self.known.iter().zip(&self.slots) {
            let gone = known.is_gone(slot, self.scrape, now);
            new_slots.push(if gone { LEFT_OUT } else { kept });
            kept += u32::from(!gone);
        }
        let new_slot = |old: usize| new_slots.get(old).copied().filter(|&slot| slot != LEFT_OUT);
        let mut old = 0..;
        self.known.retain(|_| old.next().and_then(new_slot).is_some());
        let mut old = 0..;
        self.slots.retain(|_| old.next().and_then(new_slot).is_some());
        self.by_name.retain(|_, slot| new_slot(*slot as usize).map(|new| *slot = new).is_some());
        self.spellings
            .retain(|_, slot| *slot == LEFT_OUT || new_slot(*slot as usize).map(|new| *slot = new).is_some());
        self.name_bytes = self.by_name.keys().map(|name| name.as_str().len()).sum();
        self.spelling_bytes = self.spellings.keys().map(|spelling| spelling.len()).sum();
        self.known.shrink_to(2 * self.known.len());
        self.slots.shrink_to(2 * self.slots.len());
        self.schema = None;
        new_slots
    }

    /// The schema of all known series: the same one as long as they are the same.
    pub(super) fn schema(&mut self) -> Result<Arc<Schema>, SchemaError> {
        if let Some(schema) = &self.schema {
            return Ok(Arc::clone(schema));
        }
        let schema = Schema::new(self.known.iter().map(|known| known.metric.clone()).collect())?;
        self.schema = Some(Arc::clone(&schema));
        Ok(schema)
    }

    /// Writes the values of this scrape into a row of missing ones.
    pub(super) fn fill(&self, row: &mut [f64]) {
        for (value, slot) in row.iter_mut().zip(&self.slots) {
            if slot.scrape == self.scrape {
                *value = slot.value;
            }
        }
    }
}

impl Known {
    fn is_gone(&self, slot: &Slot, scrape: u64, now: Timestamp) -> bool {
        let absent_for = self.absent_since.map_or(0.0, |since| now.since(since));
        absent_for >= GONE_AFTER.as_secs_f64() && scrape - slot.scrape >= GONE_SCRAPES
    }
}
