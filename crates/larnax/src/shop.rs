//! `larnax shop`: a small shop of four services to watch and to break.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use larnax_shop::{Active, Process, Remedy, Report, Role, Service, Shop, ShopOptions};
use larnax_spec::Environment;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{FAILED, Output};
use crate::output::{columns, print, write};
use crate::status::duration;

pub(crate) const SHOP_HELP: &str = "\
Examples:
  larnax shop up                      start it in the background
  larnax shop status                  what runs, and what is broken
  larnax shop mend restart --on pay   end a fault as it would be ended in the real world
  larnax shop down                    end it, and leave nothing behind

`web` calls `orders` and `stock`, `orders` calls `stock` and `pay`; a load generator plays the customers. See docs/shop.md.";

const MEND_HELP: &str = "\
Remedies, and the faults that they end:
  restart     cpu-hog, cpu-leak, memory-leak, fork-flood, file-leak, stop, freeze
  clean-up    disk-fill
  reroute     link-delay, link-loss, slow-dependency
  roll-back   latency, error-rate, and all that a restart ends

Examples:
  larnax shop mend restart --on stock
  larnax shop mend roll-back --on pay --dry-run

It returns when the service serves again, within ten seconds.
A remedy that ends nothing is taken all the same, and costs the same.";

/// How often the shop in the foreground looks whether all are there.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct ShopArgs {
    #[command(subcommand)]
    command: ShopCommand,
}

