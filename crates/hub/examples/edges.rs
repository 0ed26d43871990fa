//! Many edges in one process, which tell a hub of anomalies for a time and say what came of it in JSON:
//! `edges URL [SECONDS [EDGES [COMPONENTS [RATE]]]]`. For `cargo xtask bench hub`.
//!
//! Each edge has a session of its own and does as real ones do: at most 64 events in a delivery, the next when the hub has said
//! that the last is safe. RATE is how many events a second all of them have to tell; without it they always have more. Each of its components has anomalies one after the other, told as opened (with evidence), updated and closed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use larnax_core::event::AnomalyEvent;
use larnax_core::{
    Anomaly, AnomalyId, AnomalyKind, Clock, CloseReason, Component, ComponentId, Event, Evidence, MetricName,
    Score, SystemClock, Timestamp, Transition, Window,
};
use larnax_http::{Auth, TlsOptions, Url};
use larnax_session::wire::Heard;
use larnax_session::{Delivery, FromEdge, FromHub, Hello, OpenOptions, Opener, PROTOCOL};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::task::LocalSet;

/// As larnax-edge does.
const DELIVERY: usize = 64;
/// Rows and metrics of evidence.
const EVIDENCE: (usize, usize) = (60, 3);

#[derive(Default)]
struct Told {
    acknowledged: u64,
    refused: u64,
    bytes: u64,
    waits: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let url = Url::parse(arguments.first().ok_or("edges URL [SECONDS [EDGES [COMPONENTS [RATE]]]]")?)?;
    let (seconds, edges, components, rate) = (number(1, 10)?, number(2, 100)?, number(3, 10)?, number(4, 0)?);
    let told = Rc::new(RefCell::new(Told::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (began, local) = (Instant::now(), LocalSet::new());
    let until = began + Duration::from_secs(seconds as u64);
    let interval = (rate > 0).then(|| Duration::from_secs_f64(edges as f64 / rate as f64));
    let running: Vec<_> = (0..edges)
        .map(|edge| {
            let pace = Pace {
                until,
                interval,
                first: began + interval.unwrap_or_default() * edge as u32 / edges as u32,
            };
            local.spawn_local(tell(url.clone(), format!("edge-{edge}"), components, pace, Rc::clone(&told)))
        })
        .collect();
    local.block_on(&runtime, async {
        for edge in running {
            match edge.await {
                Ok(result) => result?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    let took = began.elapsed().as_secs_f64();
    let mut told = told.borrow_mut();
    told.waits.sort_by(f64::total_cmp);
    let wait = |share: f64| told.waits.get((told.waits.len() as f64 * share) as usize).map(|s| s * 1e3);
    println!(
        "{}",
        json!({
            "edges": edges, "components_of_each": components, "rate": rate, "seconds": took, "acknowledged": told.acknowledged,
            "refused": told.refused, "bytes_of_an_event": told.bytes as f64 / told.acknowledged.max(1) as f64,
            "wait_ms_median": wait(0.5), "wait_ms_99": wait(0.99),
        })
    );
    Ok(())
}

/// When an edge has something to tell.
struct Pace {
    first: Instant,
    /// Between events; none for one that always has more.
    interval: Option<Duration>,
    until: Instant,
}

impl Pace {
    /// How many events are to be told by now of which `told` were; waits until there is one. None at the end.
    async fn due(&self, told: usize) -> Option<usize> {
        let Some(interval) = self.interval else {
            return (Instant::now() < self.until).then_some(DELIVERY);
        };
        let next = self.first + interval * told as u32;
        if next >= self.until {
            return None;
        }
        tokio::time::sleep_until(next.into()).await;
        let late = self.until.min(Instant::now()).saturating_duration_since(next);
        Some((1 + (late.as_secs_f64() / interval.as_secs_f64()) as usize).min(DELIVERY))
    }
}

/// One edge.
async fn tell(
    url: Url,
    agent: String,
    components: usize,
    pace: Pace,
    told: Rc<RefCell<Told>>,
) -> Result<(), Box<dyn Error>> {
    let timeout = Duration::from_secs(30);
    let options = OpenOptions { url, auth: Auth::None, tls: TlsOptions::default(), proxy: None, timeout };
    let (mut sender, mut receiver) = Opener::new(options)?.open().await?;
    let component = |number: usize| Component {
        id: ComponentId::from_parts("service", &agent, &format!("c{number}")),
        group: "bench".to_owned(),
        labels: BTreeMap::new(),
    };
    let watched: Vec<Component> = (0..components).map(component).collect();
    let hello = Hello {
        protocol: PROTOCOL,
        agent: agent.clone(),
        version: "bench".to_owned(),
        components: watched.clone(),
        offers: Vec::new(),
        learning: None,
    };
    sender.send(&FromEdge::Hello(hello)).await?;
    let onsets = vec![Timestamp::default(); watched.len()];
    let source = format!("/larnax/edge/{agent}");
    let mut watched = Watched { source, components: watched, onsets, told: 0 };
    let mut number = 0;
    while let Some(due) = pace.due(watched.told).await {
        number += 1;
        let mut events: Vec<Box<RawValue>> = Vec::with_capacity(due);
        while events.len() < due {
            events.push(to_raw_value(&watched.next())?);
        }
        told.borrow_mut().bytes += events.iter().map(|event| event.get().len() as u64).sum::<u64>();
        let sent = Instant::now();
        sender.send(&FromEdge::Events(Delivery { number, events })).await?;
        loop {
            if let Heard::Message(FromHub::Acknowledged(done)) = receiver.next::<FromHub>().await? {
                let mut told = told.borrow_mut();
                told.refused += done.refused.len() as u64;
                told.acknowledged += (due - done.refused.len()) as u64;
                told.waits.push(sent.elapsed().as_secs_f64());
                break;
            }
        }
    }
    Ok(())
}

/// What an edge watches: its components take turns, each going through an anomaly in three events.
struct Watched {
    source: String,
    components: Vec<Component>,
    /// When the present anomaly of each began.
    onsets: Vec<Timestamp>,
    told: usize,
}

impl Watched {
    fn next(&mut self) -> Event {
        let (turn, step) = (self.told / 3 % self.components.len(), self.told % 3);
        self.told += 1;
        let (component, now) = (self.components[turn].clone(), SystemClock.now());
        if step == 0 {
            // Anomalies of one component differ by their onset, which is told in milliseconds.
            let after = self.onsets[turn].plus(Duration::from_millis(1));
            self.onsets[turn] = now.max(after);
        }
        let onset = self.onsets[turn];
        let transition = [Transition::Opened, Transition::Updated, Transition::Closed][step];
        let closed = (transition == Transition::Closed).then_some(now);
        let anomaly = Anomaly {
            id: AnomalyId::of(&component.id, AnomalyKind::Deviation, onset),
            component: component.id.clone(),
            kind: AnomalyKind::Deviation,
            onset,
            opened: onset,
            last_seen: now,
            closed,
            close_reason: closed.map(|_| CloseReason::Recovered),
            score: Score::new(3.0),
            peak: Score::new(3.0),
            alerted: true,
            metrics: vec![],
        };
        let evidence = (transition == Transition::Opened).then(|| evidence(now));
        Event::new(
            &self.source,
            now,
            AnomalyEvent { transition, sequence: step as u32, anomaly, component, evidence },
        )
    }
}

fn evidence(now: Timestamp) -> Evidence {
    let (rows, metrics) = EVIDENCE;
    let times = (0..rows).map(|row| now.minus(Duration::from_secs((rows - row) as u64))).collect();
    let row = |row: usize| (0..metrics).map(|metric| Some((row * 31 + metric) as f64 / 7.0)).collect();
    let names = (0..metrics).filter_map(|metric| MetricName::new(&format!("bench_metric_{metric}")).ok());
    let window = Window { times, metrics: names.collect(), rows: (0..rows).map(row).collect() };
    Evidence { metrics: Vec::new(), window }
}
