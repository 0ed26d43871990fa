//! Keeps the faults of one service: begins them, knows them, and ends them at their deadline or before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Active, Checked, Effects, Fault, Order, Switch, run};
use crate::mend::ROUTES_CHANGE;
use crate::{Remedy, Service, ShopError, process};

struct Running {
    order: Checked,
    deadline: Instant,
    task: JoinHandle<()>,
}

/// A fault of the world around a process, which is there when the process is started again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    order: Checked,
    /// When it ends, by [`process::clock`].
    ends: f64,
}

/// The faults of a service. All undo what they did when they end, and when the keeper's runtime does.
pub(crate) struct Keeper {
    service: Service,
    folder: PathBuf,
    effects: Arc<Effects>,
    running: Rc<RefCell<BTreeMap<Fault, Running>>>,
}

impl Keeper {
    /// `folder` is where a fault may write.
    pub(crate) fn new(service: Service, folder: PathBuf, effects: Arc<Effects>) -> Self {
        Self { service, folder, effects, running: Rc::default() }
    }

    /// Begins a fault; it is felt when this returns. Must be called on a runtime that takes local tasks.
    ///
    /// # Errors
    /// When the order is out of bounds, when the same fault runs already, or when the machine has no room for it.
    pub(crate) async fn begin(&self, order: &Order) -> Result<Active, ShopError> {
        let order = order.check(self.service)?;
        if self.running.borrow().contains_key(&order.fault) {
            let (service, fault) = (self.service, order.fault);
            return Err(ShopError::Order(format!("{service} has {fault} already; end it first, or wait")));
        }
        let left = order.time;
        self.run(order, left).await
    }

    /// Goes on with a fault of the process' earlier life; if its time is over by now, undoes it. Must be called on a runtime that
    /// takes local tasks.
    ///
    /// # Errors
    /// When the machine has no room for it any more; then it is undone.
    pub(crate) async fn resume(&self, kept: Kept) -> Result<(), ShopError> {
        let left = Duration::try_from_secs_f64(kept.ends - process::clock()).unwrap_or_default();
        let left = left.min(kept.order.time);
        self.run(kept.order, left).await.map(drop)
    }

    /// The last part of a fault, so long.
    async fn run(&self, order: Checked, left: Duration) -> Result<Active, ShopError> {
        let over = order.time.saturating_sub(left);
        let work = run::prepare(&order, over, &self.folder, Arc::clone(&self.effects))?;
        let deadline = Instant::now() + left;
        let fault = order.fault;
        let running = Rc::clone(&self.running);
        let task = tokio::task::spawn_local(async move {
            // Not begun where nothing is left of it: one poll of what grows would be all of it at once.
            if !left.is_zero() {
                let _ = tokio::time::timeout_at(deadline, work).await;
            }
            running.borrow_mut().remove(&fault);
        });
        let began = Running { order, deadline, task };
        let active = began.active();
        self.running.borrow_mut().insert(fault, began);
        // Its first step comes before this goes on.
        tokio::task::yield_now().await;
        Ok(active)
    }

    /// What runs now.
    pub(crate) fn active(&self) -> Vec<Active> {
        self.running.borrow().values().map(Running::active).collect()
    }

    /// Ends all faults; what they did is undone when this returns.
    pub(crate) async fn end_all(&self) {
        self.end(|_| true).await;
    }

