//! `cargo xtask bench load`: which kinds of load on a quiet machine `larnax-edge` notices, and how soon.
//!
//! One agent watches the host every second with default settings; each kind of load is put on the machine several times,
//! in turn, with calm in between.

use std::fmt::Write;
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
/// What an anomaly may take to end; longer, and it is said.
const CALM: Duration = Duration::from_secs(240);
/// Calm before the next load, beyond the time in which a return would be the same anomaly.
const BETWEEN: Duration = Duration::from_secs(10);
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
    let agent = Agent::start("larnax-edge", &["--config", &config.display().to_string()]);
    eprintln!("warming up");
    if calm(&agent, WARM_UP)?.is_none() {
        bail!("the agent knew no calm within {WARM_UP:?}: is the machine quiet?");
    }
    let before = alerts(&agent);
    let mut rows = Vec::new();
    for round in 1..=options.rounds {
        for (name, arguments) in LOADS {
            let row = load(&agent, &peers, name, arguments)?;
            eprintln!("round {round}, {name}: {row}");
            rows.push(row);
        }
    }
    let result = json!({
        "date": machine::today()?,
        "machine": machine,
        "detector": options.detector,
        "alerts": alerts(&agent) - before,
        "rows": rows,
    });
    report::keep(&report::folder(), &result, "load")?;
    print!("{}", table(&result));
    Ok(())
}

/// One load: after how many seconds an anomaly was open, which metrics it named, and how long calm took to return.
fn load(agent: &Agent, peers: &Peers, name: &str, arguments: &[&str]) -> Result<Value> {
    let began = Instant::now();
    let stress = StressNg::start(peers, arguments, LASTS);
    let mut noticed = Value::Null;
    let mut named = Value::Null;
    while began.elapsed() < LASTS {
        let open = agent.json("/api/v1/anomalies?state=open");
        if let Some(first) = open.get(0) {
            noticed = json!(began.elapsed().as_secs_f64());
            let metrics = first["anomaly"]["metrics"].as_array().into_iter().flatten();
            named = metrics.take(3).map(|m| m["metric"].clone()).collect();
            break;
        }
        sleep(Duration::from_millis(500));
    }
    stress.finish();
    let ended = Instant::now();
    let back = calm(agent, CALM)?.map(|_| ended.elapsed().as_secs_f64());
    sleep(BETWEEN);
    Ok(json!({ "load": name, "noticed_after_seconds": noticed, "named": named, "calm_after_seconds": back }))
}

/// Waits until what is watched is normal; none when that takes longer than `within`.
fn calm(agent: &Agent, within: Duration) -> Result<Option<()>> {
    let began = Instant::now();
    while began.elapsed() < within {
        sleep(Duration::from_secs(1));
        if agent.json("/api/v1/components")[0]["state"] == "normal" {
            return Ok(Some(()));
        }
    }
    Ok(None)
}

fn alerts(agent: &Agent) -> usize {
    let all = agent.json("/api/v1/anomalies");
    all.as_array().into_iter().flatten().filter(|a| a["anomaly"]["alerted"] == true).count()
}

/// The results as Markdown.
fn table(result: &Value) -> String {
    let mut text = String::from(
        "\n| load | noticed within 15 s | median seconds | calm after, median |\n|---|---|---|---|\n",
    );
    let rows = result["rows"].as_array().map_or(&[][..], Vec::as_slice);
    for (name, _) in LOADS {
        let mine: Vec<&Value> = rows.iter().filter(|row| row["load"] == name).collect();
        let of = |field: &str| {
            let mut all: Vec<f64> = mine.iter().filter_map(|row| row[field].as_f64()).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (noticed, calm) = (of("noticed_after_seconds"), of("calm_after_seconds"));
        let within = noticed.iter().filter(|&&s| s <= 15.0).count();
        let median = |all: &[f64]| all.get(all.len() / 2).map_or("–".to_owned(), |s| format!("{s:.1}"));
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {name} | {within} of {} | {} | {} |",
            mine.len(),
            median(&noticed),
            median(&calm)
        );
    }
    let _ = writeln!(text, "\n{} alerts were given.", result["alerts"]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noticed_late_or_never_does_not_count() {
        let row = |seconds: Value| json!({"load": "cpu", "noticed_after_seconds": seconds, "calm_after_seconds": 20.0});
        let text =
            table(&json!({"alerts": 1, "rows": [row(json!(4.0)), row(json!(16.0)), row(Value::Null)]}));
        assert!(text.contains("| cpu | 1 of 3 | 16.0 | 20.0 |"), "{text}");
    }
}
