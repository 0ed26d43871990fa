//! The actuators, each with something real to act on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use larnax_act::actuators::{Cgroup, Systemd, Virsh};
use larnax_act::{Offered, Task};
use larnax_core::Wanted;
use larnax_spec::{
    Action, CgroupAction, CommandAction, Receiver as To, RecordAction, RestartAction, Signal, SignalAction,
    SystemdAction, SystemdVerb, VirshAction, VirshVerb, WebhookAction,
};
use larnax_test_peers::{Peer, Peers};
use rustix::process::{Pid, Signal as Kernel, kill_process};

use crate::support::{Service, action, eventually, offered, order, state_of};
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
        |folder| Some(Box::new(Units::at(folder, SystemdVerb::Stop))),
        |folder| Some(Box::new(Units::at(folder, SystemdVerb::Start))),
        |folder| Some(Box::new(Units::at(folder, SystemdVerb::Restart))),
        |folder| Some(Box::new(Limits::in_files(folder))),
        |folder| Some(Box::new(Limits::of_the_kernel(folder)?)),
        |folder| Some(Box::new(Asked { folder: folder.to_owned(), receiver: Receiver::start() })),
        |folder| Some(Box::new(Machines::at(folder, VirshVerb::Suspend)?)),
        |folder| Some(Box::new(Machines::at(folder, VirshVerb::Resume)?)),
        |folder| Some(Box::new(Machines::at(folder, VirshVerb::Start)?)),
        |folder| Some(Box::new(Machines::at(folder, VirshVerb::Shutdown)?)),
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
        deadline: tokio::time::Instant::now() + Duration::from_secs(10),
        fresh: true,
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn script(path: &Path, text: &str) {
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

/// A program that answers as `systemctl` does, with the unit's state in a file. The real one is tested where a user's systemd runs.
struct Units {
    folder: PathBuf,
    verb: SystemdVerb,
}

impl Units {
    fn at(folder: &Path, verb: SystemdVerb) -> Self {
        let unit = folder.join("unit");
        fs::write(&unit, if verb == SystemdVerb::Start { "inactive 1\n" } else { "active 1\n" }).unwrap();
        let text = r#"
            read state number < UNIT || { echo LoadState=not-found; echo ActiveState=inactive; exit; }
            case $1 in
                show) echo LoadState=loaded; echo ActiveState=$state; echo InvocationID=$number;;
                stop) echo inactive $number > UNIT;;
                start) echo active $number > UNIT;;
                restart) echo active $((number + 1)) > UNIT;;
                *) exit 2;;
            esac"#;
        script(&folder.join("systemctl"), &text.replace("UNIT", &unit.display().to_string()));
        Self { folder: folder.to_owned(), verb }
    }
}

impl World for Units {
    fn name(&self) -> &'static str {
        "systemd"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        let spec = SystemdAction { unit: "{name}.service".to_owned(), r#do: self.verb, user: false };
        let mut it = offered(&action(TIMEOUT, |action| action.systemd = Some(spec.clone())));
        it.actuator = Rc::new(Systemd::new(spec).with_program(&self.folder.join("systemctl")));
        it
    }
    fn state(&self) -> String {
        fs::read_to_string(self.folder.join("unit")).unwrap().trim().to_owned()
    }
    fn lose(&mut self) {
        fs::remove_file(self.folder.join("unit")).unwrap();
    }
}

/// Files that look like a cgroup's, or a cgroup.
struct Limits {
    folder: PathBuf,
    root: PathBuf,
    path: String,
    set: Vec<(&'static str, &'static str)>,
    real: bool,
}

impl Limits {
    fn in_files(folder: &Path) -> Self {
        let group = folder.join("root/shop/orders");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(group.join("memory.high"), "max\n").unwrap();
        Self {
            folder: folder.to_owned(),
            root: folder.join("root"),
            path: "/{scope}/{name}".to_owned(),
            set: vec![("cpu.max", "50000 100000"), ("memory.high", "512M")],
            real: false,
        }
    }