    /// Ends what a remedy ends, and says what that was. Whoever gives up waiting for it has done all of it or nothing.
    pub(crate) async fn mend(&self, remedy: Remedy) -> Vec<Fault> {
        if remedy == Remedy::Reroute {
            let detour = run::turn(Arc::clone(&self.effects), Switch::Detour, Effects::DETOUR_MS);
            let _ = tokio::time::timeout(ROUTES_CHANGE, detour).await;
        }
        let ended = self.end(|fault| remedy.ends(fault)).await;
        if remedy == Remedy::CleanUp {
            // The journal too: what still writes to it begins another one.
            for file in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
                let _ = std::fs::remove_file(file.path());
            }
        }
        ended
    }

    /// Before the process is started again: ends what lives in it, and says what stays. What stays is undone if the process goes
    /// on after all, and not if another program takes its place before anything else runs on this thread.
    pub(crate) async fn leave(&self) -> Vec<Kept> {
        self.end(|fault| Remedy::Restart.ends(fault)).await;
        let now = process::clock();
        let keep = |running: &Running| Kept { order: running.order.clone(), ends: now + running.left() };
        self.running.borrow().values().map(keep).collect()
    }

    /// All are told to end before the first is waited for, so that nobody who gives up leaves half of them.
    async fn end(&self, which: impl Fn(Fault) -> bool) -> Vec<Fault> {
        let ending: Vec<(Fault, Running)> =
            self.running.borrow_mut().extract_if(.., |fault, _| which(*fault)).collect();
        for (_, running) in &ending {
            running.task.abort();
        }
        let mut ended = Vec::with_capacity(ending.len());
        for (fault, running) in ending {
            let _ = running.task.await;
            ended.push(fault);
        }
        ended
    }
}

impl Running {
    /// In seconds.
    fn left(&self) -> f64 {
        self.deadline.saturating_duration_since(Instant::now()).as_secs_f64()
    }

    fn active(&self) -> Active {
        Active {
            fault: self.order.fault,
            strength: self.order.strength,
            to: self.order.to,
            ends_in: self.left(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn alone(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
            .unwrap()
            .block_on(test);
    }

    fn keeper(folder: &std::path::Path) -> (Keeper, Arc<Effects>) {
        let effects = Arc::new(Effects::new());
        (Keeper::new(Service::Orders, folder.to_owned(), Arc::clone(&effects)), effects)
    }

    #[test]
    fn the_next_life_has_what_is_outside_of_the_process_and_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        alone(async {
            let (first, _) = keeper(folder.path());
            for fault in Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::ForkFlood)) {
                first.begin(&Order::new(fault, 600.0)).await.unwrap();
            }
            let kept = first.leave().await;
            let written = serde_json::to_vec(&kept).unwrap();
            let (second, effects) = keeper(folder.path());
            for kept in serde_json::from_slice::<Vec<Kept>>(&written).unwrap() {
                second.resume(kept).await.unwrap();
            }
            let there: Vec<Fault> = second.active().iter().map(|active| active.fault).collect();
            let outside = Fault::ALL.into_iter().filter(|fault| fault.remedy() != Remedy::Restart);
            assert_eq!(there, outside.collect::<Vec<_>>());
            for (active, before) in second.active().iter().zip(first.active()) {
                assert!((active.ends_in - before.ends_in).abs() < 1.0, "{active:?} {before:?}");
                assert_eq!((active.strength, active.to), (before.strength, before.to));
            }
            assert_eq!(effects.get(Switch::LinkDelay), 60.0);
        });
    }

    #[test]
    fn a_fault_whose_time_ended_while_nobody_was_there_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let fill = folder.path().join("fill");
        fs::write(&fill, "much").unwrap();
        alone(async {
            let (keeper, effects) = keeper(folder.path());
            for fault in [Fault::DiskFill, Fault::LinkDelay] {
                let order = Order::new(fault, 600.0).check(Service::Orders).unwrap();
                keeper.resume(Kept { order, ends: process::clock() - 1.0 }).await.unwrap();
            }
            assert_eq!(keeper.active(), []);
            assert!(!fill.exists() && effects.get(Switch::LinkDelay) == 0.0);
        });
    }

    #[test]
    fn a_reroute_that_nobody_waits_for_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        alone(async {
            let (keeper, effects) = keeper(folder.path());
            keeper.begin(&Order::new(Fault::LinkLoss, 60.0)).await.unwrap();
            {
                let mending = std::pin::pin!(keeper.mend(Remedy::Reroute));
                let _ = tokio::time::timeout(Duration::from_millis(1), mending).await;
            }
            assert_eq!(effects.get(Switch::Detour), 0.0);
            assert_eq!(keeper.active().len(), 1);
            assert_eq!(keeper.mend(Remedy::Reroute).await, [Fault::LinkLoss]);
            assert_eq!((effects.get(Switch::LinkLoss), keeper.active().len()), (0.0, 0));
        });
    }
}
