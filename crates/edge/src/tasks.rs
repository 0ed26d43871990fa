//! The tasks of the edge role: one loop per source.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use larnax_collect::schedule::Schedule;
use larnax_collect::{Collected, Cost};
use larnax_core::{Batch, Clock, Schema};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::agent::{Agent, Place};
use crate::plan::{Plan, SourcePlan};

/// Loops that end when this is dropped.
#[derive(Debug)]
pub(crate) struct Collectors(Vec<JoinHandle<()>>);

impl Drop for Collectors {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Collectors {
    /// Starts one loop per source of the plan, which the agent must have applied.
    pub(crate) fn start(plan: &Plan, agent: &Rc<RefCell<Agent>>, clock: &Rc<dyn Clock>) -> Self {
        let mut tasks = Vec::new();
        for (component, planned) in plan.components.iter().enumerate() {
            for (input, source) in planned.sources.iter().enumerate() {
                let place = Place { component, input };
                let (agent, clock, source) = (Rc::clone(agent), Rc::clone(clock), source.clone());
                tasks.push(tokio::task::spawn_local(collect(source, planned.interval, place, agent, clock)));
            }
        }
        Self(tasks)
    }
}

/// Collects from one source until the task is aborted.
async fn collect(
    plan: SourcePlan,
    interval: Duration,
    place: Place,
    agent: Rc<RefCell<Agent>>,
    clock: Rc<dyn Clock>,
) {
    let schedule = Schedule::new(&plan.name(), interval);
    let Ok(nothing) = Schema::new(Vec::new()) else { return };
    let mut batch = Batch::new(nothing);
    let mut source = plan.build(&clock);
    let mut tick = None;
    loop {
        let now = clock.now();
        let next = schedule.next(tick, now);
        tokio::time::sleep(Duration::from_secs_f64(next.since(now).max(0.0))).await;
        tick = Some(next);
        let began = Instant::now();
        let (result, cost) = match &mut source {
            Ok(source) => (source.collect(&mut batch).await, source.cost()),
            Err(error) => {
                let error = error.clone();
                // What was asked for may come to be: a password file that is written later.
                source = plan.build(&clock);
                (Err(error), Cost::default())
            }
        };
        let ended = matches!(result, Ok(Collected::End));
        agent.borrow_mut().deliver(place, cost, result, &batch, began.elapsed());
        if ended {
            return;
        }
    }
}
