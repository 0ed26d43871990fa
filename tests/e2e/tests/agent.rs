//! The agent beside real peers: what it serves, what it bears, how it ends.

use std::fs;
use std::time::Duration;

use larnax_test_peers::{Agent, NodeExporter, Peer, Peers, Prometheus, eventually};

fn has_samples(agent: &Agent) -> Option<()> {
    agent.json("/api/v1/components")[0]["last_sample"].is_string().then_some(())
}

#[test]
fn prometheus_scrapes_the_agents_own_metrics() {
    let Some(peers) = Peers::for_test(&[Peer::Prometheus]) else { return };
    let agent = Agent::start("larnax-edge", &["--host", "--interval", "1s"]);
    let prometheus = Prometheus::start(&peers, &Prometheus::scraping(agent.address(), "1s"));
    eventually("its metrics in Prometheus", Duration::from_secs(30), || {
        (!prometheus.query("anomaly_score{component=~'node/.*'}").is_empty()).then_some(())
    });
    for name in
        ["larnax_build_info", "larnax_source_up", "larnax_alert_budget_bar", "process_cpu_seconds_total"]
    {
        assert!(!prometheus.query(name).is_empty(), "{name}");
    }
}

#[test]
fn a_target_that_is_down_harms_no_other() {
    let Some(peers) = Peers::for_test(&[Peer::NodeExporter]) else { return };
    let exporter = NodeExporter::start(&peers);
    let agent = Agent::start(
        "larnax-edge",
        &["--scrape", "http://127.0.0.1:1/metrics", "--scrape", &exporter.url(), "--interval", "500ms"],
    );
    let components = eventually("both to be tried", Duration::from_secs(30), || {
        let components = agent.json("/api/v1/components");
        let tried = components[0]["sources"][0]["failures"].as_u64() > Some(2);
        (tried && components[1]["last_sample"].is_string()).then_some(components)
    });
    let error = components[0]["sources"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");
    assert!(components[1]["metrics"].as_u64() > Some(100), "{components}");
}

#[test]
fn a_damaged_model_is_set_aside_with_a_message_and_learning_goes_on() {
    let mut agent = Agent::start("larnax-edge", &["--host", "--interval", "100ms"]);
    eventually("samples", Duration::from_secs(30), || has_samples(&agent));
    assert!(agent.terminate().success());
    let models: Vec<_> =
        fs::read_dir(agent.state().join("models")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(!models.is_empty());
    for model in models {
        fs::write(model, b"12345678LRNX and then nonsense").unwrap();
    }
    agent.start_again();
    eventually("samples", Duration::from_secs(30), || has_samples(&agent));
    let notices = agent.json("/api/v1/status")["notices"].to_string();
    assert!(notices.contains(".damaged"), "{notices}");
}

#[test]
fn what_was_learnt_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("larnax.yaml");
    fs::write(&file, "interval: 100ms\nhost: true\ndetect: {warm_up: 5s}\n").unwrap();
    let mut agent = Agent::start("larnax-edge", &["--config", file.to_str().unwrap()]);
    eventually("the end of the warm-up", Duration::from_secs(60), || {
        (agent.json("/api/v1/components")[0]["state"] != "warming_up").then_some(())
    });
    assert!(agent.terminate().success());
    agent.start_again();
    eventually("samples", Duration::from_secs(30), || has_samples(&agent));
    assert_ne!(agent.json("/api/v1/components")[0]["state"], "warming_up");
}

#[test]
fn without_a_folder_that_can_be_written_it_watches_and_says_so() {
    let mut agent = Agent::start("larnax-edge", &["--host", "--interval", "100ms"]);
    assert!(agent.terminate().success());
    fs::remove_dir_all(agent.state()).unwrap();
    fs::write(agent.state(), "a file, not a folder").unwrap();
    agent.start_again();
    eventually("samples", Duration::from_secs(30), || has_samples(&agent));
    let notices = agent.json("/api/v1/status")["notices"].to_string();
    assert!(notices.contains("will not survive a restart"), "{notices}");
}

#[test]
fn a_reload_adds_and_removes_targets_and_a_bad_config_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("larnax.yaml");
    let job = |target: &str| {
        format!(
            "interval: 500ms\nscrape_configs: [{{job_name: j, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
    };
    fs::write(&file, job("127.0.0.1:1")).unwrap();
    let agent = Agent::start("larnax-edge", &["--config", file.to_str().unwrap()]);
    let id = || agent.json("/api/v1/components")[0]["id"].clone();
    assert_eq!(id(), "service/j/127.0.0.1:1");
    fs::write(&file, job("127.0.0.1:2")).unwrap();
    agent.reload();
    eventually("the new target", Duration::from_secs(10), || (id() == "service/j/127.0.0.1:2").then_some(()));
    fs::write(&file, "interval: 5 apples\n").unwrap();
    agent.reload();
    let notices = eventually("the error", Duration::from_secs(10), || {
        let notices = agent.json("/api/v1/status")["notices"].to_string();
        notices.contains("5 apples").then_some(notices)
    });
    assert!(notices.contains("the old one goes on"), "{notices}");
    assert_eq!(id(), "service/j/127.0.0.1:2");
}
