//! The bus over HTTP: what the handler takes and refuses, and how the client bears bad servers.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Method, Request, StatusCode};
use larnax_bus::cloudevents::{BATCH, EVENT, MAX_EVENT_BYTES};
use larnax_bus::server::{self, MAX_BODY_BYTES, PATH};
use larnax_bus::{Bus, BusError, Cursor, LocalBus, Subscription};
use larnax_core::{Appended, EventLog, LogError, Logged, RawEvent, Timestamp};
use larnax_http::{Auth, ClientOptions, Secret, SecretSource, TlsOptions};
use serde_json::{Value, json};
use support::events::{event, events};
use support::file_log::FileLog;
use support::http::{Server, client, client_of};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn bus(folder: &TempDir, name: &str) -> Arc<dyn Bus> {
    Arc::new(LocalBus::new(Arc::new(FileLog::open(&folder.path().join(name)))))
}

async fn ask(bus: &dyn Bus, method: Method, query: &str, media: &str, body: &str) -> (StatusCode, Value) {
    let request =
        Request::builder().method(method).uri(format!("{PATH}{query}")).header("content-type", media);
    let (head, ()) = request.body(()).unwrap().into_parts();
    let answer = server::answer(bus, &head, body.as_bytes(), Timestamp::default()).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(bus: &dyn Bus, query: &str) -> (StatusCode, Value) {
    ask(bus, Method::GET, query, "", "").await
}

#[tokio::test]
async fn what_is_posted_alone_or_together_is_read_with_its_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(&folder, "first");
    let (one, two) = (event("a", 0), event("b", 0));
    let answer =
        ask(bus.as_ref(), Method::POST, "", "application/cloudevents+json; charset=utf-8", &one.json).await;
    assert_eq!(answer, (StatusCode::OK, json!({"new": 1, "last": 1})));
    let both = format!("[{},{}]", one.json, two.json);
    let answer = ask(bus.as_ref(), Method::POST, "", BATCH, &both).await;
    assert_eq!(answer, (StatusCode::OK, json!({"new": 1, "last": 2})));

    let parsed = |event: &RawEvent| serde_json::from_str::<Value>(&event.json).unwrap();
    let entry = |sequence: u64, event| json!({"sequence": sequence, "event": parsed(event)});
    let all = json!({"epoch": "first", "next": 2, "events": [entry(1, &one), entry(2, &two)]});
    assert_eq!(get(bus.as_ref(), "").await, (StatusCode::OK, all.clone()));
    let second = json!({"epoch": "first", "next": 2, "events": [entry(2, &two)]});
    assert_eq!(get(bus.as_ref(), "?after=1&epoch=first&limit=1").await.1, second);
    let none = json!({"epoch": "first", "next": 2, "events": []});
    assert_eq!(get(bus.as_ref(), "?after=2&epoch=first&wait=1ms").await.1, none);
    assert_eq!(
        get(bus.as_ref(), "?after=2&epoch=another").await.1,
        all,
        "another life is read from its oldest event"
    );
    assert_eq!(
        get(bus.as_ref(), "?after=17&epoch=first").await.1,
        all,
        "so is one that is shorter than it was"
    );
}

#[tokio::test]
async fn what_can_not_be_taken_is_refused_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(&folder, "log");
    let good = event("a", 0).json;
    let long = good.replace("\"number\":0", &format!("\"x\":\"{}\"", "x".repeat(MAX_EVENT_BYTES)));
    for (media, body, status, expected) in [
        (EVENT, "{}", 400, "`specversion` is missing"),
        (EVENT, &format!("[{good}]"), 400, "expected a JSON object"),
        (EVENT, &long, 400, "at most 524288 bytes"),
        (BATCH, &good, 400, "expected a JSON array"),
        (BATCH, &format!("[{good},{{}}]"), 400, "event 1: `specversion` is missing"),
        (BATCH, &" ".repeat(MAX_BODY_BYTES + 1), 413, "at most 8388608 bytes"),
        ("application/json", &good, 415, "expected application/cloudevents+json"),
    ] {
        let (found, answer) = ask(bus.as_ref(), Method::POST, "", media, body).await;
        let message = answer["error"].as_str().unwrap();
        assert!(found == status && message.contains(expected), "{found} {message}");
    }
    for query in ["after=-1", "after=x", "limit=0", "limit=1001", "wait=20", "wait=-1s", "from=1"] {
        let (found, answer) = get(bus.as_ref(), &format!("?{query}")).await;
        let message = answer["error"].as_str().unwrap();
        assert!(found == 400 && message.contains(query) && message.contains("expected"), "{found} {message}");
    }
    assert_eq!(ask(bus.as_ref(), Method::PUT, "", EVENT, &good).await.0, 405);
    assert_eq!(get(bus.as_ref(), "").await.1["next"], 0, "nothing was taken");
}

