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
use crate::plan::{ComponentPlan, Plan, SourcePlan};
use crate::timer::Timer;

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
                let schedule = Schedule::new(&source.name(), planned.interval);
                let together = judged_together(planned);
                tasks
                    .push(tokio::task::spawn_local(collect(source, schedule, together, place, agent, clock)));
            }
        }
        Self(tasks)
    }
}

/// Rows of a fast source are judged together, this often: what has to be fetched into a cold processor's caches to judge
/// one row costs far more than judging the others that wait, and nobody misses half a second.
const JUDGED_EVERY: Duration = Duration::from_millis(500);

/// How many rows of a source are judged together. Those of a component that joins several sources aren't kept waiting:
/// each would wait for another while.
fn judged_together(planned: &ComponentPlan) -> usize {
    match planned.sources.len() {
        1 => (JUDGED_EVERY.as_nanos() / planned.interval.as_nanos().max(1)).clamp(1, 100) as usize,
        _ => 1,
    }
}

/// Collects from one source until the task is aborted.
async fn collect(
    plan: SourcePlan,
    schedule: Schedule,
    together: usize,
    place: Place,
    agent: Rc<RefCell<Agent>>,
    clock: Rc<dyn Clock>,
) {
    let Ok(nothing) = Schema::new(Vec::new()) else { return };
    let mut batch = Batch::new(nothing.clone());
    let mut waiting = Batch::new(nothing);
    let mut source = plan.build(&clock);
    let mut tick = None;
    let mut timer = Timer::new();
    loop {
        let now = clock.now();
        let next = schedule.next(tick, now);
        timer.sleep(Duration::from_secs_f64(next.since(now).max(0.0))).await;
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
        let took = began.elapsed();
        let deliver = |result, rows: &Batch| agent.borrow_mut().deliver(place, cost, result, rows, took);
        let kept = together > 1 && matches!(result, Ok(Collected::Rows)) && waiting.append(&batch);
        if kept && waiting.len() < together {
            continue;
        }
        if !waiting.is_empty() {
            deliver(Ok(Collected::Rows), &waiting);
        }
        waiting.reset(batch.schema());
        if kept {
            continue;
        }
        let ended = matches!(result, Ok(Collected::End));
        deliver(result, &batch);
        if ended {
            return;
        }
    }
}
