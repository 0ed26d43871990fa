//! What the API server asks before a pod is made: `POST /mutate`, an AdmissionReview.
//!
//! Whatever goes wrong, the pod is made as it was asked for: a watcher must never be why an application does not start.

use std::cell::Cell;
use std::rc::Rc;

use json_patch::Patch;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::core::DynamicObject;
use kube::core::admission::{
    AdmissionRequest, AdmissionResponse, AdmissionReview, ConvertAdmissionReviewError, Operation,
};
use kube::{Api, Client};
use larnax_serve::answer::{error, json, not_allowed, text};
use larnax_serve::hyper::body::Bytes;
use larnax_serve::hyper::http::request::Parts;
use larnax_serve::hyper::{Method, StatusCode};
use larnax_serve::{Answer, Handler, LocalFuture};
use serde_json::Value;

use crate::inject::{Sidecar, Verdict, config_map, decide};

/// The longest review, in bytes: etcd takes objects of 1.5 MiB, and a review of an update has two.
const MAX_REVIEW: usize = 4 << 20;
/// What a config map's key is called.
const KEY: &str = "larnax.yaml";

/// Says what a config is, or what is wrong with it. What reads configs is not of this crate.
pub type ReadConfig = fn(&str) -> Result<Value, String>;

/// Answers the API server.
pub struct Webhook {
    client: Client,
    sidecar: Rc<Sidecar>,
    native: Rc<Cell<bool>>,
    read: ReadConfig,
}

impl Webhook {
    /// Puts agents into pods as `sidecar` says; `read` reads what config maps say.
    pub(crate) fn new(
        client: Client,
        sidecar: Rc<Sidecar>,
        native: Rc<Cell<bool>>,
        read: ReadConfig,
    ) -> Self {
        Self { client, sidecar, native, read }
    }

    async fn review(&self, body: &[u8]) -> Answer {
        let request = serde_json::from_slice::<AdmissionReview<DynamicObject>>(body)
            .map_err(|error| error.to_string())
            .and_then(|review| -> Result<AdmissionRequest<DynamicObject>, _> {
                review.try_into().map_err(|error: ConvertAdmissionReviewError| error.to_string())
            });
        match request {
            Ok(request) => json(&self.answered(&request).await),
            Err(problem) => {
                error(StatusCode::BAD_REQUEST, format!("expected an AdmissionReview of a pod: {problem}"))
            }
        }
    }

    async fn answered(&self, request: &AdmissionRequest<DynamicObject>) -> AdmissionReview<DynamicObject> {
        let mut response = AdmissionResponse::from(request);
        let (Operation::Create, Some(object)) = (&request.operation, &request.object) else {
            return response.into_review();
        };
        let pod = match pod(object) {
            Ok(pod) => pod,
            Err(problem) => {
                tracing::warn!(problem, "what is to be made is no pod");
                return response.into_review();
            }
        };
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let more = match config_map(&pod) {
            Some(name) => Some(self.more(namespace, name).await),
            None => None,
        };
        let whose = || {
            let name = pod.metadata.name.as_deref().or(pod.metadata.generate_name.as_deref());
            format!("{namespace}/{}", name.unwrap_or_default())
        };
        match decide(&pod, namespace, &self.sidecar, self.native.get(), more) {
            Verdict::Leave(why) => tracing::debug!(pod = whose(), why, "left as it is"),
            Verdict::Refuse(problem) => {
                tracing::warn!(pod = whose(), problem, "no agent");
                response.warnings = Some(vec![format!("larnax: {problem}")]);
            }
            Verdict::Inject(agent, problems) => {
                let patch =
                    serde_json::from_value::<Patch>(agent.patch(&pod)).map_err(|error| error.to_string());
                let patched = patch
                    .and_then(|patch| response.clone().with_patch(patch).map_err(|error| error.to_string()));
                match patched {
                    Ok(patched) => {
                        response = patched;
                        tracing::info!(pod = whose(), problems = problems.join("; "), "an agent of its own");
                    }
                    Err(error) => tracing::warn!(pod = whose(), error, "no patch"),
                }
                response.warnings =
                    Some(problems.iter().map(|problem| format!("larnax: {problem}")).collect());
            }
        }
        response.into_review()
    }

    /// What a pod's config map says.
    async fn more(&self, namespace: &str, name: &str) -> Result<Value, String> {
        let instead = "the agent runs with the usual config";
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await;
        let found =
            found.map_err(|error| format!("the config map `{name}` can't be read: {error}; {instead}"))?;
        let found = found.ok_or_else(|| format!("there is no config map `{name}`; {instead}"))?;
        let text = found.data.as_ref().and_then(|data| data.get(KEY));
        let text = text.ok_or_else(|| format!("the config map `{name}` has no key `{KEY}`; {instead}"))?;
        (self.read)(text).map_err(|problem| format!("the config map `{name}`: {problem}; {instead}"))
    }
}

/// By its text: so it is read by the same code as what is watched. Reading it out of a review would need all of that once more, a quarter
/// of a megabyte.
fn pod(object: &DynamicObject) -> Result<Pod, String> {
    let text = serde_json::to_string(object).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

impl Handler for Webhook {
    fn answer<'a>(&'a self, head: &'a Parts, body: Bytes) -> LocalFuture<'a, Answer> {
        Box::pin(async move {
            match (head.uri.path(), head.method == Method::POST) {
                ("/mutate", true) => self.review(&body).await,
                ("/mutate", false) => not_allowed(&head.method, "/mutate", "POST"),
                ("/-/healthy", _) => text(StatusCode::OK, "text/plain", "OK\n"),
                (path, _) => error(StatusCode::NOT_FOUND, format!("there is no {path}: ask /mutate")),
            }
        })
    }

    fn has_page(&self, _path: &str) -> bool {
        false
    }

    fn max_body(&self, _path: &str) -> usize {
        MAX_REVIEW
    }
}
