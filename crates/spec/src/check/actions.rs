//! Checks of `actions`.

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::time::Duration;

use larnax_core::Risk;

use super::{Findings, client, positive};
use crate::actions::{
    Action, CgroupAction, CommandAction, RestartAction, Signal, SystemdVerb, VirshVerb, WebhookAction,
};
use crate::path::Path;
use crate::placeholder;
use crate::value::Period;
use crate::yaml::shorten;

/// The longest name, in characters.
const MAX_NAME: usize = 100;
/// Whoever waits longer for an action has an incident of another sort.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// What is forgotten where an action does nothing.
const WAYS: &str = "one of signal, restart, systemd, cgroup, command, webhook, virsh, record";

pub(super) fn check(actions: &[Action], findings: &mut Findings<'_>) {
    let mut names = HashMap::new();
    for (index, action) in actions.iter().enumerate() {
        let path = Path::root().key("actions").index(index);
        name(action, &path, findings);
        if let Some(first) = names.insert(&action.name, index).filter(|_| !action.name.is_empty()) {
            let message = format!(
                "`{}` is the name of actions[{first}] too, expected a name that no other action has",
                shorten(&action.name)
            );
            findings.error(path.key("name"), message);
        }
        if action.on.is_empty() {
            findings.error(path.key("on"), "missing, expected components such as `[\"service/shop/*\"]`");
        }
        for (at, scope) in action.on.iter().enumerate().filter(|(_, scope)| scope.0.is_everything()) {
            let message =
                format!("found `{scope}`: it is on offer for every component that this agent watches");
            findings.warning(path.key("on").index(at), message);
        }
        positive(action.timeout, &path.key("timeout"), findings);
        positive(action.helps_within, &path.key("helps_within"), findings);
        if action.timeout.0 > MAX_TIMEOUT {
            let message = format!("found `{}`, expected at most {}", action.timeout, Period(MAX_TIMEOUT));
            findings.error(path.key("timeout"), message);
        }
        one_way(action, &path, findings);
        details(action, &path, findings);
        risk(action, &path, findings);
    }
}

fn name(action: &Action, path: &Path, findings: &mut Findings<'_>) {
    let (path, name) = (path.key("name"), &action.name);
    let odd = |c: char| !(c.is_ascii_alphanumeric() || " ._-".contains(c));
    if name.is_empty() {
        findings.error(path, "missing, expected a name that no other action has");
    } else if let Some(odd) = name.chars().find(|c| odd(*c)) {
        let message = format!(
            "found `{}` with {odd:?} in it, expected letters from a to z, digits, ` `, `.`, `_` and `-` only",
            shorten(name)
        );
        findings.error(path, message);
    } else if name.len() > MAX_NAME {
        findings.error(path, format!("found {} characters, expected at most {MAX_NAME}", name.len()));
    }
}

/// Exactly one actuator.
fn one_way(action: &Action, path: &Path, findings: &mut Findings<'_>) {
    let ways = [
        ("signal", action.signal.is_some()),
        ("restart", action.restart.is_some()),
        ("systemd", action.systemd.is_some()),
        ("cgroup", action.cgroup.is_some()),
        ("command", action.command.is_some()),
        ("webhook", action.webhook.is_some()),
        ("virsh", action.virsh.is_some()),
        ("record", action.record.is_some()),
    ];
    let found: Vec<&str> = ways.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    match found.as_slice() {
        [_] => {}
        [] => findings.error(path.clone(), format!("it doesn't say how it is done, expected {WAYS}")),
        [first, rest @ ..] => {
            let message = format!("found {first} and {}, expected one of them", rest.join(" and "));
            findings.error(path.clone(), message);
        }
    }
}

fn details(action: &Action, path: &Path, findings: &mut Findings<'_>) {
    if let Some(signal) = &action.signal {
        file(&signal.pid_file, &path.key("signal").key("pid_file"), "`/run/orders.pid`", findings);
    }
    if let Some(restart) = &action.restart {
        self::restart(restart, action.timeout, &path.key("restart"), findings);
    }
    if let Some(systemd) = &action.systemd {
        word(&systemd.unit, &path.key("systemd").key("unit"), "a unit such as `orders.service`", findings);
    }
    if let Some(cgroup) = &action.cgroup {
        self::cgroup(cgroup, &path.key("cgroup"), findings);
    }
    if let Some(command) = &action.command {
        self::command(command, &path.key("command"), findings);
    }
    if let Some(webhook) = &action.webhook {
        self::webhook(webhook, &path.key("webhook").key("to"), findings);
    }
    if let Some(virsh) = &action.virsh {
        let path = path.key("virsh");
        word(&virsh.domain, &path.key("domain"), "the name of a virtual machine", findings);
        if let Some(connect) = &virsh.connect {
            word(connect, &path.key("connect"), "a hypervisor such as `qemu:///system`", findings);
        }
    }
    if let Some(record) = &action.record {
        file(
            &record.file,
            &path.key("record").key("file"),
            "`/var/lib/larnax/would-have-done.jsonl`",
            findings,
        );
    }
}

fn restart(restart: &RestartAction, timeout: Period, path: &Path, findings: &mut Findings<'_>) {
    file(&restart.pid_file, &path.key("pid_file"), "`/run/orders.pid`", findings);
    run(&restart.run, &path.key("run"), true, findings);
    for (name, given) in [("folder", &restart.folder), ("log", &restart.log)] {
        if let Some(given) = given {
            file(given, &path.key(name), "its path", findings);
        }
    }
    if matches!(restart.stop_signal, Signal::Stop | Signal::Cont) {
        let message = "found a signal that ends nothing, expected one such as `TERM`";
        findings.error(path.key("stop_signal"), message);
    }
    if restart.stop_within.0 >= timeout.0 && !timeout.is_zero() {
        let message = format!(
            "found `{}`, expected less than the action's timeout, which is {timeout}: there would be no time to start it",
            restart.stop_within
        );
        findings.error(path.key("stop_within"), message);
    }
}

