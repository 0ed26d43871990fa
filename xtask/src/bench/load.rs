//! `cargo xtask bench load`: which kinds of load on a quiet machine `larnax-edge` notices, and how soon.
//!
//! One agent learns the quiet machine for five minutes with default settings, a row a second. Each load then meets an agent that
//! knows just that: it is started on a copy of what was learnt, so that no load leaves anything behind for the next.

use std::fmt::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use larnax_test_peers::{Agent, Peer, Peers, StressNg, fetch};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::{machine, report};
use crate::{cargo, peers};

/// Kinds of load, as stress-ng makes them: sized so that a machine of two cores and 2 GiB bears each.
const LOADS: [(&str, &[&str]); 5] = [
    ("cpu", &["--cpu", "0"]),
    ("memory", &["--vm", "1", "--vm-bytes", "512M", "--vm-keep"]),
    ("io", &["--hdd", "1", "--hdd-bytes", "256M"]),
    ("fork", &["--fork", "1"]),
    ("network", &["--sock", "1", "--sock-if", "lo"]),
];
/// How long each load lasts: the time within which it has to be noticed, and some.
const LASTS: Duration = Duration::from_secs(20);
/// How long an agent that was started anew may take to see the machine normal, which it is after a few seconds.
const CALM: Duration = Duration::from_secs(60);
/// Calm that it then sees before the load.
const BEFORE: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(300);

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    rounds: u32,
    detector: Option<String>,
}

impl Options {
    /// Reads the arguments after `bench load`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options { rounds: 5, detector: None };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("rounds") => options.rounds = arguments.value()?.parse()?,
                Arg::Long("detector") => options.detector = Some(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Measures, prints the table and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    for (package, fetched) in fetch(&[Peer::StressNg], &peers::folder())? {
        fetched.map_err(|error| error.context(format!("the bench loads the machine with {package}")))?;
    }
    let peers = Peers::under(&peers::folder());
    let machine = machine::describe()?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("larnax.yaml");
    let detector =
        options.detector.as_ref().map_or(String::new(), |name| format!("detect: {{detector: {name}}}\n"));
    std::fs::write(&config, format!("host: true\ninterval: 1s\n{detector}"))?;
    // What lies there from before may be of another time.
    cargo::build_release("larnax-edge")?;
    let mut agent = Agent::start("larnax-edge", &["--config", &config.display().to_string()]);
    eprintln!("learning the quiet machine for {} s", WARM_UP.as_secs());
    sleep(WARM_UP);
    if !is_calm(&agent) {
        bail!("the agent is not calm after {} s: is the machine quiet?", WARM_UP.as_secs());
    }
    agent.terminate();
    let learnt = folder.path().join("learnt");
    copy(&agent.state(), &learnt)?;
    let mut rows = Vec::new();
    for round in 1..=options.rounds {
        for (name, arguments) in LOADS {
            agent.kill();
            std::fs::remove_dir_all(agent.state())?;
            copy(&learnt, &agent.state())?;
            agent.start_again();
            let row = load(&agent, &peers, name, arguments)?;
            eprintln!("round {round}, {name}: {row}");
            rows.push(row);
        }
    }
    let result = json!({
        "date": machine::today()?,
        "machine": machine,
        "detector": options.detector,
        "rows": rows,
    });
    report::keep(&report::folder(), &result, "load")?;
    print!("{}", table(&result));
    Ok(())
}

/// One load: after how many seconds an anomaly was open, which metrics it named, and whether it was worth an alert by the end.
fn load(agent: &Agent, peers: &Peers, name: &str, arguments: &[&str]) -> Result<Value> {
    let started = Instant::now();
    while !is_calm(agent) {
        if started.elapsed() > CALM {
            bail!("no calm within {} s before {name}: is the machine quiet?", CALM.as_secs());
        }
        sleep(Duration::from_secs(1));
    }
    sleep(BEFORE);
    let disturbed = !is_calm(agent);
    let began = Instant::now();
    let stress = StressNg::start(peers, arguments, LASTS);
    let (mut noticed, mut named, mut alerted) = (Value::Null, Value::Null, false);
    while began.elapsed() < LASTS {
        let open = agent.json("/api/v1/anomalies?state=open");
        if let Some(anomaly) = open.get(0).map(|first| &first["anomaly"]) {
            if noticed.is_null() {
                noticed = json!(began.elapsed().as_secs_f64());
                let metrics = anomaly["metrics"].as_array().into_iter().flatten();
                named = metrics.take(3).map(|m| m["metric"].clone()).collect();
            }
            alerted |= anomaly["alerted"] == true;
        }
        sleep(Duration::from_millis(500));
    }
    stress.finish();
    Ok(json!({
        "load": name,
        "disturbed": disturbed,
        "noticed_after_seconds": noticed,
        "named": named,
        "alerted": alerted,
    }))
}

/// Whether what is watched is normal.
fn is_calm(agent: &Agent) -> bool {
    agent.json("/api/v1/components")[0]["state"] == "normal"
}

/// Copies a folder with what is in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// The results as Markdown. A load that met an agent that was not calm says nothing, and does not count.
fn table(result: &Value) -> String {
    let mut text =
        String::from("\n| load | noticed within 15 s | median seconds | alerted |\n|---|---|---|---|\n");
    let rows = result["rows"].as_array().map_or(&[][..], Vec::as_slice);
    for (name, _) in LOADS {
        let mine = || rows.iter().filter(|row| row["load"] == name && row["disturbed"] != true);
        let mut noticed: Vec<f64> = mine().filter_map(|row| row["noticed_after_seconds"].as_f64()).collect();
        noticed.sort_by(f64::total_cmp);
        let within = noticed.iter().filter(|&&s| s <= 15.0).count();
        let alerted = mine().filter(|row| row["alerted"] == true).count();
        let median = noticed.get(noticed.len() / 2).map_or("–".to_owned(), |s| format!("{s:.1}"));
        // Writing to a string can't fail.
        let _ = writeln!(text, "| {name} | {within} of {} | {median} | {alerted} |", mine().count());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noticed_late_or_never_or_not_in_calm_does_not_count() {
        let row = |seconds: Value, disturbed: bool| json!({"load": "cpu", "noticed_after_seconds": seconds, "disturbed": disturbed});
        let rows =
            [row(json!(4.0), false), row(json!(16.0), false), row(Value::Null, false), row(json!(1.0), true)];
        let text = table(&json!({ "rows": rows }));
        assert!(text.contains("| cpu | 1 of 3 | 16.0 | 0 |"), "{text}");
    }
}
