//! The store in a file: what every store does, and what can become of a file.

#![allow(clippy::unwrap_used, reason = "an error fails the test")]

#[macro_use]
mod conformance;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::{Place, plan, raw, time};
use larnax_core::EventLog;
use larnax_store::{
    Document, Error, Existing, Location, OnDamage, SqliteStore, Store, backup, check, restore,
};
use rusqlite::Connection;
use tempfile::TempDir;

fn place() -> Option<Place> {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("state/hub.db"));
    Some(Place { location, _keep: Box::new(folder) })
}

every_store!();

/// A folder with a store `hub.db` in it that has had `events` events.
fn folder_with_store(events: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let store = open(&path).unwrap();
    let events: Vec<_> = (0..events).map(|i| raw(&format!("{i:0200}"))).collect();
    store.append(&events).unwrap();
    drop(store);
    (folder, path)
}

fn open(path: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::open(path, OnDamage::Refuse)
}

fn error(path: &Path) -> Error {
    open(path).map(|_| ()).unwrap_err()
}

fn ids(store: &dyn Store) -> Vec<String> {
    store.read_after(0, 10_000).unwrap().into_iter().map(|logged| logged.event.id).collect()
}

#[test]
fn nobody_but_its_owner_may_read_the_file() {
    let (_folder, path) = folder_with_store(1);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_is_one_hubs_at_a_time() {
    let (_folder, path) = folder_with_store(1);
    let first = open(&path).unwrap();
    assert!(matches!(error(&path), Error::InUse { .. }));
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_file_that_was_cut_off_is_an_error_that_says_what_to_do_and_stays_as_it_is() {
    let (_folder, path) = folder_with_store(500);
    let bytes = fs::read(&path).unwrap();
    for length in [0, 100, 4096, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = error(&path);
        assert!(matches!(error, Error::Damaged { .. }), "{length}: {error}");
        assert!(error.to_string().contains("larnax hub restore"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
    }
}

#[test]
fn a_file_whose_bytes_have_changed_is_damaged() {
    let (_folder, path) = folder_with_store(500);
    let mut bytes = fs::read(&path).unwrap();
    for at in (5 * 4096..bytes.len()).step_by(4096) {
        bytes[at..at + 64].fill(0xa5);
    }
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(error(&path), Error::Damaged { .. }));
    assert!(matches!(check(&Location::File(path.clone())), Err(Error::Damaged { .. })));
    fs::write(&path, "no database at all, but some text of a hundred bytes or more ".repeat(40)).unwrap();
    assert!(matches!(error(&path), Error::Damaged { .. }));
}

#[test]
fn a_damaged_file_is_set_aside_only_when_asked_and_nothing_is_overwritten() {
    let (folder, path) = folder_with_store(50);
    for name in ["hub.db.damaged", "hub.db.damaged-2"] {
        fs::write(&path, b"torn").unwrap();
        assert!(matches!(error(&path), Error::Damaged { .. }));
        let store = SqliteStore::open(&path, OnDamage::SetAside).unwrap();
        assert_eq!(store.bounds().unwrap(), (0, 0));
        store.append(&[raw("a")]).unwrap();
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"torn");
    }
}

#[test]
fn a_newer_programs_file_and_another_programs_are_left_alone() {
    let (folder, path) = folder_with_store(1);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = error(&path);
    assert!(matches!(newer, Error::Newer { found: 99, .. }), "{newer}");
    assert!(newer.to_string().contains("run the newer program"), "{newer}");

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert!(matches!(error(&other), Error::Foreign { .. }));
    assert!(matches!(SqliteStore::open(&other, OnDamage::SetAside).map(|_| ()), Err(Error::Foreign { .. })));
}

#[test]
fn a_backup_is_made_while_others_write_and_is_whole() {
    let (folder, path) = folder_with_store(2000);
    let store = open(&path).unwrap();
    let (location, to) = (Location::File(path), folder.path().join("backup.db"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut i = 0;
            while !done.load(Ordering::SeqCst) {
                store.append(&[raw(&format!("while-{i}"))]).unwrap();
                i += 1;
            }
        });
        let mut heard = (0, 0);
        backup(&location, &to, &mut |done, all| heard = (done, all)).unwrap();
        done.store(true, Ordering::SeqCst);
        assert!(heard.0 > 0 && heard.0 == heard.1, "{heard:?}");
    });
    check(&Location::File(to.clone())).unwrap();
    let again = backup(&location, &to, &mut |_, _| ()).unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
    let copy = open(&to).unwrap();
    let (all, copied) = (ids(&store), ids(&copy));
    assert!(copied.len() >= 2000);
    assert_eq!(copied, all[..copied.len()]);
}

