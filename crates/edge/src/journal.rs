//! What happened to anomalies: told to the outbox, to the log, and remembered for the API.

use std::collections::VecDeque;
use std::rc::Rc;

use larnax_alert::Outbox;
use larnax_alert::outbox::Accepted;
use larnax_core::event::AnomalyEvent;
use larnax_core::{Anomaly, Event, Timestamp, Transition};
use larnax_detect::Change;

use crate::watched::Watched;

/// How many anomalies are remembered.
const MAX_RECENT: usize = 200;

/// The recent anomalies, and the way out for what happens to them.
pub(crate) struct Journal {
    /// Source of the events, `/larnax/edge/HOSTNAME`.
    pub instance: String,
    /// What leaves the agent.
    pub outbox: Rc<Outbox>,
    /// Anomalies opened since the start.
    pub opened: u64,
    /// The latest event of each recent anomaly with the evidence it opened with, oldest first.
    recent: VecDeque<Event>,
}

impl Journal {
    /// One that remembers `recovered`: the anomalies that were open when the agent last ended.
    pub(crate) fn new(instance: String, outbox: Rc<Outbox>, recovered: Vec<Event>) -> Self {
        Self { instance, outbox, opened: 0, recent: recovered.into() }
    }

    /// The latest event of each recent anomaly, newest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Event> {
        self.recent.iter().rev()
    }

    /// Records what happened to an anomaly of `watched`. The event is durable when this returns without an error; with
    /// one it is held in memory, and the error says why.
    pub(crate) fn record(
        &mut self,
        watched: &mut Watched,
        change: Change,
        now: Timestamp,
    ) -> Result<(), String> {
        let Change { transition, anomaly } = change;
        log(transition, &anomaly);
        let earlier = self.recent.iter().position(|e| e.data.anomaly.id == anomaly.id);
        let earlier = earlier.and_then(|at| self.recent.remove(at));
        self.opened += u64::from(transition == Transition::Opened);
        let mut event = Event::new(
            &self.instance,
            now,
            AnomalyEvent {
                transition,
                sequence: match &earlier {
                    Some(earlier) => earlier.data.sequence + 1,
                    None if transition == Transition::Opened => 0,
                    None => beyond_all(&anomaly, now),
                },
                evidence: (transition != Transition::Closed).then(|| watched.evidence(anomaly.onset)),
                anomaly,
                component: watched.component().clone(),
            },
        );
        let accepted = self.accept(&event);
        event.data.evidence = event.data.evidence.or_else(|| earlier.and_then(|e| e.data.evidence));
        self.recent.push_back(event);
        self.forget_oldest();
        accepted
    }

    /// Keeps [`MAX_RECENT`]: open ones are forgotten last, since their next event needs the number of the one before.
    fn forget_oldest(&mut self) {
        while self.recent.len() > MAX_RECENT {
            let ended = self.recent.iter().position(|event| !event.data.anomaly.is_open());
            self.recent.remove(ended.unwrap_or(0));
        }
    }

    fn accept(&self, event: &Event) -> Result<(), String> {
        match self.outbox.accept(event) {
            Ok(Accepted::Durable) => Ok(()),
            Ok(Accepted::Held { reason }) => {
                Err(format!("an anomaly event is held in memory only: {reason}"))
            }
            Err(error) => Err(format!("an anomaly event could not be kept: {error}")),
        }
    }

    /// Anomalies that are open by the last event but that no component knows any more.
    pub(crate) fn orphans<'a>(&'a self, components: &'a [Watched]) -> impl Iterator<Item = &'a Event> {
        self.recent.iter().filter(move |event| {
            let anomaly = &event.data.anomaly;
            anomaly.is_open()
                && !components.iter().any(|c| c.watch.open_anomalies().any(|open| open.id == anomaly.id))
        })
    }

    /// Closes an anomaly that no component knows any more, so that nobody is paged for it for ever.
    pub(crate) fn close_orphan(&mut self, orphan: &Event, now: Timestamp) -> Result<(), String> {
        let mut data = orphan.data.clone();
        data.transition = Transition::Closed;
        data.sequence += 1;
        data.evidence = None;
        data.anomaly.closed = Some(now);
        data.anomaly.close_reason = Some(larnax_core::CloseReason::Unwatched);
        log(data.transition, &data.anomaly);
        let event = Event::new(&self.instance, now, data);
        let accepted = self.accept(&event);
        self.recent.retain(|e| e.data.anomaly.id != event.data.anomaly.id);
        self.recent.push_back(event);
        self.forget_oldest();
        accepted
    }
}

/// A number beyond those of all events of an anomaly so far, which are not known: it ended before a restart and goes on now. An event
/// with the number of an earlier one would be taken for that one. In a tenth of a second there is one at most, and 13 years of them fit.
fn beyond_all(anomaly: &Anomaly, now: Timestamp) -> u32 {
    (10.0 * now.since(anomaly.opened)).ceil() as u32
}

fn log(transition: Transition, anomaly: &Anomaly) {
    let what = match transition {
        Transition::Opened => "anomaly opened",
        Transition::Updated => "anomaly updated",
        Transition::Closed => "anomaly closed",
    };
    let top: Vec<String> =
        anomaly.metrics.iter().take(5).map(|c| format!("{}:{:+.1}", c.metric, c.deviation)).collect();
    tracing::info!(
        component = %anomaly.component,
        id = %anomaly.id,
        kind = anomaly.kind.as_str(),
        onset = %anomaly.onset,
        peak = format_args!("{:.1}", anomaly.peak.get()),
        alerted = anomaly.alerted,
        metrics = top.join(" "),
        "{what}"
    );
}
