//! The actuators, each with something real to act on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larnax_act::{Offered, Task};
use larnax_core::Wanted;
use larnax_spec::{
    Action, CommandAction, Receiver as To, RecordAction, RestartAction, Signal, SignalAction, WebhookAction,
};
use rustix::process::{Pid, Signal as Kernel, kill_process};

use crate::groups::Limits;
#[cfg(feature = "with-peers")]
use crate::machines::Machines;
use crate::support::{Service, action, eventually, offered, order, state_of};
#[cfg(feature = "with-peers")]
use crate::units::Units;
use crate::webhook::Receiver;

/// One actuator and what it acts on.
pub trait World {
    fn name(&self) -> &'static str;
    fn folder(&self) -> &Path;
    fn offered(&self) -> Offered;
    /// The same as the config has it, where that says all.
    fn action(&self) -> Option<Action> {
        None
    }
    /// All that a user of the component could notice.
    fn state(&self) -> String;
    /// Whether it is on one side of the change or the other, and never between.
    fn is_whole(&self) -> bool {
        true
    }
    /// Takes the target away.
    fn lose(&mut self);
    /// Whether it can be seen without a change that the target is gone.
    fn sees_its_target(&self) -> bool {
        true
    }
}

type Make = fn(&Path) -> Option<Box<dyn World>>;

pub fn all() -> Vec<Make> {
    vec![
        |folder| Some(Box::new(Recorded { folder: folder.to_owned() })),
        |folder| Some(Box::new(Programs::at(folder))),
        |folder| Some(Box::new(Signalled::by(folder, Signal::Stop))),
        |folder| Some(Box::new(Signalled::by(folder, Signal::Cont))),
        |folder| Some(Box::new(Restarted { service: Service::start(folder) })),
        |folder| Some(Box::new(Limits::in_files(folder))),
        |folder| Some(Box::new(Limits::of_the_kernel(folder)?)),
        |folder| Some(Box::new(Asked { folder: folder.to_owned(), receiver: Receiver::start() })),
        #[cfg(feature = "with-peers")]
        |folder| Some(Box::new(Units::at(folder, larnax_spec::SystemdVerb::Stop)?)),
        #[cfg(feature = "with-peers")]
        |folder| Some(Box::new(Units::at(folder, larnax_spec::SystemdVerb::Start)?)),
        #[cfg(feature = "with-peers")]
        |folder| Some(Box::new(Units::at(folder, larnax_spec::SystemdVerb::Restart)?)),
        #[cfg(feature = "with-peers")]
        |folder| Some(Box::new(Machines::at(folder, larnax_spec::VirshVerb::Suspend)?)),
        #[cfg(feature = "with-peers")]
        |folder| Some(Box::new(Machines::at(folder, larnax_spec::VirshVerb::Start)?)),
        #[cfg(feature = "with-peers")]
        |folder| Some(Box::new(Machines::at(folder, larnax_spec::VirshVerb::Shutdown)?)),
    ]
}

/// One change, without an executor around it.
pub fn task(wanted: Wanted) -> Task {
    let command = order(7, wanted);
    Task {
        key: command.key,
        plan: command.plan,
        wanted,
        action: command.action,
        component: command.component,
        deadline: tokio::time::Instant::now() + TIMEOUT,
        fresh: true,
    }
}

pub const TIMEOUT: Duration = Duration::from_secs(20);

pub fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/bash\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

struct Recorded {
    folder: PathBuf,
}

impl World for Recorded {
    fn name(&self) -> &'static str {
        "record"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        offered(&self.action().unwrap())
    }
    fn action(&self) -> Option<Action> {
        let file = self.folder.join("there/lines");
        fs::create_dir_all(self.folder.join("there")).unwrap();
        Some(action(TIMEOUT, |action| action.record = Some(RecordAction { file })))
    }
    fn state(&self) -> String {
        let text = fs::read_to_string(self.folder.join("there/lines")).unwrap_or_default();
        let count = |wanted: &str| text.lines().filter(|line| line.contains(wanted)).count() as i64;
        (count(r#""do""#) - count(r#""undo""#)).to_string()
    }
    fn lose(&mut self) {
        fs::remove_dir_all(self.folder.join("there")).unwrap();
    }
}

struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn at(folder: &Path) -> Self {
        let flag = folder.join("flag");
        let flag = flag.display();
        script(
            &folder.join("change"),
            &format!("[ \"$1\" = orders ] && echo \"$LARNAX_COMPONENT\" >> {flag}; [ -f {flag} ]"),
        );
        script(&folder.join("back"), &format!("rm {flag}"));
        script(&folder.join("check"), &format!("[ -f {flag} ]"));
        script(&folder.join("dry"), "echo would raise the flag");
        Self { folder: folder.to_owned() }
    }
}

