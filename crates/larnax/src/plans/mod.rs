//! `larnax plans`: what is to be done about incidents, and what came of it.

mod report;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use larnax_core::{Effect, Plan, PlanState};
use larnax_hub::report::{OffersReport, Told};
use serde_json::json;

use crate::cli::{AskArgs, FOUND};
use crate::client::{ask, tell};
use crate::output::{columns, print};

pub(crate) const PLANS_HELP: &str = "\
Examples:
  larnax plans list                    what is proposed, done, and what came of it
  larnax plans show                    the latest, with why
  larnax plans approve                 do what is proposed, where one thing is
  larnax plans approve ID --action restart
  larnax plans try                     what it would do
  larnax plans undo ID                 take it back
  larnax plans name ID 'memory leak'   know it by that name from now on
  larnax plans report                  what was done, what would have been, and whether that helped
  larnax plans normal INCIDENT         what it does is normal
  larnax plans silence 'service/shop/*' --for 2h
  larnax plans freeze                  do nothing any more, anywhere, until `larnax plans thaw`

Nothing is done where no policy allows it: see `actions` and `policies` in the config.
Exit codes: 0 done, 1 refused or failed, 3 a plan waits for an answer (list).";

#[derive(Debug, Args)]
#[command(after_help = PLANS_HELP)]
pub(crate) struct PlansArgs {
    #[command(subcommand)]
    command: PlansCommand,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Subcommand)]
