//! The tasks of the edge role: one loop per source.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use larnax_collect::schedule::Schedule;
use larnax_collect::{Collected, Cost};
use larnax_core::{Batch, Clock, ComponentId, Schema};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::agent::{Agent, Place};
use crate::plan::{ComponentPlan, Plan, SourcePlan};
use crate::timer::Timer;

/// Loops that end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Collectors(Vec<Collector>);

/// A loop, and what it collects from.
#[derive(Debug)]
struct Collector {
    what: What,
    place: Rc<Cell<Place>>,
    task: JoinHandle<()>,
}

/// By what a loop is known under another plan of the same config.
#[derive(Debug, PartialEq, Eq)]
struct What {
    component: ComponentId,
    /// The URL with its query.
    source: String,
    leads: bool,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collectors {
    /// Has one loop per source of the plan, which the agent must have applied since the last await: a loop must not wake
    /// between the two, with its place of before. Loops that collect the same as before go on; `self` must be of the same
    /// config.
    pub(crate) fn follow(&mut self, plan: &Plan, agent: &Rc<RefCell<Agent>>, clock: &Rc<dyn Clock>) {
        let mut before = std::mem::take(&mut self.0);
        for (component, planned) in plan.components.iter().enumerate() {
            for (input, source) in planned.sources.iter().enumerate() {
                let place = Place { component, input };
                let id = planned.component.id.clone();
                let what =
                    What { component: id, source: source.whole_name(), leads: planned.sources.len() == 1 };
                if let Some(known) = before.iter().position(|known| known.what == what) {
                    let known = before.swap_remove(known);
                    known.place.set(place);
                    self.0.push(known);
                    continue;
                }
                let place = Rc::new(Cell::new(place));
                let (agent, clock, source) = (Rc::clone(agent), Rc::clone(clock), source.clone());
                // Not by the name alone: what is asked of one Prometheus for several targets differs in the query.
                let schedule = Schedule::new(&source.whole_name(), planned.interval);
                let together = judged_together(planned);
                let task = collect(source, schedule, together, Rc::clone(&place), agent, clock);
                self.0.push(Collector { what, place, task: tokio::task::spawn_local(task) });
            }
        }
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
    place: Rc<Cell<Place>>,
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
        let deliver =
            |result, rows: &Batch| agent.borrow_mut().deliver(place.get(), cost, result, rows, took);
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
