//! The shop, and the Larnax that watches it. Both end with the demo, however that comes, and leave nothing behind.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use larnax_core::Incident;
use larnax_edge_role::server::api::{ComponentReport, StatusReport};
use larnax_shop::{Shop, ShopOptions};
use larnax_spec::Listen;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{AskArgs, Output};
use crate::client;

/// How often something is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// An incident is closed so long after its last anomaly.
const HELD: Duration = Duration::from_secs(120);
/// How long the agent may take to answer after its start, and to end.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The shop, and who watches it.
pub(super) struct Stage {
    pub(super) shop: Shop,
    watcher: Child,
    ask: AskArgs,
    log: PathBuf,
    place: Place,
}

/// Where all of it is.
#[derive(Clone)]
struct Place {
    state: PathBuf,
    /// Whether nobody asked for it to be kept.
    temporary: bool,
}

impl Place {
    fn of(state: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = state.is_none();
        let state = match state {
            Some(state) => std::path::absolute(state)?,
            None => std::env::temp_dir().join(format!("larnax-demo-{}", std::process::id())),
        };
        std::fs::create_dir_all(&state).with_context(|| format!("{} can't be made", state.display()))?;
        Ok(Self { state, temporary })
    }

    fn shop(&self) -> PathBuf {
        self.state.join("shop")
    }

    /// Once all that was started has ended.
    fn clear(&self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.state);
        }
    }
}

impl Stage {
    pub(super) fn open(state: Option<PathBuf>, page: Listen) -> anyhow::Result<Self> {
        let place = Place::of(state)?;
        let state = place.state.clone();
        let program = std::env::current_exe().context("the program does not know where it is")?;
        if let Some(shop) = Shop::open(place.shop())? {
            if shop.is_whole() {
                bail!("a demo runs in {} already; give another --state", state.display());
            }
            shop.stop()?;
        }
        let shop = Shop::start(&ShopOptions {
            program: program.clone(),
            arguments: vec!["shop".to_owned(), "serve".to_owned()],
            folder: place.shop(),
            port: 0,
            seed: 1,
            requests_per_second: ShopOptions::REQUESTS_PER_SECOND,
            leased: true,
            acts: true,
        })?;
        // Bound for a moment, so that the port is known before the agent says it.
        let listen = match page.0.port() {
            0 => TcpListener::bind(page.0).and_then(|listener| listener.local_addr())?,
            _ => page.0,
        };
        let log = state.join("larnax.log");
        let log_file = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
        let watcher = Command::new(&program)
            .args(["up", "--config"])
            .arg(shop.config_file())
            .arg("--state")
            .arg(&state)
            .args(["--listen", &listen.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .context("the program can't be started a second time")?;
        end_with_this(watcher.id(), place.clone());
        let url = format!("http://{listen}");
        let ask = AskArgs { url, token_file: None, ca_file: None, output: Output::Table };
        let mut stage = Self { shop, watcher, ask, log, place };
        stage.wait_until_it_answers()?;
        Ok(stage)
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.get::<StatusReport>("/api/v1/status").is_err() {
            let ended = self.watcher.try_wait()?;
            if ended.is_some() || began.elapsed() > STARTS_WITHIN {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("Larnax did not start: {}", said.lines().last().unwrap_or("it gave no reason"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Until it knows all services.
    pub(super) fn wait_until_learnt(&self) -> anyhow::Result<()> {
        let left = || -> anyhow::Result<f64> {
            let components: Vec<ComponentReport> = self.get("/api/v1/components")?;
            let known = components.iter().filter(|one| one.state != "unknown");
            // What has not sent yet has all of it before it.
            let left = known.map(|one| one.warm_up_remaining_seconds.unwrap_or(0.0));
            Ok(if components.iter().any(|one| one.state == "unknown") {
                1.0
            } else {
                left.fold(0.0, f64::max)
            })
        };
        std::thread::sleep(Duration::from_secs(2));
        let whole = left()?;
        if whole <= 0.0 {
            return Ok(());
        }
        self.wait("It learns what is normal", Duration::from_secs_f64(whole), || Ok(left()? <= 0.0))
    }

    /// Until no incident is open.
    pub(super) fn wait_until_closed(&self) -> anyhow::Result<()> {
        let is_over = || Ok(self.get::<Vec<Incident>>("/api/v1/incidents?state=open&limit=1")?.is_empty());
        if is_over()? {
            return Ok(());
        }
        self.wait("An incident before this demo ends", HELD, is_over)
    }

    /// Until no incident has been open for so long.
    pub(super) fn wait_until_calm(&self, apart: Duration) -> anyhow::Result<()> {
        let mut calm_since = Instant::now();
        self.wait("Until it is another incident", apart, || {
            let open: Vec<Incident> = self.get("/api/v1/incidents?state=open&limit=10")?;
            if open.iter().any(|one| one.anomalies.iter().any(|anomaly| anomaly.closed.is_none())) {
                calm_since = Instant::now();
            }
            Ok(calm_since.elapsed() >= apart)
        })
    }

    /// With a bar on standard error, where somebody looks at it.
    fn wait(
        &self,
        what: &'static str,
        about: Duration,
        mut is_over: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let style = ProgressStyle::with_template("{msg} {bar:30} {elapsed} of about {len} s")?;
        let bar = ProgressBar::new(about.as_secs()).with_style(style).with_message(what);
        let began = Instant::now();
        while !is_over()? {
            bar.set_position(began.elapsed().as_secs().min(about.as_secs()));
            std::thread::sleep(LOOK);
        }
        bar.finish_and_clear();
        Ok(())
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        client::ask(&self.ask, path)
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        client::tell(&self.ask, path, body)
    }

    pub(super) fn url(&self) -> &str {
        &self.ask.url
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }
}

/// The code that shells give to what a signal has ended, without the signal's number.
const ENDED: i32 = 130;

/// Whoever ends the demo ends what it has started.
fn end_with_this(watcher: u32, place: Place) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let (mut term, mut int) =
                    (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
                let mut hang_up = signal(SignalKind::hangup())?;
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                    _ = hang_up.recv() => {}
                }
                Ok(())
            })
        });
        if ended.is_ok() {
            terminate(watcher);
            wait_for(watcher);
            if let Ok(Some(shop)) = Shop::open(place.shop()) {
                let _ = shop.stop();
            }
            place.clear();
            std::process::exit(ENDED);
        }
    });
}

fn terminate(process: u32) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Until it has written down what it has learnt, or as long as that may take.
fn wait_for(process: u32) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let began = Instant::now();
    while began.elapsed() < ENDS_WITHIN && matches!(waitpid(pid, WaitOptions::NOHANG), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Stage {
    /// The agent keeps what it has learnt when it is asked to end. The shop ends with itself.
    fn drop(&mut self) {
        // One that has ended and was not waited for keeps its number.
        terminate(self.watcher.id());
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN && matches!(self.watcher.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
        if let Ok(Some(shop)) = Shop::open(self.place.shop()) {
            let _ = shop.stop();
        }
        self.place.clear();
    }
}
