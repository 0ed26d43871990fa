//! Keeps the faults of one service: begins them, knows them, and ends them at their deadline or before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Active, Checked, Effects, Fault, Order, run};
use crate::{Service, ShopError};

struct Running {
    order: Checked,
    deadline: Instant,
    task: JoinHandle<()>,
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

    /// Begins a fault. Must be called on a runtime that takes local tasks.
    ///
    /// # Errors
    /// When the order is out of bounds, when the same fault runs already, or when the machine has no room for it.
    pub(crate) fn begin(&self, order: &Order) -> Result<Active, ShopError> {
        let order = order.check(self.service)?;
        if self.running.borrow().contains_key(&order.fault) {
            let (service, fault) = (self.service, order.fault);
            return Err(ShopError::Order(format!("{service} has {fault} already; end it first, or wait")));
        }
        let work = run::prepare(&order, &self.folder, Arc::clone(&self.effects))?;
        let deadline = Instant::now() + order.time;
        let fault = order.fault;
        let running = Rc::clone(&self.running);
        let task = tokio::task::spawn_local(async move {
            let _ = tokio::time::timeout_at(deadline, work).await;
            running.borrow_mut().remove(&fault);
        });
        let began = Running { order, deadline, task };
        let active = began.active();
        self.running.borrow_mut().insert(fault, began);
        Ok(active)
    }

    /// What runs now.
    pub(crate) fn active(&self) -> Vec<Active> {
        self.running.borrow().values().map(Running::active).collect()
    }

    /// Ends all faults; what they did is undone when this returns.
    pub(crate) async fn end_all(&self) {
        let running = std::mem::take(&mut *self.running.borrow_mut());
        for task in running.into_values().map(|running| running.task) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Running {
    fn active(&self) -> Active {
        Active {
            fault: self.order.fault,
            strength: self.order.strength,
            to: self.order.to,
            ends_in: self.deadline.saturating_duration_since(Instant::now()).as_secs_f64(),
        }
    }
}
