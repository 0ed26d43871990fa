//! Prometheus configs as people have them.

use std::time::Duration;

use larnax_spec::{Auth, Config, ConfigErrors, Secret, SecretSource};

fn read(text: &str) -> Result<(Config, Vec<String>), ConfigErrors> {
    let (config, warnings) = Config::from_yaml(text, "prometheus.yml")?;
    Ok((config, warnings.iter().map(ToString::to_string).collect()))
}

#[test]
fn the_config_that_debian_ships_is_accepted() {
    let (config, warnings) = read(
        "\
# Sample config for Prometheus.

global:
  scrape_interval:     15s # Set the scrape interval to every 15 seconds. Default is every 1 minute.
  evaluation_interval: 15s # Evaluate rules every 15 seconds. The default is every 1 minute.
  # scrape_timeout is set to the global default (10s).

  # Attach these labels to any time series or alerts when communicating with
  # external systems (federation, remote storage, Alertmanager).
  external_labels:
      monitor: 'example'

# Alertmanager configuration
alerting:
  alertmanagers:
  - static_configs:
    - targets: ['localhost:9093']

# Load rules once and periodically evaluate them according to the global 'evaluation_interval'.
rule_files:
  # - \"first_rules.yml\"
  # - \"second_rules.yml\"

scrape_configs:
  # The job name is added as a label `job=<job_name>` to any timeseries scraped from this config.
  - job_name: 'prometheus'

    # Override the global default and scrape targets from this job every 5 seconds.
    scrape_interval: 5s
    scrape_timeout: 5s

    # metrics_path defaults to '/metrics'
    # scheme defaults to 'http'.

    static_configs:
      - targets: ['localhost:9090']

  - job_name: node
    # If prometheus-node-exporter is installed, grab stats about the local
    # machine by default.
    static_configs:
      - targets: ['localhost:9100']
",
    )
    .unwrap();
    assert_eq!(config.interval.0, Duration::from_secs(15));
    assert_eq!(config.external_labels["monitor"], "example");
    let (prometheus, node) = (&config.scrape_configs[0], &config.scrape_configs[1]);
    assert_eq!(config.scrape_interval(prometheus), Duration::from_secs(5));
    assert_eq!(config.scrape_timeout(node), Duration::from_secs(10));
    assert_eq!(node.targets().next().unwrap().url, "http://localhost:9100/metrics");
    let url = config.alerts.alertmanagers[0].url.as_ref().unwrap();
    assert_eq!(url.as_str(), "http://localhost:9093");
    assert!(config.watched_host().is_none(), "there is something else to watch");
    assert_eq!(
        warnings,
        ["prometheus.yml:5:3: global.evaluation_interval: has no effect: Larnax evaluates no rules"]
    );
}

