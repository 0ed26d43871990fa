//! Actuators whose targets hang, fail or lie.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use larnax_act::actuators::{Cgroup, Systemd};
use larnax_act::{ActError, Actuator, Failed, Held, LocalFuture, Offered, Settled, Side, Task};
use larnax_core::{Effect, Report, Wanted};
use larnax_spec::{
    Action, CgroupAction, CommandAction, Period, Receiver as To, RestartAction, Signal, SignalAction,
    SystemdAction, SystemdVerb, WebhookAction,
};

use rustix::process::{Pid, Signal as Kernel, kill_process};

use crate::support::{Service, action, another_incident, offered, open, order, processes_with, run};
use crate::webhook::Receiver;

const SHORT: Duration = Duration::from_millis(400);

fn bash(text: &str) -> Vec<String> {
    vec!["/bin/bash".to_owned(), "-c".to_owned(), text.to_owned()]
}

fn command(timeout: Duration, spec: CommandAction) -> Action {
    action(timeout, |action| action.command = Some(spec))
}

/// Orders it, and says how that went and how long it took.
fn ordered(folder: &Path, offered: Offered, wanted: Wanted) -> (Report, Duration) {
    another_incident();
    run(async {
        let executor = open(folder, offered);
        let began = Instant::now();
        let report = executor.handle(order(1, wanted)).await;
        (report, began.elapsed())
    })
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    for (check, expected) in [("", Effect::Unsure), ("exit 1", Effect::NotDone), ("exit 0", Effect::Done)] {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark").display().to_string();
        fs::write(&mark, "").unwrap();
        let spec = CommandAction {
            run: bash(&format!("tail -f {mark} & tail -f {mark}")),
            check: if check.is_empty() { Vec::new() } else { bash(check) },
            ..CommandAction::default()
        };
        let (report, took) = ordered(folder.path(), offered(&command(SHORT, spec)), Wanted::Do);
        assert_eq!(report.effect, expected, "{report:?}");
        assert!(report.message.contains("was killed"), "{report:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        crate::support::eventually("all have ended", || processes_with(&mark).is_empty());
    }
}

#[test]
fn a_dry_run_that_hangs_or_says_no_stops_everything_before_it_begins() {
    for (dry_run, words) in [("sleep 60", "not ready after 0.4 s"), ("echo no disk; exit 3", "no disk")] {
        for wanted in [Wanted::DryRun, Wanted::Do] {
            let folder = tempfile::tempdir().unwrap();
            let spec =
                CommandAction { run: bash("touch flag"), dry_run: bash(dry_run), ..CommandAction::default() };
            let (report, _) = ordered(folder.path(), offered(&command(SHORT, spec)), wanted);
            assert_eq!((report.effect, report.began), (Effect::NotDone, None), "{report:?}");
            assert!(report.message.contains(words), "{report:?}");
        }
    }
}

#[test]
fn a_program_that_fails_may_have_got_half_way_unless_its_check_knows_better() {
    for (check, expected) in [("", Effect::Unsure), ("exit 1", Effect::NotDone), ("exit 7", Effect::Unsure)] {
        let folder = tempfile::tempdir().unwrap();
        let spec = CommandAction {
            run: bash("echo it broke >&2; exit 3"),
            check: if check.is_empty() { Vec::new() } else { bash(check) },
            ..CommandAction::default()
        };
        let (report, _) = ordered(folder.path(), offered(&command(SHORT, spec)), Wanted::Do);
        assert_eq!(report.effect, expected, "{report:?}");
        assert!(report.message.contains("it broke"), "{report:?}");
    }
}

#[test]
fn a_program_gets_arguments_and_not_a_shell_and_none_of_the_agents_variables() {
    let folder = tempfile::tempdir().unwrap();
    let spec = CommandAction {
        run: vec!["/usr/bin/printenv".to_owned(), "LARNAX_COMPONENT".to_owned(), "LARNAX_ACTION".to_owned()],
        dry_run: vec!["/bin/echo".to_owned(), "$(id) ; {name} > x".to_owned()],
        ..CommandAction::default()
    };
    let it = offered(&command(SHORT, spec));
    let (report, _) = ordered(folder.path(), it.clone(), Wanted::Do);
    assert!(report.message.ends_with("service/shop/orders\nit"), "{report:?}");
    let (report, _) = ordered(folder.path(), it, Wanted::DryRun);
    assert!(report.message.ends_with("$(id) ; orders > x"), "{report:?}");
}

#[test]
fn a_program_that_talks_without_end_is_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let spec = CommandAction { run: bash("yes"), ..CommandAction::default() };
    let (report, _) = ordered(folder.path(), offered(&command(SHORT, spec)), Wanted::Do);
    assert_eq!(report.effect, Effect::Unsure);
    assert!(report.message.len() < 6_000, "{}", report.message.len());
}

