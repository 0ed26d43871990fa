//! The agent's state, all on one thread: components, alert budgets, anomalies, notices.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use larnax_collect::{Collected, Cost, ErrorClass, SourceError};
use larnax_core::{AnomalyId, Batch, Clock, Component, ComponentId, Timestamp};
use larnax_detect::{AlertBudget, Change};
use tokio::sync::Notify;

use crate::hub::Link;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::plan::{ComponentPlan, Plan};
use crate::server::api::ListenerReport;
use crate::sight::Sight;
use crate::watched::Watched;
use larnax_notify::Running;

/// How many notices are kept.
const MAX_NOTICES: usize = 50;

/// How often a disk that took nothing is tried again.
const RETRY_DISK: Duration = Duration::from_secs(30);

/// The agent's state.
pub(crate) struct Agent {
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) started: Timestamp,
    pub(crate) interval: Duration,
    pub(crate) state: Option<PathBuf>,
    pub(crate) components: Vec<Watched>,
    pub(crate) budgets: BTreeMap<String, AlertBudget>,
    pub(crate) journal: Journal,
    pub(crate) listeners: Vec<ListenerReport>,
    pub(crate) sinks: Running,
    /// The session with the hub.
    pub(crate) link: Option<Link>,
    /// What it knows of the topology.
    pub(crate) sight: Sight,
    /// Whether targets may be found later: with none it is ready, too.
    discovers: bool,
    notices: VecDeque<String>,
    disk_tried: Timestamp,
    keeper: Keeper,
    reload: Rc<Notify>,
    keep_history: bool,
}

/// What the agent is made with.
pub(crate) struct AgentParts {
    /// The machine's name.
    pub hostname: String,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// Where it keeps what it learns; none keeps nothing.
    pub state: Option<PathBuf>,
    /// The recent anomalies, and the way out.
    pub journal: Journal,
    /// Woken when a reload is wanted.
    pub reload: Rc<Notify>,
    /// Whether the last hour is kept for the page.
    pub keep_history: bool,
    /// Local listeners, for a person to choose from.
    pub listeners: Vec<ListenerReport>,
}

impl Agent {
    /// An agent that watches nothing yet.
    pub(crate) fn new(parts: AgentParts) -> Self {
        let (keeper, notice) = Keeper::open(parts.state.as_deref());
        let mut agent = Self {
            started: parts.clock.now(),
            clock: parts.clock,
            interval: Duration::ZERO,
            state: parts.state,
            components: Vec::new(),
            budgets: BTreeMap::new(),
            journal: parts.journal,
            listeners: parts.listeners,
            sinks: Running::default(),
            link: None,
            sight: Sight::new(parts.hostname),
            discovers: false,
            notices: VecDeque::new(),
            disk_tried: Timestamp::default(),
            keeper,
            reload: parts.reload,
            keep_history: parts.keep_history,
        };
        agent.notices(notice);
        agent
    }

