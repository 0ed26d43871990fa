//! `cargo xtask bench quota`: the three measurements of Gulenko et al. 2021 (ZerOps4E), figures 1 to 3, for Larnax: what
//! collecting costs by interval, how long a sample takes a detector under CPU quotas, and both together on a tenth of a CPU.

mod picture;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use larnax_test_peers::Agent;
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::meter::Meter;
use super::{machine, report};
use crate::cargo::{self, root};

/// Milliseconds between collections.
const INTERVALS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Shares of one CPU; the last is no limit.
const QUOTAS: [Option<f64>; 6] = [Some(0.1), Some(0.2), Some(0.4), Some(0.6), Some(1.0), None];
/// As in the paper.
const METRICS: &str = "28";
/// Period of the quota in microseconds: the kernel's default.
const PERIOD: f64 = 100_000.0;

/// How long each part is measured.
#[derive(Debug)]
struct Length {
    /// Seconds at each interval.
    collecting: u64,
    samples: &'static str,
    /// How often these are judged: once, the quick detectors are through before the first period of a quota ends.
    times: &'static str,
    /// Seconds that the whole agent runs before, and is measured.
    settling: u64,
    together: u64,
}

const FULL: Length = Length { collecting: 40, samples: "10000", times: "10", settling: 20, together: 30 };
const SHORT: Length = Length { collecting: 3, samples: "1000", times: "20", settling: 2, together: 3 };

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// All when empty.
    detectors: Vec<String>,
    /// Only to see that it works.
    short: bool,
}

impl Options {
    /// Reads the arguments after `bench quota`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("detector") => options.detectors.push(arguments.value()?.string()?),
                Arg::Long("short") => options.short = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Measures, prints the tables, keeps the raw results and draws.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = machine::describe()?;
    let length = if options.short { &SHORT } else { &FULL };
    let cost = cargo::example("larnax-detect", "cost")?;
    // What lies there from before may be of another time.
    cargo::build_release("larnax-edge")?;
    let mut detectors = options.detectors.clone();
    if detectors.is_empty() {
        let all = cargo::output(Command::new(&cost).arg("list"))?;
        detectors = all.lines().map(str::to_owned).collect();
    }
    // Half an hour of measuring must not end at a config that the agent refuses.
    for detector in &detectors {
        drop(start(detector)?);
    }
    let collect = collecting(length)?;
    let mut samples = Vec::new();
    for detector in &detectors {
        for quota in QUOTAS {
            let group = quota.map(Group::make).transpose()?;
            let mut measured =
                one_line(group.as_ref(), &cost, &[detector, METRICS, length.samples, length.times])?;
            measured["quota"] = json!(quota);
            eprintln!("{measured}");
            samples.push(measured);
        }
    }
    let mut together = Vec::new();
    for detector in &detectors {
        together.push(agent(detector, length)?);
    }
    let result = json!({
        "date": machine::today()?,
        "machine": machine,
        "collecting": collect,
        "samples": samples,
        "together": together,
    });
    let (results, pictures) = match options.short {
        true => (cargo::target().join("bench"), cargo::target().join("bench")),
        false => (report::folder(), report::pictures()),
    };
    report::keep(&results, &result, "quota")?;
    report::picture(&pictures, "quota", &picture::draw(&result))?;
    print!("{}", tables(&result));
    Ok(())
}

/// What the host source alone costs by interval, in a process of its own.
fn collecting(length: &Length) -> Result<Vec<Value>> {
    let program = cargo::example("larnax-collect", "host_cost")?;
    let mut rows = Vec::new();
    for interval in INTERVALS {
        let arguments = [length.collecting.to_string(), interval.to_string()];
        let text = cargo::output(Command::new(&program).args(arguments))?;
        let spent = text.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
        let spent = spent.with_context(|| format!("host_cost printed no CPU time: {text}"))?;
        rows.push(json!({ "interval_ms": interval, "cpu_ms_per_second": spent }));
        eprintln!("collecting every {interval} ms: {spent} ms/s");
    }
    Ok(rows)
}

/// The agent, watching the host twice a second.
fn start(detector: &str) -> Result<Agent> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("larnax.yaml");
    std::fs::write(&config, format!("host: true\ninterval: 500ms\ndetect: {{detector: {detector}}}\n"))?;
    Ok(Agent::start("larnax-edge", &["--config", &config.display().to_string()]))
}