#[test]
fn a_service_that_does_not_end_by_itself_is_killed_and_started_again() {
    another_incident();
    let folder = tempfile::tempdir().unwrap();
    let service = Service::slow(folder.path(), 30.0);
    let spec = RestartAction {
        pid_file: service.pid_file(),
        run: service.run(),
        stop_within: Period(Duration::from_millis(300)),
        ..RestartAction::default()
    };
    let it = offered(&action(Duration::from_secs(20), |action| action.restart = Some(spec)));
    let (report, _) = ordered(folder.path(), it, Wanted::Do);
    assert_eq!(report.effect, Effect::Done, "{report:?}");
    assert!(report.message.contains("killed process"), "{report:?}");
    assert!(service.processes().len() == 1 && service.processes() != [service.pid()]);
}

#[test]
fn a_service_that_is_down_is_started_and_one_that_cannot_be_is_left_alone() {
    another_incident();
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path());
    let spec = RestartAction { pid_file: service.pid_file(), run: service.run(), ..RestartAction::default() };
    let restart = |spec: &RestartAction| {
        offered(&action(Duration::from_secs(20), |action| action.restart = Some(spec.clone())))
    };
    let broken = RestartAction { run: vec!["/no/such/program".to_owned()], ..spec.clone() };
    let (report, _) = ordered(folder.path(), restart(&broken), Wanted::Do);
    assert_eq!((report.effect, service.processes()), (Effect::NotDone, vec![service.pid()]), "{report:?}");
    service.end();
    let (report, _) = ordered(folder.path(), restart(&spec), Wanted::Do);
    assert_eq!((report.effect, service.processes().len()), (Effect::Done, 1), "{report:?}");
}

#[test]
fn what_came_too_late_to_be_finished_is_left_alone_but_a_service_that_is_down_is_started() {
    another_incident();
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path());
    let spec = RestartAction { pid_file: service.pid_file(), run: service.run(), ..RestartAction::default() };
    let it = offered(&action(SHORT, |action| action.restart = Some(spec)));
    run(async {
        let task = Task { fresh: false, ..crate::worlds::task(Wanted::Do) };
        let held = it.actuator.reserve(&task).await.unwrap();
        let settled = it.actuator.settle(&task, &held).await;
        assert_eq!((settled.side, service.processes()), (Side::Unknown, vec![service.pid()]), "{settled:?}");
        service.end();
        let settled = it.actuator.settle(&task, &held).await;
        assert_eq!((settled.side, service.processes().len()), (Side::After, 1), "{settled:?}");
        let again = it.actuator.settle(&task, &held).await;
        assert_eq!((again.side, service.processes().len()), (Side::After, 1), "{again:?}");
    });
}

#[test]
fn a_service_that_stands_still_hears_that_it_should_end() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    kill_process(Pid::from_raw(service.pid()).unwrap(), Kernel::STOP).unwrap();
    let spec = RestartAction { pid_file: service.pid_file(), run: service.run(), ..RestartAction::default() };
    let it = offered(&action(Duration::from_secs(20), |action| action.restart = Some(spec)));
    let (report, _) = ordered(folder.path(), it, Wanted::Do);
    assert_eq!((report.effect, service.processes().len()), (Effect::Done, 1), "{report:?}");
    assert!(report.message.contains("ended process"), "{report:?}");
}

