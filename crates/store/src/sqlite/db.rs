//! A connection to a file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row};

use super::error::failed;
use crate::Error;
use crate::group::Transactions;

/// How long a call waits for another process that writes (a backup's last step, `sqlite3` in a terminal).
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements that a connection keeps. There are some forty in all.
const STATEMENTS: usize = 64;

/// A connection, and the place that its errors name.
pub(super) struct Db {
    pub(super) connection: Connection,
    pub(super) place: String,
}

impl Db {
    /// Opens the file at `path`, as we want it.
    pub(super) fn open(path: &Path, access: OpenFlags) -> Result<Self, Error> {
        let place = path.display().to_string();
        let open = || {
            let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            connection.busy_timeout(BUSY)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            // What a damaged or hostile file could do otherwise: https://www.sqlite.org/security.html
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            Ok(connection)
        };
        let connection = open().map_err(failed(&place))?;
        Ok(Self { connection, place })
    }

    /// Runs a statement; how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        let run = || self.connection.prepare_cached(sql)?.execute(params);
        run().map_err(failed(&self.place))
    }

    /// All rows of a question.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let run = || self.connection.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>();
        run().map_err(failed(&self.place))
    }

    /// The first row of a question.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        let run = || self.connection.prepare_cached(sql)?.query_row(params, read).optional();
        run().map_err(failed(&self.place))
    }
}

impl Transactions for Db {
    fn begin(&mut self) -> Result<(), Error> {
        self.execute("BEGIN IMMEDIATE", []).map(drop)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.execute("COMMIT", []).map(drop)
    }

    fn rollback(&mut self) {
        // After some errors SQLite has already rolled back by itself.
        if !self.connection.is_autocommit() {
            let _ = self.execute("ROLLBACK", []);
        }
    }

    fn mark(&mut self) -> Result<(), Error> {
        self.execute("SAVEPOINT member", []).map(drop)
    }

    fn undo_to_mark(&mut self) -> Result<(), Error> {
        self.execute("ROLLBACK TO member", []).map(drop)
    }
}
