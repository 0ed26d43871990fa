//! What the tests share: commands of a hub, a runtime, a process to act on.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larnax_act::{Executor, Offered, catalogue};
use larnax_core::{Authority, Clock, Command, IncidentId, PlanId, SystemClock, Wanted};
use larnax_spec::{Action, Period};
use rustix::process::{Pid, Signal, kill_process};

pub const COMPONENT: &str = "service/shop/orders";

/// A runtime as the edge has it.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

thread_local! {
    static INCIDENT: Cell<u64> = const { Cell::new(0) };
}

static INCIDENTS: AtomicU64 = AtomicU64::new(1);

/// From now on this test's orders are about another incident. Keys are found again among the processes of the machine, so no two tests may
/// have the same.
pub fn another_incident() {
    let number = INCIDENTS.fetch_add(1, Ordering::Relaxed);
    INCIDENT.set(u64::from(std::process::id()) << 32 | number);
}

/// An order to do something about the `attempt`th plan, good for a minute.
pub fn order(attempt: u32, wanted: Wanted) -> Command {
    if INCIDENT.get() == 0 {
        another_incident();
    }
    let incident: IncidentId = format!("{:016x}", INCIDENT.get()).parse().unwrap();
    let plan = PlanId::of(incident, attempt);
    Command {
        key: Command::key(plan, wanted),
        plan,
        wanted,
        action: "it".to_owned(),
        component: COMPONENT.parse().unwrap(),
        expires: SystemClock.now().plus(Duration::from_secs(60)),
        authority: Authority { epoch: "e".to_owned(), number: 1 },
    }
}

/// The action `it` for the shop, done as `set` says.
pub fn action(timeout: Duration, set: impl FnOnce(&mut Action)) -> Action {
    let mut action = Action {
        name: "it".to_owned(),
        on: vec!["service/shop/*".parse().unwrap()],
        timeout: Period(timeout),
        cooldown: Period(Duration::ZERO),
        ..Action::default()
    };
    set(&mut action);
    action
}

pub fn offered(action: &Action) -> Offered {
    catalogue(std::slice::from_ref(action)).unwrap().remove(0)
}

pub fn open(folder: &Path, offered: Offered) -> Executor {
    Executor::open(&folder.join("actions"), vec![offered], Rc::new(SystemClock)).unwrap()
}

/// Processes that have a text among their arguments and have not ended.
pub fn processes_with(argument: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<i32> = pids
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|text| text == argument.as_bytes())
        })
        .collect();
    found.sort_unstable();
    found
}

/// The letter by which the system shows what a process does.
pub fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never came that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that lives until it is told otherwise, and those that take its place. All of them are ended with it.
pub struct Service {
    pub folder: PathBuf,
    /// Its argument, which no other process has.
    pub mark: String,
    run: Vec<String>,
    child: std::process::Child,
}

impl Service {
    pub fn start(folder: &Path) -> Self {
        let mark = folder.join("watched").to_string_lossy().into_owned();
        fs::write(&mark, "").unwrap();
        Self::running(folder, mark.clone(), vec!["/usr/bin/tail".to_owned(), "-f".to_owned(), mark])
    }

    /// One that takes `seconds` to end when it is told to.
    pub fn slow(folder: &Path, seconds: f64) -> Self {
        let mark = folder.join("slow").to_string_lossy().into_owned();
        // Without children: between fork and exec they would look like a second service.
        let text = format!(
            "trap 'read -t {seconds} -u 3; exit 0' TERM\nexec 3<>{mark}.pipe\nwhile :; do read -t 0.05 -u 3; done\n"
        );
        fs::write(&mark, text).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(format!("{mark}.pipe")).status().unwrap().success());
        Self::running(folder, mark.clone(), vec!["/bin/bash".to_owned(), mark])
    }

    fn running(folder: &Path, mark: String, run: Vec<String>) -> Self {
        let (program, arguments) = run.split_first().unwrap();
        let child = std::process::Command::new(program).args(arguments).spawn().unwrap();
        fs::write(folder.join("pid"), format!("{}\n", child.id())).unwrap();
        // Its arguments can be seen a moment after it was started.
        eventually("the process can be seen", || !processes_with(&mark).is_empty());
        Self { folder: folder.to_owned(), mark, run, child }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    pub fn run(&self) -> Vec<String> {
        self.run.clone()
    }

    pub fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Those that live now.
    pub fn processes(&self) -> Vec<i32> {
        processes_with(&self.mark)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
