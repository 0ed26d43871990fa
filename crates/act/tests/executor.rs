//! What is done, what is refused, and what is said a second time.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use larnax_act::{Executor, Offered};
use larnax_core::{Authority, Clock, Command, Effect, ManualClock, Report, SystemClock, Wanted};
use larnax_spec::{CommandAction, RecordAction};
use support::{action, another_incident, offered, open, order, run};

/// An agent that only writes down what it would do.
struct Recorder {
    folder: tempfile::TempDir,
    clock: Rc<ManualClock>,
}

impl Recorder {
    fn new() -> Self {
        another_incident();
        Self { folder: tempfile::tempdir().unwrap(), clock: Rc::new(ManualClock::at(SystemClock.now())) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("lines")
    }

    fn offered(&self) -> Offered {
        let file = self.file();
        offered(&action(Duration::from_secs(5), |action| action.record = Some(RecordAction { file })))
    }

    fn open(&self) -> Executor {
        let clock = Rc::clone(&self.clock);
        Executor::open(&self.folder.path().join("actions"), vec![self.offered()], clock).unwrap()
    }

    /// How often something was done.
    fn lines(&self) -> usize {
        fs::read_to_string(self.file()).unwrap_or_default().lines().count()
    }

    fn refused(&self, executor: &Executor, command: Command, words: &str) -> Report {
        let before = self.lines();
        let report = run(executor.handle(command));
        assert_eq!((report.effect, self.lines()), (Effect::NotDone, before), "{report:?}");
        assert!(report.message.contains(words), "{report:?}");
        report
    }
}

fn with_authority(command: Command, epoch: &str, number: u64) -> Command {
    Command { authority: Authority { epoch: epoch.to_owned(), number }, ..command }
}

#[test]
fn what_is_offered_is_what_the_config_says_without_how_it_is_done() {
    let recorder = Recorder::new();
    let offers = recorder.open().offers();
    let offer = offers.first().unwrap();
    assert!(offer.action == "it" && offer.can_undo && offer.timeout_seconds == 5.0);
    assert!(!serde_json::to_string(&offers).unwrap().contains("lines"));
}

#[test]
fn an_action_that_is_not_offered_or_not_for_the_component_is_refused() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    recorder.refused(
        &executor,
        Command { action: "other".to_owned(), ..order(1, Wanted::Do) },
        "not offered here",
    );
    let elsewhere = Command { component: "service/bank/vault".parse().unwrap(), ..order(2, Wanted::Do) };
    recorder.refused(&executor, elsewhere, "not offered for service/bank/vault");
}

#[test]
fn a_command_that_comes_three_hours_late_is_refused_and_one_for_next_week_too() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    let late = order(1, Wanted::Do);
    recorder.clock.advance(Duration::from_secs(3 * 3_600));
    recorder.refused(&executor, late.clone(), "s too late");
    recorder.refused(
        &executor,
        Command { wanted: Wanted::DryRun, key: Command::key(late.plan, Wanted::DryRun), ..late },
        "too late",
    );
    let ahead =
        Command { expires: recorder.clock.now().plus(Duration::from_secs(90_000)), ..order(2, Wanted::Do) };
    recorder.refused(&executor, ahead, "clocks");
}

#[test]
fn of_two_hubs_the_one_with_the_larger_number_has_the_say_also_after_a_restart() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    assert_eq!(run(executor.handle(with_authority(order(1, Wanted::Do), "e", 7))).effect, Effect::Done);
    recorder.refused(
        &executor,
        with_authority(order(2, Wanted::Do), "e", 6),
        "another hub has taken over: 6 < 7",
    );
    drop(executor);
    let executor = recorder.open();
    recorder.refused(&executor, with_authority(order(3, Wanted::Do), "e", 6), "another hub");
    recorder.refused(&executor, with_authority(order(1, Wanted::Undo), "e", 6), "another hub");
    // Of another history the numbers say nothing.
    assert_eq!(run(executor.handle(with_authority(order(4, Wanted::Do), "f", 1))).effect, Effect::Done);
    // The same command again is no new one.
    assert_eq!(run(executor.handle(with_authority(order(1, Wanted::Do), "e", 6))).effect, Effect::Done);
    assert_eq!(recorder.lines(), 2);
}