fn command(command: &CommandAction, path: &Path, findings: &mut Findings<'_>) {
    run(&command.run, &path.key("run"), true, findings);
    for (name, given) in [("dry_run", &command.dry_run), ("undo", &command.undo), ("check", &command.check)] {
        run(given, &path.key(name), false, findings);
    }
    if let Some(folder) = &command.folder {
        file(folder, &path.key("folder"), "its path", findings);
    }
}

fn cgroup(cgroup: &CgroupAction, path: &Path, findings: &mut Findings<'_>) {
    text(&cgroup.path, &path.key("path"), findings);
    let mut steps = cgroup.path.split('/').filter(|step| !step.is_empty()).peekable();
    if steps.peek().is_none() {
        let message = "missing, expected a cgroup such as `/system.slice/orders.service`";
        findings.error(path.key("path"), message);
    } else if steps.any(|step| step == ".." || step == ".") {
        let message = format!(
            "found `{}`, expected a path below the root of all cgroups, without `..`",
            shorten(&cgroup.path)
        );
        findings.error(path.key("path"), message);
    }
    let path = path.key("set");
    if cgroup.set.is_empty() {
        findings.error(path.clone(), "missing, expected limits such as `{memory.high: 512M}`");
    }
    for (name, value) in &cgroup.set {
        let odd = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c));
        if !name.contains('.') || name.starts_with('.') || name.contains(odd) {
            let message =
                format!("found `{}`, expected a file of a cgroup, such as `memory.high`", shorten(name));
            findings.error(path.key(name), message);
        }
        text(value, &path.key(name), findings);
    }
}

fn webhook(webhook: &WebhookAction, path: &Path, findings: &mut Findings<'_>) {
    let to = &webhook.to;
    client(&to.basic_auth, &to.authorization, &to.tls_config, path, findings);
    positive(to.timeout, &path.key("timeout"), findings);
    let Some(url) = &to.url else {
        findings.error(path.key("url"), "missing, expected a URL such as `https://example.org/hook`");
        return;
    };
    let has_credentials = to.basic_auth.is_some() || to.authorization.is_some();
    if url.scheme() != "https" && has_credentials && !url.is_loopback() {
        let message = format!(
            "found `{}`, expected https:// because credentials are sent to another machine",
            url.origin()
        );
        findings.error(path.key("url"), message);
    }
}

/// A program and its arguments.
fn run(run: &[String], path: &Path, needed: bool, findings: &mut Findings<'_>) {
    match run.first() {
        None if needed => {
            let message =
                "missing, expected a program and its arguments, such as `[\"/usr/local/bin/clean-up\"]`";
            findings.error(path.clone(), message);
        }
        Some(program) if program.trim().is_empty() => {
            findings.error(path.index(0), "found an empty text, expected a program");
        }
        _ => {}
    }
    for (index, argument) in run.iter().enumerate() {
        text(argument, &path.index(index), findings);
    }
}

/// A path that has to be given.
fn file(file: &FilePath, path: &Path, example: &str, findings: &mut Findings<'_>) {
    if file.as_os_str().is_empty() {
        return findings.error(path.clone(), format!("missing, expected a file such as {example}"));
    }
    match file.to_str() {
        Some(file) => text(file, path, findings),
        None => {
            findings.error(path.clone(), "the path of the config's folder is no UTF-8: write the whole path")
        }
    }
}

/// A text that has to be given, and that a program can't take for one of its options.
fn word(found: &str, path: &Path, expected: &str, findings: &mut Findings<'_>) {
    if found.is_empty() {
        findings.error(path.clone(), format!("missing, expected {expected}"));
    } else if found.starts_with('-') || found.contains(char::is_whitespace) {
        let found = shorten(found);
        findings.error(
            path.clone(),
            format!("found `{found}`, expected {expected} (no `-` before it, no white space)"),
        );
    }
    text(found, path, findings);
}

/// A text with placeholders.
fn text(text: &str, path: &Path, findings: &mut Findings<'_>) {
    if let Err(error) = placeholder::pieces(text) {
        findings.error(path.clone(), error.to_string());
    }
    if text.contains('\0') {
        findings.error(path.clone(), "found a zero byte, which no system takes");
    }
}

/// Warns where somebody will notice what is said to be safe.
fn risk(action: &Action, path: &Path, findings: &mut Findings<'_>) {
    if action.risk != Risk::Safe {
        return;
    }
    let signal = action.signal.as_ref().is_some_and(|action| {
        matches!(action.signal, Signal::Term | Signal::Int | Signal::Quit | Signal::Kill | Signal::Stop)
    });
    let unit = action
        .systemd
        .as_ref()
        .is_some_and(|unit| matches!(unit.r#do, SystemdVerb::Restart | SystemdVerb::Stop));
    let machine = action
        .virsh
        .as_ref()
        .is_some_and(|virsh| !matches!(virsh.r#do, VirshVerb::Start | VirshVerb::Resume));
    if signal || unit || machine || action.restart.is_some() {
        let message =
            "found `safe`, but what it is done to stops: those who use it notice; expected `disruptive`";
        findings.warning(path.key("risk"), message);
    }
}