#[derive(Debug, Subcommand)]
enum ShopCommand {
    /// Start the services and their customers
    Up(UpArgs),
    /// End them and remove their folder
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// What runs, and what is broken
    Status {
        #[command(flatten)]
        place: Place,
        /// How the answer is printed
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Do something about a fault that a service has
    #[command(after_help = MEND_HELP)]
    Mend(MendArgs),
    /// One process of the shop
    #[command(hide = true)]
    Serve {
        /// What it is told
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    place: Place,
    /// Stay, and end the shop with this command, however that ends
    #[arg(long)]
    foreground: bool,
    /// The port of `web`; the other services have those after it. 0 takes any free ones
    #[arg(long, default_value_t = ShopOptions::PORT)]
    port: u16,
    /// The seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests a second on average, at most 200
    #[arg(long, default_value_t = ShopOptions::REQUESTS_PER_SECOND, value_name = "RATE")]
    rate: f64,
}

#[derive(Debug, Args)]
struct MendArgs {
    /// restart: starts the service again; clean-up: empties its temporary folder; reroute: sends its messages another way;
    /// roll-back: starts the release before
    remedy: Remedy,
    /// To which service: web, orders, stock or pay
    #[arg(long, value_name = "SERVICE")]
    on: Service,
    /// Say whether it could be done now, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// Where the shop is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// The folder of the state, in which the shop makes its own [default: that of `larnax up`]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Place {
    /// Absolute, so that what is printed can be used from anywhere.
    fn state(&self) -> Option<PathBuf> {
        let state = self.state.as_ref()?;
        Some(std::path::absolute(state).unwrap_or_else(|_| state.clone()))
    }

    fn folder(&self) -> PathBuf {
        self.state().unwrap_or_else(|| Environment::of_process().state_dir()).join("shop")
    }

    /// The shop that is there.
    pub(crate) fn open(&self) -> anyhow::Result<Shop> {
        let folder = self.folder();
        let shop = Shop::open(folder.clone())?;
        shop.with_context(|| format!("{}: no shop is open; start it with `larnax shop up`", folder.display()))
    }

    /// What to add to commands that are to find the same place.
    fn flag(&self) -> String {
        self.state().map_or_else(String::new, |state| format!(" --state {}", quoted(&state)))
    }
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

pub(crate) fn shop(args: &ShopArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ShopCommand::Up(args) => up(args),
        ShopCommand::Down { place } => down(place),
        ShopCommand::Status { place, output } => status(place, *output),
        ShopCommand::Mend(args) => mend(args),
        ShopCommand::Serve { file } => {
            larnax_shop::serve(file)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn up(args: &UpArgs) -> anyhow::Result<ExitCode> {
    let folder = args.place.folder();
    if let Some(shop) = Shop::open(folder.clone())? {
        if shop.is_whole() {
            if args.foreground {
                bail!("the shop runs already, in the background; end it with `larnax shop down`");
            }
            write(format!("The shop is open already.\n{}", next(&shop, &args.place)).as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let ended = shop.stop()?;
        say(&format!("Of an earlier shop {ended} processes were left; they were ended.\n"));
    }
    let shop = Shop::start(&ShopOptions {
        program: std::env::current_exe().context("the program does not know where it is")?,
        arguments: vec!["shop".to_owned(), "serve".to_owned()],
        folder,
        port: args.port,
        seed: args.seed,
        requests_per_second: args.rate,
        leased: args.foreground,
        acts: false,
    })?;
    write(format!("The shop is open.\n{}", next(&shop, &args.place)).as_bytes())?;
    if args.foreground {
        stay(shop)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What can be done now.
fn next(shop: &Shop, place: &Place) -> String {
    let rows: Vec<Vec<String>> = shop
        .processes()
        .iter()
        .rev()
        .filter(|process| process.role != Role::Load)
        .map(|process| vec![format!("  {}", process.role), format!("http://{}/metrics", process.listen)])
        .collect();
    let flag = place.flag();
    let step = |command: String, why: &str| vec![format!("  {command}"), why.to_owned()];
    let steps = [
        step(
            format!("larnax up --config {}", quoted(&shop.config_file())),
            "watches it, and knows it after three minutes",
        ),
        step(format!("larnax inject cpu-hog{flag}"), "breaks something for a minute; --list says what else"),
        step("larnax incidents show".to_owned(), "says what is wrong, and where it began"),
        step(format!("larnax shop mend restart --on orders{flag}"), "ends it before its time"),
        step(format!("larnax shop down{flag}"), "ends it, and leaves nothing behind"),
    ];
    format!("\n{}\n{}", columns(&["  SERVICE", "METRICS"], &rows), columns(&["  NEXT", ""], &steps))
}

/// Until somebody ends it, or one of its processes does.
fn stay(shop: Shop) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let whole = runtime.block_on(async {
        let mut ends = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        );
        loop {
            tokio::select! {
                _ = ends.0.recv() => return Ok(true),
                _ = ends.1.recv() => return Ok(true),
                _ = ends.2.recv() => return Ok(true),
                () = tokio::time::sleep(LOOK) => {}
            }
            if !shop.is_whole() {
                return anyhow::Ok(false);
            }
        }
    })?;
    let gone: Vec<&str> = shop
        .processes()
        .iter()
        .filter(|process| !process.lives())
        .map(|process| process.role.name())
        .collect();
    let gone = gone.join(", ");
    shop.stop()?;
    if !whole {
        bail!("{gone} ended by itself, and the shop with it");
    }
    Ok(())
}

fn down(place: &Place) -> anyhow::Result<ExitCode> {
    match Shop::open(place.folder())? {
        Some(shop) => {
            let ended = shop.stop()?;
            write(format!("The shop is closed: {ended} processes ended, its folder removed.\n").as_bytes())?;
        }
        None => write(b"No shop is open.\n")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn mend(args: &MendArgs) -> anyhow::Result<ExitCode> {
    let shop = args.place.open()?;
    let (service, remedy) = (args.on, args.remedy);
    let text = if args.dry_run {
        shop.report(Role::Service(service))?;
        format!("On {service}, {remedy} can be done: it {}.\n", remedy.summary())
    } else {
        format!("{}\n", shop.mend(service, remedy)?)
    };
    write(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A process and what it says.
#[derive(Serialize)]
struct Known {
    #[serde(flatten)]
    process: Process,
    /// `up`, `silent` or `gone`.
    state: &'static str,
    report: Option<Report>,
}

fn status(place: &Place, output: Output) -> anyhow::Result<ExitCode> {
    let shop = place.open()?;
    let known = |process: &Process| {
        let report = shop.report(process.role).ok();
        let state = match &report {
            Some(_) => "up",
            None if process.lives() => "silent",
            None => "gone",
        };
        Known { process: process.clone(), state, report }
    };
    let all: Vec<Known> = shop.processes().iter().rev().map(known).collect();
    print(output, all.as_slice(), table)?;
    Ok(if shop.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn table(all: &[Known]) -> String {
    let row = |known: &Known| {
        let report = known.report.as_ref();
        let faults = report.map(|report| report.faults.iter().map(fault).collect::<Vec<_>>().join(", "));
        let sent = report.and_then(|report| report.sent.as_ref()).map(|sent| {
            format!(
                "{:.0} requests/s, {} sent, {} failed",
                sent.requests_per_second, sent.requests, sent.failed
            )
        });
        vec![
            known.process.role.to_string(),
            known.process.pid.to_string(),
            known.process.listen.to_string(),
            report.map_or_else(
                || known.state.to_owned(),
                |report| format!("up {}", duration(report.uptime_seconds)),
            ),
            sent.or(faults).unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    columns(&["PROCESS", "PID", "ADDRESS", "STATE", "FAULTS"], &rows)
}

/// A fault in a few words.
pub(crate) fn fault(active: &Active) -> String {
    let to = active.to.map_or_else(String::new, |to| format!(" to {to}"));
    let strength = active
        .fault
        .strength()
        .map_or_else(String::new, |known| format!(" of {} {}", active.strength, known.unit));
    format!("{}{to}{strength}, {} left", active.fault, duration(active.ends_in))
}

/// To standard error, whose reader may be gone.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_printed_as_a_shell_takes_it() {
        assert_eq!(quoted(Path::new("/var/lib/larnax")), "/var/lib/larnax");
        assert_eq!(quoted(Path::new("/a b/it's $HOME")), r"'/a b/it'\''s $HOME'");
    }
}
