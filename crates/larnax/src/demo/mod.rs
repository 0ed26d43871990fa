//! `larnax demo`: the loop closes before one's eyes, twice.

mod follow;
mod stage;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use larnax_shop::{Fault, Order, Service};

use crate::cli::FAILED;
use crate::status::duration;
use follow::{Ended, Round};
use stage::Stage;

pub(crate) const DEMO_HELP: &str = "\
Examples:
  larnax demo                          asks what to break, and whether to mend it
  larnax demo --yes                    nobody is asked: the usual fault, twice
  larnax demo --fault disk-fill --yes
  larnax demo --page 127.0.0.1:7676    with the page there

Starts the shop of `larnax shop`, watches it, breaks something, and shows what Larnax does about it. The first time it asks; the
second time it knows the fault by the name that was given to it. Everything is ended with the command, and nothing is left, unless
--state says where what is learnt is to be kept. Approve, reject and undo here, on the page, or by `larnax plans`.
Exit codes: 0 all was well again both times, 1 not.";

/// What is broken where nobody says.
const USUAL: Fault = Fault::Stop;
/// A fault lasts so long if nobody mends it, in seconds.
const LASTS: f64 = 300.0;
/// Between the end of one incident and the next fault: what begins sooner is taken for a part of the same incident.
const APART: Duration = Duration::from_secs(125);

#[derive(Debug, Args)]
#[command(after_help = DEMO_HELP)]
pub(crate) struct DemoArgs {
    /// What to break; `larnax inject --list` says what there is
    #[arg(long)]
    fault: Option<Fault>,
    /// Which service: web, orders, stock or pay [default: the fault's usual one]
    #[arg(long, value_name = "SERVICE")]
    on: Option<Service>,
    /// Do what is proposed without asking
    #[arg(long, short)]
    yes: bool,
    /// How often it is broken
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    times: u32,
    /// Where the page and the API are
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    page: larnax_spec::Listen,
    /// A folder in which what is learnt is kept, for another demo
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

pub(crate) fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let fault = match args.fault {
        Some(fault) => fault,
        None if args.yes || !std::io::stdin().is_terminal() => USUAL,
        None => choose()?,
    };
    let on = args.on.unwrap_or(fault.usual_place());
    let stage = Stage::open(args.state.clone(), args.page)?;
    tell(&format!(
        "The shop is open: web calls orders and stock, orders calls stock and pay; thirty customers a second.\n\
         Larnax watches it. The page is at {}; its log is {}.\n",
        stage.url(),
        stage.log().display()
    ));
    stage.wait_until_learnt()?;
    // Of an earlier demo that was ended in the middle.
    stage.wait_until_closed()?;
    let mut rounds: Vec<Round> = Vec::new();
    for time in 1..=args.times {
        if time > 1 {
            stage.wait_until_calm(APART)?;
        }
        let order = Order { fault, seconds: LASTS, strength: None, to: None };
        stage.shop.inject(on, &order)?;
        tell(&format!("\n{}: {on} has {fault}: it {}.\n", ordinal(time), fault.summary()));
        let round = follow::follow(&stage, args.yes)?;
        // Whatever became of it, the next one begins with a shop that is well.
        stage.shop.end_faults(on)?;
        if let Some(plan) = round.plan.as_ref().filter(|_| time == 1 && round.ended == Ended::Well) {
            follow::name(&stage, plan, &fault.name().replace('-', " "), args.yes)?;
        }
        rounds.push(round);
    }
    tell(&summary(&rounds));
    let well = rounds.iter().all(|round| round.ended == Ended::Well);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn ordinal(time: u32) -> String {
    match time {
        1 => "The first time".to_owned(),
        2 => "The second time".to_owned(),
        _ => format!("Time {time}"),
    }
}

/// To standard output; a demo that nobody reads any more goes on to its end.
fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Asks which fault.
fn choose() -> anyhow::Result<Fault> {
    let mut text = "What is to be broken?\n\n".to_owned();
    for (number, fault) in Fault::ALL.iter().enumerate() {
        text += &format!("  {:2}  {:16} {}\n", number + 1, fault.name(), fault.summary());
    }
    tell(&(text + &format!("\nA number, a name, or Enter for {}: ", USUAL)));
    let said = line()?;
    match said.as_str() {
        "" => Ok(USUAL),
        other => match other.parse::<usize>() {
            Ok(number) if (1..=Fault::ALL.len()).contains(&number) => Ok(Fault::ALL[number - 1]),
            Ok(number) => bail!("{number}: expected a number from 1 to {}", Fault::ALL.len()),
            Err(_) => Ok(other.parse()?),
        },
    }
}

/// A line that somebody types; empty at the end.
fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn summary(rounds: &[Round]) -> String {
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), duration);
    let rows: Vec<Vec<String>> = rounds
        .iter()
        .enumerate()
        .map(|(at, round)| {
            vec![
                (at + 1).to_string(),
                round.looks_like.clone(),
                round.action.clone(),
                round.by.clone(),
                time(round.begun_after),
                time(round.well_after),
            ]
        })
        .collect();
    let head = ["TIME", "LOOKS LIKE", "ACTION", "DECIDED BY", "BEGUN AFTER", "WELL AFTER"];
    format!("\n{}\nTimes count from the first anomalous sample.\n", crate::output::columns(&head, &rows))
}
