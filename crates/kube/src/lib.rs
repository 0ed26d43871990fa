//! The operator role: what a Kubernetes cluster runs, for the agents of its nodes.
//!
//! It watches the pods of the cluster, once for all agents, and tells each agent the pods of its node that have opted in
//! to be scraped, as a list of targets that Prometheus would take as well (`http_sd_configs`). So an agent needs no right
//! in the cluster at all, and the API server has one watcher, however many nodes there are. Where it is asked to, it gives
//! pods an agent of their own.
//!
//! | file | what is in it |
//! |---|---|
//! | [`pod`] | what a pod says of how it is scraped |
//! | [`targets`] | the targets of each node, kept as pods come and go |
//! | [`federation`] | groups of pods that have one agent together |
//! | [`agents`] | those agents, kept as the federations are |
//! | `deployment` | what the Deployment of one says |
//! | [`prometheus`] | whether a Prometheus scrapes the members for it |
//! | [`server`] | what agents ask |
//! | [`cluster`] | what the hub is told: where pods are, what they are of, what was rolled out |
//! | [`surroundings`] | services and zones |
//! | [`tell`] | telling it |
//! | [`inject`] | whether a pod gets an agent of its own, and what it then looks like |
//! | [`webhook`] | what the API server asks before a pod is made |
//! | [`certificate`] | what the API server is shown, made anew in time |
//! | [`missed`] | pods that should have an agent and have none |
//! | [`callers`] | whether who calls the hub is a workload of this cluster |

pub mod agents;
pub mod callers;
pub mod certificate;
pub mod cluster;
mod deployment;
pub mod federation;
pub mod inject;
pub mod missed;
pub mod pod;
pub mod prometheus;
pub mod server;
pub mod surroundings;
pub mod targets;
pub mod tell;
pub mod webhook;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use larnax_core::{Clock, SystemClock};
use larnax_serve::Certificate;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use agents::{Agents, There};
use certificate::Place;
use cluster::Cluster;
use federation::{Federation, Federations};
use inject::Sidecar;
use missed::Missed;
use targets::{Seen, Targets};
use tell::Told;
use webhook::{ReadConfig, Webhook};

