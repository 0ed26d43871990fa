//! `larnax explain COMPONENT`: why it did or didn't alert.

use std::process::ExitCode;

use anyhow::bail;
use larnax_detect::{Explanation, MetricExplanation};
use larnax_edge_role::server::api::ComponentReport;

use crate::cli::ExplainArgs;
use crate::client::ask;
use crate::output::{columns, print, short};

pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let component = match &args.component {
        Some(component) => component.clone(),
        None => only_component(args)?,
    };
    let query: String = form_urlencoded::byte_serialize(component.as_bytes()).collect();
    let explanation: Explanation = ask(&args.ask, &format!("/api/v1/explain?component={query}"))?;
    print(args.ask.output, &explanation, table)?;
    Ok(ExitCode::SUCCESS)
}

fn only_component(args: &ExplainArgs) -> anyhow::Result<String> {
    let components: Vec<ComponentReport> = ask(&args.ask, "/api/v1/components")?;
    match components.as_slice() {
        [only] => Ok(only.id.to_string()),
        [] => bail!("the agent at {} watches nothing", args.ask.url),
        several => {
            let names: Vec<String> = several.iter().map(|c| format!("\n  larnax explain {}", c.id)).collect();
            bail!("there are {} components; name one:{}", several.len(), names.concat())
        }
    }
}

fn table(e: &Explanation) -> String {
    let mut text = format!("{}: {}.\n\n", e.component, e.summary);
    let set_by = e.set_by.as_deref().unwrap_or("all metrics together");
    text += &format!("Score           {:.2}, set by {set_by}; above 1 is anomalous\n", e.score.get());
    text += &match e.joint_threshold {
        Some(limit) => format!("All together    {:.2} of {limit:.2}\n", e.joint_error),
        None => "All together    not known yet\n".to_owned(),
    };
    text += &format!("One metric      {:.2} half-widths of its band at most\n", e.largest_deviation);
    text += &format!("Recent samples  {} of {} anomalous; an anomaly opens at 60 %\n", e.flagged, e.window);
    text += &format!(
        "Alert budget    {} of {} given in {}; an alert must exceed {:.2}\n\n",
        e.budget.given,
        e.budget.allowed,
        crate::status::duration(e.budget.period_seconds),
        e.budget.bar
    );
    let row = |m: &MetricExplanation| {
        let band = format!("{} … {}", short(m.lower), short(m.upper));
        vec![m.name.clone(), short(m.value), short(m.expected), band, format!("{:+.2}", m.deviation)]
    };
    text += &columns(
        &["METRIC", "VALUE", "EXPECTED", "BAND", "HALF-WIDTHS"],
        &e.metrics.iter().map(row).collect::<Vec<_>>(),
    );
    for anomaly in e.open.iter().chain(&e.last) {
        let end = anomaly.closed.map_or_else(|| "open".to_owned(), |closed| format!("ended {closed}"));
        let alerted = if anomaly.alerted { "alerted" } else { "recorded, not alerted" };
        text += &format!(
            "\nAnomaly {} since {}, {end}, peak {:.1}, {alerted}",
            anomaly.id,
            anomaly.onset,
            anomaly.peak.get()
        );
    }
    text + "\n"
}
