//! Targets that a Prometheus scrapes already: the agent asks it for them and leaves them alone.

#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use larnax_test_peers::{Agent, NodeExporter, Peer, Peers, Prometheus, eventually};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(90);

/// Of two exporters that a Prometheus scrapes four times a second.
fn scraping(targets: [SocketAddr; 2]) -> String {
    let [first, second] = targets;
    format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, external_labels: {{site: ghent}}}}\n\
         scrape_configs: [{{job_name: test, static_configs: [{{targets: ['{first}', '{second}'], labels: {{rack: r1}}}}]}}]\n"
    )
}

/// An agent that asks the Prometheus for both, and scrapes the first one itself as well; past its warm-up within seconds.
fn config(targets: [SocketAddr; 2], prometheus: &Prometheus) -> String {
    let [first, second] = targets;
    format!(
        "interval: 250ms\ndetect: {{warm_up: 10s}}\nscrape_configs:\n\
         - {{job_name: asked, prometheus: {{url: 'http://{}', labels: {{job: test}}}}, static_configs: [{{targets: ['{first}', '{second}']}}]}}\n\
         - {{job_name: direct, static_configs: [{{targets: ['{first}']}}]}}\n",
        prometheus.address()
    )
}

fn component(agent: &Agent, id: &str) -> Value {
    let all = agent.json("/api/v1/components");
    all.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap_or(&Value::Null).clone()
}

fn metrics(agent: &Agent, id: &str) -> Vec<(String, f64)> {
    let all = agent.json(&format!("/api/v1/metrics?component={id}"));
    let all = all.as_array().unwrap().iter();
    all.map(|one| (one["metric"].as_str().unwrap().to_owned(), one["y"].as_f64().unwrap_or(f64::NAN)))
        .collect()
}

/// The components that are absent.
fn absent(agent: &Agent) -> Vec<String> {
    let all = agent.json("/api/v1/anomalies?state=open");
    let all = all.as_array().unwrap().iter().map(|one| &one["anomaly"]);
    let absent = all.filter(|anomaly| anomaly["kind"] == "target_absent");
    absent.map(|anomaly| anomaly["component"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_prometheus_scrapes_is_watched_as_if_it_were_scraped_and_the_prometheus_too() {
    let Some(peers) = Peers::for_test(&[Peer::Prometheus, Peer::NodeExporter]) else { return };
    let (first, mut second) = (NodeExporter::start(&peers), NodeExporter::start(&peers));
    let targets = [first.address(), second.address()];
    let mut prometheus = Prometheus::start(&peers, &scraping(targets));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("larnax.yaml");
    fs::write(&file, config(targets, &prometheus)).unwrap();
    let agent = Agent::start("larnax-edge", &["--config", file.to_str().unwrap()]);
    let [asked, gone] = targets.map(|target| format!("service/asked/{target}"));
    let direct = format!("service/direct/{}", targets[0]);
    let server = format!("service/prometheus/{}", prometheus.address());
    for id in [&asked, &gone, &direct, &server] {
        eventually("the end of the warm-up", SOON, || {
            (component(&agent, id)["state"] == "normal").then_some(())
        });
    }

    let names = |id: &str| metrics(&agent, id).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let (by_asking, by_scraping) = (names(&asked), names(&direct));
    assert!(by_scraping.len() > 100, "{by_scraping:?}");
    assert_eq!(by_asking, by_scraping);
    let constant = |id: &str| {
        metrics(&agent, id).into_iter().find(|(name, _)| name == "node_memory_MemTotal_bytes").unwrap().1
    };
    assert_eq!(constant(&asked), constant(&direct));
    assert!(names(&server).contains("process_open_fds"), "{:?}", names(&server));

    second.stop();
    eventually("its absence", SOON, || (absent(&agent) == [gone.clone()]).then_some(()));
    let error = component(&agent, &gone)["sources"][0]["error"].to_string();
    assert!(error.contains("`up` is 0"), "{error}");
    second.start_again();
    eventually("its return", SOON, || absent(&agent).is_empty().then_some(()));

    prometheus.stop();
    eventually("the absence of the Prometheus", SOON, || (absent(&agent) == [server.clone()]).then_some(()));
    let error = component(&agent, &asked)["sources"][0]["error"].to_string();
    assert!(error.contains("refused"), "{error}");
    prometheus.start_again();
    eventually("its return", SOON, || {
        let up = component(&agent, &asked)["sources"][0]["up"] == true;
        (up && absent(&agent).is_empty()).then_some(())
    });
}