#[test]
fn a_restart_without_time_to_start_again_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let spec = RestartAction { pid_file: service.pid_file(), run: service.run(), ..RestartAction::default() };
    let it = offered(&action(Duration::from_secs(11), |action| action.restart = Some(spec)));
    let (report, _) = ordered(folder.path(), it, Wanted::Do);
    assert_eq!((report.effect, service.processes()), (Effect::NotDone, vec![service.pid()]));
    assert!(report.message.contains("longer timeout"), "{report:?}");
}

#[test]
fn a_service_that_ends_at_once_is_said_to_be_down() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let run = vec!["/bin/false".to_owned()];
    let spec = RestartAction { pid_file: service.pid_file(), run, ..RestartAction::default() };
    let it = offered(&action(Duration::from_secs(20), |action| action.restart = Some(spec)));
    let (report, _) = ordered(folder.path(), it, Wanted::Do);
    assert_eq!(report.effect, Effect::Unsure, "{report:?}");
    assert!(report.message.contains("it is down"), "{report:?}");
}

#[test]
fn a_signal_never_hits_a_process_that_only_got_the_number() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let spec = SignalAction { pid_file: service.pid_file(), signal: Signal::Kill };
    let it = offered(&action(SHORT, |action| action.signal = Some(spec)));
    run(async {
        let task = crate::worlds::task(Wanted::Do);
        let mut held = it.actuator.reserve(&task).await.unwrap();
        let start = held["start"].as_u64().unwrap();
        held["start"] = (start + 1).into();
        let failed = it.actuator.switch(&task, &held).await.unwrap_err();
        assert_eq!(failed.effect, Effect::NotDone);
        assert_eq!(service.processes(), [service.pid()]);
    });
}

#[test]
fn of_a_cgroup_either_all_is_set_or_nothing_and_a_path_out_of_the_root_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let group = folder.path().join("root/orders");
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
    fs::write(group.join("memory.high"), "max\n").unwrap();
    let cgroup = |path: &str, set: &[(&str, &str)]| {
        let set = set.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect();
        let spec = CgroupAction { path: path.to_owned(), set };
        let mut it = offered(&action(SHORT, |action| action.cgroup = Some(spec.clone())));
        it.actuator = Rc::new(Cgroup::new(spec).with_root(&folder.path().join("root")));
        it
    };
    let both = [("cpu.max", "50000 100000"), ("memory.high", "512M")];
    for (path, set) in [
        ("/../root/orders", &both),
        ("/{name}/../orders", &both),
        ("/", &both),
        ("/gone", &both),
        ("/{name}", &[("cpu.max", "1 2"), ("../orders/memory.high", "1")]),
        ("/{name}", &[("cpu.max", "1 2"), ("no.such", "1")]),
    ] {
        let (report, _) = ordered(folder.path(), cgroup(path, set), Wanted::Do);
        assert_eq!(report.effect, Effect::NotDone, "{path}: {report:?}");
        assert_eq!(fs::read_to_string(group.join("cpu.max")).unwrap(), "max 100000\n");
    }
    run(async {
        let it = cgroup("/{name}", &both);
        let task = crate::worlds::task(Wanted::Do);
        let held = it.actuator.reserve(&task).await.unwrap();
        // The second one can't be written any more.
        fs::remove_file(group.join("memory.high")).unwrap();
        let failed = it.actuator.switch(&task, &held).await.unwrap_err();
        assert_eq!(failed.effect, Effect::NotDone, "{failed:?}");
        assert_eq!(fs::read_to_string(group.join("cpu.max")).unwrap(), "max 100000");
        // An agent died between the two.
        fs::write(group.join("memory.high"), "max").unwrap();
        fs::write(group.join("cpu.max"), "50000 100000").unwrap();
        let settled = it.actuator.settle(&task, &held).await;
        assert!(settled.message.contains("only some"), "{settled:?}");
        assert_eq!(fs::read_to_string(group.join("cpu.max")).unwrap(), "max 100000");
        // Somebody else has set it since: that isn't undone.
        it.actuator.switch(&task, &held).await.unwrap();
        fs::write(group.join("cpu.max"), "20000 100000").unwrap();
        let failed = it.actuator.undo(&task, &held).await.unwrap_err();
        assert!(failed.effect == Effect::NotDone && failed.message.contains("somebody"), "{failed:?}");
    });
}

