//! From events to incidents. Of the hubs of one store, only the one that holds the lease does this; the others wait for it.
//!
//! An event is done with when what it changed is in the store; then the cursor moves on. Whoever takes over begins with the
//! stored incidents and the events after the cursor, and hears some of them again, which changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use larnax_bus::{BusError, Cursor, Subscription, cloudevents};
use larnax_core::event::IncidentEvent;
use larnax_core::{CloudEvent, ComponentId, Event, Incident, IncidentId, Logged, Timestamp, Transition};
use larnax_diagnose::incidents::{Change, Heard, Incidents, Options, What};
use larnax_store::{AuditEntry, Error, Fence, IncidentQuery};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::changes::{self, Changes};
use crate::evidence::Diagnosed;
use crate::hub::{Hub, HubError, is_anomaly};
use crate::people::Announced;
use crate::plans::{self, Ordering};

/// The lease of the hub that acts, and the name of its cursor.
const LEASE: &str = "incidents";
/// How long the lease holds without being renewed: how long nothing is done after a hub has died.
const LEASE_TTL: Duration = Duration::from_secs(15);
/// Closed incidents that are looked at after a start, the latest first.
const RESTORED: usize = 1_000;
/// Incidents that changed so long before this hub took over are told again: the one before may have died between writing and
/// telling. What was told already is known by its id.
const TOLD_AGAIN: Duration = Duration::from_secs(600);
/// Events that are heard together: an incident that all of them are about is written once for all.
const BATCH: usize = 1_000;
/// Events that come within so long of others are heard with the next ones: each hearing writes the incident that they are about,
/// of a thousand anomalies in a storm.
const GATHER: Duration = Duration::from_millis(100);
/// A detector needs so long to call something an anomaly, as a rule; what is seen by then is the least that a cause is named by.
const LOOKS: Duration = Duration::from_secs(2);
/// What one cause does to several components is noticed within so long, where it is noticed late.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The most changes that are written and told together.
const TOGETHER: usize = 256;

/// What the acting hub has to do.
struct Acting {
    fence: Fence,
    /// Changes that are not in the store yet, in their order.
    untold: VecDeque<Change>,
    /// When each open incident is to be diagnosed next, and how often it was.
    due: BTreeMap<IncidentId, Due>,
    diagnosed: mpsc::UnboundedSender<(IncidentId, Diagnosed)>,
    announced: Announced,
    ordering: Ordering,
    /// To those who wanted something of a plan.
    answers: Vec<AuditEntry>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Option<Timestamp>,
    /// When this hub first heard of it. Not when it opened: what is told late would have all its rounds at once.
    since: Timestamp,
    /// Whether it was diagnosed.
    diagnosed: bool,
    running: bool,
    /// It is looked at early and often, in case it is something familiar; when it is diagnosed if it isn't.
    early: Option<Timestamp>,
}

impl Due {
    fn since(since: Timestamp) -> Self {
        Self { at: None, since, diagnosed: false, running: false, early: None }
    }

    /// To be looked at once it has settled; `early`: at once besides.
    fn look(&mut self, settled: Timestamp, soon: Timestamp, early: bool) {
        let early = early && soon < settled;
        self.early = self.early.or(early.then_some(settled));
        let at = if early { soon } else { settled };
        // Not later and later while it grows: that is when people want to know.
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
    }

    /// It was looked at: whether that was early, and it is no familiar thing. Then it is looked at again, because where it began is
    /// more certain with each sample; once it has settled, whatever it is. The clock ticks each second: what is due in a whole one
    /// would wait for the tick after the next.
    fn is_to_wait(&mut self, is_familiar: bool, now: Timestamp) -> bool {
        let Some(settled) = self.early.take().filter(|_| !is_familiar) else { return false };
        let again = now.plus(AT_ONCE / 2);
        self.early = (again < settled).then_some(settled);
        let next = again.min(settled);
        (self.at, self.running) = (Some(self.at.map_or(next, |at| at.min(next))), false);
        true
    }
}

