//! What is kept, and for how long.

use std::time::Duration;

use larnax_core::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is kept: no older than `age`, and no more than `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How old it may be.
    pub age: Duration,
    /// How many there may be.
    pub count: u64,
}

impl Keep {
    /// What came before this is too old, in milliseconds since the epoch.
    pub(crate) fn cutoff(&self, now: Timestamp) -> i64 {
        now.minus(self.age).millis()
    }

    /// How many there may be, as SQL wants it.
    pub(crate) fn most(&self) -> i64 {
        i64::try_from(self.count).unwrap_or(i64::MAX)
    }
}

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Entries of the log that every consumer has read, from when they arrived by the store's clock.
    pub log: Keep,
    /// Entries of the log that a consumer has not read: a hard limit, so that one that never comes back doesn't fill the disk.
    pub unread: Keep,
    /// Anomalies, incidents and plans, from when they closed or ended; each is counted by itself. Open ones stay.
    pub history: Keep,
    /// Entries of the audit.
    pub audit: Keep,
    /// Components, and what sources said of the topology, from when they were last seen.
    pub seen: Duration,
    /// How many rows of each table one call of [`Store::sweep`](crate::Store::sweep) removes at the most.
    pub batch: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            log: Keep { age: 7 * DAY, count: 2_000_000 },
            unread: Keep { age: 30 * DAY, count: 10_000_000 },
            history: Keep { age: 90 * DAY, count: 1_000_000 },
            audit: Keep { age: 400 * DAY, count: 5_000_000 },
            seen: 30 * DAY,
            // At some 10 µs a row in SQLite, others wait a few milliseconds.
            batch: 500,
        }
    }
}

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Of the log.
    pub log: u64,
    /// Anomalies.
    pub anomalies: u64,
    /// Incidents.
    pub incidents: u64,
    /// Plans.
    pub plans: u64,
    /// Of the audit.
    pub audit: u64,
    /// Components.
    pub components: u64,
    /// Sources of topology.
    pub topology: u64,
    /// Whether there may be more to remove.
    pub more: bool,
}

impl Swept {
    /// From the rows removed from the tables in the order of the fields.
    pub(crate) fn from_counts(counts: [u64; 7], batch: usize) -> Self {
        let [log, anomalies, incidents, plans, audit, components, topology] = counts;
        let more = counts.iter().any(|&count| count >= batch as u64);
        Self { log, anomalies, incidents, plans, audit, components, topology, more }
    }
}