#[tokio::test]
async fn a_question_that_waits_is_answered_as_soon_as_there_is_something() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(&folder, "log");
    let server = Server::start(Arc::clone(&bus), LOOPBACK).await;
    let reading = tokio::spawn(async move {
        let asked = Instant::now();
        let batch =
            client(server.address).read(&Cursor::default(), 10, Duration::from_secs(20)).await.unwrap();
        (batch.events.len(), asked.elapsed(), server)
    });
    sleep(Duration::from_millis(100)).await;
    bus.publish(&[event("a", 0)]).await.unwrap();
    let (events, took, _server) = reading.await.unwrap();
    assert_eq!(events, 1);
    assert!(took < Duration::from_secs(20), "it did not wait to the end");
}

#[tokio::test]
async fn a_reader_of_a_restored_log_starts_from_its_oldest_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(bus(&folder, "before"), LOOPBACK).await;
    let address = server.address;
    let hub: Arc<dyn Bus> = Arc::new(client(address));
    hub.publish(&events(1, 5)).await.unwrap();
    let mut reader = Subscription::new(Arc::clone(&hub), Cursor::default());
    assert_eq!(reader.next_batch().await.unwrap().len(), 5);
    reader.acknowledge();

    // Yesterday's backup had two of them; today brings others.
    drop(server);
    let restored = bus(&folder, "after");
    restored.publish(&events(1, 2)).await.unwrap();
    restored.publish(&[event("new", 0)]).await.unwrap();
    let _server = Server::start(restored, address).await;
    let ids: Vec<_> = reader.next_batch().await.unwrap().into_iter().map(|logged| logged.event.id).collect();
    assert_eq!(ids, ["c0-0", "c0-1", "new-0"]);
    assert_eq!(reader.acknowledge(), &Cursor { epoch: "after".to_owned(), sequence: 3 });
}

#[tokio::test]
async fn a_large_publication_is_taken_in_parts_and_a_large_reading_ends_early() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(bus(&folder, "log"), LOOPBACK).await;
    let hub: Arc<dyn Bus> = Arc::new(client(server.address));
    let padding = format!("\"x\":\"{}\"", "x".repeat(100_000));
    let large: Vec<RawEvent> = events(1, 100)
        .into_iter()
        .map(|event| RawEvent {
            json: event.json.replace("\"number\"", &format!("{padding},\"number\"")),
            ..event
        })
        .collect();
    let appended = hub.publish(&large).await.unwrap();
    assert_eq!(appended, Appended { new: 100, last: 100 });
    let many = events(3, 2500);
    assert_eq!(
        hub.publish(&many).await.unwrap(),
        Appended { new: 2400, last: 2500 },
        "c0's first hundred are known"
    );
    let first = hub.read(&Cursor::default(), 1000, Duration::ZERO).await.unwrap();
    assert!((10..=128).contains(&first.events.len()), "{}", first.events.len());
    assert_eq!(first.events[0].event, large[0]);
}

#[tokio::test]
async fn a_token_and_a_private_authority_let_a_client_in_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let bus = bus(&folder, "log");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let bus = Arc::clone(&bus);
            let answer = move |request: Request<hyper::body::Incoming>| {
                let bus = Arc::clone(&bus);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let mut answer = server::answer(bus.as_ref(), &head, &body, Timestamp::default()).await;
                    if head.headers.get("authorization").is_none_or(|value| value != "Bearer open sesame") {
                        *answer.status_mut() = StatusCode::UNAUTHORIZED;
                    }
                    Ok::<_, std::convert::Infallible>(answer)
                }
            };
            let io = hyper_util::rt::TokioIo::new(stream);
            let service = hyper::service::service_fn(answer);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let token = |text: &str| Auth::bearer(SecretSource::Inline(Secret::new(text)));
    let trusting = TlsOptions { ca_file: Some(ca), ..TlsOptions::default() };
    let options = |auth, tls| ClientOptions { auth, tls, ..ClientOptions::default() };
    let read = async |http| client_of(&url, http).read(&Cursor::default(), 1, Duration::ZERO).await;

    assert!(read(options(token("open sesame"), trusting.clone())).await.unwrap().events.is_empty());
    let wrong = read(options(token("wrong"), trusting)).await.unwrap_err();
    assert!(wrong.is_temporary() && wrong.to_string().contains("401"), "{wrong}");
    assert!(!wrong.to_string().contains("Bearer"), "{wrong}");
    let stranger = read(options(token("open sesame"), TlsOptions::default())).await.unwrap_err();
    assert!(stranger.is_temporary() && stranger.to_string().contains("TLS failed"), "{stranger}");
}

