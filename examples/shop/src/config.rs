//! The config that an agent needs to watch the shop.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::Service;

/// Whether the config says who calls whom.
const WITH_TOPOLOGY: bool = true;

/// The config file for `larnax up --config`, with where each service is.
pub fn agent_config(services: &[(Service, SocketAddr)]) -> String {
    config(services, WITH_TOPOLOGY)
}

fn config(services: &[(Service, SocketAddr)], topology: bool) -> String {
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
    text
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

    #[test]
    fn an_agent_takes_the_config_and_names_each_component_for_its_service() {
        let (config, warnings) = larnax_spec::Config::from_yaml(&agent_config(&services()), "test").unwrap();
        assert_eq!(warnings, []);
        let targets: Vec<_> = config.scrape_configs.iter().flat_map(|job| job.targets()).collect();
        let urls: Vec<&str> = targets.iter().map(|target| target.url.as_str()).collect();
        assert_eq!(urls[0], "http://127.0.0.1:7101/metrics");
        let components: Vec<&str> =
            targets.iter().map(|target| target.labels["component"].as_str()).collect();
        assert_eq!(
            components,
            ["service/shop/web", "service/shop/orders", "service/shop/pay", "service/shop/stock"]
        );
        assert!(config.watched_host().is_none());
    }

    #[test]
    fn the_topology_has_an_edge_for_each_call() {
        let text = config(&services(), true);
        let edges = text.lines().filter(|line| line.ends_with("kind: calls}")).count();
        assert_eq!(edges, 4);
        assert!(text.contains("{from: service/shop/orders, to: service/shop/pay, kind: calls}"), "{text}");
    }
}
