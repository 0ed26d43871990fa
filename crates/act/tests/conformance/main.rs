//! What every actuator must keep to. A new one is a row in [`worlds::all`].
#![allow(clippy::unwrap_used, unreachable_pub)]

mod groups;
mod killed;
#[cfg(feature = "with-peers")]
mod machines;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
#[cfg(feature = "with-peers")]
mod units;
mod webhook;
mod worlds;

use std::cell::Cell;
use std::rc::Rc;

use larnax_act::Executor;
use larnax_act::journal::Record;
use larnax_core::{Command, Effect, Report, Wanted};
use support::{another_incident, open, order, run};
use worlds::World;

/// Runs a test in each world.
fn everywhere(test: impl Fn(&mut dyn World)) {
    for make in worlds::all() {
        let folder = tempfile::tempdir().unwrap();
        if let Some(mut world) = make(folder.path()) {
            another_incident();
            test(world.as_mut());
        }
    }
}

async fn done(executor: &Executor, command: Command, name: &str) -> Report {
    let report = executor.handle(command).await;
    assert_eq!(report.effect, Effect::Done, "{name}: {}", report.message);
    report
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    everywhere(|world| {
        run(async {
            let executor = open(world.folder(), world.offered());
            let before = world.state();
            for _ in 0..2 {
                let report = done(&executor, order(1, Wanted::DryRun), world.name()).await;
                assert!(report.message.starts_with("would "), "{}: {}", world.name(), report.message);
                assert_eq!((report.began, world.state()), (None, before.clone()), "{}", world.name());
            }
        });
    });
}

#[test]
fn a_change_is_made_once_however_often_it_is_ordered() {
    everywhere(|world| {
        run(async {
            let before = world.state();
            let first = {
                let executor = open(world.folder(), world.offered());
                let first = done(&executor, order(1, Wanted::Do), world.name()).await;
                let after = world.state();
                assert_ne!(after, before, "{}", world.name());
                assert_eq!(executor.handle(order(1, Wanted::Do)).await, first, "{}", world.name());
                assert_eq!(world.state(), after, "{}", world.name());
                first
            };
            let after = world.state();
            let executor = open(world.folder(), world.offered());
            assert!(executor.finish_interrupted().await.is_empty());
            assert_eq!(executor.handle(order(1, Wanted::Do)).await, first, "{}", world.name());
            assert_eq!(world.state(), after, "{}", world.name());
        });
    });
}

#[test]
fn the_steps_themselves_bear_being_taken_twice_with_the_same_key() {
    everywhere(|world| {
        run(async {
            let actuator = world.offered().actuator;
            let task = worlds::task(Wanted::Do);
            let held = actuator.reserve(&task).await.unwrap();
            actuator.ready(&task, &held).await.unwrap();
            let before = world.state();
            actuator.release(&task, &held).await;
            actuator.release(&task, &held).await;
            assert_eq!(world.state(), before, "{}", world.name());
        });
    });
}

#[test]
fn what_was_done_is_taken_back_once_or_the_undo_is_refused() {
    everywhere(|world| {
        run(async {
            let executor = open(world.folder(), world.offered());
            let can_undo = world.offered().offer.can_undo;
            let before = world.state();
            let early = executor.handle(order(1, Wanted::Undo)).await;
            assert_eq!(early.effect, Effect::NotDone, "{}", world.name());
            assert_eq!(world.state(), before, "{}", world.name());
            done(&executor, order(2, Wanted::Do), world.name()).await;
            let after = world.state();
            let undone = executor.handle(order(2, Wanted::Undo)).await;
            if !can_undo {
                assert!(
                    undone.message.contains("can't be taken back"),
                    "{}: {}",
                    world.name(),
                    undone.message
                );
                assert_eq!((undone.effect, world.state()), (Effect::NotDone, after), "{}", world.name());
                return;
            }
            assert_eq!(
                (undone.effect, world.state()),
                (Effect::Done, before.clone()),
                "{}: {}",
                world.name(),
                undone.message
            );
            assert_eq!(executor.handle(order(2, Wanted::Undo)).await, undone, "{}", world.name());
            assert_eq!(executor.handle(order(2, Wanted::Do)).await.effect, Effect::Done, "{}", world.name());
            assert_eq!(world.state(), before, "{}", world.name());
        });
    });
}

#[test]
fn a_target_that_is_gone_is_an_error_that_says_so() {
    everywhere(|world| {
        run(async {
            let executor = open(world.folder(), world.offered());
            world.lose();
            for wanted in [Wanted::DryRun, Wanted::Do] {
                let report = executor.handle(order(1, wanted)).await;
                // Whether somebody far away is there is only known when he is asked.
                if wanted == Wanted::Do || world.sees_its_target() {
                    assert_eq!(report.effect, Effect::NotDone, "{}: {}", world.name(), report.message);
                    assert!(report.message.len() > 10, "{}: {}", world.name(), report.message);
                }
            }
        });
    });
}

