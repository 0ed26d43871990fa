//! The store in a real PostgreSQL: what every store does, what becomes of connections, and two hubs on one.

#![allow(clippy::unwrap_used, reason = "an error fails the test")]

#[macro_use]
mod conformance;

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use conformance::{Place, component, incident, plan, raw, time};
use larnax_core::EventLog;
use larnax_store::{Error, Location, OnDamage, PostgresStore, Sighting, Store};
use larnax_test_peers::{Peer, Peers, Postgres, eventually};

const NEEDS: [Peer; 2] = [Peer::Postgres, Peer::Initdb];

/// A database of its own, on a server that is shared by the tests that run at the same time.
fn place() -> Option<Place> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let peers = Peers::for_test(&NEEDS)?;
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let server = shared.upgrade().unwrap_or_else(|| Arc::new(Postgres::start(&peers)));
    *shared = Arc::downgrade(&server);
    drop(shared);
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("hub_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    run(&server.url(), &format!("CREATE DATABASE {name}"));
    let location = Location::Postgres(on(&server.url(), &name));
    Some(Place { location, _keep: Box::new(server) })
}

every_store!();

/// The same server, another database.
fn on(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

fn url(place: &Place) -> &str {
    match &place.location {
        Location::Postgres(url) => url,
        Location::File(_) => unreachable!(),
    }
}

/// Runs SQL as the user of the URL; the first column of what it says.
fn run(url: &str, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let said = client.simple_query(sql).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
        said.iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect()
    })
}

fn open(url: &str) -> Result<PostgresStore, Error> {
    PostgresStore::open(url)
}

/// That an attempt failed for good, and doesn't tell the password.
fn refused(url: &str) -> String {
    let error = open(url).map(|_| ()).unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("of:tests") && !text.contains("tests%40home"), "{text}");
    text
}

#[test]
fn two_hubs_append_at_once_and_a_reader_skips_nothing() {
    let Some(place) = place() else { return };
    let hubs = [place.open(), place.open()];
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (store, mut last, mut count) = (place.open(), 0, 0);
            while count < 1200 {
                for logged in store.read_after(last, 50).unwrap() {
                    // No holes: an entry with a lower number can't come later.
                    assert_eq!(logged.sequence, last + 1);
                    last = logged.sequence;
                    count += 1;
                }
            }
        });
        for (number, hub) in hubs.iter().enumerate() {
            for thread in 0..3 {
                scope.spawn(move || {
                    for batch in 0..40 {
                        let event = |i: u32| raw(&format!("{number}-{thread}-{batch}-{i}"));
                        hub.append(&(0..5).map(event).collect::<Vec<_>>()).unwrap();
                        // An event that the other hub also gets.
                        hub.append(&[event(0)]).unwrap();
                    }
                });
            }
        }
        reader.join().unwrap();
    });
    assert_eq!(hubs[0].bounds().unwrap(), (1, 1200));
}

#[test]
fn two_hubs_that_start_at_once_make_one_schema() {
    let Some(place) = place() else { return };
    let epochs: Vec<String> = std::thread::scope(|scope| {
        let hubs: Vec<_> = (0..4).map(|_| scope.spawn(|| place.open().epoch().unwrap())).collect();
        hubs.into_iter().map(|hub| hub.join().unwrap()).collect()
    });
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0] && epoch.len() == 16), "{epochs:?}");
}

#[test]
fn two_hubs_that_note_the_same_components_do_not_block_each_other() {
    let Some(place) = place() else { return };
    let seen = |i: u32| Sighting {
        component: component(&format!("c{i}")),
        agent: "a".to_owned(),
        last_seen: time(1.0),
    };
    std::thread::scope(|scope| {
        for reverse in [false, true] {
            let (hub, seen) = (place.open(), &seen);
            scope.spawn(move || {
                let mut all: Vec<_> = (0..200).map(seen).collect();
                if reverse {
                    all.reverse();
                }
                for _ in 0..20 {
                    hub.upsert_components(&all).unwrap();
                }
            });
        }
    });
}

#[test]
fn while_a_holder_writes_its_lease_stays_and_then_moves_on() {
    let Some(place) = place() else { return };
    let (first, second) = (place.open(), place.open());
    let short = Duration::from_millis(50);
    let fence = first.acquire("act", "hub-1", short, time(0.0)).unwrap().unwrap();
    std::thread::sleep(short * 2);
    // A transaction of the first hub that has passed the check and isn't over.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connect = async { tokio_postgres::connect(url(&place), tokio_postgres::NoTls).await.unwrap() };
    let (client, connection) = runtime.block_on(connect);
    runtime.spawn(connection);
    let check = "BEGIN; SELECT 1 FROM larnax.leases WHERE number = 1 FOR SHARE";
    runtime.block_on(client.batch_execute(check)).unwrap();
    let taking =
        std::thread::spawn(move || second.acquire("act", "hub-2", short, time(0.0)).unwrap().unwrap());
    eventually("the second hub to wait", Duration::from_secs(8), || {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (run(url(&place), waiting) == ["1"]).then_some(())
    });
    assert!(!taking.is_finished());
    runtime.block_on(client.batch_execute("COMMIT")).unwrap();
    let next = taking.join().unwrap();
    assert!(next.number > fence.number);
    let late = first.upsert_incidents(&[incident("orders", 1.0, 0)], Some(&fence)).unwrap_err();
    assert!(matches!(late, Error::Fenced { .. }), "{late}");
}

