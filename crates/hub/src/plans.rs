//! What is done about incidents. Only the hub that acts decides and orders; any hub takes what people want and what edges report, and
//! writes it into the log, from which the hub that acts hears it.
//!
//! What is ordered is in the store before it is ordered, under the fence of the lease. Who takes over orders it again, and the edge
//! does nothing the second time but say what came of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use larnax_bus::cloudevents;
use larnax_core::event::{REPORTED, REQUEST};
use larnax_core::{
    Authority, CloudEvent, Command, ComponentId, IncidentId, IncidentPlan, Logged, Plan, PlanEvent, PlanId,
    PlanState, Proposal, RawEvent, Report, Request, Timestamp, Want, Wanted,
};
use larnax_decide::{Frozen, Knowledge, Offered, Order, Plans};
use larnax_store::{AuditEntry, AuditQuery, Document, Fence, PlanQuery};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::evidence::shifted;
use crate::hub::{Hub, HubError};

/// Under this name the store has what was learnt.
const KNOWLEDGE: &str = "remedies";
/// The latest plans that are looked at after a start.
const RESTORED: usize = 1_000;
/// An order is sent again after so long without a word.
const AGAIN: Duration = Duration::from_secs(5);
/// How long whoever wants something waits for the answer, and how often it is looked for.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// What is heard later than so long after it was asked is not done.
const HEARD_WITHIN: Duration = Duration::from_secs(60);
/// Entries of the audit that are looked through for an answer.
const LOOKED_THROUGH: usize = 50;
/// The subject, in the audit and in the log, of what is wanted of no plan.
const HUB: &str = "hub";

/// What the acting hub has ordered.
pub(crate) struct Ordering {
    epoch: String,
    sent: BTreeMap<String, Instant>,
    /// Of what was learnt, as it is in the store.
    version: u64,
}

/// What was answered to a person.
pub(crate) enum Answered {
    /// It is done, or being done.
    Yes(String),
    /// It is not, and why.
    No(String),
    /// No hub acts now; the next one that does will see it.
    Later,
}

/// What the audit keeps of an answer.
#[derive(Serialize, Deserialize)]
struct Said {
    request: String,
    done: bool,
    answer: String,
}

impl Hub {
    /// What was planned and learnt before.
    pub(crate) async fn restore_plans(&self) -> Result<(Plans, Ordering), HubError> {
        let (mut plans, latest, document, epoch) = self
            .with_store(|store| {
                let open = store.plans(&PlanQuery { open: true, ..PlanQuery::default() })?;
                let latest = store.plans(&PlanQuery { limit: RESTORED, ..PlanQuery::default() })?;
                let epoch = store.epoch().map_err(|error| larnax_store::Error::Invalid(error.to_string()))?;
                Ok((open, latest, store.knowledge(KNOWLEDGE)?, epoch))
            })
            .await?;
        plans.extend(latest.into_iter().filter(|plan| plan.ended.is_some()));
        let version = document.as_ref().map_or(0, |document| document.version);
        let knowledge = document.map_or_else(Knowledge::default, |document| self.read(document));
        let ordering = Ordering { epoch, sent: BTreeMap::new(), version };
        let plans = Plans::new(self.options.policies.clone(), knowledge, plans, self.now());
        Ok((plans, ordering))
    }

    /// Where it can't be read, nothing is known, and nothing is done: somebody may have said so.
    fn read(&self, document: Document) -> Knowledge {
        serde_json::from_str(&document.json).unwrap_or_else(|error| {
            tracing::error!(%error, "what was learnt can't be read: it begins anew, and nothing is done until `larnax plans thaw`");
            let by = "the hub, which can't read what was learnt".to_owned();
            Knowledge { frozen: Some(Frozen { by, at: self.now() }), ..Knowledge::default() }
        })
    }

    /// What was learnt, as the store has it.
    pub(crate) async fn learnt(&self) -> Result<Knowledge, HubError> {
        let document = self.with_store(|store| store.knowledge(KNOWLEDGE)).await?;
        Ok(document.map_or_else(Knowledge::default, |document| self.read(document)))
    }

