//! Calls to other services.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Running;
use crate::Service;
use crate::faults::Switch;
use crate::options::ServeOptions;
use crate::pool::{Failure, Pool};

/// How long a call may take, and connections to whom.
pub(super) struct Calls(BTreeMap<Service, (Duration, Pool)>);

impl Calls {
    pub(super) fn new(options: &ServeOptions) -> Self {
        let pool = |(service, address): (&Service, &_)| {
            let patience = service.patience();
            (*service, (patience, Pool::new(*address, patience)))
        };
        Self(options.calls.iter().map(pool).collect())
    }
}

impl Running {
    /// Calls `path` of `callee`. What holds it up counts as part of the call, as it would for a slow network.
    pub(super) async fn call(&self, callee: Service, path: &str) -> Result<(), Failure> {
        let began = Instant::now();
        let outcome = match self.calls.0.get(&callee) {
            Some((patience, pool)) => {
                let call = async {
                    let slow = self.effects.hold_up(Switch::Slow(callee), &mut self.random.borrow_mut());
                    if let Some(slow) = slow {
                        tokio::time::sleep(slow).await;
                    }
                    self.link().await;
                    let outcome = pool.call(path, b"{\"item\":1}").await;
                    self.link().await;
                    outcome
                };
                tokio::time::timeout(*patience, call).await.unwrap_or(Err(Failure::Timeout))
            }
            None => Err(Failure::Connection),
        };
        self.metrics.called(callee, began.elapsed(), outcome.err());
        outcome
    }
}