#[test]
fn a_job_with_every_supported_field_is_accepted() {
    let (config, warnings) = read(
        "\
global: {scrape_timeout: 8s, sample_limit: 1000, body_size_limit: 4MB}
scrape_configs:
- job_name: everything
  scrape_interval: 1m30s
  scrape_protocols: [OpenMetricsText1.0.0, PrometheusText0.0.4]
  enable_http2: false
  metrics_path: /probe
  scheme: https
  params: {module: [http_2xx], target: ['a b', c]}
  follow_redirects: false
  enable_compression: false
  basic_auth: {username: me, password: hunter2}
  tls_config: {ca_file: ca.pem, cert_file: c.pem, key_file: k.pem, server_name: x, min_version: TLS12}
  label_limit: 30
  relabel_configs: []
  static_configs:
  - targets: [a.example, '[::1]:9100', 10.0.0.7:443]
    labels: {version: 1.10, on: yes, port: 0x10, empty: ''}
",
    )
    .unwrap();
    let job = &config.scrape_configs[0];
    let urls: Vec<String> = job.targets().map(|target| target.url).collect();
    let tail = "/probe?module=http_2xx&target=a%20b&target=c";
    assert_eq!(
        urls,
        [
            format!("https://a.example{tail}"),
            format!("https://[::1]:9100{tail}"),
            format!("https://10.0.0.7:443{tail}")
        ]
    );
    assert_eq!((config.scrape_timeout(job), config.body_size(job)), (Duration::from_secs(8), 4_000_000));
    assert_eq!(job.sample_limit, 1000);
    let labels = &job.static_configs[0].labels;
    assert_eq!(
        (labels["version"].as_str(), labels["on"].as_str(), labels["port"].as_str()),
        ("1.10", "yes", "0x10")
    );
    let password = Secret::new("hunter2");
    let auth = Auth::Basic { username: "me", password: Some(SecretSource::Inline(&password)) };
    assert_eq!(job.auth(), auth);
    assert!(!format!("{config:?}{}", serde_json::to_string(&config).unwrap()).contains("hunter2"));
    assert_eq!(
        warnings,
        [
            "prometheus.yml:5:3: scrape_configs[0].scrape_protocols: has no effect: Larnax reads the Prometheus text \
             format and OpenMetrics and tells them apart by itself",
            "prometheus.yml:13:84: scrape_configs[0].tls_config.min_version: has no effect: TLS 1.2 and 1.3 are spoken, \
             never less",
            "prometheus.yml:14:3: scrape_configs[0].label_limit: has no effect: Larnax limits the length of a line and the \
             number of series instead",
        ]
    );
}

#[test]
fn anchors_and_merge_keys_are_understood() {
    let (config, _) = read(
        "\
scrape_configs:
- &base
  job_name: a
  scrape_interval: 3s
  static_configs: [{targets: [a:1]}]
- <<: *base
  job_name: b
  static_configs: [{targets: [b:1]}]
",
    )
    .unwrap();
    let names: Vec<&str> = config.scrape_configs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.scrape_configs[1].scrape_interval.unwrap().0, Duration::from_secs(3));
}

#[test]
fn what_would_change_what_is_watched_is_an_error_that_says_what_to_do() {
    let text = "\
alerting:
  alert_relabel_configs: [{action: drop}]
  alertmanagers:
  - kubernetes_sd_configs: [{role: pod}]
    api_version: v1
scrape_configs:
- job_name: a
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs: [{action: keep}]
  metric_relabel_configs: [{action: drop}]
  oauth2: {client_id: x}
  tls_config: {min_version: TLS13}
  proxy_url: http://proxy:3128
  relable_configs: []
  static_configs: [{targets: [a:1]}]
";
    let errors = Config::from_yaml(text, "p.yml").unwrap_err();
    let lines: Vec<String> = errors.problems.iter().map(ToString::to_string).collect();
    let starts = [
        "p.yml:2:3: alerting.alert_relabel_configs: not supported yet: it would rewrite",
        "p.yml:4:5: alerting.alertmanagers[0].kubernetes_sd_configs: not supported yet: it would find",
        "p.yml:5:18: alerting.alertmanagers[0].api_version: expected `v2`",
        "p.yml:8:3: scrape_configs[0].kubernetes_sd_configs: not supported yet: it would find targets by itself; list \
         them in static_configs, or have them found by file_sd_configs or http_sd_configs",
        "p.yml:9:3: scrape_configs[0].relabel_configs: not supported yet: it would choose targets",
        "p.yml:10:3: scrape_configs[0].metric_relabel_configs: not supported yet: it would drop and rewrite metrics; \
         choose them with `metrics.include` and `metrics.exclude`",
        "p.yml:11:3: scrape_configs[0].oauth2: not supported yet: it would fetch a token",
        "p.yml:12:29: scrape_configs[0].tls_config.min_version: not supported yet: it would refuse TLS 1.2",
        "p.yml:13:3: scrape_configs[0].proxy_url: not supported yet: it would go through a proxy",
        "p.yml:14:3: scrape_configs[0].relable_configs: unknown field, expected one of job_name",
    ];
    assert_eq!(lines.len(), starts.len(), "{errors}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}
