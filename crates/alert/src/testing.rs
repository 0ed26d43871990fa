//! What the tests of this crate share: events, a clock that follows the runtime's, and a small real HTTP server.

use std::collections::{BTreeMap, VecDeque};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use larnax_core::event::AnomalyEvent;
use larnax_core::{
    Anomaly, AnomalyId, AnomalyKind, Clock, CloseReason, Component, Contribution, Event, Evidence,
    MetricEvidence, MetricName, Score, Timestamp, Transition, Window,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// 2026-11-21T18:00:00Z and so many seconds.
pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(1_795_284_000.0 + seconds)
}

/// An alerted event of the deviation of `service/shop/NAME` that began at `onset`.
pub(crate) fn event(name: &str, onset: f64, transition: Transition, sequence: u32) -> Event {
    let id = larnax_core::ComponentId::from_parts("service", "shop", name);
    let kind = AnomalyKind::Deviation;
    let closed = (transition == Transition::Closed).then(|| at(onset + 90.0));
    let metric = MetricName::new("cpu/user").unwrap();
    let evidence = Evidence {
        metrics: vec![MetricEvidence {
            metric: metric.clone(),
            value: Some(0.97),
            expected: Some(0.21),
            lower: Some(0.11),
            upper: Some(0.31),
            deviation: Some(7.6),
            median_before: Some(0.2),
            deviation_before: Some(0.02),
        }],
        window: Window {
            times: vec![at(onset)],
            metrics: vec![metric.clone()],
            rows: vec![vec![Some(0.97)]],
        },
    };
    let anomaly = Anomaly {
        id: AnomalyId::of(&id, kind, at(onset)),
        component: id.clone(),
        kind,
        onset: at(onset),
        opened: at(onset + 10.0),
        last_seen: at(onset + 60.0),
        closed,
        close_reason: closed.map(|_| CloseReason::Recovered),
        score: Score::new(1.5),
        peak: Score::new(7.25),
        alerted: true,
        metrics: vec![Contribution { metric, deviation: 7.6, since: None }],
    };
    let labels = BTreeMap::from([("instance", "10.0.0.7:9100"), ("job", "shop"), ("group", "theirs")]);
    let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    let component = Component { id, group: "shop".to_owned(), labels };
    let evidence = (transition == Transition::Opened).then_some(evidence);
    let data = AnomalyEvent { transition, sequence, anomaly, component, evidence };
    Event::new("/larnax/edge/edge-17", at(onset + 10.0), data)
}

/// Only recorded, not worth an alert.
pub(crate) fn recorded(mut event: Event) -> Event {
    event.data.anomaly.alerted = false;
    event
}

/// A wall clock that goes with the runtime's paused time.
pub(crate) struct RuntimeClock(tokio::time::Instant);

impl RuntimeClock {
    pub(crate) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        at(self.0.elapsed().as_secs_f64())
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: serde_json::Value,
}

/// Answers posts on 127.0.0.1 with the statuses it was given, then with 200.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    answers: VecDeque<u16>,
    refuses: Option<&'static str>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, state: Arc::default() };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    /// The next answers.
    pub(crate) fn answer(&self, statuses: &[u16]) {
        self.state.lock().unwrap().answers.extend(statuses);
    }

    /// Answers 400 to every body with this text.
    pub(crate) fn refuse(&self, text: &'static str) {
        self.state.lock().unwrap().refuses = Some(text);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let start = head.len();
                if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
                let line = head[start..].to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let status = {
                let mut state = self.state.lock().unwrap();
                state.seen.push(Seen { head, body: serde_json::from_slice(&body).unwrap() });
                let refused = state.refuses.is_some_and(|text| String::from_utf8_lossy(&body).contains(text));
                if refused { 400 } else { state.answers.pop_front().unwrap_or(200) }
            };
            let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: 4\r\n\r\nwhy?");
            if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Set for the test that runs in a child process with a tiny file-size limit; names its folder.
const SMALL_DISK: &str = "LARNAX_TEST_SMALL_DISK";

/// The folder, in the child.
pub(crate) fn small_disk() -> Option<std::path::PathBuf> {
    std::env::var_os(SMALL_DISK).map(Into::into)
}

/// Runs one test of this binary in a child whose files may have only a few tens of kilobytes: writes beyond fail, as they
/// do on a full disk.
pub(crate) fn run_with_small_disk(test: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"trap '' XFSZ; ulimit -f 64 && exec "$0" --exact "$1" --nocapture"#;
    let test_binary = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(test_binary).arg(test).env(SMALL_DISK, folder.path());
    command.output().unwrap()
}

/// Fails with what the child said.
pub(crate) fn assert_passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}
