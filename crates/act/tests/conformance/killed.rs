//! An agent that is really killed: this program, run once more as another process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::rc::Rc;
use std::time::Duration;

use larnax_act::catalogue;
use larnax_act::journal::Record;
use larnax_core::{Command, Effect, Report, SystemClock, Wanted};
use larnax_spec::{Action, CommandAction, RestartAction};
use rustix::process::{Signal, getpid, kill_process};

use crate::support::{Service, action, another_incident, offered, open, order, run};
use crate::{everywhere, what_is_said_is_so};

/// Tells the other process that it is one, and where it finds its work.
const FOLDER: &str = "ACT_TEST_FOLDER";
/// After which step it kills itself; more than there are for not at all.
const STEP: &str = "ACT_TEST_STEP";

/// Not a test of its own: what the other process does.
#[test]
fn the_other_agent() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let step: usize = std::env::var(STEP).unwrap().parse().unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let action: Action = serde_json::from_str(&read("action.json")).unwrap();
    let orders: Vec<Command> = serde_json::from_str(&read("orders.json")).unwrap();
    let reached = std::cell::Cell::new(0);
    let watch = Rc::new(move |_: &Record| -> larnax_act::LocalFuture<'static, ()> {
        if reached.replace(reached.get() + 1) == step {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        Box::pin(std::future::ready(()))
    });
    run(async {
        let actions = catalogue(&[action]).unwrap();
        let executor = larnax_act::Executor::open(&folder.join("actions"), actions, Rc::new(SystemClock))
            .unwrap()
            .with_watch(watch);
        let mut reports = Vec::new();
        for order in orders {
            reports.push(executor.handle(order).await);
        }
        fs::write(folder.join("reports.json"), serde_json::to_string(&reports).unwrap()).unwrap();
    });
}

