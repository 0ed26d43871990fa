//! The config that an agent needs to watch the shop, and to mend it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::{Remedy, Service};

/// Whether the config says who calls whom.
const WITH_TOPOLOGY: bool = true;

/// The config file for `larnax up --config`, with where each service is. `program` mends the shop, as `PROGRAM shop mend`; the shop's
/// folder is in that of the `state`. Both are absolute.
pub fn agent_config(services: &[(Service, SocketAddr)], program: &Path, state: &Path, acts: bool) -> String {
    config(services, program, state, WITH_TOPOLOGY, acts)
}

fn config(
    services: &[(Service, SocketAddr)],
    program: &Path,
    state: &Path,
    topology: bool,
    acts: bool,
) -> String {
    let mut text = String::from(
        "# Written by `larnax shop up`: what an agent needs to watch the shop.\n\
         interval: 1s\n\
         # Only the shop: whatever else this machine does is not its business.\n\
         host: false\n\
         detect:\n\
         \x20 # Faults are injected all day, and each is to be told.\n\
         \x20 alert_budget: 50/day\n\
         scrape_configs:\n",
    );
    // Writing to a string can't fail.
    for (service, address) in services {
        let _ = write!(
            text,
            "- job_name: {service}\n  static_configs:\n  - targets: [\"{address}\"]\n    labels: {{component: {}}}\n",
            service.component()
        );
    }
    if topology {
        text += "topology:\n  edges:\n";
        for (service, _) in services {
            for callee in service.calls() {
                let (from, to) = (service.component(), callee.component());
                let _ = writeln!(text, "  - {{from: {from}, to: {to}, kind: calls}}");
            }
        }
    }
    match (written(program), written(state)) {
        (Some(program), Some(state)) => actions(&mut text, &program, &state, acts),
        _ => {
            text +=
                "# No actions: the path of the program or of the state holds a brace, or no text of UTF-8.\n";
        }
    }
    text
}

/// As a text of YAML; none for what can't be one, or would be read as something else: in an action `{name}` is the component's name, and
/// anywhere `${NAME}` is a variable of the environment.
fn written(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| !text.contains('{'))?;
    // YAML reads what JSON writes.
    serde_json::to_string(text).ok()
}

/// What can be done, and what is allowed.
fn actions(text: &mut String, program: &str, state: &str, acts: bool) {
    text.push_str("actions:\n");
    for remedy in Remedy::ALL {
        let (risk, cost, metrics) = terms(remedy);
        let metrics: Vec<String> = metrics.iter().map(|metric| format!("'{metric}'")).collect();
        let _ = write!(
            text,
            "- name: {remedy}\n  summary: {}\n  on: ['service/shop/*']\n  metrics: [{}]\n  risk: {risk}\n  \
             cost: {cost}\n  timeout: 15s\n  helps_within: 90s\n  cooldown: 60s\n  command:\n    \
             run: [{program}, shop, mend, {remedy}, --on, '{{name}}', --state, {state}]\n    \
             dry_run: [{program}, shop, mend, {remedy}, --dry-run, --on, '{{name}}', --state, {state}]\n",
            remedy.summary(),
            metrics.join(", "),
        );
    }
    let (mode, means) = if acts {
        ("act", "What is known is mended, the rest is asked for.")
    } else {
        ("ask", "A person is asked.")
    };
    let _ = write!(
        text,
        "policies:\n# {means} Short times and high numbers, because faults are injected all day.\n\
         - on: ['service/shop/*']\n  mode: {mode}\n  cooldown: 60s\n  share: 0.5\n  most: 30\n",
    );
}