/// How many pods are asked for at once at the beginning.
const PAGE: u32 = 500;
/// How often the certificate is looked at where nobody has changed anything, and what the cluster can do.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The same while something is wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often agents of federations are looked at, and how soon after a federation has changed.
const KEEP_EVERY: Duration = Duration::from_secs(5);
const GATHER: Duration = Duration::from_millis(200);
/// From this minor version of Kubernetes 1 on, containers of the `initContainers` may go on beside the others.
const NATIVE_FROM: u32 = 29;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Neither a service account nor a kubeconfig.
    #[error(
        "no cluster: {0}; run it in a pod with a service account, or name a kubeconfig in the variable KUBECONFIG"
    )]
    Config(#[from] kube::config::InferConfigError),
    /// The config is there and can't be used.
    #[error("the cluster can't be reached as it is configured: {0}")]
    Client(#[from] kube::Error),
}

/// The operator role.
pub struct Operator {
    client: Client,
    targets: Rc<RefCell<Targets>>,
    cluster: RefCell<Cluster>,
    missed: Rc<RefCell<Missed>>,
    federations: Rc<RefCell<Federations>>,
    agents: Option<Agents>,
    injector: Option<Injector>,
    told: Option<Told>,
    /// Told of each change of targets or federations.
    changed: Rc<Notify>,
}

/// What it takes to give pods an agent of their own.
struct Injector {
    place: Place,
    sidecar: Rc<Sidecar>,
    native: Rc<Cell<bool>>,
    shown: Certificate,
    recorder: Recorder,
}

impl Operator {
    /// For the cluster of this pod's service account, else of the kubeconfig. Nobody is asked anything yet.
    ///
    /// # Errors
    /// When there is none, or its certificates can't be read.
    pub async fn create() -> Result<Self, OperatorError> {
        let client = Client::try_from(kube::Config::infer().await?)?;
        Ok(Self {
            client,
            targets: Rc::default(),
            cluster: RefCell::default(),
            missed: Rc::default(),
            federations: Rc::default(),
            agents: None,
            injector: None,
            told: None,
            changed: Rc::default(),
        })
    }

    /// Tells a hub of the cluster as well.
    pub fn tell(&mut self, hub: Told) {
        self.told = Some(hub);
    }

    /// Runs an agent for each federation.
    pub fn federate(&mut self, agents: Agents) {
        *self.federations.borrow_mut() = Federations::awaited();
        self.agents = Some(agents);
    }

    /// What answers agents.
    pub fn handler(&self, version: &'static str) -> Rc<server::Answers> {
        let (targets, federations) = (Rc::clone(&self.targets), Rc::clone(&self.federations));
        let (missed, changed) = (Rc::clone(&self.missed), Rc::clone(&self.changed));
        Rc::new(server::Answers::new(targets, federations, missed, changed, version))
    }

    /// Gives pods an agent of their own: what answers the API server, and the certificate that it is shown. `name` is this
    /// replica's, for events.
    pub fn inject(
        &mut self,
        place: Place,
        sidecar: Sidecar,
        read: ReadConfig,
        name: String,
    ) -> (Rc<Webhook>, Certificate) {
        let (sidecar, native, shown) = (Rc::new(sidecar), Rc::new(Cell::new(false)), Certificate::none_yet());
        let webhook = Webhook::new(self.client.clone(), Rc::clone(&sidecar), Rc::clone(&native), read);
        let reporter = Reporter { controller: "larnax-operator".to_owned(), instance: Some(name) };
        let recorder = Recorder::new(self.client.clone(), reporter);
        self.injector = Some(Injector { place, sidecar, native, shown: shown.clone(), recorder });
        (Rc::new(webhook), shown)
    }

    /// Watches pods until it is dropped. While the cluster can't be reached, what was known last holds.
    pub async fn run(mut self) {
        let told = self.told.take();
        let tell = async {
            if let Some(hub) = told {
                hub.run(&self.cluster).await;
            }
        };
        let keep = async {
            if let Some(agents) = &self.agents {
                self.keep(agents).await;
            }
        };
        tokio::join!(self.watch(), self.watch_surroundings(), tell, keep);
    }

    /// Watches services and nodes, where somebody is told of them. One that went while the watch was broken is forgotten with the
    /// next start of this program: its name is no pod's, and its zone no other node's.
    async fn watch_surroundings(&self) {
        if self.told.is_none() {
            return;
        }
        let mut services = pin!(watched::<Service>(&self.client));
        let mut nodes = pin!(watched::<PartialObjectMeta<Node>>(&self.client));
        loop {
            tokio::select! {
                Some(event) = services.next() => match event {
                    Ok(watcher::Event::Apply(service) | watcher::Event::InitApply(service)) => {
                        self.cluster.borrow_mut().service_changed(&service);
                    }
                    Ok(watcher::Event::Delete(service)) => {
                        self.cluster.borrow_mut().service_gone(&service);
                    }
                    Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                    Err(error) => tracing::warn!(%error, "the services of the cluster can't be watched"),
                },
                Some(event) = nodes.next() => match event {
                    Ok(watcher::Event::Apply(node) | watcher::Event::InitApply(node)) => {
                        self.cluster.borrow_mut().node_changed(&node);
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "the nodes of the cluster can't be watched"),
                },
            }
        }
    }

    /// Watches federations, and keeps an agent for each.
    async fn keep(&self, agents: &Agents) {
        let mut federations = pin!(watched::<Federation>(&self.client));
        let mut deployments = pin!(agents.watched(&self.client));
        let mut there = There::default();
        let mut look = pin!(sleep(KEEP_EVERY));
        let mut complained = String::new();
        loop {
            tokio::select! {
                Some(event) = federations.next() => {
                    let soon = Instant::now() + GATHER;
                    if self.see_federation(event) && look.deadline() > soon {
                        look.as_mut().reset(soon);
                    }
                }
                Some(event) = deployments.next() => match event {
                    Ok(event) => there.see(event),
                    Err(error) => tracing::warn!(%error, "the agents of federations can't be watched"),
                },
                () = &mut look => {
                    let is_known = there.is_complete() && self.federations.borrow().is_complete();
                    if is_known && self.targets.borrow().is_complete() {
                        let now = SystemClock.now();
                        let kept = agents.keep(&self.client, &self.federations, &self.targets, &mut there, now).await;
                        let problem = kept.err().unwrap_or_default();
                        if !problem.is_empty() && problem != complained {
                            tracing::warn!("federations: {problem}");
                        }
                        complained = problem;
                    }
                    look.as_mut().reset(Instant::now() + KEEP_EVERY);
                }
            }
        }
    }

    /// Whether something may be to be done now.
    fn see_federation(&self, event: watcher::Result<watcher::Event<Federation>>) -> bool {
        let mut federations = self.federations.borrow_mut();
        match event {
            Ok(watcher::Event::Apply(federation)) => federations.changed(federation),
            Ok(watcher::Event::Delete(federation)) => federations.gone(&federation),
            Ok(watcher::Event::Init) => federations.beginning(),
            Ok(watcher::Event::InitApply(federation)) => federations.there(federation),
            Ok(watcher::Event::InitDone) => federations.complete(),
            Err(error) => {
                tracing::warn!(%error, "the federations of the cluster can't be watched; what was known holds");
                return false;
            }
        }
        self.changed.notify_waiters();
        true
    }

    async fn watch(&self) {
        let mut pods = pin!(watched::<Pod>(&self.client));
        let Some(injector) = &self.injector else {
            while let Some(event) = pods.next().await {
                self.see(event);
            }
            return;
        };
        let mut namespaces = pin!(watched::<PartialObjectMeta<Namespace>>(&self.client));
        let mut changes = pin!(certificate::changes(&self.client, &injector.place));
        let mut look = pin!(sleep(Duration::ZERO));
        loop {
            tokio::select! {
                Some(event) = pods.next() => {
                    if let Some(pod) = self.see(event) {
                        self.report(injector, &pod).await;
                    }
                }
                Some(event) = namespaces.next() => self.see_namespace(injector, event).await,
                Some(()) = changes.next() => {
                    let soon = Instant::now() + GATHER;
                    if look.deadline() > soon {
                        look.as_mut().reset(soon);
                    }
                }
                () = &mut look => {
                    let wait = injector.look(&self.client).await;
                    look.as_mut().reset(Instant::now() + wait);
                }
            }
        }
    }

    /// Takes in what was seen of the pods; one that is there comes back.
    fn see(&self, event: watcher::Result<watcher::Event<Pod>>) -> Option<Pod> {
        let (seen, there) = match event {
            Ok(watcher::Event::Apply(pod)) => (Seen::Changed(pod.clone()), Some(pod)),
            Ok(watcher::Event::Delete(pod)) => {
                self.missed.borrow_mut().gone(&pod);
                (Seen::Gone(pod), None)
            }
            Ok(watcher::Event::Init) => (Seen::Beginning, None),
            Ok(watcher::Event::InitApply(pod)) => (Seen::There(pod.clone()), Some(pod)),
            Ok(watcher::Event::InitDone) => (Seen::Complete, None),
            Err(error) => {
                tracing::warn!(%error, "the pods of the cluster can't be watched; what was known holds");
                return None;
            }
        };
        self.cluster.borrow_mut().see(&seen);
        if self.targets.borrow_mut().see(seen) {
            self.changed.notify_waiters();
        }
        there
    }

    /// A namespace that asks for something else than before asks it for the pods that are there, too.
    async fn see_namespace(
        &self,
        injector: &Injector,
        event: watcher::Result<watcher::Event<PartialObjectMeta<Namespace>>>,
    ) {
        let namespace = match event {
            Ok(watcher::Event::Apply(namespace) | watcher::Event::InitApply(namespace)) => namespace,
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "the namespaces of the cluster can't be watched"),
        };
        if !self.missed.borrow_mut().see_namespace(&namespace.metadata) {
            return;
        }
        let name = namespace.metadata.name.unwrap_or_default();
        match Api::<Pod>::namespaced(self.client.clone(), &name).list(&Default::default()).await {
            Ok(pods) => {
                for pod in pods {
                    self.report(injector, &pod).await;
                }
            }
            Err(error) => tracing::warn!(%error, namespace = name, "its pods can't be listed"),
        }
    }

    async fn report(&self, injector: &Injector, pod: &Pod) {
        let told = self.missed.borrow_mut().see(pod, &injector.sidecar, injector.native.get());
        let Some(missed::Told { reason, message }) = told else { return };
        let (namespace, name) = pod::name(pod);
        tracing::warn!(pod = format!("{namespace}/{name}"), reason, "{message}");
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(message),
            action: "Inject".to_owned(),
            secondary: None,
        };
        if let Err(error) = injector.recorder.publish(&event, &pod.object_ref(&())).await {
            tracing::warn!(%error, "an event could not be told");
        }
    }
}

impl Injector {
    /// Looks at the certificate, and at what the cluster can do; says when to look again.
    async fn look(&self, client: &Client) -> Duration {
        match client.apiserver_version().await {
            Ok(version) => {
                let minor: String = version.minor.chars().take_while(char::is_ascii_digit).collect();
                self.native
                    .set(version.major != "1" || minor.parse().is_ok_and(|minor: u32| minor >= NATIVE_FROM));
            }
            Err(error) => {
                tracing::warn!(%error, "the cluster doesn't say its version");
                return LOOK_AGAIN;
            }
        }
        match certificate::keep(client, &self.place, &self.shown, SystemClock.now()).await {
            Ok(()) => LOOK_EVERY,
            Err(problem) => {
                tracing::warn!("the webhook's certificate: {problem}");
                LOOK_AGAIN
            }
        }
    }
}

/// What happens to all objects of a kind.
fn watched<K>(client: &Client) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + use<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    watcher(Api::all(client.clone()), watcher::Config::default().page_size(PAGE)).default_backoff()
}
