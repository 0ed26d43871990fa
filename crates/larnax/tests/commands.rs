//! The other commands as a user runs them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use support::{larnax, print, run, stderr};

/// A program that is ended with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let top = print(folder.path(), &["--help"]);
    for command in [
        "up",
        "edge",
        "hub",
        "detect",
        "diagnose",
        "evaluate",
        "status",
        "incidents",
        "explain",
        "check",
        "models",
        "shop",
        "inject",
        "completions",
    ] {
        assert!(top.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not listed");
        let help = print(folder.path(), &[command, "--help"]);
        assert!(help.contains(&format!("\n  larnax {command}")), "{help}");
    }
    assert!(top.contains("Exit codes:"));
    assert!(print(folder.path(), &["check", "--help"]).contains("LARNAX_LISTEN"));
}

#[test]
fn what_is_no_command_exits_with_2_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["statsu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("status"), "{}", stderr(&output));
}

#[test]
fn completions_are_printed_for_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    assert!(print(folder.path(), &["completions", "bash"]).contains("_larnax()"));
    assert!(print(folder.path(), &["completions", "zsh"]).starts_with("#compdef larnax"));
}

#[test]
fn a_good_config_is_told_in_words_and_as_data_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let text = "scrape_configs: [{job_name: shop, static_configs: [{targets: ['127.0.0.1:9100']}]}]\n\
                api: {bearer_token: s3cret}\nalerts: {alertmanagers: ['http://127.0.0.1:9093']}\n";
    fs::write(folder.path().join("larnax.yaml"), text).unwrap();
    let words = print(folder.path(), &["check"]);
    for part in
        ["The config is right", "http://127.0.0.1:9100/metrics", "job shop", "Alertmanager at 127.0.0.1:9093"]
    {
        assert!(words.contains(part), "{words}");
    }
    let json = print(folder.path(), &["check", "larnax.yaml", "-o", "json"]);
    let config: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(config["scrape_configs"][0]["job_name"], "shop");
    let yaml = print(folder.path(), &["check", "-o", "yaml"]);
    assert!(!json.contains("s3cret") && !yaml.contains("s3cret") && !words.contains("s3cret"));
}

#[test]
fn a_bad_config_exits_with_3_and_says_where_and_what() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("larnax.yaml"), "intervall: 5s\nlisten: 0.0.0.0:7676\n").unwrap();
    let output = run(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("larnax.yaml:1:1") && said.contains("interval"), "{said}");
    assert!(said.contains("larnax.yaml:2:") && said.contains("bearer_token"), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(run(folder.path(), &["check", "none.yaml"]).status.code(), Some(3));
}

#[test]
fn asking_where_no_agent_is_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for command in ["status", "explain"] {
        let output = run(folder.path(), &[command, "--url", &format!("http://{address}")]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("no agent answers") && said.contains("start one with `larnax`"), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(folder.path(), &["up", "--listen", &address, "--state", "state"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&format!("can't listen on {address}")) && said.contains("--listen :0"), "{said}");
}

#[test]
fn a_running_agent_is_asked_for_its_status_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = larnax();
    command.current_dir(folder.path()).args([
        "up",
        "--listen",
        ":0",
        "--state",
        "state",
        "--interval",
        "100ms",
    ]);
    let mut agent = Agent(command.stderr(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(agent.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let page = lines.filter_map(|line| line.trim().strip_prefix("Page ").map(|url| url.trim().to_owned()));
    // Nobody reads what it says from here on; it goes on all the same.
    let url = page.take(1).last().unwrap();

    let status = print(folder.path(), &["status", "--url", &url]);
    assert!(status.contains("node/local/") && status.contains("No anomaly is open."), "{status}");
    let json = print(folder.path(), &["status", "--url", &url, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["components"][0]["group"], "host");
    let why = print(folder.path(), &["explain", "--url", &url]);
    assert!(why.contains("still learning what is normal"), "{why}");
    let unknown = run(folder.path(), &["explain", "node/local/nobody", "--url", &url]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no component `node/local/nobody`"), "{}", stderr(&unknown));
}

#[test]
fn warnings_of_a_config_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = "host: false\nalerts:\n  webhooks:\n    - url: https://127.0.0.1:9/hook\n      tls_config: {insecure_skip_verify: true}\n";
    fs::write(folder.path().join("larnax.yaml"), text).unwrap();
    let mut command = larnax();
    command.current_dir(folder.path()).args([
        "edge",
        "--config",
        "larnax.yaml",
        "--listen",
        ":0",
        "--state",
        "state",
    ]);
    let mut agent = Agent(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut warnings = 0;
    for line in BufReader::new(agent.0.stderr.take().unwrap()).lines().map_while(Result::ok) {
        warnings += usize::from(line.contains("insecure_skip_verify"));
        if line.contains("watching") {
            break;
        }
    }
    assert_eq!(warnings, 1);
}
