//! The file itself: opened with care, backed up while in use, restored, checked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use rusqlite::backup::{Backup, StepResult};

use super::db::Db;
use super::error::{failed, io_failed};
use super::schema;
use crate::store::beside;
use crate::{Error, Location};

/// A file up to this size is read and checked whole whenever it is opened, in some tenths of a second. Of a larger one, only
/// the length is checked.
const CHECKED_BYTES: u64 = 128 << 20;
/// How many pages of 4 KiB a backup copies before it says how far it is.
const STEP_PAGES: i32 = 4096;
/// SQLite's files beside the database: what is not yet in it, and what is shared about that.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// What [`restore`] does with a database that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuses.
    #[default]
    Refuse,
    /// Renames it to `NAME.replaced` (or `.replaced-2` and so on).
    SetAside,
}

/// Makes sure that no other program uses the file as its store, for as long as the answer lives.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let place = path.display().to_string();
    let failed = io_failed(&place);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(&failed)?;
    }
    let lock =
        OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(beside(path, ".lock"));
    let lock = lock.map_err(&failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { place: place.clone() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Opens the file for writing, or creates it, and looks whether it is whole.
pub(super) fn open_checked(path: &Path) -> Result<Db, Error> {
    let place = path.display().to_string();
    if fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        // SQLite would take it for a new one.
        return Err(Error::Damaged { place, reason: "it is empty".to_owned() });
    }
    // Nobody but its owner reads what the hub knows. SQLite gives its companions the same rights.
    let created = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    drop(created.map_err(io_failed(&place))?);
    let db = Db::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let set = |name: &str, value: &str| {
        db.connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
            // Some settings answer, some don't.
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            error => Err(failed(&place)(error)),
        })
    };
    schema::version(&db.connection, &place, schema::STEPS.len() as i64)?;
    set("journal_mode", "wal")?;
    set("synchronous", "full")?;
    // Otherwise what a statement sets aside goes to a file in /tmp, which a container with a read-only root doesn't have.
    set("temp_store", "memory")?;
    // What a burst has made the file for what is not yet in the database grow to is given back.
    set("journal_size_limit", "67108864")?;
    check_whole(&db, path)?;
    Ok(db)
}

/// Looks for what a disk or a cut-off copy does to a file.
fn check_whole(db: &Db, path: &Path) -> Result<(), Error> {
    // All that is only in the WAL goes into the database first, or its length would say nothing. Somebody who reads (a backup)
    // may prevent that; then the next opening checks it.
    let busy = db.row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))?;
    let number = |sql: &str| db.row(sql, [], |row| row.get::<_, i64>(0)).map(|n| n.unwrap_or(0) as u64);
    let expected = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
    let found = fs::metadata(path).map_err(io_failed(&db.place))?.len();
    let damaged = |reason| Err(Error::Damaged { place: db.place.clone(), reason });
    if busy == Some(0) && found < expected {
        return damaged(format!("it has {found} bytes instead of {expected}: it was cut off"));
    }
    if found > CHECKED_BYTES {
        return Ok(());
    }
    match problems(db, "PRAGMA quick_check(1)")?.first() {
        Some(problem) => damaged(problem.clone()),
        None => Ok(()),
    }
}

/// What one of SQLite's checks has to say.
fn problems(db: &Db, check: &str) -> Result<Vec<String>, Error> {
    let said = db.rows(check, [], |row| row.get::<_, String>(0))?;
    // One problem is told over several lines.
    let lines = said.into_iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(lines.filter(|line| line != "ok").collect())
}

