//! Whether who calls is a workload of this cluster: the API server is asked about the token that it brings.
//!
//! An agent beside an application has no secret of ours, only a token of its pod's service account that names us as who it
//! is for (`audience`). Such a token opens a session with the hub and nothing else, under the name of the pod that it is bound to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use larnax_serve::guard::Callers;
use larnax_serve::{Caller, LocalFuture};
use tokio::sync::Semaphore;

use crate::OperatorError;

/// A token that was good is not asked about again for so long: that of a pod that is gone is good for so much longer.
const KNOWN: Duration = Duration::from_secs(60);
/// The most tokens remembered; then all are asked about anew.
const MOST: usize = 10_000;
/// The most questions at once: who calls with bad tokens must not keep the API server busy.
const AT_ONCE: usize = 4;
/// What the API server says of the pod that a token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";
/// The longest token that is asked about, in bytes.
const LONGEST: usize = 8 << 10;

/// Asks the API server.
pub struct Workloads {
    client: Client,
    audience: String,
    path: &'static str,
    known: RefCell<HashMap<String, (Instant, Caller)>>,
    asking: Semaphore,
}

impl std::fmt::Debug for Workloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workloads")
            .field("audience", &self.audience)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Workloads {
    /// Workloads whose tokens are for `audience` may ask at `path`.
    ///
    /// # Errors
    /// When there is no cluster, or its certificates can't be read.
    pub async fn create(audience: String, path: &'static str) -> Result<Self, OperatorError> {
        let client = Client::try_from(kube::Config::infer().await?)?;
        Ok(Self { client, audience, path, known: RefCell::default(), asking: Semaphore::new(AT_ONCE) })
    }

    async fn caller(&self, token: &str) -> Option<Caller> {
        if token.len() > LONGEST {
            return None;
        }
        let known = self.known.borrow().get(token).filter(|(asked, _)| asked.elapsed() < KNOWN).cloned();
        if let Some((_, caller)) = known {
            return Some(caller);
        }
        let _slot = self.asking.acquire().await.ok()?;
        let spec =
            TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: Some(token.to_owned()) };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let review = TokenReview { spec, ..Default::default() };
        let status = match reviews.create(&PostParams::default(), &review).await {
            Ok(review) => review.status.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the cluster can't be asked who calls");
                return None;
            }
        };
        let caller = of(&status, &self.audience)?;
        let mut known = self.known.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(token.to_owned(), (Instant::now(), caller.clone()));
        Some(caller)
    }
}

/// Whose token it is, if it is good, for `audience`, and bound to a pod: one that is not may be brought by anybody who may make some.
fn of(status: &TokenReviewStatus, audience: &str) -> Option<Caller> {
    let meant = status.audiences.iter().flatten().any(|one| one == audience);
    let user = status.user.as_ref().filter(|_| status.authenticated == Some(true) && meant)?;
    let account = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?;
    let (namespace, _) = account.split_once(':')?;
    let [pod] = user.extra.as_ref()?.get(POD)?.as_slice() else { return None };
    Some(Caller { name: format!("{namespace}/{pod}") })
}

impl Callers for Workloads {
    fn who<'a>(&'a self, token: &'a str, path: &'a str) -> LocalFuture<'a, Option<Caller>> {
        Box::pin(async move { if path == self.path { self.caller(token).await } else { None } })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(change: impl FnOnce(&mut Value)) -> TokenReviewStatus {
        let mut status = json!({
            "authenticated": true,
            "audiences": ["larnax.larnax"],
            "user": {"username": "system:serviceaccount:shop:default", "extra": {POD: ["pay-x"]}},
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn who_calls_is_the_pod_that_a_token_is_bound_to() {
        let name = |change: fn(&mut Value)| of(&status(change), "larnax.larnax").map(|caller| caller.name);
        assert_eq!(name(|_| {}).as_deref(), Some("shop/pay-x"));
        let others: [fn(&mut Value); 5] = [
            |it| it["authenticated"] = json!(false),
            |it| it["audiences"] = json!(["https://kubernetes.default.svc"]),
            |it| it["user"]["extra"] = json!({}),
            |it| it["user"]["extra"][POD] = json!(["pay-x", "web-y"]),
            |it| it["user"]["username"] = json!("admin"),
        ];
        for other in others {
            assert_eq!(name(other), None);
        }
    }
}
