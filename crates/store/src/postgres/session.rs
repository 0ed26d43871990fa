//! A connection to a PostgreSQL, used from threads that may block.

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};

use super::tls::Tls;
use super::url;
use crate::{Error, Location};

/// How long the server works on one statement, waits for a lock, and keeps a transaction open whose hub has fallen silent: so
/// long may a hub that was frozen hold up the others.
const LIMITS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '30s'";
/// How long we wait for an answer: longer than the server's own limits, which give the better message.
const ANSWER: Duration = Duration::from_secs(35);
/// How long we wait to hear whether a connection that was idle still leads somewhere.
const ALIVE: Duration = Duration::from_secs(5);
/// For how long after a failed attempt nobody tries to connect again, but gets the same error.
const PAUSE: Duration = Duration::from_millis(500);

/// What a statement is given.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Where sessions lead to.
pub(super) struct Server {
    config: Config,
    tls: Tls,
    place: String,
    failed: Mutex<Option<(Instant, Error)>>,
}

impl Server {
    /// By its URL. Connects to nothing yet.
    pub(super) fn new(url: &str) -> Result<Self, Error> {
        let parsed = url::parse(url)?;
        let tls = Tls::new(&parsed)?;
        let place = Location::Postgres(url.to_owned()).to_string();
        Ok(Self { config: parsed.config, tls, place, failed: Mutex::new(None) })
    }

    /// Where it is, without a password.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Opens a session.
    pub(super) fn connect(&self) -> Result<Session, Error> {
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = failed().as_ref().filter(|(when, _)| when.elapsed() < PAUSE) {
            return Err(error.clone());
        }
        let connected = self.connect_now();
        *failed() = connected.as_ref().err().map(|error| (Instant::now(), error.clone()));
        connected
    }

    fn connect_now(&self) -> Result<Session, Error> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                Error::Unavailable { place: self.place.clone(), reason: format!("no runtime: {error}") }
            })?;
        let within = self.config.get_connect_timeout().copied().unwrap_or(ANSWER);
        let connect = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            // Its errors are told to whoever asks something of the client.
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        };
        let answer = wait(&runtime, within, &self.place, connect);
        let client = match answer.unwrap_or_else(|| Err(no_answer(&self.place, within))) {
            Ok(client) => client,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let place = self.place.clone();
        let mut session = Session {
            runtime: Some(runtime),
            client,
            statements: HashMap::new(),
            place,
            is_stuck: Cell::new(false),
        };
        session.batch(LIMITS)?;
        // A commit that doesn't wait for the disk would lose what was acknowledged. Any stricter setting stays.
        session.batch(
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'remote_write')",
        )?;
        Ok(session)
    }
}

/// A connection with its statements.
pub(super) struct Session {
    /// Drives the connection while somebody waits for an answer. There until the session is dropped.
    runtime: Option<Runtime>,
    client: Client,
    statements: HashMap<String, Statement>,
    place: String,
    /// Whether an answer is still owed from before: then none is waited for again.
    is_stuck: Cell<bool>,
}

impl Session {
    /// Where it leads.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether it still leads there.
    pub(super) fn is_alive(&self) -> bool {
        !self.client.is_closed() && self.wait(ALIVE, self.client.batch_execute("")).is_ok()
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.wait(ANSWER, self.client.batch_execute(sql))
    }

    /// Runs a statement; how many rows it changed.
    pub(super) fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, Error> {
        let statement = self.statement(sql)?;
        self.wait(ANSWER, self.client.execute(&statement, params))
    }

    /// All rows of a question.
    pub(super) fn rows<T>(
        &mut self,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, Error> {
        let statement = self.statement(sql)?;
        let rows = self.wait(ANSWER, self.client.query(&statement, params))?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| failed(&self.place, &error))
    }

    /// The first row of a question.
    pub(super) fn row<T>(
        &mut self,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.rows(sql, params, read)?.into_iter().next())
    }

    /// Does `work` in a transaction: all of it is durable when this returns, or nothing of it.
    pub(super) fn transaction<R>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.batch("BEGIN")?;
        let result = work(self).and_then(|value| self.batch("COMMIT").map(|()| value));
        if result.is_err() {
            // Fails where the connection is gone, and the transaction with it.
            let _ = self.batch("ROLLBACK");
        }
        result
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(ANSWER, self.client.prepare(sql))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<T>(
        &self,
        within: Duration,
        future: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.is_stuck.get()) else {
            return Err(unavailable(&self.place, "the session has ended"));
        };
        self.is_stuck.set(true);
        let answer = wait(runtime, within, &self.place, future);
        self.is_stuck.set(answer.is_none());
        answer.unwrap_or_else(|| Err(no_answer(&self.place, within)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Dropped as it is, a runtime waits for its threads and panics where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The answer, or none within the time.
fn wait<T>(
    runtime: &Runtime,
    within: Duration,
    place: &str,
    future: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Option<Result<T, Error>> {
    let answer = runtime.block_on(async { tokio::time::timeout(within, future).await });
    answer.ok().map(|answer| answer.map_err(|error| failed(place, &error)))
}

fn no_answer(place: &str, within: Duration) -> Error {
    unavailable(place, &format!("no answer within {} s", within.as_secs()))
}

fn unavailable(place: &str, reason: &str) -> Error {
    Error::Unavailable { place: place.to_owned(), reason: reason.to_owned() }
}

/// What an error of PostgreSQL means. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn failed(place: &str, error: &tokio_postgres::Error) -> Error {
    if let Some(said) = error.as_db_error() {
        let code = said.code().code();
        // Only the message: the detail can hold values.
        let reason = format!("{} (SQLSTATE {code})", said.message());
        let temporary = match code.get(..2) {
            // The connection; rolled back by a conflict; out of disk, memory or connections; starting or stopping.
            Some("08" | "40" | "53" | "57" | "58") => true,
            // A lock was not to be had. And a server that has become a standby: the next connection may find the new primary.
            _ => code == "55P03" || code == "25006" || code == "25P03",
        };
        let place = place.to_owned();
        return if temporary {
            Error::Unavailable { place, reason }
        } else {
            Error::Refused { place, reason }
        };
    }
    let mut reason = error.to_string();
    let mut source = error.source();
    let mut is_wrong = source.is_some();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            // TLS says so that it doesn't trust the server.
            is_wrong = matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput);
        }
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    if error.is_closed() || !is_wrong {
        return unavailable(place, &reason);
    }
    Error::Refused { place: place.to_owned(), reason }
}