impl Hub {
    /// Acts whenever it may, until it is dropped.
    pub(crate) async fn act(self: &Rc<Self>) {
        let mut complained = false;
        loop {
            let ended = match self.acquire().await {
                Ok(Some(fence)) => {
                    complained = false;
                    let duties = self.begin_duties();
                    let ended = tokio::select! {
                        ended = self.act_under(fence) => ended,
                        () = duties => Ok(()),
                    };
                    ended
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            self.known.borrow_mut().acting = None;
            self.load.stop();
            if let Err(error) = ended
                && !std::mem::replace(&mut complained, true)
            {
                tracing::warn!(%error, "incidents are not built now; trying again");
            }
            sleep(LEASE_TTL / 5).await;
        }
    }

    /// Begins what is also done by the hub that acts, and by no other; it never ends by itself.
    fn begin_duties(&self) -> impl Future<Output = ()> + use<> {
        let duties: Vec<_> = self.duties.borrow().iter().map(|duty| duty()).collect();
        async {
            join_all(duties).await;
            std::future::pending().await
        }
    }

    /// Gives the lease back, so that another hub need not wait for its end.
    pub async fn leave(&self) {
        let fence = self.known.borrow_mut().acting.take();
        if let Some(fence) = fence {
            // Without it the lease ends by itself.
            let _ = self.with_store(move |store| store.release(&fence)).await;
        }
    }

    async fn acquire(&self) -> Result<Option<Fence>, HubError> {
        let (name, now) = (self.options.name.clone(), self.now());
        self.with_store(move |store| store.acquire(LEASE, &name, LEASE_TTL, now)).await
    }

    async fn act_under(self: &Rc<Self>, fence: Fence) -> Result<(), HubError> {
        let now = self.now();
        let (stored, cursor, lately) = self
            .with_store(|store| {
                let mut stored =
                    store.incidents(&IncidentQuery { open: true, ..IncidentQuery::default() })?;
                let latest = IncidentQuery { limit: RESTORED, ..IncidentQuery::default() };
                stored.extend(store.incidents(&latest)?.into_iter().filter(|one| one.closed.is_some()));
                let epoch = store.epoch().map_err(|error| Error::Invalid(error.to_string()))?;
                let sequence = store.cursor(LEASE)?.unwrap_or(0);
                let lately =
                    changes::lately(store, sequence).map_err(|error| Error::Invalid(error.to_string()))?;
                Ok((stored, Cursor { epoch, sequence }, lately))
            })
            .await?;
        tracing::info!(hub = self.options.name, number = fence.number, "this hub builds incidents");
        let announced = self.announced_before(&stored, now.minus(TOLD_AGAIN), &fence).await?;
        let (plans, ordering) = self.restore_plans().await?;
        let (diagnosed, mut results) = mpsc::unbounded_channel();
        let mut acting = Acting {
            fence,
            untold: VecDeque::new(),
            due: BTreeMap::new(),
            diagnosed,
            announced,
            ordering,
            answers: Vec::new(),
        };
        for incident in stored.iter().filter(|incident| incident.closed.is_none()) {
            let diagnosed = incident.diagnosis.is_some();
            acting.due.insert(incident.id, Due { at: Some(now), diagnosed, ..Due::since(now) });
        }
        self.tell_again(&stored).await?;
        {
            let known = &mut *self.known.borrow_mut();
            known.changes = Changes::default();
            known.changes.hear(&lately);
            known.plans = plans;
            stored.iter().for_each(|incident| known.plans.hear(incident));
            known.incidents = Incidents::restore(Options::default(), stored, now);
            // What the one before had no time to note with the incident.
            for short in known.plans.all().into_iter().filter_map(plans::short) {
                known.incidents.planned(short.0, short.1);
            }
            known.acting = Some(acting.fence.clone());
        }
        self.load.heard(cursor.sequence);
        let events = Subscription::new(self.bus.clone(), cursor).with_limit(BATCH);
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        // Goes on over the rounds of the loop: begun anew with each tick, a slow reading would never end.
        let mut reading = pin!(next_batch(events, Instant::now()));
        loop {
            tokio::select! {
                (batch, mut events) = &mut reading => {
                    let (batch, began) = (batch?, Instant::now());
                    let count = batch.len();
                    let anomalies = self.hear(&batch);
                    acting.answers.extend(self.hear_of_plans(&batch));
                    // At the same time, so that they wait for the disk together.
                    let (kept, told) = tokio::join!(self.keep(anomalies), self.tell(&mut acting));
                    kept.and(told)?;
                    let sequence = events.acknowledge().sequence;
                    self.with_store(move |store| store.advance_cursor(LEASE, sequence)).await?;
                    self.load.heard(sequence);
                    // Not where there is a full batch more.
                    let next = if count < BATCH { began + GATHER } else { began };
                    reading.set(next_batch(events, next));
                }
                Some((id, mut diagnosed)) = results.recv() => {
                    if let Some(look) = &mut diagnosed.look {
                        look.early = acting.is_early(id);
                    }
                    if acting.is_to_wait(id, self.is_familiar(&diagnosed), self.now()) {
                        continue;
                    }
                    self.diagnosed(id, diagnosed);
                    acting.diagnosed(id, self);
                    self.tell(&mut acting).await?;
                }
                () = self.topology_changed.notified() => {
                    let now = self.now();
                    let known = &mut *self.known.borrow_mut();
                    known.incidents.regroup(&known.topology, now);
                }
                _ = tick.tick() => {
                    let now = self.now();
                    self.pass(now);
                    self.tell(&mut acting).await?;
                    acting.start_diagnoses(self, now);
                }
            }
            if renewed.elapsed() >= LEASE_TTL / 3 {
                let (fence, now) = (acting.fence.clone(), self.now());
                if !self.with_store(move |store| store.renew(&fence, LEASE_TTL, now)).await? {
                    tracing::warn!("another hub builds incidents now");
                    return Ok(());
                }
                renewed = Instant::now();
            }
        }
    }

    fn pass(&self, now: Timestamp) {
        let known = &mut *self.known.borrow_mut();
        known.incidents.pass(now);
        // They are only needed for shares of them.
        if !self.options.policies.is_empty() {
            let watched = self.sessions.components().into_iter().map(|component| component.id);
            let described = known.topology.components().map(|component| component.id);
            let all: BTreeSet<ComponentId> = watched.chain(described).collect();
            known.plans.know(all.into_iter().collect());
        }
        known.plans.pass(now);
    }

    fn diagnosed(&self, id: IncidentId, diagnosed: Diagnosed) {
        let now = self.now();
        let Diagnosed { diagnosis, look, offers } = diagnosed;
        let known = &mut *self.known.borrow_mut();
        known.incidents.diagnosed(id, diagnosis);
        if let Some(incident) = known.incidents.get(id) {
            known.plans.diagnosed(incident, look, offers, now);
        }
    }

    /// Whether an incident still shows where it began: once something is being done about it, what is seen is that, too, and once no
    /// anomaly is open, what came of it.
    fn shows_its_cause(&self, id: IncidentId) -> bool {
        let known = self.known.borrow();
        let is_open = |incident: &Incident| incident.anomalies.iter().any(|anomaly| anomaly.closed.is_none());
        known.incidents.get(id).is_none_or(is_open) && !known.plans.is_at_work(id)
    }

    fn is_familiar(&self, diagnosed: &Diagnosed) -> bool {
        let (known, diagnosis) = (self.known.borrow(), &diagnosed.diagnosis);
        let Some(look) = &diagnosed.look else { return false };
        let Some(seen) = known.plans.looks_like(look) else { return false };
        tracing::debug!(
            early = look.early,
            pattern = seen.nearest,
            similarity = seen.similarity,
            margin = seen.margin,
            known = seen.known,
            cause = diagnosis.known,
            confidence = diagnosis.confidence,
            "an incident was compared with what was seen before"
        );
        known.plans.is_familiar(diagnosis, &seen)
    }

    /// Takes events into incidents; gives back those that are about anomalies.
    fn hear(&self, batch: &[Logged]) -> Vec<Event> {
        let anomalies = batch.iter().filter(|logged| is_anomaly(&logged.event.r#type));
        // What is none was refused at the door, or comes from a newer agent.
        let events: Vec<Event> =
            anomalies.filter_map(|logged| serde_json::from_str(&logged.event.json).ok()).collect();
        let now = self.now();
        let known = &mut *self.known.borrow_mut();
        known.changes.hear(batch);
        known.regions.hear(batch);
        for event in &events {
            let here = self.sessions.watcher(&event.data.anomaly.component).map(|(_, ahead)| ahead);
            let elsewhere = || self.others.clock_ahead(event.source.rsplit('/').next().unwrap_or_default());
            let clock_ahead = here.unwrap_or_else(elsewhere);
            known.incidents.hear(Heard { event, clock_ahead }, &known.topology, now);
        }
        events
    }

    /// Takes anomalies into the history.
    async fn keep(&self, events: Vec<Event>) -> Result<(), HubError> {
        if !events.is_empty() {
            self.with_store(move |store| store.upsert_anomalies(&events)).await?;
        }
        Ok(())
    }

    /// Tells what a hub before may have written and not told.
    async fn tell_again(&self, stored: &[Incident]) -> Result<(), HubError> {
        let now = self.now();
        let since = now.minus(TOLD_AGAIN);
        let lately = stored.iter().filter(|one| one.closed.unwrap_or(one.last_seen) >= since);
        let told = lately.map(|incident| {
            let transition = match incident.closed {
                Some(_) => Transition::Closed,
                None if incident.sequence == 0 => Transition::Opened,
                None => Transition::Updated,
            };
            IncidentEvent { transition, incident: incident.clone() }
        });
        self.publish(told, now).await
    }

    /// Brings what changed to the store, and tells it on. What fails stays to be told.
    async fn tell(self: &Rc<Self>, acting: &mut Acting) -> Result<(), HubError> {
        {
            let known = &mut *self.known.borrow_mut();
            for change in known.incidents.changes() {
                known.plans.hear(&change.incident);
                acting.untold.push_back(change);
            }
        }
        while !acting.untold.is_empty() {
            let some = acting.untold.len().min(TOGETHER);
            let incidents: Vec<Incident> =
                acting.untold.iter().take(some).map(|change| change.incident.clone()).collect();
            let fence = acting.fence.clone();
            self.with_store(move |store| store.upsert_incidents(&incidents, Some(&fence))).await?;
            self.publish(acting.untold.iter().take(some).map(told), self.now()).await?;
            let done: Vec<Change> = acting.untold.drain(..some).collect();
            let (now, mut news) = (self.now(), Vec::new());
            for change in done {
                log(&change);
                acting.schedule(&change, self);
                let silenced = self.known.borrow().plans.is_silenced(&change.incident, now);
                let transition = told(&change).transition;
                // Who has heard of it hears that it has ended.
                if silenced && transition != Transition::Closed {
                    continue;
                }
                if let Some(transition) = acting.announced.news(&change, transition, now) {
                    news.push((transition, change.incident));
                }
            }
            self.tell_people_of(news, &acting.fence).await?;
        }
        let answers = std::mem::take(&mut acting.answers);
        self.tell_plans(&mut acting.ordering, answers, &acting.fence).await
    }

    async fn publish(
        &self,
        told: impl Iterator<Item = IncidentEvent>,
        now: Timestamp,
    ) -> Result<(), HubError> {
        let source = self.source();
        let mut events = Vec::new();
        for data in told {
            match cloudevents::raw(&CloudEvent::<IncidentEvent>::new(&source, now, data)) {
                Ok(raw) => events.push(raw),
                Err(error) => tracing::error!(%error, "an incident is too long to be told on"),
            }
        }
        if !events.is_empty() {
            self.bus.publish(&events).await?;
        }
        Ok(())
    }
}

/// The next events that come, not before a time.
async fn next_batch(mut events: Subscription, at: Instant) -> (Result<Vec<Logged>, BusError>, Subscription) {
    sleep_until(at).await;
    (events.next_batch().await, events)
}

impl Acting {
    /// When an incident is to be looked at after a change.
    fn schedule(&mut self, change: &Change, hub: &Hub) {
        let incident = &change.incident;
        let now = hub.now();
        match change.what {
            What::Opened | What::Grown | What::Reopened => {
                // What was noticed late has been going on for long enough: only what follows at once is waited for.
                let settle = hub.options.settle;
                let settled =
                    incident.onset.plus(settle + LOOKS).max(now.plus(AT_ONCE)).min(now.plus(settle));
                let due = self.due.entry(incident.id).or_insert(Due::since(now));
                let early = change.what == What::Opened && hub.known.borrow().plans.knows_help();
                due.look(settled, now.plus(AT_ONCE), early);
            }
            What::Closed | What::Merged => {
                if let Some(due) = self.due.get_mut(&incident.id)
                    && due.diagnosed
                {
                    self.due.remove(&incident.id);
                }
            }
            What::Updated => {}
        }
    }

    fn start_diagnoses(&mut self, hub: &Rc<Hub>, now: Timestamp) {
        let late = |due: &Due| !due.running && due.at.is_some_and(|at| at <= now);
        let due = self.due.iter_mut().filter(|(_, due)| late(due));
        for (id, due) in due.filter(|(id, due)| !due.diagnosed || hub.shows_its_cause(**id)) {
            (due.at, due.running) = (None, true);
            let (id, hub, diagnosed) = (*id, Rc::clone(hub), self.diagnosed.clone());
            tokio::task::spawn_local(async move {
                let diagnosis = hub.diagnose(id).await;
                // Nobody waits for it when another hub acts by now.
                let _ = diagnosed.send((id, diagnosis));
            });
        }
    }

    /// Whether what comes now was made early.
    fn is_early(&self, id: IncidentId) -> bool {
        self.due.get(&id).is_some_and(|due| due.early.is_some())
    }

    /// Whether a diagnosis was made early, of what is no familiar thing: then it is not used.
    fn is_to_wait(&mut self, id: IncidentId, is_familiar: bool, now: Timestamp) -> bool {
        self.due.get_mut(&id).is_some_and(|due| due.is_to_wait(is_familiar, now))
    }

    /// A diagnosis has come: when the next one is due.
    fn diagnosed(&mut self, id: IncidentId, hub: &Hub) {
        let known = hub.known.borrow();
        let open = known.incidents.get(id).filter(|incident| incident.closed.is_none());
        let (Some(due), Some(_)) = (self.due.get_mut(&id), open) else {
            self.due.remove(&id);
            return;
        };
        (due.running, due.diagnosed) = (false, true);
        let now = hub.now();
        let next = hub.options.again.iter().map(|after| due.since.plus(*after)).find(|at| *at > now);
        due.at = match (due.at, next) {
            (Some(at), Some(next)) => Some(at.min(next)),
            (at, next) => at.or(next),
        };
    }
}

fn told(change: &Change) -> IncidentEvent {
    let transition = match change.what {
        What::Opened if change.incident.closed.is_none() => Transition::Opened,
        What::Closed | What::Merged | What::Opened => Transition::Closed,
        What::Grown | What::Updated | What::Reopened => Transition::Updated,
    };
    IncidentEvent { transition, incident: change.incident.clone() }
}

fn log(change: &Change) {
    let Change { what, incident } = change;
    let cause = |incident: &Incident| {
        let diagnosis = incident.diagnosis.as_ref()?;
        let first = diagnosis.candidates.first().filter(|_| diagnosis.known);
        Some(first.map_or_else(|| "unknown".to_owned(), |first| first.component.to_string()))
    };
    tracing::info!(
        id = %incident.id,
        onset = %incident.onset,
        anomalies = incident.anomalies.len(),
        cause = cause(incident).unwrap_or_default(),
        "incident {}",
        format!("{what:?}").to_lowercase()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: f64) -> Timestamp {
        Timestamp::from_seconds(1e6 + second)
    }

    #[test]
    fn what_may_be_familiar_is_looked_at_at_once_and_each_second_until_it_has_settled() {
        let mut due = Due::since(at(0.0));
        due.look(at(4.0), at(1.0), true);
        assert_eq!(due.at, Some(at(1.0)));
        // It is being looked at, and grows meanwhile.
        (due.at, due.running) = (None, true);
        due.look(at(8.0), at(2.0), false);
        assert!(due.is_to_wait(false, at(1.2)) && !due.running);
        assert_eq!((due.at, due.early.is_some()), (Some(at(1.7)), true));
        for (now, next) in [(2.5, 3.0), (3.6, 4.0)] {
            (due.at, due.running) = (None, true);
            assert!(due.is_to_wait(false, at(now)));
            assert_eq!(due.at, Some(at(next)));
        }
        (due.at, due.running) = (None, true);
        assert!(!due.is_to_wait(false, at(4.5)), "that was not early");
    }

    #[test]
    fn what_is_familiar_and_what_was_told_late_is_not_waited_for() {
        let mut due = Due::since(at(0.0));
        due.look(at(7.0), at(1.0), true);
        assert!(!due.is_to_wait(true, at(1.1)) && due.early.is_none());
        let mut late = Due::since(at(0.0));
        late.look(at(1.0), at(1.0), true);
        assert_eq!((late.at, late.early), (Some(at(1.0)), None));
    }
}
