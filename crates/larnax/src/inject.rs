//! `larnax inject`: breaks something in the shop, for a time and within bounds.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use larnax_shop::{Decoy, Fault, Order, Service, Shop};
use larnax_spec::Period;

use crate::output::{columns, write};
use crate::shop::{Place, fault};

pub(crate) const INJECT_HELP: &str = "\
Examples:
  larnax inject --list                            what can be broken, and what only looks odd
  larnax inject cpu-hog --on orders               for a minute
  larnax inject latency --on stock --strength 300 --for 30s
  larnax inject slow-dependency --on web --to stock
  larnax inject --decoy restart --on pay          harmless
  larnax inject --stop                            ends all faults now, as if they had never been
  larnax shop mend restart --on orders            ends what a restart ends

The service itself ends the fault when its time is over, whatever becomes of this command. Needs `larnax shop up`.";

#[derive(Debug, Args)]
pub(crate) struct InjectArgs {
    /// What goes wrong
    #[arg(required_unless_present_any = ["list", "decoy", "stop"], conflicts_with_all = ["list", "decoy", "stop"])]
    fault: Option<Fault>,
    /// Show what can go wrong, and what only looks odd
    #[arg(long, conflicts_with_all = ["decoy", "stop"])]
    list: bool,
    /// Something harmless instead of a fault
    #[arg(long, value_name = "NAME", conflicts_with = "stop")]
    decoy: Option<Decoy>,
    /// End all faults, or those of one service
    #[arg(long)]
    stop: bool,
    /// Which service: web, orders, stock or pay [default: see --list]
    #[arg(long, value_name = "SERVICE")]
    on: Option<Service>,
    /// With slow-dependency: calls to which service
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["list", "decoy", "stop"])]
    to: Option<Service>,
    /// For how long, up to ten minutes
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    time: Period,
    /// How strong, in the unit that --list shows
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["list", "decoy", "stop"])]
    strength: Option<f64>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn inject(args: &InjectArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        write(list().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let shop = args.place.open()?;
    let text = match (args.fault, args.decoy) {
        (Some(kind), _) => break_it(args, kind, &shop)?,
        (None, Some(decoy)) => {
            shop.decoy(decoy, args.on, Duration::from(args.time).as_secs_f64())?;
            let place = decoy
                .usual_place()
                .map(|usual| args.on.unwrap_or(usual))
                .map_or_else(String::new, |service| format!(" on {service}"));
            format!("{decoy}{place}: nothing is wrong, and nobody should say so.\n")
        }
        (None, None) => {
            for service in Service::ALL.into_iter().filter(|service| args.on.is_none_or(|on| on == *service))
            {
                shop.end_faults(service)?;
            }
            "No fault is left.\n".to_owned()
        }
    };
    write(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn break_it(args: &InjectArgs, kind: Fault, shop: &Shop) -> anyhow::Result<String> {
    let service = args.on.unwrap_or(kind.usual_place());
    let order = Order {
        fault: kind,
        seconds: Duration::from(args.time).as_secs_f64(),
        strength: args.strength,
        to: args.to,
    };
    let active = shop.inject(service, &order)?;
    Ok(format!("{service} has {}. It ends by itself.\n", fault(&active)))
}

fn list() -> String {
    let faults: Vec<Vec<String>> = Fault::ALL
        .into_iter()
        .map(|fault| {
            let strength = fault.strength().map_or_else(
                || "–".to_owned(),
                |known| format!("{} {}, at most {}", known.default, known.unit, known.most),
            );
            vec![
                fault.to_string(),
                fault.summary().to_owned(),
                fault.usual_place().to_string(),
                strength,
                fault.remedy().to_string(),
            ]
        })
        .collect();
    let decoys: Vec<Vec<String>> = Decoy::ALL
        .into_iter()
        .map(|decoy| {
            let place = decoy.usual_place().map_or("all", Service::name);
            vec![decoy.to_string(), decoy.summary().to_owned(), place.to_owned()]
        })
        .collect();
    format!(
        "{}\n{}",
        columns(&["FAULT", "THE SERVICE", "USUALLY ON", "STRENGTH", "MENDED BY"], &faults),
        columns(&["DECOY", "WHAT HAPPENS", "USUALLY ON"], &decoys)
    )
}
