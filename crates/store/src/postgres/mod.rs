//! The store in a PostgreSQL, for hubs that share their work.

mod acting;
mod history;
mod letters;
mod log;
mod plans;
mod schema;
mod session;
mod sweep;
mod tls;
mod url;

use std::sync::Arc;
use std::time::Duration;

use larnax_core::{
    Anomaly, AnomalyId, Appended, Event, EventLog, Incident, IncidentId, LogError, Logged, Plan, PlanId,
    RawEvent, Timestamp, TopologyDelta,
};

use crate::group::{Group, Transactions};
use crate::history::{check_documents, check_events};
use crate::pool::Pool;
use crate::{
    AnomalyQuery, AnomalyRecord, AuditEntry, AuditQuery, Document, Error, Fence, IncidentQuery, Letters,
    PlanQuery, Retention, Sighting, Store, Swept,
};
use session::{Server, Session};

/// The store in a PostgreSQL, in its schema `larnax`.
///
/// Where the server is gone, calls fail with a temporary error, within the connection's time limit, and the next call tries
/// again. Appends of one hub share a transaction where they come at the same time; all else has transactions of its own, so
/// that no transaction holds locks of two sorts and two hubs can't block each other.
pub struct PostgresStore {
    server: Arc<Server>,
    appending: Group<Appending>,
    sessions: Pool<Session>,
}

impl PostgresStore {
    /// Connects to `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&sslrootcert=FILE`, and creates or migrates the schema
    /// `larnax` where that is needed. `sslmode` means what it means to libpq; `verify-full` is the one to use over a network.
    ///
    /// # Errors
    /// When the URL can't be read, the server can't be reached or refuses, or the schema is a newer program's. None of them
    /// holds the password.
    pub fn open(url: &str) -> Result<Self, Error> {
        let server = Arc::new(Server::new(url)?);
        let session = connect(&server)?;
        let appending = Group::new(Appending { server: Arc::clone(&server), session: Some(session) });
        Ok(Self { server, appending, sessions: Pool::new() })
    }

    fn with<R>(&self, work: impl FnOnce(&mut Session) -> Result<R, Error>) -> Result<R, Error> {
        let get = |idle: Option<Session>| match idle {
            Some(session) if session.is_alive() => Ok(session),
            _ => connect(&self.server),
        };
        self.sessions.with(get, |error| !error.is_temporary(), work)
    }
}

/// A session in which everything is in order. Whenever one is opened: meanwhile the server may have been restored, or another
/// may have taken its place.
fn connect(server: &Server) -> Result<Session, Error> {
    let mut session = server.connect()?;
    schema::prepare(&mut session)?;
    Ok(session)
}

/// The session that appends.
struct Appending {
    server: Arc<Server>,
    session: Option<Session>,
}

impl Appending {
    /// The session of the transaction that is open.
    fn session(&mut self) -> Result<&mut Session, Error> {
        self.session.as_mut().ok_or_else(|| Error::Unavailable {
            place: self.server.place().to_owned(),
            reason: "the connection was lost in the middle of a transaction".to_owned(),
        })
    }
}

impl Transactions for Appending {
    fn begin(&mut self) -> Result<(), Error> {
        if self.session.as_mut().is_some_and(|session| session.batch("BEGIN").is_ok()) {
            return Ok(());
        }
        // There was none, or it led nowhere any more.
        self.session = None;
        self.session.insert(connect(&self.server)?).batch("BEGIN")
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.session()?.batch("COMMIT")
    }

    fn rollback(&mut self) {
        // The server undoes what is open when the connection ends. A new one is sought, because this one may lead to a server
        // that has become a standby.
        self.session = None;
    }

    fn mark(&mut self) -> Result<(), Error> {
        self.session()?.batch("SAVEPOINT member")
    }

    fn undo_to_mark(&mut self) -> Result<(), Error> {
        self.session()?.batch("ROLLBACK TO member")
    }
}

impl EventLog for PostgresStore {
    fn append(&self, events: &[RawEvent]) -> Result<Appended, LogError> {
        check_events(events)?;
        Ok(self.appending.write(|appending| log::append(appending.session()?, events))?)
    }

    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Logged>, LogError> {
        Ok(self.with(|session| log::read_after(session, sequence, limit))?)
    }

    fn bounds(&self) -> Result<(u64, u64), LogError> {
        Ok(self.with(log::bounds)?)
    }

    fn epoch(&self) -> Result<String, LogError> {
        Ok(self.with(log::epoch)?)
    }
}

