//! `larnax check`: is this config right, and what does it mean?

use std::process::ExitCode;

use larnax_spec::{Config, Dependency, Environment};

use crate::cli::{CheckArgs, FOUND};
use crate::output::print;

pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let checked = Config::load(&args.config, &Environment::of_process())
        .and_then(|(config, warnings)| config.check_files().map(|more| (config, [warnings, more].concat())));
    match checked {
        Err(errors) => {
            eprintln!("{errors}");
            Ok(ExitCode::from(FOUND))
        }
        Ok((config, warnings)) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            print(args.output, &config, summary)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn summary(config: &Config) -> String {
    let mut text = String::from("The config is right. It watches:\n");
    if let Some(host) = config.watched_host() {
        text += &format!("  this machine, every {}\n", host.interval.unwrap_or(config.interval));
    }
    for job in &config.scrape_configs {
        let interval = job.scrape_interval.unwrap_or(config.interval);
        for target in job.targets() {
            text += &format!("  {}, every {interval} (job {})\n", target.url, job.job_name);
        }
        for file in job.file_sd_configs.iter().flat_map(|found| &found.files) {
            text += &format!("  what {} says, every {interval} (job {})\n", file.display(), job.job_name);
        }
        for url in job.http_sd_configs.iter().filter_map(|found| found.url.as_ref()) {
            text += &format!("  what {} says, every {interval} (job {})\n", url.origin(), job.job_name);
        }
    }
    text += &format!("It serves its API on {}.\n", config.listen);
    text += "It tells:\n";
    let sinks = config.alerts.alertmanagers.iter().map(|to| ("Alertmanager", to));
    let sinks = sinks.chain(config.alerts.webhooks.iter().map(|to| ("webhook", to)));
    let mut told: String = sinks
        .filter_map(|(kind, to)| to.url.as_ref().map(|url| format!("  {kind} at {}\n", url.authority())))
        .collect();
    if let Some(path) = &config.alerts.jsonl {
        told += &format!("  {}\n", path.display());
    }
    if told.is_empty() {
        told = "  nobody; anomalies are seen on the page and with `larnax status`\n".to_owned();
    }
    text += &told;
    if let Some(url) = config.hub.as_ref().and_then(|hub| hub.url.as_ref()) {
        text += &format!("It reports to the hub at {}.\n", url.origin());
    }
    if !config.topology.is_empty() {
        let said = &config.topology;
        text += "It knows of the topology:\n";
        for (word, edges) in [("", &said.edges), ("not: ", &said.remove)] {
            for edge in edges {
                let (Some(from), Some(to)) = (&edge.from, &edge.to) else { continue };
                let kind = match edge.kind {
                    Dependency::Calls => "calls",
                    Dependency::RunsOn => "runs on",
                };
                text += &format!("  {word}{from} {kind} {to}\n");
            }
        }
        for id in said.components.iter().filter_map(|component| component.id.as_ref()) {
            text += &format!("  {id}\n");
        }
    }
    text += &acts(config);
    text + &format!("Alert budget: {} for each group of components.\n", config.detect.alert_budget)
}

/// What may be done, and what is allowed.
fn acts(config: &Config) -> String {
    let list =
        |scopes: &[larnax_spec::Scope]| scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    if !config.actions.is_empty() {
        text += "It can do, where a policy allows it:\n";
    }
    for action in &config.actions {
        text += &format!("  {} ({}) on {}\n", action.name, action.risk.as_str(), list(&action.on));
    }
    if !config.policies.is_empty() {
        text += "Its hub, about incidents:\n";
    }
    for policy in &config.policies {
        let only = match policy.actions.is_empty() {
            true => String::new(),
            false => format!(", only {}", list(&policy.actions)),
        };
        text += &format!("  {}s on {}{only}\n", policy.mode.as_str(), list(&policy.on));
    }
    text
}