    /// A cgroup of version 2 that is made for this, where this user may. Without controllers there are still limits of its own kind.
    fn of_the_kernel(folder: &Path) -> Option<Self> {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let root = root.into_iter().find(|root| root.join("cgroup.controllers").exists());
        let name = format!("larnax-test-{}", folder.file_name()?.to_string_lossy().trim_start_matches('.'));
        let made = root.filter(|root| fs::create_dir(root.join(&name)).is_ok());
        let Some(root) = made else {
            eprintln!("LEFT OUT cgroups of the kernel: this user can't make one");
            return None;
        };
        let set = vec![("cgroup.max.depth", "3"), ("cgroup.max.descendants", "5")];
        Some(Self { folder: folder.to_owned(), root, path: format!("/{name}"), set, real: true })
    }

    fn group(&self) -> PathBuf {
        let path = self.path.replace("{scope}", "shop").replace("{name}", "orders");
        self.root.join(path.trim_start_matches('/'))
    }
}

impl World for Limits {
    fn name(&self) -> &'static str {
        if self.real { "cgroup of the kernel" } else { "cgroup in files" }
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        let set = self.set.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect();
        let spec = CgroupAction { path: self.path.clone(), set };
        let mut it = offered(&action(TIMEOUT, |action| action.cgroup = Some(spec.clone())));
        it.actuator = Rc::new(Cgroup::new(spec).with_root(&self.root));
        it
    }
    fn state(&self) -> String {
        let value = |file: &&str| fs::read_to_string(self.group().join(file)).unwrap().trim().to_owned();
        self.set.iter().map(|(file, _)| value(file)).collect::<Vec<_>>().join(", ")
    }
    fn lose(&mut self) {
        if self.real {
            fs::remove_dir(self.group()).unwrap()
        } else {
            fs::remove_dir_all(self.group()).unwrap()
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        if self.real {
            let _ = fs::remove_dir(self.group());
        }
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

/// The real `virsh` with libvirt's test driver. Its machines live as long as a connection, so each call first does again what was done
/// before.
struct Machines {
    folder: PathBuf,
    verb: VirshVerb,
}

impl Machines {
    fn at(folder: &Path, verb: VirshVerb) -> Option<Self> {
        let peers = Peers::for_test(&[Peer::Virsh])?;
        let command = peers.command(Peer::Virsh);
        let libraries =
            command.get_envs().find_map(|(name, value)| (name == "LD_LIBRARY_PATH").then_some(value?))?;
        let history = match verb {
            VirshVerb::Resume => "suspend --domain orders;",
            VirshVerb::Start => "destroy --domain orders;",
            _ => "",
        };
        fs::write(folder.join("history"), history).unwrap();
        fs::write(
            folder.join("machines.xml"),
            "<node><domain type='test'><name>orders</name><memory>8192</memory><os><type>hvm</type></os></domain></node>",
        )
        .unwrap();
        let (history, virsh) = (folder.join("history"), command.get_program().to_string_lossy().into_owned());
        script(
            &folder.join("virsh"),
            &format!(
                "export LD_LIBRARY_PATH='{}'\nwanted=\"$4 $5 $6\"\n\
                 {virsh} \"$1\" \"$2\" \"$3\" \"$(cat {history}) $wanted\" || exit 1\n\
                 [ $4 = domstate ] || echo \"$wanted;\" >> {history}",
                libraries.to_string_lossy(),
                history = history.display()
            ),
        );
        Some(Self { folder: folder.to_owned(), verb })
    }

    fn connect(&self) -> String {
        format!("test://{}", self.folder.join("machines.xml").display())
    }
}

impl World for Machines {
    fn name(&self) -> &'static str {
        "virsh"
    }
    fn folder(&self) -> &Path {
        &self.folder
    }
    fn offered(&self) -> Offered {
        let spec =
            VirshAction { domain: "{name}".to_owned(), r#do: self.verb, connect: Some(self.connect()) };
        let mut it = offered(&action(TIMEOUT, |action| action.virsh = Some(spec.clone())));
        it.actuator = Rc::new(Virsh::new(spec).with_program(&self.folder.join("virsh")));
        it
    }
    fn state(&self) -> String {
        let connect = self.connect();
        let arguments = ["--quiet", "--connect", &connect, "domstate", "--domain", "orders"];
        let output = std::process::Command::new(self.folder.join("virsh")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
    fn lose(&mut self) {
        let history = fs::read_to_string(self.folder.join("history")).unwrap();
        let end = if self.state() == "shut off" { "" } else { "destroy --domain orders;" };
        fs::write(self.folder.join("history"), format!("{history} {end} undefine --domain orders;")).unwrap();
    }
}
