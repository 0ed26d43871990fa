//! What may be done to components, and how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use larnax_core::Risk;
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::alerts::UrlOr;
use crate::alerts::{Receiver, plain_or_full_one};
use crate::client::{self, join};
use crate::placeholder;
use crate::value::{Period, Scope};

/// Something that can be done to components that this agent watches. It is only done where a policy of the hub allows it.
/// Exactly one of `signal`, `restart`, `systemd`, `cgroup`, `command`, `webhook`, `virsh` and `record` says how. In their texts
/// `{component}`, `{kind}`, `{scope}` and `{name}` stand for the component and its parts; a brace itself is written twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Action {
    /// What it is called. Example: `restart-orders`.
    pub name: String,
    /// What it does, in a few words. Example: `starts orders again`.
    pub summary: String,
    /// The components that it can be done to; `*` stands for anything. Example: `["service/shop/*"]`.
    pub on: Vec<Scope>,
    /// It is recommended for incidents of these patterns. Example: `["memory leak", "file*"]`.
    pub patterns: Vec<Scope>,
    /// It is recommended where one of these metrics of the cause is among its most unusual ones.
    /// Example: `["process_resident_memory_bytes"]`.
    pub metrics: Vec<Scope>,
    /// What it may do to those who use the component.
    pub risk: Risk,
    /// How long it disturbs them.
    pub cost: Period,
    /// How long it may take.
    pub timeout: Period,
    /// Where nothing is better so long after it was begun, it has not helped: it is taken back if it can be, and something else may be
    /// done.
    pub helps_within: Period,
    /// For so long it isn't done again to the same component.
    pub cooldown: Period,
    /// Send a signal to a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<SignalAction>,
    /// End a process and start it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartAction>,
    /// Restart, reload, start or stop a systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd: Option<SystemdAction>,
    /// Set limits of a cgroup (version 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupAction>,
    /// Run a program, without a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandAction>,
    /// Send a request to a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookAction>,
    /// Do something to a virtual machine, by `virsh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virsh: Option<VirshAction>,
    /// Write down what would have been done, and do nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordAction>,
}

impl Default for Action {
    fn default() -> Self {
        Self {
            name: String::new(),
            summary: String::new(),
            on: Vec::new(),
            patterns: Vec::new(),
            metrics: Vec::new(),
            risk: Risk::Disruptive,
            cost: Period::seconds(10),
            timeout: Period::seconds(30),
            helps_within: Period::seconds(300),
            cooldown: Period::seconds(600),
            signal: None,
            restart: None,
            systemd: None,
            cgroup: None,
            command: None,
            webhook: None,
            virsh: None,
            record: None,
        }
    }
}

impl Action {
    /// Makes relative paths relative to `base`, the folder of the config file. The name of a program without `/` is looked up
    /// where programs are.
    pub(crate) fn join_paths(&mut self, base: &Path) {
        if let Some(webhook) = &mut self.webhook {
            let to = &mut webhook.to;
            client::join_client(base, &mut to.basic_auth, &mut to.authorization, &mut to.tls_config);
        }
        // In what follows there may be placeholders: a brace in the folder's own name stands for itself.
        let literal = base.to_str().map(placeholder::literal);
        let base = literal.as_deref().map_or(base, Path::new);
        if let Some(signal) = &mut self.signal {
            join_given(base, &mut signal.pid_file);
        }
        if let Some(restart) = &mut self.restart {
            join_given(base, &mut restart.pid_file);
            join(base, &mut restart.folder);
            join(base, &mut restart.log);
            join_program(base, &mut restart.run);
        }
        if let Some(command) = &mut self.command {
            join(base, &mut command.folder);
            for run in [&mut command.run, &mut command.dry_run, &mut command.undo, &mut command.check] {
                join_program(base, run);
            }
        }
        if let Some(record) = &mut self.record {
            join_given(base, &mut record.file);
        }
    }
}

/// Joins a path that is not left out.
fn join_given(base: &Path, path: &mut PathBuf) {
    if !path.as_os_str().is_empty() {
        *path = base.join(&*path);
    }
}

/// Joins a program that is named by its path.
fn join_program(base: &Path, run: &mut [String]) {
    let Some(program) = run.first_mut().filter(|program| program.contains('/')) else { return };
    if let Some(joined) = base.join(&*program).to_str() {
        *program = joined.to_owned();
    }
}