#[test]
fn an_undo_whose_target_is_gone_is_an_error_that_says_so() {
    everywhere(|world| {
        run(async {
            let executor = open(world.folder(), world.offered());
            done(&executor, order(1, Wanted::Do), world.name()).await;
            world.lose();
            let report = executor.handle(order(1, Wanted::Undo)).await;
            assert_eq!(report.effect, Effect::NotDone, "{}: {}", world.name(), report.message);
        });
    });
}

/// Which step an executor is interrupted after: the number of the record, from 0.
fn interrupted_after(world: &mut dyn World, step: usize, command: Command) -> bool {
    run(async {
        let reached = Rc::new(Cell::new(0));
        let stop = Rc::new(tokio::sync::Notify::new());
        let (count, at) = (Rc::clone(&reached), Rc::clone(&stop));
        let executor = open(world.folder(), world.offered()).with_watch(Rc::new(move |_: &Record| {
            let here = count.replace(count.get() + 1) == step;
            let at = Rc::clone(&at);
            Box::pin(async move {
                if here {
                    at.notify_one();
                    std::future::pending::<()>().await;
                }
            })
        }));
        tokio::select! {
            report = executor.handle(command) => panic!("{}: there is no step {step}: {report:?}", world.name()),
            () = stop.notified() => reached.get() > 0,
        }
    })
}

/// After an interruption: what the report says is so, and it stays so.
fn what_is_said_is_so(world: &mut dyn World, command: &Command, before: &str, step: usize) -> Effect {
    run(async {
        let executor = open(world.folder(), world.offered());
        let reports = executor.finish_interrupted().await;
        let again = executor.handle(command.clone()).await;
        assert!(reports.is_empty() || reports == [again.clone()], "{}: {reports:?}, {again:?}", world.name());
        let after = world.state();
        match again.effect {
            Effect::Done => assert_ne!(after, before, "{} at {step}: {}", world.name(), again.message),
            Effect::NotDone => assert_eq!(after, before, "{} at {step}: {}", world.name(), again.message),
            Effect::Unsure => {}
        }
        assert!(world.is_whole(), "{} at {step}: {after}, {}, {again:?}", world.name(), world.state());
        assert_eq!(executor.handle(command.clone()).await, again, "{} at {step}", world.name());
        assert_eq!(world.state(), after, "{} at {step}", world.name());
        again.effect
    })
}

#[test]
fn interrupted_after_any_step_the_world_is_changed_once_or_not_at_all_and_the_report_says_which() {
    // Heard, reserved, switching, switched, ended.
    for step in 0..5 {
        everywhere(|world| {
            let (before, command) = (world.state(), order(1, Wanted::Do));
            interrupted_after(world, step, command.clone());
            let effect = what_is_said_is_so(world, &command, &before, step);
            match step {
                0 | 1 => assert_eq!(effect, Effect::NotDone, "{} at {step}", world.name()),
                2 => {}
                _ => assert_eq!(effect, Effect::Done, "{} at {step}", world.name()),
            }
        });
    }
}

#[test]
fn interrupted_after_any_step_of_an_undo_it_is_taken_back_once_or_not_at_all() {
    for step in 0..5 {
        everywhere(|world| {
            if !world.offered().offer.can_undo {
                return;
            }
            run(async {
                let executor = open(world.folder(), world.offered());
                done(&executor, order(1, Wanted::Do), world.name()).await;
            });
            let (before, command) = (world.state(), order(1, Wanted::Undo));
            interrupted_after(world, step, command.clone());
            let effect = what_is_said_is_so(world, &command, &before, step);
            match step {
                0 | 1 => assert_eq!(effect, Effect::NotDone, "{} at {step}", world.name()),
                2 => {}
                _ => assert_eq!(effect, Effect::Done, "{} at {step}", world.name()),
            }
        });
    }
}

#[test]
fn a_session_that_breaks_in_the_middle_leaves_a_command_that_the_same_process_settles() {
    everywhere(|world| {
        let (before, command) = (world.state(), order(1, Wanted::Do));
        run(async {
            let broken = Rc::new(Cell::new(false));
            let once = Rc::clone(&broken);
            let stop = Rc::new(tokio::sync::Notify::new());
            let at = Rc::clone(&stop);
            let executor =
                open(world.folder(), world.offered()).with_watch(Rc::new(move |record: &Record| {
                    let here = matches!(record, Record::Switching { .. }) && !once.replace(true);
                    let at = Rc::clone(&at);
                    Box::pin(async move {
                        if here {
                            at.notify_one();
                            std::future::pending::<()>().await;
                        }
                    })
                }));
            tokio::select! {
                report = executor.handle(command.clone()) => panic!("{}: {report:?}", world.name()),
                () = stop.notified() => {}
            }
            let report = executor.handle(command.clone()).await;
            let after = world.state();
            match report.effect {
                Effect::Done => assert_ne!(after, before, "{}", world.name()),
                Effect::NotDone => assert_eq!(after, before, "{}", world.name()),
                Effect::Unsure => {}
            }
            assert!(world.is_whole(), "{}: {after}, {}, {report:?}", world.name(), world.state());
        });
    });
}
