//! Starts the shop, orders faults from it, and ends it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larnax_http::{Method, Secret};
use rustix::process::Signal;

use crate::admin::{Orderer, Report, Sent, TrafficStep, serves};
use crate::load::check_rate;
use crate::mend::{Answered, Mend};
use crate::options::{Ready, ServeOptions};
use crate::state::{Folder, Process, State};
use crate::{
    Active, Decoy, Fault, Mended, Order, Remedy, Role, Service, ShopError, agent_config, decoy, process,
};

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How long a remedy may take until the service serves again.
const MENDS_WITHIN: Duration = Duration::from_secs(10);
/// How often a service that is being started again is asked whether it serves.
const ASK: Duration = Duration::from_millis(20);
/// The longest line in which a process says where it serves.
const LONGEST_LINE: u64 = 1024;

/// How the shop is started.
#[derive(Clone, Debug)]
pub struct ShopOptions {
    /// The program, and the arguments after which it takes the path of a file for [`serve`](crate::serve).
    pub program: PathBuf,
    /// Those arguments.
    pub arguments: Vec<String>,
    /// The shop's own folder; it is made, and removed by [`Shop::stop`]. `shop` in the folder of a state, for the actions of the
    /// agent's config to find it.
    pub folder: PathBuf,
    /// The port of `web`; `orders`, `pay` and `stock` have those after it. 0 takes any free ones.
    pub port: u16,
    /// Of all its random numbers.
    pub seed: u64,
    /// What customers send on average.
    pub requests_per_second: f64,
    /// Whether the shop ends with this process, however that ends.
    pub leased: bool,
    /// Whether its config lets Larnax mend what it is sure of; otherwise a person is asked.
    pub acts: bool,
}

impl ShopOptions {
    /// Port 7101 and those after it.
    pub const PORT: u16 = 7101;
    /// Customers that a laptop serves with some percent of one core.
    pub const REQUESTS_PER_SECOND: f64 = 30.0;
}

/// The shop.
#[derive(Debug)]
pub struct Shop {
    folder: Folder,
    state: State,
    /// Those that this process started, to wait for them.
    children: Vec<Child>,
}

impl Shop {
    /// Starts all processes and waits until they serve.
    ///
    /// # Errors
    /// When a port is taken, a process doesn't start, or a shop is in that folder already; then none is left running.
    pub fn start(options: &ShopOptions) -> Result<Self, ShopError> {
        check_rate(options.requests_per_second)?;
        // The processes keep no folder busy but the shop's, wherever this one is.
        let absolute = |path: &Path| std::path::absolute(path).map_err(ShopError::file(path));
        let options = &ShopOptions {
            program: absolute(&options.program)?,
            folder: absolute(&options.folder)?,
            ..options.clone()
        };
        let folder = Folder(options.folder.clone());
        let _lock = folder.lock()?;
        if folder.read()?.is_some_and(|state| state.processes.iter().any(Process::lives)) {
            return Err(ShopError::Order(format!("{}: the shop runs already", folder.0.display())));
        }
        let state = folder.make()?;
        let mut shop = Self { folder, state, children: Vec::new() };
        match shop.start_all(options) {
            Ok(()) => Ok(shop),
            Err(error) => {
                shop.end_all();
                let _ = shop.folder.remove();
                Err(error)
            }
        }
    }

    /// Those who are called first.
    fn start_all(&mut self, options: &ShopOptions) -> Result<(), ShopError> {
        let mut addresses = BTreeMap::new();
        for (place, service) in Service::ALL.into_iter().enumerate().rev() {
            let port = if options.port == 0 { 0 } else { options.port.saturating_add(place as u16) };
            let calls =
                service.calls().into_iter().filter_map(|to| Some((to, *addresses.get(&to)?))).collect();
            let process = self.start_one(options, Role::Service(service), port, calls)?;
            addresses.insert(service, process.listen);
        }
        let services: Vec<(Service, SocketAddr)> = Service::ALL
            .into_iter()
            .filter_map(|service| Some((service, *addresses.get(&service)?)))
            .collect();
        let config = self.folder.config();
        // The state's folder is the one that the shop's is in.
        let state = options.folder.parent().unwrap_or(&options.folder);
        std::fs::write(&config, agent_config(&services, &options.program, state, options.acts))
            .map_err(ShopError::file(&config))?;
        addresses.retain(|service, _| *service == Service::Web);
        self.start_one(options, Role::Load, 0, addresses)?;
        Ok(())
    }

