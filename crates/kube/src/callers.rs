//! Whether who calls is a workload of this cluster: the API server is asked about the token that it brings.
//!
//! An agent beside an application has no secret of ours, only a token of its pod's service account that names us as who it
//! is for (`audience`). Such a token opens a session with the hub and nothing else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use larnax_serve::LocalFuture;
use larnax_serve::guard::Callers;
use tokio::sync::Semaphore;

use crate::OperatorError;

/// A token that was good is not asked about again for so long: that of a pod that is gone is good for so much longer.
const KNOWN: Duration = Duration::from_secs(60);
/// The most tokens remembered; then all are asked about anew.
const MOST: usize = 10_000;
/// The most questions at once: who calls with bad tokens must not keep the API server busy.
const AT_ONCE: usize = 4;
/// The longest token that is asked about, in bytes.
const LONGEST: usize = 8 << 10;

/// Asks the API server.
pub struct Workloads {
    client: Client,
    audience: String,
    path: &'static str,
    known: RefCell<HashMap<String, Instant>>,
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

    async fn knows(&self, token: &str) -> bool {
        if token.len() > LONGEST {
            return false;
        }
        if self.known.borrow().get(token).is_some_and(|asked| asked.elapsed() < KNOWN) {
            return true;
        }
        let Ok(_slot) = self.asking.acquire().await else { return false };
        let spec =
            TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: Some(token.to_owned()) };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let review = TokenReview { spec, ..Default::default() };
        let status = match reviews.create(&PostParams::default(), &review).await {
            Ok(review) => review.status.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the cluster can't be asked who calls");
                return false;
            }
        };
        let meant = status.audiences.iter().flatten().any(|audience| *audience == self.audience);
        let is_good = status.authenticated == Some(true) && meant;
        if is_good {
            let mut known = self.known.borrow_mut();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(token.to_owned(), Instant::now());
        }
        is_good
    }
}

impl Callers for Workloads {
    fn may<'a>(&'a self, token: &'a str, path: &'a str) -> LocalFuture<'a, bool> {
        Box::pin(async move { path == self.path && self.knows(token).await })
    }
}