impl World for Programs {
    fn name(&self) -> &'static str {
        "command"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        offered(&self.action().unwrap())
    }
    fn action(&self) -> Option<Action> {
        let run =
            |name: &str| vec![self.folder.join(name).to_string_lossy().into_owned(), "{name}".to_owned()];
        let spec = CommandAction {
            run: run("change"),
            dry_run: run("dry"),
            undo: run("back"),
            check: run("check"),
            folder: Some(self.folder.clone()),
        };
        Some(action(TIMEOUT, |action| action.command = Some(spec)))
    }
    fn state(&self) -> String {
        fs::read_to_string(self.folder.join("flag")).unwrap_or_default()
    }
    fn lose(&mut self) {
        for program in ["change", "back"] {
            fs::remove_file(self.folder.join(program)).unwrap();
        }
    }
}

struct Signalled {
    service: Service,
    signal: Signal,
}

impl Signalled {
    fn by(folder: &Path, signal: Signal) -> Self {
        let service = Service::start(folder);
        if signal == Signal::Cont {
            kill_process(Pid::from_raw(service.pid()).unwrap(), Kernel::STOP).unwrap();
            eventually("it stands still", || state_of(service.pid()) == Some('T'));
        }
        Self { service, signal }
    }
}

impl World for Signalled {
    fn name(&self) -> &'static str {
        "signal"
    }
    fn folder(&self) -> &Path {
        &self.service.folder
    }
    fn offered(&self) -> Offered {
        offered(&self.action().unwrap())
    }
    fn action(&self) -> Option<Action> {
        let spec = SignalAction { pid_file: self.service.pid_file(), signal: self.signal };
        Some(action(TIMEOUT, |action| action.signal = Some(spec)))
    }
    fn state(&self) -> String {
        // What a signal does takes the system a moment.
        std::thread::sleep(Duration::from_millis(30));
        if state_of(self.service.pid()) == Some('T') { "stands still" } else { "goes on" }.to_owned()
    }
    fn lose(&mut self) {
        self.service.end();
    }
}

struct Restarted {
    service: Service,
}

impl World for Restarted {
    fn name(&self) -> &'static str {
        "restart"
    }
    fn folder(&self) -> &Path {
        &self.service.folder
    }
    fn offered(&self) -> Offered {
        offered(&self.action().unwrap())
    }
    fn action(&self) -> Option<Action> {
        let spec = RestartAction {
            pid_file: self.service.pid_file(),
            run: self.service.run(),
            folder: Some(self.service.folder.clone()),
            log: Some(self.service.folder.join("log")),
            ..RestartAction::default()
        };
        Some(action(TIMEOUT, |action| action.restart = Some(spec)))
    }
    fn state(&self) -> String {
        format!(
            "{:?}, {}",
            self.service.processes(),
            fs::read_to_string(self.service.pid_file()).unwrap_or_default()
        )
    }
    fn is_whole(&self) -> bool {
        let pid = fs::read_to_string(self.service.pid_file()).unwrap();
        self.service.processes() == [pid.trim().parse::<i32>().unwrap()]
    }
    fn lose(&mut self) {
        let _ = fs::remove_file(self.service.pid_file());
    }
}

struct Asked {
    folder: PathBuf,
    receiver: Receiver,
}

impl World for Asked {
    fn name(&self) -> &'static str {
        "webhook"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        offered(&self.action().unwrap())
    }
    fn action(&self) -> Option<Action> {
        let url = format!("http://{}/hook", self.receiver.address).parse().unwrap();
        let spec = WebhookAction { to: To::at(url), can_undo: true };
        Some(action(TIMEOUT, |action| action.webhook = Some(spec)))
    }
    fn state(&self) -> String {
        self.receiver.said.lock().unwrap().done.to_string()
    }
    fn lose(&mut self) {
        self.receiver.close();
    }
    fn sees_its_target(&self) -> bool {
        false
    }
}
