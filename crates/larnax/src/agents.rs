//! `larnax agents`: which agents are connected to a hub.

use std::process::ExitCode;

use larnax_core::{Clock, SystemClock, Timestamp};
use larnax_hub::AgentReport;

use crate::cli::{AskArgs, FOUND};
use crate::client::ask;
use crate::output::{columns, print};
use crate::status::duration;

pub(crate) fn agents(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let connected: Vec<AgentReport> = ask(args, "/api/v1/agents")?;
    let now = SystemClock.now();
    print(args.output, &connected, |connected| list(connected, now))?;
    Ok(if connected.is_empty() { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

fn list(connected: &[AgentReport], now: Timestamp) -> String {
    if connected.is_empty() {
        return "No agent is connected.\n".to_owned();
    }
    let row = |agent: &AgentReport| {
        vec![
            agent.agent.clone(),
            agent.hub.clone(),
            agent.version.clone(),
            duration(now.since(agent.since)),
            format!("{} ago", duration(now.since(agent.last_heard))),
            agent.components.len().to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = connected.iter().map(row).collect();
    columns(&["AGENT", "HUB", "VERSION", "CONNECTED FOR", "HEARD", "WATCHES"], &rows)
}