    /// Watches what `plan` says. Components that were watched before keep what they have learnt; those that are no
    /// longer in the plan are closed.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        let now = self.clock.now();
        self.interval = plan.interval;
        self.discovers = plan.discovers;
        self.sight.apply(plan);
        self.notices(plan.notices.iter().cloned());
        self.apply_budgets(plan);
        let mut old: BTreeMap<ComponentId, Watched> =
            self.components.drain(..).map(|w| (w.component().id.clone(), w)).collect();
        for component in &plan.components {
            let watched = match old.remove(&component.component.id) {
                Some(earlier) => {
                    let (watched, notice) = Watched::inherit(component, self.keep_history, earlier);
                    self.notices(notice);
                    watched
                }
                None => self.start_watching(component),
            };
            self.components.push(watched);
        }
        for mut gone in old.into_values() {
            for change in std::mem::take(gone.unwatch(now)) {
                let outcome = self.journal.record(&mut gone, change, now);
                self.notices(outcome.err());
            }
            let saved = self.keeper.save(&mut gone, None, now);
            self.notices(saved.err());
            gone.flush();
        }
        let orphans: Vec<_> = self.journal.orphans(&self.components).cloned().collect();
        for orphan in orphans {
            let outcome = self.journal.close_orphan(&orphan, now);
            self.notices(outcome.err());
        }
    }

    fn apply_budgets(&mut self, plan: &Plan) {
        let mut old = std::mem::take(&mut self.budgets);
        for component in &plan.components {
            let group = &component.component.group;
            if self.budgets.contains_key(group) {
                continue;
            }
            let sharing = plan.components.iter().filter(|c| c.component.group == *group).count();
            let mut budget = match old.remove(group) {
                Some(earlier) => earlier,
                None => {
                    let mut fresh = AlertBudget::default();
                    let notices = self.keeper.restore_budget(group, &mut fresh);
                    self.notices(notices);
                    fresh
                }
            };
            budget.retune(plan.alerts_allowed, plan.alert_period, sharing);
            self.budgets.insert(group.clone(), budget);
        }
    }

    fn start_watching(&mut self, component: &ComponentPlan) -> Watched {
        let ring = self.state.as_ref().map(|folder| folder.join("evidence").join(component.file_name()));
        let (mut watched, notice) = Watched::new(component, self.keep_history, ring.as_deref());
        self.notices(notice);
        let notices = self.keeper.restore(&mut watched);
        self.notices(notices);
        watched.saved = Some(self.clock.now());
        watched
    }

    /// What one collection of a source gave. Hot when all is well.
    pub(crate) fn deliver(
        &mut self,
        place: Place,
        cost: Cost,
        result: Result<Collected, SourceError>,
        batch: &Batch,
        took: Duration,
    ) {
        let now = self.clock.now();
        let Some(watched) = self.components.get_mut(place.component) else { return };
        let Some(budget) = self.budgets.get_mut(&watched.component().group) else { return };
        let changes = match &result {
            Ok(Collected::Nothing) => None,
            // It is nobody's silence but that of the Prometheus, which is watched itself.
            Err(error) if error.class == ErrorClass::Prometheus => None,
            Ok(_) => Some(watched.feed(place.input, batch, now, budget)),
            Err(_) => Some(watched.silent(now, budget)),
        };
        let changes = changes.filter(|changes| !changes.is_empty()).map(std::mem::take).unwrap_or_default();
        if let Some(state) = watched.sources.get_mut(place.input) {
            state.note(cost, took, result.err());
        }
        if !changes.is_empty() || self.keeper.is_due(watched, now) {
            self.settle(place.component, changes, now);
        }
        if now.since(self.disk_tried).abs() >= RETRY_DISK.as_secs_f64() {
            self.disk_tried = now;
            self.journal.outbox.tick();
        }
    }

    /// Records changes, and saves the component: an anomaly that was said to be open must be known after a kill.
    fn settle(&mut self, component: usize, changes: Vec<Change>, now: Timestamp) {
        let Some(watched) = self.components.get_mut(component) else { return };
        let mut failures = Vec::new();
        for change in changes {
            failures.extend(self.journal.record(watched, change, now).err());
        }
        let budget = self.budgets.get(&watched.component().group);
        failures.extend(self.keeper.save(watched, budget, now).err());
        self.notices(failures);
    }

    /// A person says that an open anomaly is normal. False when there is no such open anomaly.
    pub(crate) fn declare_normal(&mut self, id: AnomalyId) -> bool {
        let now = self.clock.now();
        let mut changes = Vec::new();
        let found = self.components.iter_mut().position(|c| c.watch.declare_normal(id, now, &mut changes));
        if let Some(component) = found {
            self.settle(component, changes, now);
        }
        found.is_some()
    }

    /// Asks for a reload of the config.
    pub(crate) fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Whether a source of every component was heard, or was tried in vain: an agent whose target is down is still ready
    /// to watch it.
    pub(crate) fn is_ready(&self) -> bool {
        (self.discovers || !self.components.is_empty())
            && self.components.iter().all(|c| c.sources.iter().any(|s| s.tried))
    }

    /// Keeps and logs what a person should know; the same sentence is kept once.
    pub(crate) fn notices(&mut self, sentences: impl IntoIterator<Item = String>) {
        for sentence in sentences {
            tracing::warn!("{sentence}");
            if !self.notices.contains(&sentence) {
                self.notices.push_back(sentence);
            }
            while self.notices.len() > MAX_NOTICES {
                self.notices.pop_front();
            }
        }
    }

    /// What a person should know, oldest first.
    pub(crate) fn noticed(&self) -> impl Iterator<Item = &String> {
        self.notices.iter()
    }

    /// The component with this name.
    pub(crate) fn component(&self, id: &ComponentId) -> Option<&Watched> {
        self.components.iter().find(|c| c.component().id == *id)
    }

    /// What it watches.
    pub(crate) fn watched_components(&self) -> Vec<Component> {
        self.components.iter().map(|watched| watched.component().clone()).collect()
    }

    /// The components of which not enough is learnt yet.
    pub(crate) fn learning(&self) -> Vec<ComponentId> {
        let learning = self.components.iter().filter(|watched| watched.watch.is_learning());
        learning.map(|watched| watched.component().id.clone()).collect()
    }

    /// What was learnt of a component, for others of its kind.
    pub(crate) fn learnt(&self, id: &ComponentId) -> Option<Vec<u8>> {
        self.component(id)?.watch.learnt()
    }

    /// Begins with what others of a component's kind have learnt, where not enough is learnt of it yet.
    pub(crate) fn begin_with(&mut self, id: &ComponentId, learnt: &[u8]) {
        let Some(watched) = self.components.iter_mut().find(|watched| watched.component().id == *id) else {
            return;
        };
        match watched.watch.begin_with(learnt) {
            Ok(true) => {
                watched.saved = None;
                tracing::info!(component = %id, "begins with what others of its kind have learnt");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::info!(component = %id, "what others of its kind have learnt can't be used: {error}");
            }
        }
    }

    /// Writes down everything: before the end.
    pub(crate) fn save_all(&mut self) {
        let now = self.clock.now();
        for component in 0..self.components.len() {
            self.settle(component, Vec::new(), now);
            self.components[component].flush();
        }
    }
}

/// Which source of which component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Position in the plan.
    pub component: usize,
    /// Position among the component's sources.
    pub input: usize,
}

#[cfg(test)]
mod tests;