#[test]
fn a_hub_restored_from_yesterdays_backup_reuses_no_sequence_and_no_lease_number() {
    let (folder, path) = folder_with_store(0);
    let (location, saved) = (Location::File(path.clone()), folder.path().join("yesterday.db"));
    let store = open(&path).unwrap();
    store.append(&[raw("a"), raw("b")]).unwrap();
    store.advance_cursor("incidents", 1).unwrap();
    let learnt = Document { name: "patterns".to_owned(), version: 1, json: "{}".to_owned() };
    store.upsert_plans(&[plan("orders", 1.0, 0)], std::slice::from_ref(&learnt), None).unwrap();
    let minute = Duration::from_secs(60);
    store.acquire("act", "hub-1", minute, time(0.0)).unwrap();
    backup(&location, &saved, &mut |_, _| ()).unwrap();
    let lost = store.append(&[raw("c"), raw("d")]).unwrap().last;
    store.upsert_plans(&[plan("orders", 1.0, 1)], &[], None).unwrap();
    let stale = store.acquire("act", "hub-1", minute, time(0.0)).unwrap().unwrap();
    let before = store.epoch().unwrap();
    let busy = restore(&saved, &location, Existing::SetAside).unwrap_err();
    assert!(matches!(busy, Error::InUse { .. }), "{busy}");
    drop(store);

    let refused = restore(&saved, &location, Existing::Refuse).unwrap_err();
    assert!(refused.to_string().contains("there is a store already"), "{refused}");
    restore(&saved, &location, Existing::SetAside).unwrap();
    assert!(folder.path().join("hub.db.replaced").exists());

    let store = open(&path).unwrap();
    assert_eq!(ids(&store), ["a", "b"]);
    assert_eq!(store.cursor("incidents").unwrap(), Some(1), "consumers go on from where they were then");
    assert_eq!(store.plans(&Default::default()).unwrap(), [plan("orders", 1.0, 0)]);
    assert_eq!(store.knowledge("patterns").unwrap(), Some(learnt));
    assert_ne!(store.epoch().unwrap(), before);
    // Whoever has read up to what is lost, and doesn't look at the epoch, still gets what is new.
    store.append(&[raw("e")]).unwrap();
    let new = store.read_after(lost, 10).unwrap();
    assert_eq!(new.iter().map(|logged| logged.event.id.as_str()).collect::<Vec<_>>(), ["e"]);
    // And nobody acts by a number that was given out since.
    assert!(!store.renew(&stale, minute, time(0.0)).unwrap());
    let next = store.acquire("act", "hub-2", minute, time(0.0)).unwrap().unwrap();
    assert!(next.number > stale.number);
    let epoch = store.epoch().unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap().epoch().unwrap(), epoch, "restored once");
}

#[test]
fn a_backup_that_is_only_copied_into_place_begins_a_new_epoch_too() {
    let (folder, path) = folder_with_store(3);
    let (location, saved) = (Location::File(path.clone()), folder.path().join("saved.db"));
    backup(&location, &saved, &mut |_, _| ()).unwrap();
    let before = open(&path).unwrap().epoch().unwrap();
    fs::copy(&saved, &path).unwrap();
    assert_ne!(open(&path).unwrap().epoch().unwrap(), before);
}

#[test]
fn what_is_no_backup_is_not_restored_and_what_is_there_stays() {
    let (folder, path) = folder_with_store(3);
    let location = Location::File(path.clone());
    let torn = folder.path().join("torn.db");
    let bytes = fs::read(&path).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(restore(&torn, &location, Existing::SetAside), Err(Error::Damaged { .. })));
    fs::write(&torn, b"").unwrap();
    assert!(restore(&torn, &location, Existing::SetAside).is_err());
    assert!(restore(&folder.path().join("nowhere.db"), &location, Existing::SetAside).is_err());
    assert_eq!(open(&path).unwrap().bounds().unwrap(), (1, 3));
}

#[test]
fn a_postgresql_is_backed_up_and_restored_by_its_own_means() {
    let location: Location = "postgres://larnax:hunter2@db/hub".parse().unwrap();
    let file = Path::new("/nowhere");
    for (error, means) in [
        (backup(&location, file, &mut |_, _| ()).unwrap_err(), "pg_dump"),
        (restore(file, &location, Existing::SetAside).unwrap_err(), "pg_restore"),
    ] {
        let text = error.to_string();
        assert!(text.contains(means) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = error(&file.join("hub.db"));
    assert!(error.to_string().contains("hub.db"), "{error}");
}

/// Set for the process that [`what_was_acknowledged_survives_a_sudden_death`] starts: where to append until killed.
const APPEND_TO: &str = "LARNAX_TEST_APPEND_TO";

#[test]
fn what_was_acknowledged_survives_a_sudden_death() {
    if let Some(path) = std::env::var_os(APPEND_TO) {
        append_until_killed(Path::new(&path));
    }
    let (_folder, path) = folder_with_store(0);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_was_acknowledged_survives_a_sudden_death", "--nocapture"])
        .env(APPEND_TO, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let words: Vec<String> = lines
        .map(Result::unwrap)
        .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
        .take(200)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(words.len(), 200);
    let kept = ids(&open(&path).unwrap());
    for id in &words {
        assert!(kept.contains(id), "{id} is lost");
    }
}

fn append_until_killed(path: &Path) -> ! {
    let store = open(path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for i in 0.. {
                    let id = format!("{thread}-{i}");
                    store.append(&[raw(&id)]).unwrap();
                    println!("acknowledged {id}");
                }
            });
        }
    });
    std::process::exit(1)
}