#[test]
fn a_command_that_is_no_hubs_is_refused() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    recorder.refused(&executor, Command { key: "x".repeat(10_000), ..order(1, Wanted::Do) }, "its key is");
    recorder.refused(
        &executor,
        Command { action: "x".repeat(10_000), ..order(1, Wanted::Do) },
        "its action has 10000 bytes",
    );
    recorder.refused(&executor, with_authority(order(1, Wanted::Do), "", 1), "its epoch has 0 bytes");
}

#[test]
fn a_refusal_stands_until_it_is_ordered_anew_and_what_was_begun_is_never_ordered_anew() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    let late = order(1, Wanted::Do);
    recorder.clock.advance(Duration::from_secs(61));
    let refused = recorder.refused(&executor, late.clone(), "too late");
    recorder.clock.advance(Duration::from_secs(1));
    assert_eq!(run(executor.handle(late.clone())), refused);
    let anew = Command { expires: recorder.clock.now().plus(Duration::from_secs(9)), ..late };
    let done = run(executor.handle(anew.clone()));
    assert_eq!((done.effect, recorder.lines()), (Effect::Done, 1));
    let more = Command { expires: recorder.clock.now().plus(Duration::from_secs(99)), ..anew };
    assert_eq!((run(executor.handle(more)), recorder.lines()), (done, 1));
}

#[test]
fn what_was_never_done_here_or_not_so_or_already_taken_back_is_not_taken_back() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    recorder.refused(&executor, order(1, Wanted::Undo), "nothing was done here");
    recorder.refused(
        &executor,
        with_authority(Command { action: "other".to_owned(), ..order(2, Wanted::Do) }, "e", 1),
        "not offered",
    );
    let given_up = order(2, Wanted::Undo);
    recorder.refused(&executor, given_up, "did `other`");
    assert_eq!(run(executor.handle(order(3, Wanted::Do))).effect, Effect::Done);
    let elsewhere = Command { component: "service/shop/carts".parse().unwrap(), ..order(3, Wanted::Undo) };
    recorder.refused(&executor, elsewhere.clone(), "only that can be taken back");
    let undo = Command { expires: elsewhere.expires.plus(Duration::from_secs(1)), ..order(3, Wanted::Undo) };
    let undone = run(executor.handle(undo.clone()));
    assert_eq!((undone.effect, recorder.lines()), (Effect::Done, 2), "{undone:?}");
    let once_more = Command { expires: undo.expires.plus(Duration::from_secs(1)), ..undo };
    assert_eq!((run(executor.handle(once_more)), recorder.lines()), (undone, 2));
}

#[test]
fn what_the_config_no_longer_has_is_not_done_and_not_taken_back() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    assert_eq!(run(executor.handle(order(1, Wanted::Do))).effect, Effect::Done);
    executor.set_offered(Vec::new());
    assert!(executor.offers().is_empty());
    recorder.refused(&executor, order(2, Wanted::Do), "not offered here");
    recorder.refused(&executor, order(1, Wanted::Undo), "not offered here");
}

#[test]
fn an_action_is_not_done_again_to_the_same_component_before_its_cooldown_is_over() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    let mut cooled = recorder.offered();
    cooled.offer.cooldown_seconds = 30.0;
    executor.set_offered(vec![cooled]);
    assert_eq!(run(executor.handle(order(1, Wanted::Do))).effect, Effect::Done);
    recorder.clock.advance(Duration::from_secs(29));
    recorder.refused(&executor, order(2, Wanted::Do), "29 s ago, and its cooldown is 30 s");
    let other = Command { component: "service/shop/carts".parse().unwrap(), ..order(3, Wanted::Do) };
    assert_eq!(run(executor.handle(other)).effect, Effect::Done);
    // What was done can be taken back at any time.
    assert_eq!(run(executor.handle(order(1, Wanted::Undo))).effect, Effect::Done);
    recorder.clock.advance(Duration::from_secs(2));
    assert_eq!(run(executor.handle(order(4, Wanted::Do))).effect, Effect::Done);
}

/// An action that takes a while, and says each time that it was done.
fn slow(folder: &Path) -> Offered {
    let text = format!("sleep 0.3; echo x >> {}/lines", folder.display());
    let run = vec!["/bin/bash".to_owned(), "-c".to_owned(), text];
    offered(&action(Duration::from_secs(5), |action| {
        action.command = Some(CommandAction { run, ..CommandAction::default() });
    }))
}