/// The risk of a remedy, how long it disturbs, and the metrics at whose sight somebody who knows such services would take it without
/// knowing the pattern.
const fn terms(remedy: Remedy) -> (&'static str, &'static str, &'static [&'static str]) {
    match remedy {
        Remedy::Restart => (
            "disruptive",
            "2s",
            &[
                "process_resident_memory_bytes",
                "process_open_fds",
                "process_cpu_seconds_total",
                "child_processes",
                "child_processes_started_total",
                "up",
            ],
        ),
        Remedy::CleanUp => ("safe", "0s", &["data_folder_bytes"]),
        // Late messages are seen in the same metrics as a slow service, and say little.
        Remedy::Reroute => ("disruptive", "1s", &[]),
        Remedy::RollBack => ("disruptive", "2s", &["http_requests_total{*status=\"500\"*}"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Vec<(Service, SocketAddr)> {
        Service::ALL
            .into_iter()
            .zip(7101..)
            .map(|(service, port)| (service, ([127, 0, 0, 1], port).into()))
            .collect()
    }

    fn text(program: &str) -> String {
        agent_config(&services(), Path::new(program), Path::new("/var/lib/larnax"), false)
    }

    #[test]
    fn an_agent_takes_the_config_and_names_each_component_for_its_service() {
        let (config, warnings) = larnax_spec::Config::from_yaml(&text("/usr/bin/larnax"), "test").unwrap();
        assert_eq!(warnings, []);
        let targets: Vec<_> = config.scrape_configs.iter().flat_map(|job| job.targets()).collect();
        let urls: Vec<&str> = targets.iter().map(|target| target.url.as_str()).collect();
        assert_eq!(urls[0], "http://127.0.0.1:7101/metrics");
        let components: Vec<&str> =
            targets.iter().map(|target| target.label("component").unwrap_or_default()).collect();
        assert_eq!(
            components,
            ["service/shop/web", "service/shop/orders", "service/shop/pay", "service/shop/stock"]
        );
        assert!(config.watched_host().is_none());
    }

    #[test]
    fn the_topology_has_an_edge_for_each_call() {
        let text = text("/usr/bin/larnax");
        let edges = text.lines().filter(|line| line.ends_with("kind: calls}")).count();
        assert_eq!(edges, 4);
        assert!(text.contains("{from: service/shop/orders, to: service/shop/pay, kind: calls}"), "{text}");
    }

    #[test]
    fn each_remedy_is_an_action_on_any_service_and_a_person_is_asked() {
        let (config, _) = larnax_spec::Config::from_yaml(&text("/usr/bin/larnax"), "test").unwrap();
        assert_eq!(config.actions.len(), Remedy::ALL.len());
        for (action, remedy) in config.actions.iter().zip(Remedy::ALL) {
            assert_eq!((action.name.as_str(), action.summary.as_str()), (remedy.name(), remedy.summary()));
            for service in Service::ALL {
                assert!(action.on.iter().any(|scope| scope.0.matches(&service.component())), "{action:?}");
            }
            let run = &action.command.as_ref().unwrap().run;
            let expected = ["shop", "mend", remedy.name(), "--on", "{name}", "--state", "/var/lib/larnax"];
            assert_eq!((run[0].as_str(), &run[1..]), ("/usr/bin/larnax", &expected.map(str::to_owned)[..]));
            assert!(action.patterns.is_empty());
        }
        let recommended = |metric: &str| -> Vec<&str> {
            let by =
                |action: &&larnax_spec::Action| action.metrics.iter().any(|scope| scope.0.matches(metric));
            config.actions.iter().filter(by).map(|action| action.name.as_str()).collect()
        };
        assert_eq!(recommended("process_open_fds"), ["restart"]);
        assert_eq!(recommended("data_folder_bytes"), ["clean-up"]);
        assert_eq!(recommended("http_requests_total{route=\"/items\",status=\"500\"}"), ["roll-back"]);
        assert!(recommended("http_requests_total{route=\"/items\",status=\"502\"}").is_empty());
        let policy = &config.policies[0];
        assert_eq!((policy.mode, policy.most, policy.share), (larnax_core::Mode::Ask, 30, 0.5));
        assert_eq!(policy.cooldown.as_secs(), 60);
    }

    #[test]
    fn odd_paths_reach_the_agent_as_they_are_and_those_that_can_t_are_left_out() {
        for odd in
            ["/a b/c: #d", "/it's/\"q\"", "/back\\slash/%s", "/tab\tnew\nline", "/über/🛒", "/$HOME/~&*!|>"]
        {
            let (config, warnings) = larnax_spec::Config::from_yaml(&text(odd), "test").unwrap();
            assert_eq!(warnings, []);
            assert_eq!(config.actions[0].command.as_ref().unwrap().run[0], odd);
        }
        for odd in ["/${HOME}/larnax", "/{name}/larnax"] {
            let text = text(odd);
            let (config, _) = larnax_spec::Config::from_yaml(&text, "test").unwrap();
            assert!(config.actions.is_empty() && text.contains("# No actions"), "{text}");
        }
    }
}
