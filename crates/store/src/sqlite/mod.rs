//! The store in one file, for one hub.

mod acting;
mod db;
mod error;
pub(crate) mod files;
mod history;
mod log;
mod plans;
mod schema;
mod sweep;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larnax_core::{
    Anomaly, AnomalyId, Appended, Event, EventLog, Incident, IncidentId, LogError, Logged, Plan, PlanId,
    RawEvent, Timestamp, TopologyDelta,
};
use rusqlite::OpenFlags;

use crate::group::Group;
use crate::history::{check_documents, check_events};
use crate::pool::Pool;
use crate::{
    AnomalyQuery, AnomalyRecord, AuditEntry, AuditQuery, Document, Error, Fence, IncidentQuery, Letters,
    PlanQuery, Retention, Sighting, Store, Swept,
};
use db::Db;

/// What [`SqliteStore::open`] does with a damaged file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// Leaves it as it is; an error says what to do.
    #[default]
    Refuse,
    /// Renames it to `NAME.damaged` (or `.damaged-2` and so on) and begins anew with an empty one.
    SetAside,
}

/// The store in one file.
///
/// The file is written ahead (WAL) with `synchronous=FULL`: a commit returns when the disk has it. `NORMAL` would be faster,
/// but in WAL mode it only survives a crash of the program, not of the machine: the last commits are gone after a power
/// failure, and with them what was acknowledged. Group commit makes up for it: those who write at the same time share the wait.
pub struct SqliteStore {
    path: PathBuf,
    /// Closed before the writer: the last one that can write puts all into the file.
    readers: Pool<Db>,
    writer: Group<Db>,
    /// Locked as long as the store is open. Not the database itself: closing any descriptor of that would drop SQLite's own
    /// locks.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file at `path`; creates or migrates it where that is needed.
    ///
    /// # Errors
    /// When another program has it open as a store, it is damaged, another program's or a newer one's, or can't be written.
    pub fn open(path: &Path, damage: OnDamage) -> Result<Self, Error> {
        let lock = files::lock(path)?;
        let opened = match files::open_checked(path) {
            Err(Error::Damaged { .. }) if damage == OnDamage::SetAside => {
                files::set_aside(path, "damaged")?;
                files::open_checked(path)
            }
            other => other,
        };
        let mut db = opened?;
        schema::migrate(&mut db.connection, &db.place, schema::STEPS)?;
        log::begin_epoch(&mut db)?;
        Ok(Self { path: path.to_owned(), writer: Group::new(db), readers: Pool::new(), _lock: lock })
    }

    /// Does `work` on what is durable.
    fn read<R>(&self, work: impl FnOnce(&Db) -> Result<R, Error>) -> Result<R, Error> {
        let get = |idle: Option<Db>| match idle {
            Some(db) => Ok(db),
            None => Db::open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY),
        };
        self.readers.with(get, |_| false, |db| work(db))
    }

    /// Does `work` in a transaction, durable when this returns.
    fn write<R>(&self, work: impl FnOnce(&Db) -> Result<R, Error>) -> Result<R, Error> {
        self.writer.write(|db| work(db))
    }
}

impl EventLog for SqliteStore {
    fn append(&self, events: &[RawEvent]) -> Result<Appended, LogError> {
        check_events(events)?;
        Ok(self.write(|db| log::append(db, events))?)
    }

    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Logged>, LogError> {
        Ok(self.read(|db| log::read_after(db, sequence, limit))?)
    }

    fn bounds(&self) -> Result<(u64, u64), LogError> {
        Ok(self.read(log::bounds)?)
    }

    fn epoch(&self) -> Result<String, LogError> {
        Ok(self.read(log::epoch)?)
    }
}

impl Store for SqliteStore {
    fn upsert_components(&self, seen: &[Sighting]) -> Result<(), Error> {
        self.write(|db| history::upsert_components(db, seen))
    }

    fn components(&self) -> Result<Vec<Sighting>, Error> {
        self.read(history::components)
    }

    fn upsert_topology(&self, at: Timestamp, delta: &TopologyDelta) -> Result<bool, Error> {
        self.write(|db| history::upsert_topology(db, at, delta))
    }

    fn topology(&self) -> Result<Vec<(Timestamp, TopologyDelta)>, Error> {
        self.read(history::topology)
    }

    fn upsert_anomalies(&self, events: &[Event]) -> Result<usize, Error> {
        self.write(|db| history::upsert_anomalies(db, events))
    }