/// The other agent, with some orders. `before` is what a shell does first.
fn agent(folder: &Path, action: &Action, orders: &[Command], step: usize, before: &str) -> Child {
    fs::write(folder.join("action.json"), serde_json::to_string(action).unwrap()).unwrap();
    fs::write(folder.join("orders.json"), serde_json::to_string(orders).unwrap()).unwrap();
    Process::new("/bin/bash")
        .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "killed::the_other_agent"])
        .env(FOLDER, folder)
        .env(STEP, step.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

const NEVER: usize = 99;

#[test]
fn an_agent_killed_after_any_step_has_changed_the_world_once_or_not_at_all_and_the_next_one_says_which() {
    for step in 0..5 {
        everywhere(|world| {
            let Some(action) = world.action() else { return };
            // Some worlds make what they need when they are first asked.
            let _ = world.offered();
            let (before, command) = (world.state(), order(1, Wanted::Do));
            let status =
                agent(world.folder(), &action, std::slice::from_ref(&command), step, "").wait().unwrap();
            assert!(!status.success(), "{} at {step}", world.name());
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
fn an_agent_killed_after_any_step_of_an_undo_has_taken_it_back_once_or_not_at_all() {
    for step in 0..5 {
        everywhere(|world| {
            let Some(action) = world.action().filter(|_| world.offered().offer.can_undo) else { return };
            let orders = [order(1, Wanted::Do), order(1, Wanted::Undo)];
            let status = agent(world.folder(), &action, &orders[..1], NEVER, "").wait().unwrap();
            assert!(status.success(), "{}", world.name());
            let before = world.state();
            let status = agent(world.folder(), &action, &orders[1..], step, "").wait().unwrap();
            assert!(!status.success(), "{} at {step}", world.name());
            what_is_said_is_so(world, &orders[1], &before, step);
        });
    }
}

#[test]
fn a_service_is_never_left_down_nor_started_twice_whenever_the_agent_is_killed() {
    for pause in (0..9).map(|count| Duration::from_millis(count * 50)) {
        another_incident();
        let folder = tempfile::tempdir().unwrap();
        let service = Service::slow(folder.path(), 0.15);
        let action = action(Duration::from_secs(20), |action| {
            action.restart = Some(RestartAction {
                pid_file: service.pid_file(),
                run: service.run(),
                ..RestartAction::default()
            });
        });
        let command = order(1, Wanted::Do);
        let mut agent = agent(folder.path(), &action, std::slice::from_ref(&command), NEVER, "");
        std::thread::sleep(pause);
        let _ = agent.kill();
        agent.wait().unwrap();
        let report: Report = run(async {
            let executor = open(folder.path(), offered(&action));
            executor.finish_interrupted().await;
            executor.handle(command.clone()).await
        });
        let (running, first) = (service.processes(), service.pid());
        let written: i32 = fs::read_to_string(service.pid_file()).unwrap().trim().parse().unwrap();
        assert_eq!(running, [written], "after {pause:?}: {report:?}");
        assert_eq!(running != [first], report.effect == Effect::Done, "after {pause:?}: {report:?}");
    }
}

/// A program that takes its time, and goes on when the agent that started it is gone.
fn slow_program(folder: &Path, check: bool) -> Action {
    let flag = folder.join("flag").display().to_string();
    let run = |text: String| vec!["/bin/bash".to_owned(), "-c".to_owned(), text];
    action(Duration::from_secs(20), |action| {
        action.command = Some(CommandAction {
            run: run(format!("touch {flag}.begun; sleep 0.6; echo x >> {flag}")),
            check: if check { run(format!("[ -f {flag} ]")) } else { Vec::new() },
            ..CommandAction::default()
        });
    })
}

#[test]
fn a_program_that_outlives_its_agent_is_waited_for_before_anybody_says_what_came_of_it() {
    for (check, expected) in [(true, Effect::Done), (false, Effect::Unsure)] {
        another_incident();
        let folder = tempfile::tempdir().unwrap();
        let action = slow_program(folder.path(), check);
        let command = order(1, Wanted::Do);
        let mut agent = agent(folder.path(), &action, &[command], NEVER, "");
        crate::support::eventually("the program runs", || folder.path().join("flag.begun").exists());
        agent.kill().unwrap();
        agent.wait().unwrap();
        let reports = run(async { open(folder.path(), offered(&action)).finish_interrupted().await });
        assert_eq!(reports.len(), 1);
        assert_eq!(reports.first().unwrap().effect, expected, "{reports:?}");
        assert_eq!(fs::read_to_string(folder.path().join("flag")).unwrap(), "x\n");
    }
}

#[test]
fn without_room_for_the_journal_nothing_is_done() {
    // The journal may have 1 KiB: the more is in it already, the earlier the step that can't be written down.
    let mut refused = 0;
    for filling in (0..=256).step_by(32) {
        another_incident();
        let folder = tempfile::tempdir().unwrap();
        let flag = folder.path().join("flag");
        let action = action(Duration::from_secs(20), |action| {
            action.command = Some(CommandAction {
                run: vec!["/usr/bin/touch".to_owned(), flag.display().to_string()],
                ..CommandAction::default()
            });
        });
        let filler = Command { action: "x".repeat(filling.max(1)), ..order(1, Wanted::Do) };
        let command = order(2, Wanted::Do);
        let before = "ulimit -f 1; trap '' XFSZ;";
        let status = agent(folder.path(), &action, &[filler, command.clone()], NEVER, before).wait().unwrap();
        assert!(status.success());
        let text = fs::read_to_string(folder.path().join("reports.json")).unwrap();
        let reports: Vec<Report> = serde_json::from_str(&text).unwrap();
        let report = reports.last().unwrap();
        assert_eq!(flag.exists(), report.effect == Effect::Done, "{report:?}");
        refused += u32::from(
            report.effect == Effect::NotDone && report.message.contains("journal can't be written"),
        );
        // Whoever comes next knows no more, and no less.
        let again = run(async {
            let executor = open(folder.path(), offered(&action));
            executor.finish_interrupted().await;
            executor.handle(command).await
        });
        assert!(
            flag.exists() == (again.effect == Effect::Done) || again.effect == Effect::Unsure,
            "{again:?}"
        );
    }
    assert!(refused > 0);
}