#[test]
fn what_a_webhook_answers_says_whether_something_was_changed() {
    for (status, expected) in [
        (200, Effect::Done),
        (404, Effect::NotDone),
        (302, Effect::NotDone),
        (500, Effect::Unsure),
        (0, Effect::Unsure),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        *receiver.status.lock().unwrap() = status;
        let url = format!("http://{}/hook", receiver.address).parse().unwrap();
        let spec = WebhookAction { to: To::at(url), can_undo: false };
        let it = offered(&action(SHORT, |action| action.webhook = Some(spec)));
        let (report, took) = ordered(folder.path(), it, Wanted::Do);
        assert_eq!(report.effect, expected, "{status}: {report:?}");
        assert!(took < Duration::from_secs(4), "{took:?}");
        if status == 200 {
            let said = receiver.said.lock().unwrap();
            let body: Held = serde_json::from_str(said.bodies.first().unwrap()).unwrap();
            assert_eq!(
                (body["wanted"].as_str(), body["component"].as_str()),
                (Some("do"), Some("service/shop/orders"))
            );
            assert!(said.keys.contains(body["key"].as_str().unwrap()));
        }
    }
}

#[test]
fn a_systemctl_that_hangs_is_ended_and_a_name_for_several_units_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("systemctl");
    let show = "echo LoadState=loaded; echo ActiveState=active; echo InvocationID=1";
    fs::write(&program, format!("#!/bin/bash\ncase $1 in show) {show};; *) sleep 60;; esac\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let unit = |name: &str| {
        let spec = SystemdAction { unit: name.to_owned(), r#do: SystemdVerb::Stop, user: false };
        let mut it = offered(&action(SHORT, |action| action.systemd = Some(spec.clone())));
        it.actuator = Rc::new(Systemd::new(spec).with_program(&program));
        it
    };
    let (report, _) = ordered(folder.path(), unit("orders.service"), Wanted::Do);
    assert_eq!(report.effect, Effect::NotDone, "{report:?}");
    assert!(report.message.contains("the unit is active"), "{report:?}");
    for name in ["*", "--all", "a/b", ""] {
        let (report, _) = ordered(folder.path(), unit(name), Wanted::Do);
        assert!(report.message.contains("not the name of one unit"), "{report:?}");
    }
}

/// Does nothing that it should: it never ends, or says what isn't so.
struct Stubborn {
    at: &'static str,
}

impl Actuator for Stubborn {
    fn describe(&self, _: &Task, _: &Held) -> String {
        "would hang".to_owned()
    }
    fn reserve<'a>(&'a self, _: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            if self.at == "reserve" {
                std::future::pending::<()>().await;
            }
            Ok(Held::Null)
        })
    }
    fn ready<'a>(&'a self, _: &'a Task, _: &'a Held) -> LocalFuture<'a, Result<(), ActError>> {
        Box::pin(async move {
            if self.at == "ready" {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
    fn switch<'a>(&'a self, _: &'a Task, _: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(std::future::pending())
    }
    fn settle<'a>(&'a self, _: &'a Task, _: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn an_actuator_that_hangs_at_any_step_is_given_up() {
    for (at, expected) in
        [("reserve", Effect::NotDone), ("ready", Effect::NotDone), ("switch", Effect::Unsure)]
    {
        let folder = tempfile::tempdir().unwrap();
        let record = action(SHORT, |action| action.record = Some(larnax_spec::RecordAction::default()));
        let it = Offered { actuator: Rc::new(Stubborn { at }), ..offered(&record) };
        let (report, took) = ordered(folder.path(), it, Wanted::Do);
        assert_eq!(report.effect, expected, "{at}: {report:?}");
        assert!(took < Duration::from_secs(15), "{at}: {took:?}");
    }
}