#[test]
fn never_two_changes_to_one_component_at_once_but_to_two_components() {
    another_incident();
    let folder = tempfile::tempdir().unwrap();
    let executor = open(folder.path(), slow(folder.path()));
    let other = Command { component: "service/shop/carts".parse().unwrap(), ..order(3, Wanted::Do) };
    let (first, second, third) = run(async {
        tokio::join!(
            executor.handle(order(1, Wanted::Do)),
            executor.handle(order(2, Wanted::Do)),
            executor.handle(other),
        )
    });
    assert_eq!((first.effect, third.effect), (Effect::Done, Effect::Done));
    assert_eq!(second.effect, Effect::NotDone);
    assert!(second.message.contains("busy: `it` is being done to service/shop/orders"), "{second:?}");
    assert_eq!(fs::read_to_string(folder.path().join("lines")).unwrap(), "x\nx\n");
}

#[test]
fn a_hub_that_is_overruled_while_its_command_gets_ready_is_not_obeyed() {
    another_incident();
    let folder = tempfile::tempdir().unwrap();
    let bash = |text: String| vec!["/bin/bash".to_owned(), "-c".to_owned(), text];
    let spec = CommandAction {
        dry_run: bash("sleep 0.3".to_owned()),
        run: bash(format!("echo $LARNAX_COMPONENT >> {}/lines", folder.path().display())),
        ..CommandAction::default()
    };
    let executor =
        open(folder.path(), offered(&action(Duration::from_secs(5), |action| action.command = Some(spec))));
    let other = Command { component: "service/shop/carts".parse().unwrap(), ..order(2, Wanted::Do) };
    let (old, new) = run(async {
        tokio::join!(executor.handle(order(1, Wanted::Do)), executor.handle(with_authority(other, "e", 2)))
    });
    assert_eq!((old.effect, new.effect), (Effect::NotDone, Effect::Done));
    assert!(old.message.contains("another hub has taken over: 1 < 2"), "{old:?}");
    assert_eq!(fs::read_to_string(folder.path().join("lines")).unwrap(), "service/shop/carts\n");
}

#[test]
fn a_command_that_comes_again_while_it_is_done_waits_for_what_comes_of_it() {
    another_incident();
    let folder = tempfile::tempdir().unwrap();
    let executor = open(folder.path(), slow(folder.path()));
    let command = order(1, Wanted::Do);
    let (first, second) =
        run(async { tokio::join!(executor.handle(command.clone()), executor.handle(command.clone())) });
    assert_eq!(first, second);
    assert_eq!(fs::read_to_string(folder.path().join("lines")).unwrap(), "x\n");
}

#[test]
fn what_was_interrupted_is_not_lost_when_the_config_no_longer_has_it() {
    let recorder = Recorder::new();
    let command = order(1, Wanted::Do);
    run(async {
        let stop = Rc::new(tokio::sync::Notify::new());
        let at = Rc::clone(&stop);
        let executor = recorder.open().with_watch(Rc::new(move |record| {
            let here = matches!(record, larnax_act::journal::Record::Switching { .. });
            let at = Rc::clone(&at);
            Box::pin(async move {
                if here {
                    at.notify_one();
                    std::future::pending::<()>().await;
                }
            })
        }));
        tokio::select! {
            _ = executor.handle(command.clone()) => {}
            () = stop.notified() => {}
        }
        // Until it is known what came of it, nothing else is done to the component.
        let next = executor.handle(order(2, Wanted::Do)).await;
        assert!(next.message.contains("busy"), "{next:?}");
    });
    let executor =
        Executor::open(&recorder.folder.path().join("actions"), Vec::new(), recorder.clock.clone()).unwrap();
    let reports = run(executor.finish_interrupted());
    assert_eq!(reports.first().unwrap().effect, Effect::Unsure, "{reports:?}");
    assert!(run(executor.finish_interrupted()).is_empty());
    assert_eq!(run(executor.handle(command)), *reports.first().unwrap());
}

#[test]
fn a_damaged_journal_is_said_aloud_and_the_agent_goes_on() {
    let recorder = Recorder::new();
    let executor = recorder.open();
    assert_eq!(run(executor.handle(order(1, Wanted::Do))).effect, Effect::Done);
    drop(executor);
    let path = recorder.folder.path().join("actions/journal");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("nonsense\n{text}")).unwrap();
    let executor = recorder.open();
    let notices = executor.take_notices();
    assert!(notices.join("").contains("damaged"), "{notices:?}");
    assert!(executor.take_notices().is_empty());
    assert_eq!(run(executor.handle(order(1, Wanted::Do))).effect, Effect::Done);
    assert_eq!(recorder.lines(), 1);
}