    fn start_one(
        &mut self,
        options: &ShopOptions,
        role: Role,
        port: u16,
        calls: BTreeMap<Service, SocketAddr>,
    ) -> Result<Process, ShopError> {
        let file = self.folder.options(role);
        let told = ServeOptions {
            role,
            program: options.program.clone(),
            arguments: options.arguments.clone(),
            listen: (Ipv4Addr::LOCALHOST, port).into(),
            admin: (Ipv4Addr::LOCALHOST, 0).into(),
            token_file: self.folder.token(),
            folder: self.folder.data(role),
            seed: options.seed,
            restarts: 0,
            away_seconds: 0.0,
            faults: Vec::new(),
            calls,
            requests_per_second: options.requests_per_second,
            leased: options.leased,
        };
        told.write(&file)?;
        let log = self.folder.log(role);
        let log_file = File::create(&log).map_err(ShopError::file(&log))?;
        let child = Command::new(&options.program)
            .args(&options.arguments)
            .arg(&file)
            .current_dir(&self.folder.0)
            .stdin(if options.leased { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn();
        let mut child = child.map_err(ShopError::file(&options.program))?;
        let out = child.stdout.take();
        let pid = child.id();
        // A living child can't be mistaken for another; one that has died says why in its log.
        let started = process::started(pid).unwrap_or_default();
        self.children.push(child);
        // A line, or the end of a process that could not start.
        let mut line = String::new();
        let said = out.map(|out| BufReader::new(out.take(LONGEST_LINE)).read_line(&mut line));
        let ready = said.and_then(Result::ok).and_then(|_| serde_json::from_str::<Ready>(&line).ok());
        let Some(ready) = ready else {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let reason = if log.trim().is_empty() { "it ended and gave no reason" } else { log.trim() };
            return Err(ShopError::Start { role: role.to_string(), reason: reason.to_owned() });
        };
        let process = Process { role, pid, started, listen: ready.listen, admin: ready.admin };
        self.state.processes.push(process.clone());
        self.folder.keep(&self.state)?;
        Ok(process)
    }

    /// The shop of a folder, started by whomever; none where there is none.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn open(folder: PathBuf) -> Result<Option<Self>, ShopError> {
        let folder = Folder(folder);
        let state = folder.read()?;
        Ok(state.map(|state| Self { folder, state, children: Vec::new() }))
    }

    /// Its processes.
    pub fn processes(&self) -> &[Process] {
        &self.state.processes
    }

    /// Whether all of them are there.
    pub fn is_whole(&self) -> bool {
        self.state.processes.len() > Service::ALL.len() && self.state.processes.iter().all(Process::lives)
    }

    /// The config for `larnax up --config`.
    pub fn config_file(&self) -> PathBuf {
        self.folder.config()
    }

    /// Where a service is.
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.find(Role::Service(service)).map(|process| process.listen)
    }