#[test]
fn hubs_leave_letters_for_each_other_and_each_is_read_once() {
    let Some(place) = place() else { return };
    let stores = [place.open(), place.open()];
    let [first, second] = stores.each_ref().map(|store| store.letters().unwrap());
    assert!(first.collect("hub-1").unwrap().is_empty());
    assert!(first.others("hub-1").unwrap().is_empty());
    assert!(second.collect("hub-2").unwrap().is_empty());
    assert_eq!(first.others("hub-1").unwrap(), ["hub-2"]);
    let long = "ü".repeat(1 << 20);
    for letter in ["one", &long, "three"] {
        first.post("hub-2", letter).unwrap();
    }
    assert!(first.collect("hub-1").unwrap().is_empty());
    assert_eq!(second.collect("hub-2").unwrap(), ["one", &long, "three"]);
    assert!(second.collect("hub-2").unwrap().is_empty());
    // One that does not look any more is not there.
    run(url(&place), "UPDATE larnax.hubs SET seen = seen - interval '11 s' WHERE name = 'hub-2'");
    assert!(first.others("hub-1").unwrap().is_empty());
    // Nor are letters kept for it.
    first.post("hub-2", "old").unwrap();
    run(url(&place), "UPDATE larnax.letters SET sent = sent - interval '61 s'");
    first.post("hub-2", "new").unwrap();
    assert_eq!(second.collect("hub-2").unwrap(), ["new"]);
}

#[test]
fn leases_go_by_the_clock_that_the_hubs_share() {
    let Some(place) = place() else { return };
    let store = place.open();
    let hour = Duration::from_secs(3600);
    store.acquire("act", "hub-1", hour, time(0.0)).unwrap().unwrap();
    // A hub whose clock is a day ahead takes nothing.
    assert_eq!(store.acquire("act", "hub-2", hour, time(86_400.0)).unwrap(), None);
}

#[test]
fn a_server_that_is_gone_is_a_temporary_error_and_once_it_is_back_all_is_there() {
    let Some(peers) = Peers::for_test(&NEEDS) else { return };
    let mut server = Postgres::start(&peers);
    let store = open(&server.url()).unwrap();
    let mut acknowledged = store.append(&[raw("before")]).unwrap().last;
    let epoch = store.epoch().unwrap();
    for outage in 0..2 {
        server.stop();
        let started = Instant::now();
        let error = store.append(&[raw("lost")]).unwrap_err();
        assert!(error.temporary, "{error}");
        assert!(!error.message.contains("of:tests"), "{error}");
        let error = store.components().unwrap_err();
        assert!(error.is_temporary(), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "waiting is bounded");
        server.start_again();
        let id = format!("after-{outage}");
        acknowledged = eventually("the connection", Duration::from_secs(10), || {
            store.append(&[raw(&id)]).ok().map(|appended| appended.last)
        });
        assert_eq!(store.bounds().unwrap(), (1, acknowledged));
    }
    assert_eq!(acknowledged, 3);
    // A restart is no other copy.
    assert_eq!(store.epoch().unwrap(), epoch);
}

#[test]
fn what_was_acknowledged_survives_the_servers_sudden_death() {
    let Some(peers) = Peers::for_test(&NEEDS) else { return };
    let mut server = Postgres::start(&peers);
    let store = open(&server.url()).unwrap();
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, acknowledged) = (&store, &acknowledged);
            scope.spawn(move || {
                for i in 0.. {
                    let id = format!("{thread}-{i}");
                    match store.append(&[raw(&id)]) {
                        Ok(_) => acknowledged.lock().unwrap().push(id),
                        Err(error) => {
                            assert!(error.temporary, "{error}");
                            return;
                        }
                    }
                }
            });
        }
        while acknowledged.lock().unwrap().len() < 200 {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.stop();
    });
    server.start_again();
    let kept = eventually("the connection", Duration::from_secs(10), || store.read_after(0, 10_000).ok());
    for id in acknowledged.into_inner().unwrap() {
        assert!(kept.iter().any(|logged| logged.event.id == id), "{id} is lost");
    }
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_a_temporary_error_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:p@{}/hub?connect_timeout=1", silent.local_addr().unwrap());
    let started = Instant::now();
    let error = open(&url).map(|_| ()).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let nobody = silent.local_addr().unwrap();
    drop(silent);
    let error = open(&format!("postgres://u:p@{nobody}/hub")).map(|_| ()).unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

