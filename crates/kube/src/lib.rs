//! The operator role: what a Kubernetes cluster runs, for the agents of its nodes.
//!
//! It watches the pods of the cluster, once for all agents, and tells each agent the pods of its node that have opted in
//! to be scraped, as a list of targets that Prometheus would take as well (`http_sd_configs`). So an agent needs no right
//! in the cluster at all, and the API server has one watcher, however many nodes there are.
//!
//! | file | what is in it |
//! |---|---|
//! | [`pod`] | what a pod says of how it is scraped |
//! | [`targets`] | the targets of each node, kept as pods come and go |
//! | [`server`] | what agents ask |

pub mod pod;
pub mod server;
pub mod targets;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use targets::{Seen, Targets};

/// How many pods are asked for at once at the beginning.
const PAGE: u32 = 500;

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
}

impl Operator {
    /// For the cluster of this pod's service account, else of the kubeconfig. Nobody is asked anything yet.
    ///
    /// # Errors
    /// When there is none, or its certificates can't be read.
    pub async fn create() -> Result<Self, OperatorError> {
        let config = kube::Config::infer().await?;
        Ok(Self { client: Client::try_from(config)?, targets: Rc::default() })
    }

    /// What answers agents.
    pub fn handler(&self, version: &'static str) -> Rc<server::Answers> {
        Rc::new(server::Answers::new(Rc::clone(&self.targets), version))
    }

    /// Watches pods until it is dropped. While the cluster can't be reached, what was known last holds.
    pub async fn run(self) {
        let pods: Api<Pod> = Api::all(self.client);
        let mut events = pin!(watcher(pods, watcher::Config::default().page_size(PAGE)).default_backoff());
        while let Some(event) = events.next().await {
            let seen = match event {
                Ok(watcher::Event::Apply(pod)) => Seen::Changed(pod),
                Ok(watcher::Event::Delete(pod)) => Seen::Gone(pod),
                Ok(watcher::Event::Init) => Seen::Beginning,
                Ok(watcher::Event::InitApply(pod)) => Seen::There(pod),
                Ok(watcher::Event::InitDone) => Seen::Complete,
                Err(error) => {
                    tracing::warn!(%error, "the pods of the cluster can't be watched; what was known holds");
                    continue;
                }
            };
            self.targets.borrow_mut().see(seen);
        }
    }
}