    fn anomaly(&self, id: AnomalyId) -> Result<Option<AnomalyRecord>, Error> {
        self.read(|db| history::anomaly(db, id))
    }

    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<Anomaly>, Error> {
        self.read(|db| history::anomalies(db, query))
    }

    fn upsert_incidents(&self, incidents: &[Incident], fence: Option<&Fence>) -> Result<usize, Error> {
        self.write(|db| {
            acting::check_fence(db, fence)?;
            history::upsert_incidents(db, incidents)
        })
    }

    fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        self.read(|db| history::incident(db, id))
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<Incident>, Error> {
        self.read(|db| history::incidents(db, query))
    }

    fn upsert_plans(
        &self,
        plans: &[Plan],
        knowledge: &[Document],
        fence: Option<&Fence>,
    ) -> Result<usize, Error> {
        check_documents(knowledge)?;
        self.write(|db| {
            acting::check_fence(db, fence)?;
            plans::upsert_knowledge(db, knowledge)?;
            plans::upsert_plans(db, plans)
        })
    }

    fn plan(&self, id: PlanId) -> Result<Option<Plan>, Error> {
        self.read(|db| plans::plan(db, id))
    }

    fn plans(&self, query: &PlanQuery) -> Result<Vec<Plan>, Error> {
        self.read(|db| plans::plans(db, query))
    }

    fn knowledge(&self, name: &str) -> Result<Option<Document>, Error> {
        self.read(|db| plans::knowledge(db, name))
    }

    fn append_audit(&self, entry: &AuditEntry, fence: Option<&Fence>) -> Result<u64, Error> {
        self.write(|db| {
            acting::check_fence(db, fence)?;
            acting::append_audit(db, entry)
        })
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<(u64, AuditEntry)>, Error> {
        self.read(|db| acting::audit(db, query))
    }

    fn cursor(&self, consumer: &str) -> Result<Option<u64>, Error> {
        self.read(|db| log::cursor(db, consumer))
    }

    fn advance_cursor(&self, consumer: &str, sequence: u64) -> Result<(), Error> {
        self.write(|db| log::advance_cursor(db, consumer, sequence))
    }

    fn remove_cursor(&self, consumer: &str) -> Result<(), Error> {
        self.write(|db| log::remove_cursor(db, consumer))
    }

    fn acquire(
        &self,
        lease: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<Fence>, Error> {
        self.write(|db| acting::acquire(db, lease, holder, ttl, now))
    }

    fn renew(&self, fence: &Fence, ttl: Duration, now: Timestamp) -> Result<bool, Error> {
        self.write(|db| acting::renew(db, fence, ttl, now))
    }

    fn release(&self, fence: &Fence) -> Result<bool, Error> {
        self.write(|db| acting::release(db, fence))
    }

    fn sweep(&self, retention: &Retention, now: Timestamp) -> Result<Swept, Error> {
        self.write(|db| sweep::sweep(db, retention, now))
    }

    fn letters(&self) -> Option<&dyn Letters> {
        None
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(i: usize) -> RawEvent {
        RawEvent {
            id: format!("e{i}"),
            r#type: "t".to_owned(),
            subject: "s".to_owned(),
            time: Timestamp::default(),
            json: "x".repeat(2000),
        }
    }

    /// Issue 6: in a container without a folder for temporary files, a hub could not write.
    #[test]
    fn what_a_statement_sets_aside_needs_no_folder_for_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("hub.db"), OnDamage::Refuse).unwrap();
        let in_memory = Some(2);
        let at = store.write(|db| db.row("PRAGMA temp_store", [], |row| row.get::<_, i64>(0))).unwrap();
        assert_eq!(at, in_memory);
    }

    #[test]
    fn a_full_disk_is_a_temporary_error_loses_nothing_and_is_over_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("hub.db"), OnDamage::Refuse).unwrap();
        let room = |pages: u32| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            store.write(|db| db.row(&sql, [], |_| Ok(()))).unwrap();
        };
        room(60);
        let batches: Vec<Vec<RawEvent>> =
            (0..20).map(|b| (b * 10..b * 10 + 10).map(event).collect()).collect();
        let results: Vec<_> = batches.iter().map(|batch| store.append(batch)).collect();
        let taken = results.iter().filter(|result| result.is_ok()).count() as u64;
        assert!((1..20).contains(&taken), "{taken}");
        for error in results.into_iter().filter_map(Result::err) {
            assert!(error.temporary, "{error}");
        }
        assert_eq!(store.bounds().unwrap(), (1, taken * 10));
        room(10_000);
        for batch in &batches {
            store.append(batch).unwrap();
        }
        assert_eq!(store.bounds().unwrap(), (1, 200));
    }
}
