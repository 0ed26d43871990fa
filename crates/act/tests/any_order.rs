//! Orders in any order, again and again, from hubs that disagree, to an agent that dies now and then.
#![allow(clippy::unwrap_used)]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use larnax_act::Executor;
use larnax_act::journal::Record;
use larnax_core::{Authority, Clock, Command, Effect, ManualClock, Report, SystemClock, Wanted};
use larnax_spec::RecordAction;
use proptest::prelude::*;
use support::{action, another_incident, offered, order, run};
use tokio::sync::Notify;

#[derive(Clone, Debug)]
enum Event {
    /// Something is ordered, or ordered again; the agent dies after so many records, if there are that many.
    Order { plan: u32, wanted: Wanted, authority: u64, later: bool, dies_after: usize },
    /// Time passes, in seconds.
    Wait(u64),
    /// The agent is started again.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let wanted = prop_oneof![3 => Just(Wanted::Do), 2 => Just(Wanted::Undo), 1 => Just(Wanted::DryRun)];
    prop_oneof![
        8 => (1_u32..4, wanted, 1_u64..4, any::<bool>(), 0_usize..12).prop_map(
            |(plan, wanted, authority, later, dies_after)| Event::Order { plan, wanted, authority, later, dies_after }
        ),
        1 => (1_u64..80).prop_map(Event::Wait),
        1 => Just(Event::Restart),
    ]
}

/// One agent on its disk, and what has been said of each key.
struct World {
    folder: tempfile::TempDir,
    clock: Rc<ManualClock>,
    said: BTreeMap<String, Report>,
    /// What a hub that heard nothing would send again.
    sent: BTreeMap<String, Command>,
}

impl World {
    fn open(&self) -> Executor {
        let file = self.folder.path().join("lines");
        let it =
            offered(&action(Duration::from_secs(5), |action| action.record = Some(RecordAction { file })));
        Executor::open(&self.folder.path().join("actions"), vec![it], Rc::clone(&self.clock) as Rc<dyn Clock>)
            .unwrap()
    }

    /// How often the plan's change was made, or taken back.
    fn count(&self, command: &Command) -> usize {
        let text = fs::read_to_string(self.folder.path().join("lines")).unwrap_or_default();
        text.lines().filter(|line| line.contains(&command.key)).count()
    }

    fn hear(&mut self, report: Report) {
        if let Some(before) = self.said.get(&report.key) {
            // Only a refusal before anything began may give way to something else.
            assert!(
                *before == report || (before.effect == Effect::NotDone && before.began.is_none()),
                "{before:?}, {report:?}"
            );
        }
        assert_ne!(report.effect, Effect::Unsure, "a recorder always knows: {report:?}");
        self.said.insert(report.key.clone(), report);
    }
}

fn command(clock: &ManualClock, event: &Event) -> Option<(Command, usize)> {
    let Event::Order { plan, wanted, authority, later, dies_after } = event else { return None };
    let authority = Authority { epoch: "e".to_owned(), number: *authority };
    // The same order again has the same expiry; an order that was given anew has a later one.
    let since = if *later { clock.now() } else { SystemClock.now() };
    let expires = since.plus(Duration::from_secs(60));
    Some((Command { authority, expires, ..order(*plan, *wanted) }, *dies_after))
}

/// Hands a command over; false if the agent died over it.
async fn handle(
    executor: Executor,
    command: Command,
    dies_after: usize,
) -> (Option<Executor>, Option<Report>) {
    let (reached, dead) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
    let at = Rc::clone(&dead);
    let executor = executor.with_watch(Rc::new(move |_: &Record| {
        let here = reached.replace(reached.get() + 1) == dies_after;
        let at = Rc::clone(&at);
        Box::pin(async move {
            if here {
                at.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }));
    let report = tokio::select! {
        report = executor.handle(command) => Some(report),
        () = dead.notified() => None,
    };
    if report.is_some() { (Some(executor), report) } else { (None, None) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_done_twice_and_what_is_said_is_so_and_stays_so(events in proptest::collection::vec(event(), 1..30)) {
        another_incident();
        let clock = Rc::new(ManualClock::at(SystemClock.now()));
        let mut world = World { folder: tempfile::tempdir().unwrap(), clock, said: BTreeMap::new(), sent: BTreeMap::new() };
        run(async {
            let mut executor = Some(world.open());
            for event in &events {
                let mut here = match executor.take() {
                    Some(here) => here,
                    None => {
                        let here = world.open();
                        for report in here.finish_interrupted().await {
                            world.hear(report);
                        }
                        here
                    }
                };
                match event {
                    Event::Wait(seconds) => world.clock.advance(Duration::from_secs(*seconds)),
                    Event::Restart => {
                        drop(here);
                        here = world.open();
                    }
                    Event::Order { .. } => {
                        let Some((command, dies_after)) = command(&world.clock, event) else { continue };
                        if command.wanted != Wanted::DryRun {
                            world.sent.insert(command.key.clone(), command.clone());
                        }
                        let (alive, report) = handle(here, command.clone(), dies_after).await;
                        executor = alive;
                        if let Some(report) = report.filter(|_| command.wanted != Wanted::DryRun) {
                            world.hear(report);
                        }
                        continue;
                    }
                }
                executor = Some(here);
            }
            drop(executor);
            let last = world.open();
            for report in last.finish_interrupted().await {
                world.hear(report);
            }
            for command in world.sent.clone().into_values() {
                world.hear(last.handle(command).await);
            }
            for plan in 1..4 {
                let (done, undone) = (order(plan, Wanted::Do), order(plan, Wanted::Undo));
                let says = |command: &Command| {
                    usize::from(world.said.get(&command.key).is_some_and(|report| report.effect == Effect::Done))
                };
                assert_eq!((world.count(&done), world.count(&undone)), (says(&done), says(&undone)), "{:?}", world.said);
                assert!(world.count(&undone) <= world.count(&done));
            }
        });
    }
}
