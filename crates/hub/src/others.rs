//! The other hubs of the same store. An edge is connected to one of them, and the one that acts asks for evidence: so it asks
//! the others, by letters in the store that they share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{AnomalyId, Command, ComponentId};
use larnax_session::Pull;
use larnax_store::{Error, Letters};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::evidence::Evidence;
use crate::hub::{Hub, HubError};
use crate::report::AgentReport;

/// How often a hub looks for letters,
const LOOK: Duration = Duration::from_millis(250);
/// and while it waits for answers.
const LOOK_FOR_ANSWERS: Duration = Duration::from_millis(50);
/// How often the hub that acts asks the others how far the clocks of their edges are off.
const CLOCKS: Duration = Duration::from_secs(5);
/// How long a letter may be under way, there and back.
const POST: Duration = Duration::from_secs(2);

/// What one hub writes to another.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Letter {
    Ask { from: String, number: u64, question: Question },
    Answer { number: u64, said: Said },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    /// What components did, by the clock of who asks.
    Evidence(Vec<Pull>),
    /// Which edges are connected.
    Agents,
    /// An order to one of them. What comes of it is told by an event.
    Order { agent: String, command: Command },
    /// That an anomaly of a component is normal.
    Normal { component: ComponentId, anomaly: AnomalyId },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// Of those components that an edge of this hub watches.
    Evidence(Vec<(ComponentId, Result<Evidence, String>)>),
    Agents(Vec<AgentReport>),
    /// Whether it was sent.
    Order(bool),
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Others {
    waiting: RefCell<HashMap<u64, oneshot::Sender<Said>>>,
    last: Cell<u64>,
    asked: Notify,
    /// How far the clocks of edges that others know are ahead, in seconds.
    clocks: RefCell<BTreeMap<String, f64>>,
}

impl Others {
    /// How far the clock of an edge of another hub is ahead; 0 where that is not known.
    pub(crate) fn clock_ahead(&self, agent: &str) -> f64 {
        self.clocks.borrow().get(agent).copied().unwrap_or(0.0)
    }
}

impl Hub {
    /// Reads and answers letters; ends at once where there are no others.
    pub(crate) async fn correspond(self: &Rc<Self>) {
        if self.store.letters().is_none() {
            return;
        }
        let mut clocks_asked = Instant::now();
        loop {
            let name = self.options.name.clone();
            match self.with_letters(move |letters| letters.collect(&name)).await {
                Ok(letters) => letters.iter().for_each(|letter| self.open_letter(letter)),
                Err(error) => tracing::debug!(%error, "letters of other hubs can't be read now"),
            }
            if clocks_asked.elapsed() >= CLOCKS {
                clocks_asked = Instant::now();
                if self.known.borrow().acting.is_some() {
                    let hub = Rc::clone(self);
                    spawn_local(async move {
                        let reports = hub.agents_elsewhere().await;
                        let clocks =
                            reports.into_iter().map(|report| (report.agent, report.clock_ahead_seconds));
                        *hub.others.clocks.borrow_mut() = clocks.collect();
                    });
                }
            }
            let waits = !self.others.waiting.borrow().is_empty();
            tokio::select! {
                () = sleep(if waits { LOOK_FOR_ANSWERS } else { LOOK }) => {}
                () = self.others.asked.notified() => sleep(LOOK_FOR_ANSWERS).await,
            }
        }
    }

    /// The edges that are connected to other hubs.
    pub(crate) async fn agents_elsewhere(&self) -> Vec<AgentReport> {
        let all = self.ask_others(Question::Agents, POST).await;
        let reports = all.into_iter().filter_map(|said| match said {
            Said::Agents(reports) => Some(reports),
            Said::Evidence(_) | Said::Order(_) => None,
        });
        reports.flatten().collect()
    }

    /// Evidence that edges of other hubs have. Components that none of them watches are left out.
    pub(crate) async fn evidence_elsewhere(
        &self,
        pulls: Vec<Pull>,
    ) -> Vec<(ComponentId, Result<Evidence, String>)> {
        if pulls.is_empty() {
            return Vec::new();
        }
        let all = self.ask_others(Question::Evidence(pulls), self.options.answer_within + POST).await;
        let evidence = all.into_iter().filter_map(|said| match said {
            Said::Evidence(evidence) => Some(evidence),
            Said::Agents(_) | Said::Order(_) => None,
        });
        evidence.flatten().collect()
    }

