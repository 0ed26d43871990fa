//! What a store does beyond the log.

use std::path::Path;
use std::time::Duration;

use larnax_core::{
    Anomaly, AnomalyId, Event, EventLog, Incident, IncidentId, Plan, PlanId, Timestamp, TopologyDelta,
};

use crate::{
    AnomalyQuery, AnomalyRecord, AuditEntry, AuditQuery, Document, Error, IncidentQuery, Letters, PlanQuery,
    Retention, Sighting, Swept,
};

/// The right to act under a lease. Its number is larger than that of every holder before, also after a restored backup, so
/// that what a former holder still writes can be told from what the present one writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// From 1, rising with each holder.
    pub number: u64,
}

/// The hub's history.
///
/// Calls block. Everything that writes is durable when it returns, and can be repeated: what is known already, or older than
/// what is known, changes nothing. Implementations must not show one part of a call's changes without the others.
///
/// Key times (by which lists are ordered and paged) are kept in milliseconds, as in the documents' JSON.
pub trait Store: EventLog {
    /// Notes components that were seen. The latest sighting of each stays.
    fn upsert_components(&self, seen: &[Sighting]) -> Result<(), Error>;

    /// All components, by id.
    fn components(&self) -> Result<Vec<Sighting>, Error>;

    /// Replaces what one source (`source` and `by`) said of the topology, unless what is there is from later than `at`.
    /// Whether it did. The delta has to hold everything that still holds of this source.
    fn upsert_topology(&self, at: Timestamp, delta: &TopologyDelta) -> Result<bool, Error>;

    /// What each source said last and when, by source and name.
    fn topology(&self) -> Result<Vec<(Timestamp, TopologyDelta)>, Error>;

    /// Brings anomalies up to what events say. An event with an older or the same sequence as is known changes nothing; one
    /// without evidence keeps the evidence from before. How many anomalies changed.
    fn upsert_anomalies(&self, events: &[Event]) -> Result<usize, Error>;

    /// One anomaly with what is known of it.
    fn anomaly(&self, id: AnomalyId) -> Result<Option<AnomalyRecord>, Error>;

    /// Anomalies, the latest onset first.
    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<Anomaly>, Error>;

    /// Writes incidents as they stand, all or none. How many it wrote: an older or the same sequence as is known changes nothing.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the lease of `fence` has another holder or none.
    fn upsert_incidents(&self, incidents: &[Incident], fence: Option<&Fence>) -> Result<usize, Error>;

    /// One incident.
    fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error>;

    /// Incidents, the latest opened first.
    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<Incident>, Error>;

    /// Writes plans as they stand, and with them what was learnt: all or nothing, so that nothing is learnt twice from the same
    /// outcome, or not at all. How many plans it wrote: an older or the same sequence as is known changes nothing. Of a document,
    /// an older or the same version changes nothing, and doesn't count.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the lease of `fence` has another holder or none: then nothing may be done either.
    fn upsert_plans(
        &self,
        plans: &[Plan],
        knowledge: &[Document],
        fence: Option<&Fence>,
    ) -> Result<usize, Error>;

    /// One plan.
    fn plan(&self, id: PlanId) -> Result<Option<Plan>, Error>;

    /// Plans, the latest made first.
    fn plans(&self, query: &PlanQuery) -> Result<Vec<Plan>, Error>;

    /// What was learnt under a name; none where nothing was.
    fn knowledge(&self, name: &str) -> Result<Option<Document>, Error>;

    /// Appends to the audit, and says under which number. There is no way to change or remove an entry but retention.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the lease of `fence` has another holder or none.
    fn append_audit(&self, entry: &AuditEntry, fence: Option<&Fence>) -> Result<u64, Error>;

    /// Entries of the audit with their numbers, newest first.
    fn audit(&self, query: &AuditQuery) -> Result<Vec<(u64, AuditEntry)>, Error>;

    /// Up to which sequence of the log a consumer has read; none where there is no such consumer.
    fn cursor(&self, consumer: &str) -> Result<Option<u64>, Error>;

    /// Notes that a consumer has dealt with the log up to `sequence`, which also protects from retention what comes after.
    /// Never moves back.
    fn advance_cursor(&self, consumer: &str, sequence: u64) -> Result<(), Error>;

    /// Forgets a consumer: it begins anew if it comes back, and protects nothing.
    fn remove_cursor(&self, consumer: &str) -> Result<(), Error>;

    /// Takes a lease that nobody holds, whose time is over, or that the same holder has (a restarted program takes its own
    /// lease at once: names must differ between programs that run at the same time). None while another one holds it.
    ///
    /// A file is used by one machine, so SQLite goes by `now`. Hubs on several machines share a PostgreSQL and their clocks
    /// differ, so it goes by the database's clock and ignores `now`.
    fn acquire(
        &self,
        lease: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<Fence>, Error>;

    /// Holds a lease for another `ttl` from now. False when another one has taken it, or it was released: stop acting. A lease
    /// whose time is over but that nobody has taken can still be renewed.
    fn renew(&self, fence: &Fence, ttl: Duration, now: Timestamp) -> Result<bool, Error>;

    /// Gives a lease back. False when it had been lost already.
    fn release(&self, fence: &Fence) -> Result<bool, Error>;

    /// Removes a little of what need not be kept any more, so that nobody else waits long. Call it again while
    /// [`Swept::more`] says so.
    fn sweep(&self, retention: &Retention, now: Timestamp) -> Result<Swept, Error>;

    /// The way to the other hubs that share this store; none where there is only one.
    fn letters(&self) -> Option<&dyn Letters>;

    /// Where it is, for messages; without a password.
    fn place(&self) -> String;
}

/// A file beside `path`: the same name with `suffix` after it.
pub(crate) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