    /// What a process says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn report(&self, role: Role) -> Result<Report, ShopError> {
        self.orderer(role)?.report()
    }

    /// Breaks a service. The fault ends by itself, or by its [`Remedy`], or with the shop.
    ///
    /// # Errors
    /// When the order is out of bounds or the service doesn't answer.
    pub fn inject(&self, service: Service, order: &Order) -> Result<Active, ShopError> {
        self.orderer(Role::Service(service))?.send(Method::POST, "/faults", order)
    }

    /// Ends all faults of a service before their time.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub fn end_faults(&self, service: Service) -> Result<Report, ShopError> {
        self.orderer(Role::Service(service))?.send(Method::DELETE, "/faults", &())
    }

    /// Takes a remedy, and waits until the service serves again where it is started again, at most ten seconds.
    ///
    /// # Errors
    /// When the service doesn't answer. Then the remedy may have been taken or not; it does no harm to take it again.
    pub fn mend(&self, service: Service, remedy: Remedy) -> Result<Mended, ShopError> {
        let role = Role::Service(service);
        let deadline = Instant::now() + MENDS_WITHIN;
        let ask = || self.orderer(role)?.report();
        // Another one may be having it started again at this moment.
        self.until(deadline, role, ask, |_| true)?;
        let answered: Answered = self.orderer(role)?.send(Method::POST, "/mend", &Mend { remedy })?;
        if remedy.starts_again() {
            let again = |report: &Report| {
                report.restarts > answered.restarts && self.address(service).is_some_and(serves)
            };
            self.until(deadline, role, ask, again)?;
        }
        Ok(Mended { service, remedy, ended: answered.ended })
    }

    /// Asks again and again until the answer is the right one.
    fn until<T>(
        &self,
        deadline: Instant,
        role: Role,
        ask: impl Fn() -> Result<T, ShopError>,
        is_right: impl Fn(&T) -> bool,
    ) -> Result<T, ShopError> {
        loop {
            let answer = ask();
            match &answer {
                Ok(said) if is_right(said) => return answer,
                Err(ShopError::NoAnswer { .. }) | Ok(_) => {}
                Err(_) => return answer,
            }
            if Instant::now() >= deadline || !self.find(role).is_some_and(Process::lives) {
                let seconds = MENDS_WITHIN.as_secs();
                let reason =
                    format!("it does not serve again within {seconds} s; `larnax shop status` says more");
                return Err(answer.err().unwrap_or(ShopError::NoAnswer { role: role.to_string(), reason }));
            }
            std::thread::sleep(ASK);
        }
    }

    /// Does something that looks odd and is nothing. `on` is which service, where one can be chosen; `seconds` how long,
    /// where it lasts.
    ///
    /// # Errors
    /// When the time is out of bounds or the process doesn't answer.
    pub fn decoy(&self, decoy: Decoy, on: Option<Service>, seconds: f64) -> Result<(), ShopError> {
        let service = on.or(decoy.usual_place());
        let role = service.map_or(Role::Load, Role::Service);
        match (decoy, service) {
            (Decoy::CpuSpike, Some(service)) => {
                self.inject(service, &Order::new(Fault::CpuHog, decoy::SPIKE_SECONDS)).map(drop)
            }
            (Decoy::Restart, _) => {
                self.orderer(role)?.send(Method::POST, "/restart", &()).map(|_: Report| ())
            }
            _ => {
                let step = TrafficStep { factor: decoy::STEP, seconds };
                self.orderer(Role::Load)?.send(Method::POST, "/traffic", &step).map(|_: Sent| ())
            }
        }
    }

    /// Ends all processes and removes the folder. Returns how many were ended.
    ///
    /// # Errors
    /// When the folder can't be removed, or another command is at it.
    pub fn stop(mut self) -> Result<usize, ShopError> {
        let _lock = self.folder.lock()?;
        let ended = self.end_all();
        self.folder.remove()?;
        Ok(ended)
    }

    fn find(&self, role: Role) -> Option<&Process> {
        self.state.processes.iter().find(|process| process.role == role)
    }

    fn orderer(&self, role: Role) -> Result<Orderer, ShopError> {
        let gone = || ShopError::NoAnswer {
            role: role.to_string(),
            reason: "it is not running; `larnax shop up` starts all anew".to_owned(),
        };
        let process = self.find(role).filter(|process| process.lives()).ok_or_else(gone)?;
        let path = self.folder.token();
        let token = std::fs::read_to_string(&path).map_err(ShopError::file(&path))?;
        Ok(Orderer { role, address: process.admin, token: Secret::new(token.trim_end()) })
    }

    /// Asks all to end, then makes those end that don't. Only what is known by number and start is touched.
    fn end_all(&mut self) -> usize {
        let alive: Vec<&Process> = self.state.processes.iter().filter(|process| process.lives()).collect();
        // The load first, so that nobody misses those who go before it.
        for process in alive.iter().rev() {
            process::send(process.pid, Signal::TERM);
        }
        let deadline = Instant::now() + GRACE;
        while alive.iter().any(|process| process.lives()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        for process in alive.iter().filter(|process| process.lives()) {
            process::send(process.pid, Signal::KILL);
        }
        let ended = alive.len();
        for child in &mut self.children {
            // One that never said that it serves is known as a child only.
            let _ = child.kill();
            let _ = child.wait();
        }
        ended
    }
}

impl Drop for Shop {
    /// A leased shop ends with whoever holds it; another one goes on.
    fn drop(&mut self) {
        if self.children.iter().any(|child| child.stdin.is_some()) {
            self.end_all();
            let _ = self.folder.remove();
        }
    }
}
