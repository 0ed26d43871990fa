use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use larnax_core::Transition::{Closed, Opened, Updated};
use larnax_core::{Clock, Event, Transition};
use larnax_http::{Auth, ClientOptions};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use super::*;
use crate::testing::{RuntimeClock, Server, at, event, recorded};
use crate::{Outbox, OutboxOptions};

const MINUTE: Duration = Duration::from_secs(60);

fn clock() -> Rc<dyn Clock> {
    Rc::new(RuntimeClock::new())
}

fn alertmanager(url: &str) -> Alertmanager {
    Alertmanager::new(AlertmanagerOptions::new("am", url, "edge-17").unwrap(), clock()).unwrap()
}

fn webhook(url: &str, batch: bool) -> Webhook {
    let options = WebhookOptions::new("hook", url, "/larnax/edge/edge-17").unwrap();
    Webhook::new(WebhookOptions { batch, ..options }, clock()).unwrap()
}

fn outbox(sinks: &[&str]) -> Rc<Outbox> {
    let sinks = sinks.iter().map(|&sink| sink.to_owned()).collect();
    Rc::new(Outbox::open(None, OutboxOptions { sinks, ..OutboxOptions::default() }).unwrap().0)
}

/// Runs a loop in the background until the returned sender is dropped.
fn deliver(outbox: &Rc<Outbox>, sink: impl Sink + 'static) -> (Rc<SinkStatus>, oneshot::Sender<()>) {
    let status = Rc::new(SinkStatus::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let drain = Duration::from_secs(5);
    spawn_local(deliver_loop(outbox.clone(), Box::new(sink), status.clone(), clock(), drain, shutdown));
    (status, stop)
}

fn accept(outbox: &Outbox, name: &str, onset: f64, transition: Transition, sequence: u32) -> Event {
    let event = event(name, onset, transition, sequence);
    let _ = outbox.accept(&event).unwrap();
    event
}

// What Alertmanager is told.

#[tokio::test(start_paused = true)]
async fn an_open_anomaly_is_this_alert() {
    let server = Server::start().await;
    let mut options = AlertmanagerOptions::new("am", &server.url, "edge-17").unwrap();
    options.external_labels = [("site", "hamburg"), ("job", "not this"), ("severity", "info")]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into();
    options.evidence_url = Some("http://127.0.0.1:7676/".to_owned());
    options.runbook_url = Some("https://example.org/runbook".to_owned());
    let mut sink = Alertmanager::new(options, clock()).unwrap();
    let opened = event("a", -30.0, Opened, 0);
    sink.deliver(std::slice::from_ref(&opened)).await.unwrap();
    let id = opened.data.anomaly.id.to_string();
    let seen = server.seen();
    assert!(seen[0].head.starts_with("POST /api/v2/alerts HTTP/1.1"), "{}", seen[0].head);
    assert_eq!(
        seen[0].body,
        json!([{
            "labels": {
                "alertname": "LarnaxAnomaly",
                "anomaly_kind": "deviation",
                "component": "service/shop/a",
                "component_kind": "service",
                "exported_group": "theirs",
                "group": "shop",
                "instance": "10.0.0.7:9100",
                "job": "shop",
                "severity": "warning",
                "site": "hamburg",
            },
            "annotations": {
                "anomaly_id": id,
                "description": "Score 1.5, at most 7.25 (above 1 is anomalous), since 2026-11-21T17:59:30.000Z.\n\
                    cpu/user = 0.97, expected 0.21 within 0.11..0.31 (+7.6)",
                "last_seen": "2026-11-21T18:00:30.000Z",
                "onset": "2026-11-21T17:59:30.000Z",
                "opened": "2026-11-21T17:59:40.000Z",
                "peak_score": "7.25",
                "runbook_url": "https://example.org/runbook",
                "score": "1.5",
                "summary": "service/shop/a behaves unlike normal, most of all cpu/user:+7.6",
                "top_metrics": "cpu/user:+7.6",
            },
            "startsAt": "2026-11-21T17:59:30.000Z",
            "endsAt": "2026-11-21T18:04:00.000Z",
            "generatorURL": format!("http://127.0.0.1:7676/anomalies/{id}"),
        }])
    );
}

#[tokio::test(start_paused = true)]
async fn an_alert_keeps_its_identity_is_resent_each_minute_and_resolved_explicitly() {
    LocalSet::new()
        .run_until(async {
            let server = Server::start().await;
            let outbox = outbox(&["am"]);
            let (status, _stop) = deliver(&outbox, alertmanager(&server.url));
            accept(&outbox, "a", 0.0, Opened, 0);
            sleep(MINUTE * 3 + Duration::from_secs(30)).await;
            assert_eq!(server.seen().len(), 4, "at once and three times more");
            accept(&outbox, "a", 0.0, Updated, 1);
            sleep(Duration::from_secs(1)).await;
            accept(&outbox, "a", 0.0, Closed, 2);
            sleep(MINUTE * 60).await;
            let seen = server.seen();
            assert_eq!(seen.len(), 6, "nothing is on the wire once all is normal");
            assert!(seen.iter().all(|seen| seen.body[0]["labels"] == seen_labels(&server)));
            let ends: Vec<&Value> = seen.iter().map(|seen| &seen.body[0]["endsAt"]).collect();
            assert_eq!(ends[1], "2026-11-21T18:05:00.000Z");
            assert_eq!(ends[5], "2026-11-21T18:01:30.000Z", "when it closed");
            let health = status.health();
            assert_eq!((health.delivered, health.resent, health.failures), (3, 3, 0));
            assert!(health.bytes_sent > 1000);
        })
        .await;
}

fn seen_labels(server: &Server) -> Value {
    server.seen()[0].body[0]["labels"].clone()
}

#[tokio::test(start_paused = true)]
async fn an_anomaly_that_came_and_went_during_an_outage_still_fires_marked_as_late() {
    let server = Server::start().await;
    let mut sink = alertmanager(&server.url);
    sink.deliver(&[event("a", -500.0, Opened, 0), event("a", -500.0, Closed, 1)]).await.unwrap();
    let alerts = server.seen()[0].body.clone();
    assert_eq!(alerts.as_array().unwrap().len(), 1);
    assert_eq!(alerts[0]["endsAt"], "2026-11-21T18:04:00.000Z");
    let summary = alerts[0]["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains("reported late") && summary.contains("17:53:10"), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn what_is_only_recorded_is_told_once_it_is_worth_an_alert() {
    let server = Server::start().await;
    let mut sink = alertmanager(&server.url);
    sink.deliver(&[recorded(event("a", 0.0, Opened, 0)), recorded(event("b", 0.0, Closed, 1))])
        .await
        .unwrap();
    assert!(server.seen().is_empty());
    sink.deliver(&[event("a", 0.0, Updated, 1)]).await.unwrap();
    assert_eq!(server.seen()[0].body[0]["startsAt"], "2026-11-21T18:00:00.000Z");
}

// What a webhook is told.

#[tokio::test(start_paused = true)]
async fn a_webhook_gets_cloudevents_one_by_one_or_in_a_batch_with_auth() {
    let server = Server::start().await;
    let options = WebhookOptions::new("hook", &format!("{}/in", server.url), "/larnax/edge/edge-17").unwrap();
    let http = ClientOptions { auth: Auth::basic("user", "hunter2"), ..ClientOptions::default() };
    let mut sink = Webhook::new(WebhookOptions { http, ..options }, clock()).unwrap();
    let opened = event("a", 0.0, Opened, 0);
    sink.deliver(std::slice::from_ref(&opened)).await.unwrap();
    Sink::<larnax_core::event::AnomalyEvent>::heartbeat(&mut sink).await.unwrap();
    let seen = server.seen();
    let head = seen[0].head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/cloudevents+json"), "{head}");
    assert!(head.contains("authorization: basic"), "{head}");
    let id = opened.data.anomaly.id.to_string();
    let metric = json!({"metric": "cpu/user", "deviation": 7.6});
    assert_eq!(
        seen[0].body,
        json!({
            "specversion": "1.0",
            "id": opened.id,
            "source": "/larnax/edge/edge-17",
            "type": "io.larnax.anomaly.opened.v1",
            "subject": "service/shop/a",
            "time": "2026-11-21T18:00:10.000Z",
            "datacontenttype": "application/json",
            "data": {
                "transition": "opened",
                "sequence": 0,
                "anomaly": {
                    "id": id,
                    "component": "service/shop/a",
                    "kind": "deviation",
                    "onset": "2026-11-21T18:00:00.000Z",
                    "opened": "2026-11-21T18:00:10.000Z",
                    "last_seen": "2026-11-21T18:01:00.000Z",
                    "score": 1.5,
                    "peak": 7.25,
                    "alerted": true,
                    "metrics": [metric],
                },
                "component": {
                    "id": "service/shop/a",
                    "group": "shop",
                    "labels": {"group": "theirs", "instance": "10.0.0.7:9100", "job": "shop"},
                },
                "evidence": {
                    "metrics": [{
                        "metric": "cpu/user", "value": 0.97, "expected": 0.21, "lower": 0.11, "upper": 0.31,
                        "deviation": 7.6, "median_before": 0.2, "deviation_before": 0.02,
                    }],
                    "window": {
                        "times": ["2026-11-21T18:00:00.000Z"], "metrics": ["cpu/user"], "rows": [[0.97]],
                    },
                },
            },
        })
    );
    assert_eq!(seen[1].body["type"], "io.larnax.heartbeat.v1");

    let server = Server::start().await;
    webhook(&server.url, true).deliver(&[opened.clone(), event("a", 0.0, Closed, 1)]).await.unwrap();
    let seen = server.seen();
    assert!(seen[0].head.contains("application/cloudevents-batch+json"), "{}", seen[0].head);
    assert_eq!(seen[0].body.as_array().unwrap().len(), 2);
}

// JSON lines.

fn lines(file: &Path) -> Vec<Event> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn lines_go_on_in_a_new_file_when_the_old_one_was_rotated_away() {
    let folder = tempfile::tempdir().unwrap();
    let (file, rotated) = (folder.path().join("events.jsonl"), folder.path().join("events.jsonl.1"));
    let mut sink = JsonLines::new(JsonLinesOptions::new("lines", Output::File(file.clone())));
    let events = [recorded(event("a", 0.0, Opened, 0)), event("a", 0.0, Closed, 1)];
    sink.deliver(&events[..1]).await.unwrap();
    fs::rename(&file, &rotated).unwrap();
    sink.deliver(&events[1..]).await.unwrap();
    assert_eq!((lines(&rotated), lines(&file)), (events[..1].to_vec(), events[1..].to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_a_crash_cut_off_is_ended_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    fs::write(&file, "{\"specversion\":").unwrap();
    let mut sink = JsonLines::new(JsonLinesOptions::new("lines", Output::File(file.clone())));
    sink.deliver(&[event("a", 0.0, Opened, 0)]).await.unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(serde_json::from_str::<Event>(lines[1]).is_ok(), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_worth_another_try() {
    let output = Output::File("/dev/full".into());
    let error =
        JsonLines::new(JsonLinesOptions::new("lines", output)).deliver(&[event("a", 0.0, Opened, 0)]).await;
    let error = error.unwrap_err();
    assert!(error.retryable && error.message.contains("/dev/full"), "{error}");
}

// Every sink.

/// What a sink is put to the test with: how to break its other side and mend it, and what arrived there.
struct Bench {
    sink: Box<dyn Sink>,
    set_up: Box<dyn Fn(bool)>,
    /// The number of times that the named component was told of.
    arrived: Box<dyn Fn(&str) -> usize>,
}

async fn benches(folder: &Path) -> Vec<Bench> {
    let mut benches = Vec::new();
    for kind in 0..3 {
        let server = Server::start().await;
        let sink: Box<dyn Sink> = match kind {
            0 => Box::new(alertmanager(&server.url)),
            kind => Box::new(webhook(&server.url, kind == 2)),
        };
        let (broken, asked) = (server.clone(), server);
        benches.push(Bench {
            sink,
            set_up: Box::new(move |up| {
                if !up {
                    broken.answer(&[503])
                }
            }),
            arrived: Box::new(move |name| {
                asked
                    .seen()
                    .iter()
                    .filter(|seen| seen.body.to_string().contains(&format!("shop/{name}\"")))
                    .count()
            }),
        });
    }
    let place = folder.join("later");
    let file = place.join("events.jsonl");
    let read = file.clone();
    benches.push(Bench {
        sink: Box::new(JsonLines::new(JsonLinesOptions::new("lines", Output::File(file)))),
        set_up: Box::new(move |up| {
            if up {
                fs::create_dir_all(&place).unwrap()
            }
        }),
        arrived: Box::new(move |name| {
            lines(&read).iter().filter(|event| event.data.anomaly.component.name() == name).count()
        }),
    });
    benches
}

#[tokio::test(start_paused = true)]
async fn every_sink_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    for Bench { mut sink, set_up, arrived } in benches(folder.path()).await {
        let name = sink.name().to_owned();
        let first = [event("a", 0.0, Opened, 0)];
        sink.deliver(&[]).await.unwrap();
        set_up(false);
        let error = sink.deliver(&first).await.expect_err(&name);
        assert!(error.retryable && !error.message.is_empty(), "{name}: {error}");
        set_up(true);
        sink.deliver(&first).await.unwrap();
        sink.deliver(&first).await.unwrap();
        assert!(arrived("a") >= 2, "{name} bears the same event twice");
        let max = sink.max_batch();
        let many: Vec<Event> = (0..max).map(|i| event("b", i as f64, Opened, 0)).collect();
        sink.deliver(&many).await.unwrap();
        assert!(arrived("b") >= 1, "{name}");
        assert_eq!(sink.name(), name);
    }
}

#[tokio::test]
async fn no_sink_shows_its_secrets() {
    let http = ClientOptions { auth: Auth::basic("user", "hunter2"), ..ClientOptions::default() };
    let url = "http://user:hunter2@127.0.0.1:1";
    let options =
        AlertmanagerOptions { http: http.clone(), ..AlertmanagerOptions::new("am", url, "edge-17").unwrap() };
    let mut told = format!("{options:?}");
    let mut sink = Alertmanager::new(options, clock()).unwrap();
    told += &format!("{sink:?} {}", sink.deliver(&[event("a", 0.0, Opened, 0)]).await.unwrap_err());
    let options = WebhookOptions {
        http,
        ..WebhookOptions::new("hook", &format!("{url}/hunter2?k=hunter2"), "/").unwrap()
    };
    told += &format!("{options:?}");
    let mut sink = Webhook::new(options, clock()).unwrap();
    told += &format!("{sink:?} {}", sink.deliver(&[event("a", 0.0, Opened, 0)]).await.unwrap_err());
    told += &WebhookOptions::new("hook", "ftp://user:hunter2@x/hunter2", "/").unwrap_err().to_string();
    told += &AlertmanagerOptions::new("am", "ftp://u:hunter2@x", "e").unwrap_err().to_string();
    assert!(!told.contains("hunter2"), "{told}");
}

// The loop.

/// Remembers what it got, and fails as it is told to.
#[derive(Debug, Default)]
struct Fake {
    name: &'static str,
    got: Rc<RefCell<Vec<String>>>,
    calls: Rc<Cell<usize>>,
    down: Rc<Cell<bool>>,
    refuses: Option<&'static str>,
    beats: Option<Duration>,
}

impl Sink for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn deliver<'a>(&'a mut self, events: &'a [Event]) -> LocalFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            self.calls.set(self.calls.get() + 1);
            if self.down.get() {
                return Err(DeliveryError::retryable("down"));
            }
            let names: Vec<&str> = events.iter().map(|event| event.data.anomaly.component.name()).collect();
            if self.refuses.is_some_and(|name| names.contains(&name)) {
                return Err(DeliveryError::refused("no such event, please"));
            }
            self.got.borrow_mut().extend(events.iter().map(|event| event.id.clone()));
            Ok(())
        })
    }

    fn heartbeat_every(&self) -> Option<Duration> {
        self.beats
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_blocks_no_other_and_gets_all_in_order_when_it_is_back() {
    LocalSet::new()
        .run_until(async {
            let outbox = outbox(&["up", "down"]);
            let (up, down) =
                (Fake { name: "up", ..Fake::default() }, Fake { name: "down", ..Fake::default() });
            let (up_got, down_got, switch, calls) =
                (up.got.clone(), down.got.clone(), down.down.clone(), down.calls.clone());
            switch.set(true);
            let (_up, _stop_up) = deliver(&outbox, up);
            let (status, _stop_down) = deliver(&outbox, down);
            let sent: Vec<String> =
                (0..20).map(|i| accept(&outbox, ["a", "b"][i % 2], 0.0, Updated, i as u32).id).collect();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(*up_got.borrow(), sent);
            sleep(MINUTE * 60).await;
            assert!((60..=140).contains(&calls.get()), "pauses grow to a minute: {} calls", calls.get());
            assert_eq!(status.health().last_error.as_deref(), Some("down"));
            switch.set(false);
            sleep(MINUTE).await;
            assert_eq!(*down_got.borrow(), sent);
            assert_eq!((status.health().delivered, status.health().last_error), (20, None));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn only_the_event_that_is_refused_is_given_up() {
    LocalSet::new()
        .run_until(async {
            let outbox = outbox(&["fake"]);
            let sent: Vec<String> = (0..9)
                .map(|i| accept(&outbox, if i == 5 { "poison" } else { "a" }, 0.0, Updated, i).id)
                .collect();
            let fake = Fake { name: "fake", refuses: Some("poison"), ..Fake::default() };
            let got = fake.got.clone();
            let (status, _stop) = deliver(&outbox, fake);
            sleep(Duration::from_secs(1)).await;
            let expected: Vec<String> =
                sent.iter().enumerate().filter(|(i, _)| *i != 5).map(|(_, id)| id.clone()).collect();
            assert_eq!(*got.borrow(), expected);
            assert_eq!((status.health().delivered, status.health().refused), (8, 1));
            assert!(outbox.is_delivered("fake"));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn alertmanager_refusing_one_alert_and_then_being_busy_loses_none_of_the_others() {
    LocalSet::new()
        .run_until(async {
            let server = Server::start().await;
            server.refuse("service/shop/poison");
            server.answer(&[429, 500, 401]);
            let outbox = outbox(&["am"]);
            for name in ["a", "poison", "b"] {
                accept(&outbox, name, 0.0, Opened, 0);
            }
            let (status, _stop) = deliver(&outbox, alertmanager(&server.url));
            sleep(MINUTE / 2).await;
            let told = server.seen();
            for name in ["service/shop/a", "service/shop/b"] {
                assert!(told.iter().any(|seen| seen.body[0]["labels"]["component"] == name), "{name}");
            }
            assert_eq!((status.health().refused, status.health().delivered), (1, 2));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_all_is_normal_but_a_heartbeat_where_one_is_wanted() {
    LocalSet::new()
        .run_until(async {
            let server = Server::start().await;
            let outbox = outbox(&["am", "fake", "beating"]);
            let beating = Fake { name: "beating", beats: Some(MINUTE), ..Fake::default() };
            let silent = Fake { name: "fake", ..Fake::default() };
            let calls = (silent.calls.clone(), beating.calls.clone());
            let (am, _stop1) = deliver(&outbox, alertmanager(&server.url));
            let (_, _stop2) = deliver(&outbox, silent);
            let (beats, _stop3) = deliver(&outbox, beating);
            sleep(MINUTE * 60 - Duration::from_secs(1)).await;
            assert_eq!((calls.0.get(), calls.1.get(), server.seen().len()), (0, 0, 0));
            assert_eq!((beats.health().heartbeats, am.health().bytes_sent), (60, 0));

            let options = AlertmanagerOptions::new("am", &server.url, "edge-17").unwrap();
            let options = AlertmanagerOptions { heartbeat: true, ..options };
            let (heart, _stop4) = deliver(&outbox, Alertmanager::new(options, clock()).unwrap());
            sleep(Duration::from_secs(1)).await;
            let alert = server.seen()[0].body[0].clone();
            assert_eq!(alert["labels"]["alertname"], "LarnaxHeartbeat");
            assert_eq!(alert["labels"]["severity"], "none");
            assert_eq!(heart.health().heartbeats, 1);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_what_can_be_delivered_and_waits_no_longer_than_it_may() {
    LocalSet::new()
        .run_until(async {
            for down in [false, true] {
                let outbox = outbox(&["fake"]);
                let fake = Fake { name: "fake", ..Fake::default() };
                fake.down.set(down);
                let got = fake.got.clone();
                let (status, start) = (Rc::new(SinkStatus::default()), tokio::time::Instant::now());
                accept(&outbox, "a", 0.0, Opened, 0);
                let drain = Duration::from_secs(5);
                deliver_loop(outbox.clone(), Box::new(fake), status, clock(), drain, async {}).await;
                let took = start.elapsed();
                assert_eq!(got.borrow().len(), usize::from(!down));
                assert!(if down { took >= drain && took < drain * 2 } else { took < drain }, "{took:?}");
            }
        })
        .await;
}

#[test]
fn times_of_the_tests_are_what_they_say() {
    assert_eq!(at(0.0).to_string(), "2026-11-21T18:00:00.000Z");
}