    /// Hears what people want and what edges report. Gives back what is to be answered.
    pub(crate) fn hear_of_plans(self: &Rc<Self>, batch: &[Logged]) -> Vec<AuditEntry> {
        let now = self.now();
        let known = &mut *self.known.borrow_mut();
        let plans = &mut known.plans;
        let (mut answers, mut normal) = (Vec::new(), Vec::new());
        for event in batch.iter().map(|logged| &logged.event) {
            if event.r#type == REPORTED {
                if let Some(report) = data::<Report>(event) {
                    plans.reported(&report, &event.subject, now);
                }
            } else if event.r#type == REQUEST
                && let Some(request) = data::<Request>(event)
            {
                // What was asked when nobody acted is not to come as a surprise; what stops something holds.
                let late = now.since(event.time) > HEARD_WITHIN.as_secs_f64()
                    && matches!(request.want, Want::Approve { .. } | Want::Undo { .. } | Want::Thaw);
                let answer = match request.want {
                    _ if late => Err("nobody acted when it was asked: look again, and ask again".to_owned()),
                    Want::Normal { incident } => {
                        let open = known.incidents.get(incident).is_some_and(|one| one.closed.is_none());
                        normal.extend(open.then_some(incident));
                        if open {
                            plans.declared_normal(incident, &request.by, now);
                        }
                        match open {
                            true => {
                                Ok(format!("the edges take for normal what incident {incident} is about"))
                            }
                            false => Err(format!("there is no open incident {incident}")),
                        }
                    }
                    _ => plans.request(&request, now),
                };
                tracing::info!(
                    by = request.by,
                    want = request.want.as_str(),
                    ?answer,
                    "somebody wants something"
                );
                let done = answer.is_ok();
                let said = Said { request: request.id, done, answer: answer.unwrap_or_else(|why| why) };
                answers.push(AuditEntry {
                    time: now,
                    who: request.by,
                    what: format!("plan.{}", request.want.as_str()),
                    subject: subject(&request.want),
                    data: serde_json::to_value(said).unwrap_or_default(),
                });
            }
        }
        for incident in normal.into_iter().filter_map(|id| known.incidents.get(id)) {
            for anomaly in incident.anomalies.iter().filter(|anomaly| anomaly.closed.is_none()) {
                let (hub, component, id) = (Rc::clone(self), anomaly.component.clone(), anomaly.id);
                tokio::task::spawn_local(async move {
                    if !hub.sessions.is_normal(&component, id)
                        && !hub.is_normal_elsewhere(component, id).await
                    {
                        tracing::warn!(%id, "no connected edge could be told that an anomaly is normal");
                    }
                });
            }
        }
        answers
    }

    /// Writes down what changed of plans and what was learnt, then the answers to those who wanted something, and orders what is to be
    /// done: in this order.
    pub(crate) async fn tell_plans(
        self: &Rc<Self>,
        ordering: &mut Ordering,
        answers: Vec<AuditEntry>,
        fence: &Fence,
    ) -> Result<(), HubError> {
        let (plans, learnt) = self.known.borrow_mut().plans.changes();
        let now = self.now();
        // What is done is in the audit before it is done: twice is better than not at all.
        self.note(plans.iter().map(|plan| self.entry(plan, now)).collect(), fence).await?;
        if !plans.is_empty() || learnt.is_some() {
            let mut documents = Vec::new();
            if let Some(json) = learnt.and_then(|learnt| serde_json::to_string(&learnt).ok()) {
                ordering.version += 1;
                documents.push(Document { name: KNOWLEDGE.to_owned(), version: ordering.version, json });
            }
            let (written, under) = (plans.clone(), fence.clone());
            self.with_store(move |store| store.upsert_plans(&written, &documents, Some(&under))).await?;
        }
        for (incident, short) in plans.iter().filter_map(short) {
            self.known.borrow_mut().incidents.planned(incident, short);
        }
        self.note(answers, fence).await?;
        self.publish_plans(plans, now).await?;
        self.order(ordering, fence);
        Ok(())
    }

    async fn note(&self, entries: Vec<AuditEntry>, fence: &Fence) -> Result<(), HubError> {
        if entries.is_empty() {
            return Ok(());
        }
        let under = fence.clone();
        let noted = self.with_store(move |store| {
            entries.iter().try_for_each(|entry| store.append_audit(entry, Some(&under)).map(drop))
        });
        noted.await
    }

    async fn publish_plans(&self, plans: Vec<Plan>, now: Timestamp) -> Result<(), HubError> {
        let mut events = Vec::new();
        for plan in plans {
            log(&plan);
            let event = CloudEvent::<PlanEvent>::new(&self.source(), now, PlanEvent { plan });
            match cloudevents::raw(&event) {
                Ok(raw) => events.push(raw),
                Err(error) => tracing::error!(%error, "a plan is too long to be told on"),
            }
        }
        if !events.is_empty() {
            self.bus.publish(&events).await?;
        }
        Ok(())
    }

    fn entry(&self, plan: &Plan, now: Timestamp) -> AuditEntry {
        // What it came to is the hub's own finding.
        let by = match plan.state {
            PlanState::Undoing => plan.undone.as_ref().map(|step| &step.by),
            PlanState::Acting => plan.decision.as_ref().map(|decision| &decision.by),
            PlanState::Ended if plan.done.is_none() => plan.decision.as_ref().map(|decision| &decision.by),
            _ => None,
        };
        AuditEntry {
            time: now,
            who: by.cloned().unwrap_or_else(|| self.source()),
            what: format!("plan.{}", plan.state.as_str()),
            subject: plan.id.to_string(),
            data: serde_json::json!({
                "incident": plan.incident,
                "sequence": plan.sequence,
                "component": plan.component,
                "action": plan.chosen().map(|chosen| &chosen.action),
                "pattern": plan.pattern,
                "reasons": plan.reasons,
                "done": plan.done,
                "undone": plan.undone,
                "outcome": plan.outcome,
            }),
        }
    }

    /// Sends orders, those without a word since again.
    fn order(self: &Rc<Self>, ordering: &mut Ordering, fence: &Fence) {
        let orders = self.known.borrow().plans.orders();
        let key = |order: &Order| Command::key(order.plan, order.wanted);
        ordering.sent.retain(|sent, _| orders.iter().any(|order| key(order) == *sent));
        for order in orders {
            let key = key(&order);
            if ordering.sent.get(&key).is_some_and(|sent| sent.elapsed() < AGAIN) {
                continue;
            }
            ordering.sent.insert(key.clone(), Instant::now());
            let command = Command {
                key,
                plan: order.plan,
                wanted: order.wanted,
                action: order.action,
                component: order.component,
                expires: order.expires,
                authority: Authority { epoch: ordering.epoch.clone(), number: fence.number },
            };
            if !self.sessions.order(&order.agent, command.clone()) {
                let hub = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    if !hub.order_elsewhere(order.agent.clone(), command).await {
                        tracing::debug!(agent = order.agent, "an order waits: the edge is not connected");
                    }
                });
            }
        }
    }

    /// What can be done to a component by the edge that watches it, whichever hub that is connected to.
    pub(crate) async fn offered(&self, component: &ComponentId) -> Vec<Offered> {
        let here = self.sessions.offered(component);
        if !here.is_empty() || self.sessions.watcher(component).is_some() {
            return here;
        }
        let agents = self.agents_elsewhere().await;
        let watches = agents.iter().find(|report| report.components.iter().any(|one| one.id == *component));
        watches.map_or_else(Vec::new, |report| report.offered(component))
    }

    /// Takes what an edge, whose clock is so far ahead, says of an order. It is durable when this returns.
    pub(crate) async fn take_report(&self, agent: &str, report: Report, ahead: f64) -> Result<(), String> {
        if report.key.ends_with(Wanted::DryRun.as_str()) {
            // Whoever asked may have given up.
            let waiting = self.trials.borrow_mut().remove(&report.key);
            let _ = waiting.map(|waiting| waiting.send(report));
            return Ok(());
        }
        let time = |time: Timestamp| shifted(time, -ahead);
        let report = Report { began: report.began.map(time), ended: time(report.ended), ..report };
        let effect = serde_json::to_value(report.effect).unwrap_or_default();
        // The same again is the same event; what was ordered anew is another one.
        let ended = report.ended.millis();
        let id = format!("{}-{}-{ended}", report.key, effect.as_str().unwrap_or_default());
        let event = self.event(REPORTED, id, agent.to_owned(), report);
        let event = cloudevents::raw(&event).map_err(|error| error.to_string())?;
        self.bus.publish(&[event]).await.map(drop).map_err(|error| error.to_string())
    }

    /// Asks the edge what one of a plan's proposals would do, and whether it could be done now. Changes nothing. The error says why
    /// it can't be asked.
    pub(crate) async fn try_out(&self, plan: &Plan, proposal: &Proposal) -> Result<Report, String> {
        let acting = self.known.borrow().acting.as_ref().map(|fence| fence.number);
        let number = acting.ok_or("this hub does not act: ask the one that does")?;
        let epoch = self.with_store(|store| {
            store.epoch().map_err(|error| larnax_store::Error::Invalid(error.to_string()))
        });
        let epoch = epoch.await.map_err(|error| error.to_string())?;
        let key = Command::key(plan.id, Wanted::DryRun);
        let command = Command {
            key: key.clone(),
            plan: plan.id,
            wanted: Wanted::DryRun,
            action: proposal.action.clone(),
            component: plan.component.clone(),
            expires: self.now().plus(ANSWERED_WITHIN),
            authority: Authority { epoch, number },
        };
        if self.trials.borrow().get(&key).is_some_and(|waiting| !waiting.is_closed()) {
            return Err("somebody tries this plan just now: again in a moment".to_owned());
        }
        let (sender, report) = oneshot::channel();
        self.trials.borrow_mut().insert(key.clone(), sender);
        if !self.sessions.order(&proposal.agent, command) {
            self.trials.borrow_mut().remove(&key);
            return Err(format!("the edge `{}` is not connected to this hub", proposal.agent));
        }
        let limit =
            Duration::try_from_secs_f64(proposal.timeout_seconds).unwrap_or_default() + ANSWERED_WITHIN;
        let said = timeout(limit, report).await.ok().and_then(Result::ok);
        self.trials.borrow_mut().remove(&key);
        said.ok_or_else(|| {
            format!("the edge `{}` did not answer within {} s", proposal.agent, limit.as_secs())
        })
    }

    /// Takes what a person wants, and waits for the answer.
    pub(crate) async fn want(&self, by: String, want: Want) -> Result<Answered, HubError> {
        let subject = subject(&want);
        let id = format!("{}-{}-{}", self.options.name, self.now().nanos(), self.sessions.number());
        let event = self.event(REQUEST, id.clone(), subject.clone(), Request { id: id.clone(), by, want });
        let event = cloudevents::raw(&event).map_err(|error| {
            HubError::Store(larnax_store::Error::Invalid(format!("it can't be written down: {error}")))
        })?;
        self.bus.publish(&[event]).await?;
        let asked = Instant::now();
        while asked.elapsed() < ANSWERED_WITHIN {
            let about =
                AuditQuery { subject: Some(subject.clone()), limit: LOOKED_THROUGH, ..AuditQuery::default() };
            let entries = self.with_store(move |store| store.audit(&about)).await?;
            let said =
                entries.into_iter().filter_map(|(_, entry)| serde_json::from_value::<Said>(entry.data).ok());
            if let Some(said) = said.into_iter().find(|said| said.request == id) {
                return Ok(if said.done { Answered::Yes(said.answer) } else { Answered::No(said.answer) });
            }
            sleep(LOOK).await;
        }
        Ok(Answered::Later)
    }

    fn event<D>(&self, r#type: &str, id: String, subject: String, data: D) -> CloudEvent<D> {
        CloudEvent {
            specversion: "1.0".to_owned(),
            id,
            source: self.source(),
            r#type: r#type.to_owned(),
            subject,
            time: self.now(),
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
}

/// What an incident shows of a plan.
pub(crate) fn short(plan: &Plan) -> Option<(IncidentId, IncidentPlan)> {
    let (action, component) = (plan.chosen()?.action.clone(), plan.component.clone());
    Some((plan.incident, IncidentPlan { id: plan.id, state: plan.state, action, component }))
}

/// What the audit and the log call what is wanted.
fn subject(want: &Want) -> String {
    match want {
        Want::Normal { incident } => incident.to_string(),
        other => other.plan().map_or_else(|| HUB.to_owned(), |plan: PlanId| plan.to_string()),
    }
}

/// None for what is no such event, as one of a newer hub may be; it stays in the log.
fn data<D: DeserializeOwned>(event: &RawEvent) -> Option<D> {
    serde_json::from_str::<CloudEvent<D>>(&event.json)
        .inspect_err(|error| tracing::warn!(id = event.id, %error, "an event can't be understood"))
        .ok()
        .map(|event| event.data)
}

fn log(plan: &Plan) {
    tracing::info!(
        id = %plan.id,
        incident = %plan.incident,
        component = %plan.component,
        action = plan.chosen().map_or("", |chosen| chosen.action.as_str()),
        pattern = plan.pattern.as_ref().map_or("", |seen| seen.pattern.as_str()),
        "plan {}",
        plan.state.as_str()
    );
}