/// A server that answers the same to everything.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_is_none_is_an_error_that_says_so_and_may_pass() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not one of a bus"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not one of a bus"),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
            "answered 404 Not Found, expected 200: none",
        ),
        ("SSH-2.0-OpenSSH\r\n", "no HTTP/1.1 answer"),
        ("", "closed before an answer"),
    ] {
        let hub = client(answering(answer).await);
        let error = hub.read(&Cursor::default(), 1, Duration::ZERO).await.unwrap_err();
        assert!(error.is_temporary() && error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_event_that_the_reader_can_not_read_does_not_hold_up_those_behind_it() {
    let body = r#"{"epoch":"e","next":2,"events":[{"sequence":1,"event":{"specversion":"2.0"}},{"sequence":2,"event":{"specversion":"1.0","id":"a","source":"/s","type":"io.larnax.x"}}]}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let hub = client(answering(Box::leak(answer.into_boxed_str())).await);
    let batch = hub.read(&Cursor::default(), 10, Duration::ZERO).await.unwrap();
    let found: Vec<_> =
        batch.events.iter().map(|logged| (logged.sequence, logged.event.id.as_str())).collect();
    assert_eq!(found, [(2, "a")]);
}

/// A log that can't be used.
struct Failing {
    temporary: bool,
}

impl Failing {
    fn error<T>(&self) -> Result<T, LogError> {
        Err(LogError { message: "the disk is full: make room".to_owned(), temporary: self.temporary })
    }
}

impl EventLog for Failing {
    fn append(&self, _: &[RawEvent]) -> Result<Appended, LogError> {
        self.error()
    }

    fn read_after(&self, _: u64, _: usize) -> Result<Vec<Logged>, LogError> {
        self.error()
    }

    fn bounds(&self) -> Result<(u64, u64), LogError> {
        self.error()
    }

    fn epoch(&self) -> Result<String, LogError> {
        self.error()
    }
}

#[tokio::test]
async fn a_log_that_fails_says_whether_it_is_worth_trying_again() {
    for (temporary, status) in [(true, 503), (false, 500)] {
        let bus = LocalBus::new(Arc::new(Failing { temporary }));
        let (found, answer) = get(&bus, "").await;
        assert_eq!((found.as_u16(), &answer["error"]), (status, &json!("the disk is full: make room")));
        let (found, _) = ask(&bus, Method::POST, "", EVENT, &event("a", 0).json).await;
        assert_eq!(found.as_u16(), status);
    }
    let mut broken =
        Subscription::new(Arc::new(LocalBus::new(Arc::new(Failing { temporary: false }))), Cursor::default());
    assert!(matches!(broken.next_batch().await.unwrap_err(), BusError::Broken(_)));
    let mut full =
        Subscription::new(Arc::new(LocalBus::new(Arc::new(Failing { temporary: true }))), Cursor::default());
    assert!(timeout(Duration::from_millis(300), full.next_batch()).await.is_err(), "it goes on trying");
}

#[tokio::test]
async fn readers_of_a_shared_log_see_what_another_process_appends() {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(FileLog::open(&folder.path().join("log")));
    let (one, another) =
        (Arc::new(LocalBus::shared(Arc::clone(&log), Duration::from_millis(20))), LocalBus::new(log));
    let reading = tokio::spawn(async move { one.read(&Cursor::default(), 1, Duration::from_secs(60)).await });
    sleep(Duration::from_millis(50)).await;
    another.publish(&[event("a", 0)]).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap().events.len(), 1);
}