#[test]
fn what_the_server_refuses_is_said_without_the_password() {
    let Some(place) = place() else { return };
    let wrong = url(&place).replace("a-password", "another-password");
    let text = refused(&wrong);
    assert!(text.contains("password authentication failed") && !text.contains("another"), "{text}");
    assert!(refused(&on(url(&place), "nowhere")).contains("nowhere"));
    place.open();
    run(url(&place), "UPDATE larnax.format SET version = 99");
    assert!(refused(url(&place)).contains("run the newer program"));
}

#[test]
fn a_database_of_the_format_before_gets_the_tables_that_it_lacks() {
    let Some(place) = place() else { return };
    place.open().append(&[raw("a")]).unwrap();
    let back = "DROP TABLE larnax.plans; DROP TABLE larnax.knowledge; UPDATE larnax.format SET version = 2";
    run(url(&place), back);
    let store = place.open();
    assert_eq!(store.bounds().unwrap(), (1, 1));
    assert_eq!(store.upsert_plans(&[plan("orders", 1.0, 0)], &[], None).unwrap(), 1);
    assert_eq!(store.knowledge("patterns").unwrap(), None);
}

#[test]
fn a_copy_of_the_database_begins_a_new_epoch_and_reuses_no_number() {
    let Some(place) = place() else { return };
    let store = place.open();
    let minute = Duration::from_secs(60);
    store.append(&[raw("a"), raw("b")]).unwrap();
    let fence = store.acquire("act", "hub-1", minute, time(0.0)).unwrap().unwrap();
    let before = store.epoch().unwrap();
    drop(store);
    // What `pg_dump` and `psql` do: the same rows in another database.
    let database = url(&place).rsplit_once('/').unwrap().1.to_owned();
    let copy = format!("{database}_copy");
    run(&on(url(&place), "postgres"), &format!("CREATE DATABASE {copy} TEMPLATE {database}"));
    let store = open(&on(url(&place), &copy)).unwrap();
    assert_ne!(store.epoch().unwrap(), before);
    assert!(!store.renew(&fence, minute, time(0.0)).unwrap());
    let new = store.append(&[raw("c")]).unwrap().last;
    assert!(new > 1 << 32, "{new}");
    assert_eq!(store.read_after(2, 10).unwrap().len(), 1);
    assert_eq!(place.open().epoch().unwrap(), before, "the first stays what it was");
}

#[test]
fn a_user_who_may_do_no_more_than_needed_can_use_it() {
    let Some(place) = place() else { return };
    let database = url(&place).rsplit_once('/').unwrap().1.to_owned();
    run(
        url(&place),
        &format!(
            "CREATE ROLE plain_{database} LOGIN PASSWORD 'plain'; \
             GRANT CREATE ON DATABASE {database} TO plain_{database}"
        ),
    );
    let (_, server) = url(&place).rsplit_once('@').unwrap();
    let store = open(&format!("postgres://plain_{database}:plain@{server}")).unwrap();
    store.append(&[raw("a")]).unwrap();
    assert_eq!(store.epoch().unwrap(), open(url(&place)).unwrap().epoch().unwrap());
}

#[test]
fn tls_is_as_strict_as_sslmode_says() {
    let Some(peers) = Peers::for_test(&NEEDS) else { return };
    let (ca_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let trusted = ca.self_signed(&ca_key).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &rcgen::Issuer::new(ca, ca_key))
        .unwrap();
    let server = Postgres::start_with_tls(&peers, &certificate.pem(), &key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, trusted.pem()).unwrap();
    let root = format!("&sslrootcert={}", authority.display());
    let with = |host: &str, options: &str| format!("{}?{options}", server.url().replace("127.0.0.1", host));

    let is_encrypted = |url: &str| {
        let _store = open(url).unwrap();
        let sql = "SELECT pg_stat_ssl.ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE application_name = 'larnax' ORDER BY backend_start DESC LIMIT 1";
        run(&server.url(), sql)[0] == "t"
    };
    assert!(is_encrypted(&with("localhost", &format!("sslmode=verify-full{root}"))));
    assert!(is_encrypted(&with("127.0.0.1", &format!("sslmode=verify-ca{root}"))));
    assert!(is_encrypted(&with("127.0.0.1", "sslmode=require")));
    assert!(is_encrypted(&with("127.0.0.1", "sslmode=prefer")));
    assert!(!is_encrypted(&with("127.0.0.1", "sslmode=disable")));
    // Another name, and an authority that nobody trusts.
    assert!(refused(&with("127.0.0.1", &format!("sslmode=verify-full{root}"))).contains("certificate"));
    assert!(refused(&with("localhost", "sslmode=verify-full")).contains("certificate"));
    assert!(
        refused(&with("localhost", "sslmode=verify-ca&sslrootcert=/nowhere.pem")).contains("nowhere.pem")
    );
    // A server without TLS.
    let plain = Postgres::start(&peers);
    assert!(refused(&format!("{}?sslmode=require", plain.url())).contains("TLS"));
    larnax_store::open(&Location::Postgres(plain.url()), OnDamage::Refuse).unwrap();
}
