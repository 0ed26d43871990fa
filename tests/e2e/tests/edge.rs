//! `larnax-edge` beside a real node_exporter.

use std::time::Duration;

use larnax_test_peers::{Agent, NodeExporter, Peer, Peers, eventually};

/// Far above what two scrapes a second apart take, for machines busy with compiling.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn an_edge_agent_judges_a_real_node_exporter_and_drains_on_sigterm() {
    let Some(peers) = Peers::for_test(&[Peer::NodeExporter]) else { return };
    let exporter = NodeExporter::start(&peers);
    let mut agent = Agent::start("larnax-edge", &["--scrape", &exporter.url(), "--interval", "1s"]);
    eventually("the agent to be ready", SOON, || (agent.get("/-/ready").status == 200).then_some(()));
    eventually("judged samples", SOON, || {
        (metric(&agent, "larnax_pipeline_rows_total") >= 2.0).then_some(())
    });
    // node_exporter shows about 500 series.
    assert!(metric(&agent, "larnax_component_metrics") > 200.0);
    assert!(agent.terminate().success(), "{}", agent.output());
}

#[test]
fn an_edge_agent_starts_again_after_a_kill() {
    let Some(peers) = Peers::for_test(&[Peer::NodeExporter]) else { return };
    let exporter = NodeExporter::start(&peers);
    let mut agent = Agent::start("larnax-edge", &["--scrape", &exporter.url(), "--interval", "1s"]);
    eventually("judged samples", SOON, || {
        (metric(&agent, "larnax_pipeline_rows_total") >= 2.0).then_some(())
    });
    agent.kill();
    agent.start_again();
    eventually("the agent to be ready", SOON, || (agent.get("/-/ready").status == 200).then_some(()));
}

/// The sum of all samples of a metric on the agent's own `/metrics`.
fn metric(agent: &Agent, name: &str) -> f64 {
    let page = agent.get("/metrics").body;
    let of_name = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