    /// Sends an order to an edge that another hub has. False where none has it.
    pub(crate) async fn order_elsewhere(&self, agent: String, command: Command) -> bool {
        let all = self.ask_others(Question::Order { agent, command }, POST).await;
        all.into_iter().any(|said| matches!(said, Said::Order(true)))
    }

    /// Tells the edge that watches a component and that another hub has. False where none has it.
    pub(crate) async fn is_normal_elsewhere(&self, component: ComponentId, anomaly: AnomalyId) -> bool {
        let all = self.ask_others(Question::Normal { component, anomaly }, POST).await;
        all.into_iter().any(|said| matches!(said, Said::Order(true)))
    }

    /// Asks all other hubs that are there, and waits for those that answer in time.
    async fn ask_others(&self, question: Question, limit: Duration) -> Vec<Said> {
        if self.store.letters().is_none() {
            return Vec::new();
        }
        let name = self.options.name.clone();
        let others = match self.with_letters(move |letters| letters.others(&name)).await {
            Ok(others) => others,
            Err(error) => {
                tracing::warn!(%error, "other hubs can't be asked now");
                return Vec::new();
            }
        };
        let asked = others.into_iter().map(|other| self.ask_other(other, question.clone(), limit));
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask_other(&self, other: String, question: Question, limit: Duration) -> Option<Said> {
        // From the clock, so that an answer to a hub of the same name that is gone is not taken for one to this.
        let number = (self.others.last.get() + 1).max(u64::try_from(self.now().nanos()).unwrap_or(0));
        self.others.last.set(number);
        let (sender, said) = oneshot::channel();
        self.others.waiting.borrow_mut().insert(number, sender);
        let letter = Letter::Ask { from: self.options.name.clone(), number, question };
        let waiting = async {
            self.post(other.clone(), &letter).await;
            self.others.asked.notify_one();
            said.await.ok()
        };
        let said = timeout(limit, waiting).await.ok().flatten();
        self.others.waiting.borrow_mut().remove(&number);
        if said.is_none() {
            tracing::warn!(hub = other, "another hub did not answer within {} s", limit.as_secs_f64());
        }
        said
    }

    fn open_letter(self: &Rc<Self>, letter: &str) {
        match serde_json::from_str(letter) {
            Ok(Letter::Answer { number, said }) => {
                if let Some(waiting) = self.others.waiting.borrow_mut().remove(&number) {
                    // Whoever asked may have given up.
                    let _ = waiting.send(said);
                }
            }
            Ok(Letter::Ask { from, number, question }) => {
                let hub = Rc::clone(self);
                spawn_local(async move {
                    let said = hub.said(question).await;
                    hub.post(from, &Letter::Answer { number, said }).await;
                });
            }
            // One of a newer program, most likely.
            Err(error) => tracing::warn!(%error, "a letter of another hub can't be read"),
        }
    }

    async fn said(&self, question: Question) -> Said {
        match question {
            Question::Agents => Said::Agents(self.sessions.reports()),
            Question::Normal { component, anomaly } => {
                Said::Order(self.sessions.is_normal(&component, anomaly))
            }
            Question::Order { agent, command } => Said::Order(self.sessions.order(&agent, command)),
            Question::Evidence(pulls) => {
                let here = pulls.into_iter().filter(|pull| self.sessions.watcher(&pull.component).is_some());
                let pulled = here.map(async |pull| (pull.component.clone(), self.pull_here(pull).await));
                Said::Evidence(futures_util::future::join_all(pulled).await)
            }
        }
    }

    async fn post(&self, to: String, letter: &Letter) {
        let Ok(text) = serde_json::to_string(letter) else { return };
        if let Err(error) = self.with_letters(move |letters| letters.post(&to, &text)).await {
            tracing::warn!(%error, "a letter to another hub was not sent");
        }
    }

    /// Does something with the letters on a thread that may block. The default of what it gives where there are none.
    async fn with_letters<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Letters) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, HubError> {
        self.with_store(move |store| store.letters().map_or_else(|| Ok(T::default()), work)).await
    }
}