/// Sends a signal to a process. `STOP` can be taken back by `CONT`, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SignalAction {
    /// The file that holds the process's number. Example: `/run/orders.pid`.
    pub pid_file: PathBuf,
    /// Which.
    pub signal: Signal,
}

/// A signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Read the config again, by custom.
    #[default]
    Hup,
    /// End.
    Term,
    /// End as from Ctrl-C.
    Int,
    /// End and leave a core.
    Quit,
    /// End at once.
    Kill,
    /// The program's own meaning.
    Usr1,
    /// The program's own meaning.
    Usr2,
    /// Stand still.
    Stop,
    /// Go on.
    Cont,
}

/// Ends a process and starts it again, detached from the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RestartAction {
    /// The file that holds the process's number; the new one is written to it. Example: `/run/orders.pid`.
    pub pid_file: PathBuf,
    /// The program and its arguments. Example: `["/usr/bin/orders", "--port", "7102"]`.
    pub run: Vec<String>,
    /// The folder that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The file that its output is appended to; without it, the output is thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// The signal that ends it; after `stop_within` it gets `KILL`.
    pub stop_signal: Signal,
    /// How long it has to end.
    pub stop_within: Period,
}

impl Default for RestartAction {
    fn default() -> Self {
        Self {
            pid_file: PathBuf::new(),
            run: Vec::new(),
            folder: None,
            log: None,
            stop_signal: Signal::Term,
            stop_within: Period::seconds(10),
        }
    }
}

/// Does something to a systemd unit, by `systemctl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SystemdAction {
    /// Which. Example: `orders.service`.
    pub unit: String,
    /// What. `start` and `stop` can be taken back.
    pub r#do: SystemdVerb,
    /// Whether it is a unit of the user that the agent runs as.
    pub user: bool,
}

/// What is done to a systemd unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SystemdVerb {
    /// Ended and started again.
    #[default]
    Restart,
    /// Told to read its config again.
    Reload,
    /// Started.
    Start,
    /// Ended.
    Stop,
}

/// Sets limits of a cgroup. Can be taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CgroupAction {
    /// Its path below the root of all cgroups. Example: `/system.slice/orders.service`.
    pub path: String,
    /// Files and what is written to them. Example: `{cpu.max: "50000 100000", memory.high: 512M}`.
    pub set: BTreeMap<String, String>,
}

/// Runs a program. Each text is one argument: there is no shell that could read it differently.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CommandAction {
    /// The program and its arguments; success is exit code 0. Example: `["/usr/local/bin/clean-up", "{name}"]`.
    pub run: Vec<String>,
    /// Says what it would do, and changes nothing; exit code 0 if it could be done now.
    pub dry_run: Vec<String>,
    /// Takes it back.
    pub undo: Vec<String>,
    /// Says whether it was done, after the agent died in the middle: exit code 0 if it was, 1 if it was not.
    pub check: Vec<String>,
    /// The folder that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

/// Sends a POST request with what is wanted in JSON and the header `Idempotency-Key`. Success is a status from 200 to 299.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WebhookAction {
    /// Where it goes. A plain URL is enough. Example: `https://example.org/hook`.
    #[serde(deserialize_with = "plain_or_full_one")]
    #[cfg_attr(feature = "schema", schemars(with = "UrlOr<Receiver>"))]
    pub to: Receiver,
    /// Whether the receiver can take it back: then it gets a request that wants `undo`.
    pub can_undo: bool,
}

/// Does something to a virtual machine of libvirt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct VirshAction {
    /// Which. Example: `{name}`.
    pub domain: String,
    /// What. `suspend`, `resume` and `start` can be taken back.
    pub r#do: VirshVerb,
    /// The hypervisor; without it, the one that `virsh` takes by itself. Example: `qemu:///system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
}

/// What is done to a virtual machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VirshVerb {
    /// Asked to start again.
    #[default]
    Reboot,
    /// Reset as by its button.
    Reset,
    /// Asked to end.
    Shutdown,
    /// Started.
    Start,
    /// Stopped where it is.
    Suspend,
    /// Goes on.
    Resume,
}

/// Appends what would have been done to a file, a line of JSON each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RecordAction {
    /// Which. Example: `/var/lib/larnax/would-have-done.jsonl`.
    pub file: PathBuf,
}