impl Store for PostgresStore {
    fn upsert_components(&self, seen: &[Sighting]) -> Result<(), Error> {
        self.with(|session| history::upsert_components(session, seen))
    }

    fn components(&self) -> Result<Vec<Sighting>, Error> {
        self.with(history::components)
    }

    fn upsert_topology(&self, at: Timestamp, delta: &TopologyDelta) -> Result<bool, Error> {
        self.with(|session| history::upsert_topology(session, at, delta))
    }

    fn topology(&self) -> Result<Vec<(Timestamp, TopologyDelta)>, Error> {
        self.with(history::topology)
    }

    fn upsert_anomalies(&self, events: &[Event]) -> Result<usize, Error> {
        self.with(|session| history::upsert_anomalies(session, events))
    }

    fn anomaly(&self, id: AnomalyId) -> Result<Option<AnomalyRecord>, Error> {
        self.with(|session| history::anomaly(session, id))
    }

    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<Anomaly>, Error> {
        self.with(|session| history::anomalies(session, query))
    }

    fn upsert_incidents(&self, incidents: &[Incident], fence: Option<&Fence>) -> Result<usize, Error> {
        self.with(|session| {
            session.transaction(|session| {
                acting::check_fence(session, fence)?;
                history::upsert_incidents(session, incidents)
            })
        })
    }

    fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        self.with(|session| history::incident(session, id))
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<Incident>, Error> {
        self.with(|session| history::incidents(session, query))
    }

    fn upsert_plans(
        &self,
        plans: &[Plan],
        knowledge: &[Document],
        fence: Option<&Fence>,
    ) -> Result<usize, Error> {
        check_documents(knowledge)?;
        self.with(|session| {
            session.transaction(|session| {
                acting::check_fence(session, fence)?;
                plans::upsert_knowledge(session, knowledge)?;
                plans::upsert_plans(session, plans)
            })
        })
    }

    fn plan(&self, id: PlanId) -> Result<Option<Plan>, Error> {
        self.with(|session| plans::plan(session, id))
    }

    fn plans(&self, query: &PlanQuery) -> Result<Vec<Plan>, Error> {
        self.with(|session| plans::plans(session, query))
    }

    fn knowledge(&self, name: &str) -> Result<Option<Document>, Error> {
        self.with(|session| plans::knowledge(session, name))
    }

    fn append_audit(&self, entry: &AuditEntry, fence: Option<&Fence>) -> Result<u64, Error> {
        self.with(|session| {
            session.transaction(|session| {
                acting::check_fence(session, fence)?;
                acting::append_audit(session, entry)
            })
        })
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<(u64, AuditEntry)>, Error> {
        self.with(|session| acting::audit(session, query))
    }

    fn cursor(&self, consumer: &str) -> Result<Option<u64>, Error> {
        self.with(|session| log::cursor(session, consumer))
    }

    fn advance_cursor(&self, consumer: &str, sequence: u64) -> Result<(), Error> {
        self.with(|session| log::advance_cursor(session, consumer, sequence))
    }

    fn remove_cursor(&self, consumer: &str) -> Result<(), Error> {
        self.with(|session| log::remove_cursor(session, consumer))
    }

    fn acquire(
        &self,
        lease: &str,
        holder: &str,
        ttl: Duration,
        _now: Timestamp,
    ) -> Result<Option<Fence>, Error> {
        self.with(|session| acting::acquire(session, lease, holder, ttl))
    }

    fn renew(&self, fence: &Fence, ttl: Duration, _now: Timestamp) -> Result<bool, Error> {
        self.with(|session| acting::renew(session, fence, ttl))
    }

    fn release(&self, fence: &Fence) -> Result<bool, Error> {
        self.with(|session| acting::release(session, fence))
    }

    fn sweep(&self, retention: &Retention, now: Timestamp) -> Result<Swept, Error> {
        self.with(|session| session.transaction(|session| sweep::sweep(session, retention, now)))
    }

    fn letters(&self) -> Option<&dyn Letters> {
        Some(self)
    }

    fn place(&self) -> String {
        self.server.place().to_owned()
    }
}

impl Letters for PostgresStore {
    fn others(&self, hub: &str) -> Result<Vec<String>, Error> {
        self.with(|session| letters::others(session, hub))
    }

    fn post(&self, to: &str, letter: &str) -> Result<(), Error> {
        self.with(|session| letters::post(session, to, letter))
    }

    fn collect(&self, hub: &str) -> Result<Vec<String>, Error> {
        self.with(|session| letters::collect(session, hub))
    }
}