enum PlansCommand {
    /// The latest plans; the exit code is 3 when one waits for an answer
    List {
        /// Only those that have not ended
        #[arg(long)]
        open: bool,
        /// At most so many
        #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One plan, with why
    Show {
        /// Which; may be left out for the latest
        id: Option<String>,
    },
    /// Do what is proposed
    Approve {
        /// Which plan; may be left out where one waits
        id: Option<String>,
        /// Another one of its proposals than the first
        #[arg(long, value_name = "NAME")]
        action: Option<String>,
    },
    /// What it would do, and whether it could be done now; changes nothing
    Try {
        /// Which plan; may be left out where one waits
        id: Option<String>,
        /// Another one of its proposals than the first
        #[arg(long, value_name = "NAME")]
        action: Option<String>,
    },
    /// Do nothing about it
    Reject {
        /// Which plan; may be left out where one waits
        id: Option<String>,
    },
    /// Take back what was done
    Undo {
        /// Which plan; may be left out for the latest that was done
        id: Option<String>,
    },
    /// Give what it looks like a name, or another one
    Name {
        /// Which plan
        id: String,
        /// The name
        name: String,
    },
    /// What was done, what would have been, and whether that helped
    Report {
        /// Of so many plans, the latest
        #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// What can be done, as connected edges offer it
    Actions,
    /// What this incident's components do is normal, from now on
    Normal {
        /// Which incident
        incident: String,
    },
    /// Tell nobody of some components, and do nothing about them, for a time
    Silence {
        /// Which; `*` stands for anything, as in 'service/shop/*'
        on: String,
        /// For how long, at most 30d; 0s ends it
        #[arg(long = "for", value_name = "DURATION")]
        time: larnax_spec::Period,
    },
    /// Do nothing any more, anywhere
    Freeze,
    /// Do again what policies allow
    Thaw,
}

pub(crate) fn plans(args: &PlansArgs) -> anyhow::Result<ExitCode> {
    let to = &args.ask;
    match &args.command {
        PlansCommand::List { open, limit } => {
            let state = if *open { "&state=open" } else { "" };
            let found: Vec<Plan> = ask(to, &format!("/api/v1/plans?limit={limit}{state}"))?;
            print(to.output, &found, |found| show::list(found))?;
            let waits = found.iter().any(|plan| plan.state == PlanState::Proposed);
            return Ok(if waits { ExitCode::from(FOUND) } else { ExitCode::SUCCESS });
        }
        PlansCommand::Show { id } => {
            let plan: Plan = match id {
                Some(id) => ask(to, &format!("/api/v1/plans/{id}"))?,
                None => one(to, "there was no plan so far", |_| true)?,
            };
            print(to.output, &plan, show::show)?;
        }
        PlansCommand::Approve { id, action } => {
            let (id, sequence) = named(to, id.as_deref(), "no plan waits for an answer", waits)?;
            let body = json!({ "by": by(), "action": action, "sequence": sequence });
            said(to, &format!("/api/v1/plans/{id}/approve"), body)?;
        }
        PlansCommand::Try { id, action } => {
            let (id, _) = named(to, id.as_deref(), "no plan waits for an answer", waits)?;
            said(to, &format!("/api/v1/plans/{id}/try"), json!({ "action": action }))?;
        }
        PlansCommand::Reject { id } => {
            let (id, _) = named(to, id.as_deref(), "no plan waits for an answer", waits)?;
            said(to, &format!("/api/v1/plans/{id}/reject"), json!({ "by": by() }))?;
        }
        PlansCommand::Undo { id } => {
            let id = match id {
                Some(id) => id.clone(),
                None => one(to, "nothing was done", was_done)?.id.to_string(),
            };
            said(to, &format!("/api/v1/plans/{id}/undo"), json!({ "by": by() }))?;
        }
        PlansCommand::Name { id, name } => {
            said(to, &format!("/api/v1/plans/{id}/name"), json!({ "by": by(), "name": name }))?;
        }
        PlansCommand::Report { limit } => {
            let found: Vec<Plan> = ask(to, &format!("/api/v1/plans?limit={limit}"))?;
            print(to.output, &report::of(&found), |rows| report::table(rows))?;
        }
        PlansCommand::Actions => {
            let offers: Vec<OffersReport> = ask(to, "/api/v1/actions")?;
            print(to.output, &offers, |offers| actions(offers))?;
        }
        PlansCommand::Normal { incident } => {
            said(to, &format!("/api/v1/incidents/{incident}/normal"), json!({ "by": by() }))?;
        }
        PlansCommand::Silence { on, time } => {
            let body = json!({ "by": by(), "on": on, "seconds": time.as_secs_f64() });
            said(to, "/api/v1/silences", body)?;
        }
        PlansCommand::Freeze => said(to, "/api/v1/freeze", json!({ "by": by() }))?,
        PlansCommand::Thaw => said(to, "/api/v1/thaw", json!({ "by": by() }))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn waits(plan: &Plan) -> bool {
    plan.state == PlanState::Proposed
}

fn was_done(plan: &Plan) -> bool {
    plan.done.as_ref().is_some_and(|step| step.effect.is_some_and(|effect| effect != Effect::NotDone))
}

/// The latest plan that fits.
fn one(to: &AskArgs, none: &str, fits: impl Fn(&Plan) -> bool) -> anyhow::Result<Plan> {
    let latest: Vec<Plan> = ask(to, "/api/v1/plans?limit=100")?;
    latest.into_iter().find(fits).ok_or_else(|| anyhow::anyhow!("{none}"))
}

/// The id that was given, or that of the only plan that fits, as it is now: nobody should approve what they have not seen.
fn named(
    to: &AskArgs,
    id: Option<&str>,
    none: &str,
    fits: impl Fn(&Plan) -> bool,
) -> anyhow::Result<(String, Option<u32>)> {
    if let Some(id) = id {
        return Ok((id.to_owned(), None));
    }
    let open: Vec<Plan> = ask(to, "/api/v1/plans?limit=1000&state=open")?;
    let fitting: Vec<&Plan> = open.iter().filter(|plan| fits(plan)).collect();
    match fitting.as_slice() {
        [] => anyhow::bail!("{none}"),
        [plan] => Ok((plan.id.to_string(), Some(plan.sequence))),
        several => {
            let all: Vec<String> = several
                .iter()
                .map(|plan| format!("{} ({} on {})", plan.id, show::action(plan), plan.component))
                .collect();
            anyhow::bail!("several plans wait, say which: {}", all.join(", "))
        }
    }
}

/// Says what is wanted, and prints the answer.
fn said(to: &AskArgs, path: &str, body: serde_json::Value) -> anyhow::Result<()> {
    let told: Told = tell(to, path, &body)?;
    print(to.output, &told, |told| format!("{}.\n", told.answer.trim_end_matches('.')))
}

/// Who says so: for the audit.
fn by() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| "somebody".to_owned());
    format!("{user}@{}", larnax_serve::process::hostname())
}

fn actions(offers: &[OffersReport]) -> String {
    if offers.is_empty() {
        return "No connected edge offers an action; see `actions` in its config.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = offers
        .iter()
        .flat_map(|edge| edge.offers.iter().map(|offer| (&edge.agent, offer)))
        .map(|(agent, offer)| {
            let on: Vec<&str> = offer.on.iter().map(|glob| glob.as_str()).collect();
            vec![
                offer.action.clone(),
                agent.clone(),
                on.join(", "),
                offer.risk.as_str().to_owned(),
                if offer.can_undo { "yes" } else { "no" }.to_owned(),
                offer.summary.clone(),
            ]
        })
        .collect();
    columns(&["ACTION", "AGENT", "ON", "RISK", "UNDO", "WHAT IT DOES"], &rows)
}