/// The whole agent on a tenth of a CPU: what it costs, and whether it kept up.
fn agent(detector: &str, length: &Length) -> Result<Value> {
    let agent = start(detector)?;
    let group = Group::make(0.1)?;
    group.take(agent.pid())?;
    std::thread::sleep(Duration::from_secs(length.settling));
    let rows = |agent: &Agent| {
        let page = agent.get("/metrics").body;
        let line =
            page.lines().find(|line| line.starts_with("larnax_pipeline_rows_total")).unwrap_or_default();
        line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
    };
    let (meter, before, seconds) = (Meter::begin(agent.pid())?, rows(&agent), length.together as f64);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let (cost, judged) = (meter.end()?, rows(&agent) - before);
    Ok(json!({
        "detector": detector,
        "cpu_ms_per_second": cost.cpu_ms_per_second,
        "resident_kib": cost.resident_kib,
        "judged_share": judged / (2.0 * seconds),
    }))
}

/// Runs a program in a group and reads the line of JSON that it prints.
fn one_line(group: Option<&Group>, program: &Path, arguments: &[&str]) -> Result<Value> {
    let mut command = match group {
        // The shell becomes the program after it has joined the group.
        Some(group) => {
            let mut command = Command::new("sh");
            command.args(["-c", "echo $$ > \"$1\" && shift && exec \"$@\"", "sh"]).arg(group.members());
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    let text = cargo::output(command.args(arguments).current_dir(root()))?;
    serde_json::from_str(text.trim()).with_context(|| format!("no JSON: {text}"))
}

/// A control group with a CPU quota; removed when dropped.
struct Group(PathBuf);

impl Group {
    /// `share` of one CPU.
    fn make(share: f64) -> Result<Group> {
        let (unified, cpu) = (Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/cpu"));
        let name = format!("larnax-bench-{}", std::process::id());
        let quota = (share * PERIOD).round();
        let (folder, file, text) = if cpu.is_dir() {
            (cpu.join(name), "cpu.cfs_quota_us", format!("{quota}"))
        } else {
            (unified.join(name), "cpu.max", format!("{quota} {PERIOD}"))
        };
        std::fs::create_dir_all(&folder).with_context(|| {
            format!("{}: a CPU quota needs a control group, and so root", folder.display())
        })?;
        let group = Group(folder);
        std::fs::write(group.0.join(file), text)
            .with_context(|| format!("{file} of {}", group.0.display()))?;
        Ok(group)
    }

    fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    fn take(&self, pid: u32) -> Result<()> {
        Ok(std::fs::write(self.members(), pid.to_string())?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its members may be just ending; what is left then goes with the next start of the machine.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The results as Markdown.
fn tables(result: &Value) -> String {
    let list = |name: &str| result[name].as_array().cloned().unwrap_or_default();
    let mut text = String::from("\n| collecting every | CPU ms/s |\n|---|---|\n");
    for row in list("collecting") {
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} ms | {:.3} |",
            row["interval_ms"],
            row["cpu_ms_per_second"].as_f64().unwrap_or_default()
        );
    }
    text.push_str(
        "\nMicroseconds for a sample of 28 metrics, by the clock, under a CPU quota:\n\n| detector |",
    );
    for quota in QUOTAS {
        let _ = write!(text, " {} |", quota.map_or("none".to_owned(), |quota| quota.to_string()));
    }
    text.push_str(" CPU µs |\n|---|");
    text.push_str(&"---|".repeat(QUOTAS.len() + 1));
    text.push('\n');
    let samples = list("samples");
    for rows in samples.chunk_by(|a, b| a["detector"] == b["detector"]) {
        let _ = write!(text, "| {} |", rows[0]["detector"].as_str().unwrap_or_default());
        for row in rows {
            let _ = write!(text, " {:.1} |", row["wall_us"].as_f64().unwrap_or_default());
        }
        let best = rows.iter().filter_map(|row| row["cpu_us"].as_f64()).fold(f64::INFINITY, f64::min);
        let _ = writeln!(text, " {best:.1} |");
    }
    text.push_str("\nThe whole agent on a tenth of a CPU, the host twice a second:\n\n");
    text.push_str("| detector | CPU ms/s | resident MiB | samples judged |\n|---|---|---|---|\n");
    for row in list("together") {
        let of = |field: &str| row[field].as_f64().unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.1} | {:.0}% |",
            row["detector"].as_str().unwrap_or_default(),
            of("cpu_ms_per_second"),
            of("resident_kib") / 1024.0,
            100.0 * of("judged_share"),
        );
    }
    text
}