/// Renames a database and its companions to `NAME.SUFFIX`, and says where it is now. What is there already stays.
pub(super) fn set_aside(path: &Path, suffix: &str) -> Result<PathBuf, Error> {
    let place = path.display().to_string();
    let mut number = 1;
    let aside = loop {
        let name = if number == 1 { format!(".{suffix}") } else { format!(".{suffix}-{number}") };
        let aside = beside(path, &name);
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    fs::rename(path, &aside).map_err(io_failed(&place))?;
    for companion in COMPANIONS {
        match fs::rename(beside(path, companion), beside(&aside, companion)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_failed(&place)(error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// Copies the store at `location` to the new file `to`, while it is in use, as it is at this moment; `progress` hears of bytes
/// copied and bytes in all. The copy knows that it is one: a hub that begins with it, however it got there, begins a new epoch.
///
/// # Errors
/// When `to` exists or can't be written, or the store is damaged. A PostgreSQL is backed up by its own means.
pub fn backup(location: &Location, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Error> {
    let from =
        file_of(location, "back it up with `pg_dump --schema=larnax`, or with what backs up the server")?;
    let target = to.display().to_string();
    if to.exists() {
        return Err(Error::Refused { place: target, reason: "the backup's file exists already".to_owned() });
    }
    let source = open_existing(from)?;
    let unfinished = beside(to, ".part");
    remove_if_there(&unfinished)?;
    // A transaction of our own holds the state of this moment: without it, every write in between would begin the copy anew.
    source.execute("BEGIN", [])?;
    source.row("SELECT last FROM log_state", [], |_| Ok(()))?;
    let mut copy = Db::open(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let page = source.row("PRAGMA page_size", [], |row| row.get::<_, i64>(0))?.unwrap_or(4096) as u64;
    let mut run = || -> rusqlite::Result<()> {
        let backup = Backup::new(&source.connection, &mut copy.connection)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let (all, left) = (backup.progress().pagecount as u64, backup.progress().remaining as u64);
            progress((all - left) * page, all * page);
            match step {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                _ => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        }
    };
    run().map_err(failed(&target))?;
    copy.connection
        .pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
        .map_err(failed(&target))?;
    copy.execute("UPDATE log_state SET epoch = ''", [])?;
    if let Some(problem) = problems(&copy, "PRAGMA integrity_check(1)")?.first() {
        return Err(Error::Damaged { place: source.place, reason: problem.clone() });
    }
    drop(copy);
    finish(&unfinished, to)
}

/// Puts the backup `from` in the place of the store at `location`, which no hub may be using. Its log begins a new epoch.
///
/// # Errors
/// When the backup is damaged, another program's or a newer one's, or a database is there that should stay.
pub fn restore(from: &Path, location: &Location, existing: Existing) -> Result<(), Error> {
    let to = file_of(location, "restore what `pg_dump` wrote with `psql` or `pg_restore`")?;
    let _lock = lock(to)?;
    check_file(from)?;
    let place = to.display().to_string();
    let unfinished = beside(to, ".part");
    remove_if_there(&unfinished)?;
    fs::copy(from, &unfinished).map_err(io_failed(&place))?;
    let copy = Db::open(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy.execute("UPDATE log_state SET epoch = ''", [])?;
    drop(copy);
    if to.exists() {
        if existing == Existing::Refuse {
            remove_if_there(&unfinished)?;
            return Err(Error::Refused { place, reason: "there is a store already".to_owned() });
        }
        set_aside(to, "replaced")?;
    }
    // What a database that is gone left behind would be taken for news of this one.
    for companion in COMPANIONS {
        remove_if_there(&beside(to, companion))?;
    }
    finish(&unfinished, to)
}

/// Reads all of the store at `location` and looks whether it is whole. It may be in use. A PostgreSQL looks after its files
/// itself: of it, only whether it can be used.
///
/// # Errors
/// [`Error::Damaged`] with the first that is wrong; or why it can't be read.
pub fn check(location: &Location) -> Result<(), Error> {
    match location {
        Location::File(path) => check_file(path),
        #[cfg(feature = "postgres")]
        Location::Postgres(url) => crate::PostgresStore::open(url).map(drop),
        #[cfg(not(feature = "postgres"))]
        Location::Postgres(_) => file_of(location, "this program is built without PostgreSQL").map(drop),
    }
}

fn check_file(path: &Path) -> Result<(), Error> {
    let db = open_existing(path)?;
    match problems(&db, "PRAGMA integrity_check(1)")?.first() {
        Some(problem) => Err(Error::Damaged { place: db.place, reason: problem.clone() }),
        None => Ok(()),
    }
}

/// Opens a store of ours for reading; never creates one.
fn open_existing(path: &Path) -> Result<Db, Error> {
    let db = Db::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match schema::version(&db.connection, &db.place, schema::STEPS.len() as i64)? {
        0 => Err(Error::Foreign { place: db.place }),
        _ => Ok(db),
    }
}

fn file_of<'a>(location: &'a Location, otherwise: &str) -> Result<&'a Path, Error> {
    match location {
        Location::File(path) => Ok(path),
        Location::Postgres(_) => {
            Err(Error::Refused { place: location.to_string(), reason: otherwise.to_owned() })
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_failed(&path.display().to_string())(error))
        }
        _ => Ok(()),
    }
}

/// Gives a file that is complete its name, durably.
fn finish(unfinished: &Path, to: &Path) -> Result<(), Error> {
    let place = to.display().to_string();
    let run = || -> std::io::Result<()> {
        File::open(unfinished)?.sync_all()?;
        fs::rename(unfinished, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    run().map_err(io_failed(&place))
}
