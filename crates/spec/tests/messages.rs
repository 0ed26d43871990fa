//! What a person is told about a bad config, to the letter.

use larnax_spec::{Config, Environment};

fn errors(text: &str) -> String {
    match Config::from_yaml(text, "larnax.yaml") {
        Err(errors) => errors.to_string(),
        Ok(_) => "accepted".to_owned(),
    }
}

#[test]
fn each_bad_config_has_its_message() {
    let table = [
        (
            "intervall: 5s",
            "larnax.yaml:1:1: intervall: unknown field, expected one of interval, state, listen, api, \
          external_labels, host, scrape_configs, global, metrics, limits, detect, alerts, alerting, evidence, \
          hub, topology, actions, policies; did you mean interval?",
        ),
        (
            "interval: 5",
            "larnax.yaml:1:11: interval: found `5`, expected a duration such as `5s`, `100ms` or `1h30m` \
          (whole numbers; units y, w, d, h, m, s, ms, us)",
        ),
        ("interval: 10ms", "larnax.yaml:1:11: interval: found `10ms`, expected from 100ms to 1h"),
        ("interval: [5s]", "larnax.yaml:1:11: interval: found a list, expected a text"),
        ("- a", "larnax.yaml:1:1: found a list, expected a map (`field: value`)"),
        (
            "interval: 5s\ninterval: 6s",
            "larnax.yaml:2:1: interval: given twice; the first is on line 1: keep one of them",
        ),
        (
            "listen: 0.0.0.0:7676",
            "larnax.yaml:1:9: listen: 0.0.0.0:7676 can be reached from other machines, so \
          api.bearer_token_file or api.bearer_token is needed; or listen on loopback, as in `:7676`",
        ),
        ("host: yes", "larnax.yaml:1:7: host: found `yes`, expected `true`, `false` or a map with settings"),
        (
            "host: {include: ['(']}",
            "larnax.yaml:1:18: host.include[0]: found `(`, expected a regular expression: found \
          open group without closing ')'",
        ),
        (
            "metrics: {rules: [{data_range: [0, 1]}]}",
            "larnax.yaml:1:19: metrics.rules[0].match: missing, expected a regular expression such as \
          `.*_latency_seconds`",
        ),
        (
            "metrics: {rules: [{match: '('}]}",
            "larnax.yaml:1:27: metrics.rules[0].match: found `(`, expected a regular expression: found open group \
          without closing ')'",
        ),
        (
            "host: {metric_rules: [{match: a, min_dev_from_expected: -1}]}",
            "larnax.yaml:1:57: host.metric_rules[0].min_dev_from_expected: found `-1`, expected a number that is not \
          negative",
        ),
        (
            "metrics: {rules: [{match: a, detection_direction: above}]}",
            "larnax.yaml:1:51: metrics.rules[0].detection_direction: found `above`, expected one of both, \
          above_expected, below_expected",
        ),
        (
            "scrape_configs: [{job_name: a, metric_rules: [{match: a, data_range: [1, 0]}]}]",
            "larnax.yaml:1:70: scrape_configs[0].metric_rules[0].data_range: found `[1, 0]`, expected the lowest and \
          the highest possible value, such as `[0, 100]` or `[0, inf]`",
        ),
        (
            "metrics: {rules: [{match: a, data_range: [0, 1, 2]}]}",
            "larnax.yaml:1:42: metrics.rules[0].data_range: found `[0, 1, 2, …]`, expected the lowest and the highest \
          possible value, such as `[0, 100]` or `[0, inf]`",
        ),
        (
            "metrics: {rules: [{match: a, data_range: [0, high]}]}",
            "larnax.yaml:1:42: metrics.rules[0].data_range: found `[0, high]`, expected the lowest and the \
          highest possible value, such as `[0, 100]` or `[0, inf]`",
        ),
        (
            "detect: {detector: brich}",
            "larnax.yaml:1:20: detect.detector: found `brich`, expected one of birch, auto, arima, arima_ogd, arima_ons, pca, lstm; did you mean birch?",
        ),
        (
            "detect: {alert_budget: 1/year}",
            "larnax.yaml:1:24: detect.alert_budget: found `1/year`, expected a number of \
          alerts per day, week or month, such as `1/week` or `3/day`",
        ),
        (
            "alerts: {alertmanagers: ['localhost:9093']}",
            "larnax.yaml:1:26: alerts.alertmanagers[0]: found \
          `localhost:9093`, expected a URL such as `http://127.0.0.1:9093` (it begins with http:// or https://)",
        ),
        (
            "alerts: {alertmanagers: [{timeout: 5s}]}",
            "larnax.yaml:1:26: alerts.alertmanagers[0].url: missing, expected a \
          URL such as `http://127.0.0.1:9093`",
        ),
        (
            "alerts: {alertmanagers: ['http://a', {url: 'http://a'}]}",
            "larnax.yaml:1:38: alerts.alertmanagers[1]: \
          the same URL as alertmanagers[0]: keep one of them",
        ),
        (
            "hub: {}",
            "larnax.yaml:1:1: hub.url: missing, expected a URL such as `https://hub.example.org:7677`",
        ),
        (
            "hub: {url: 'http://hub.example.org', bearer_token: hunter2}",
            "larnax.yaml:1:12: hub.url: found `http://hub.example.org`, expected https:// because a token is sent to \
          another machine; if the way there is safe without, say `allow_plain_token: true`",
        ),
        (
            "hub: {url: 'https://hub/?a', bearer_token: '', proxy_url: 'http://p:1/x', tls_config: {cert_file: c}}",
            "larnax.yaml:1:12: hub.url: found `https://hub/…`, expected an address without `?…`\n\
          larnax.yaml:1:44: hub.bearer_token: found an empty text, expected a token\n\
          larnax.yaml:1:59: hub.proxy_url: found `http://p:1/…`, expected no path: a proxy has none\n\
          larnax.yaml:1:75: hub.tls_config.key_file: missing: cert_file needs its key",
        ),
        (
            "hub: {url: 'https://hub', bearer_token: a, bearer_token_file: b}",
            "larnax.yaml:1:1: hub: found bearer_token and bearer_token_file, expected one of them",
        ),
        (
            "topology: {edges: [{from: orders, to: service/shop/stock}]}",
            "larnax.yaml:1:27: topology.edges[0].from: found `orders`, expected a component such as \
          `service/shop/orders` (kind/scope/name without white space)",
        ),
        (
            "topology: {edges: [{from: a/b/c, to: a/b/d, kind: uses}]}",
            "larnax.yaml:1:51: topology.edges[0].kind: found `uses`, expected one of calls, runs_on",
        ),
        (
            "topology: {edges: [{from: a/b/c}, {from: a/b/c, to: a/b/c}, {from: a/b/c, to: a/b/d}], \
          remove: [{from: a/b/c, to: a/b/d, kind: runs_on}, {from: a/b/c, to: a/b/d}]}",
            "larnax.yaml:1:20: topology.edges[0].to: missing, expected a component such as `service/shop/orders`\n\
          larnax.yaml:1:35: topology.edges[1]: found the same component twice, expected two different ones\n\
          larnax.yaml:1:138: topology.remove[1]: the same edge as edges[2]: keep one of them",
        ),
        (
            "topology: {components: [{id: a/b/c, labels: {1a: x}}, {id: a/b/c}, {labels: {a: b}}]}",
            "larnax.yaml:1:50: topology.components[0].labels.1a: a label's name has letters, digits and `_` only and \
          begins with no digit\n\
          larnax.yaml:1:60: topology.components[1].id: the same component as components[0]: keep one of them\n\
          larnax.yaml:1:68: topology.components[2].id: missing, expected a component such as `service/shop/orders`",
        ),
        (
            "scrape_configs: [{job_name: a, follow_redirects: y}]",
            "larnax.yaml:1:50: scrape_configs[0].follow_redirects: found \
          `y`, expected `true` or `false`",
        ),
        (
            "scrape_configs: [{job_name: a, scrape_interval: 5s, scrape_timeout: 6s}]",
            "larnax.yaml:1:69: \
          scrape_configs[0].scrape_timeout: found `6s`, expected at most the interval of this job, which is 5s",
        ),
        (
            "scrape_configs: [{job_name: a}, {job_name: a}]",
            "larnax.yaml:1:44: scrape_configs[1].job_name: `a` is the name \
          of scrape_configs[0] too, expected a name that no other job has",
        ),
        (
            "scrape_configs: [{static_configs: [{targets: ['a:1']}]}]",
            "larnax.yaml:1:18: scrape_configs[0].job_name: \
          missing, expected a name that no other job has",
        ),
        (
            "scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1', 'a:1']}]}]",
            "larnax.yaml:1:67: \
          scrape_configs[0].static_configs[0].targets[1]: `a:1` is scraped already by \
          scrape_configs[0].static_configs[0].targets[0]: each endpoint is scraped once",
        ),
        (
            "scrape_configs: [{job_name: a, static_configs: [{targets: ['http://a:1/m']}]}]",
            "larnax.yaml:1:60: \
          scrape_configs[0].static_configs[0].targets[0]: found `http://a:1/m`, expected `host:port`, such as \
          `127.0.0.1:9100`: scheme and path are fields of the job",
        ),
        (
            "scrape_configs: [{job_name: a, sample_limit: -1}]",
            "larnax.yaml:1:46: scrape_configs[0].sample_limit: found \
          `-1`, expected a whole number that is not negative",
        ),
        (
            "scrape_configs: [{job_name: a, tls_config: {cert_file: c.pem}}]",
            "larnax.yaml:1:32: \
          scrape_configs[0].tls_config.key_file: missing: cert_file needs its key",
        ),
        (
            "external_labels: {a-b: c}",
            "larnax.yaml:1:24: external_labels.a-b: a label's name has letters, digits and `_` \
          only and begins with no digit",
        ),
        (
            "evidence: {max_bytes: 1KiB}",
            "larnax.yaml:1:23: evidence.max_bytes: found `1KiB`, expected at least `64KiB`",
        ),
        (
            "interval: 1s\nglobal: {scrape_interval: 2s}",
            "larnax.yaml:2:27: global.scrape_interval: `interval` says 1s \
          already: keep one of them",
        ),
        (
            "global: {scrape_interval: 1ms}",
            "larnax.yaml:1:27: global.scrape_interval: found `1ms`, expected from 100ms to \
          1h",
        ),
        (
            "global: {external_labels: {__a: b}}",
            "larnax.yaml:1:33: global.external_labels.__a: a label's name that begins \
          with `__` is for relabelling, which is not supported yet",
        ),
        (
            "alerting: {alertmanagers: [{timeout: 0s, static_configs: [{targets: ['a:1']}]}]}",
            "larnax.yaml:1:38: \
          alerting.alertmanagers[0].timeout: found `0s`, expected a longer time",
        ),
        (
            "detect: {detector: auto, cpu_budget: 0us}",
            "larnax.yaml:1:38: detect.cpu_budget: found `0s`, expected a longer time",
        ),
        (
            "state: ${NOWHERE}",
            "larnax.yaml:1:8: state: the environment variable `NOWHERE` is not set; set it, or write \
          `$${NOWHERE}` for the text itself",
        ),
        (
            "a: 1\n---\nb: 1",
            "larnax.yaml:2:1: a second document begins here; expected one document in the file",
        ),
        ("state: !secret x", "larnax.yaml:1:16: the tag `!secret` means nothing here: leave it out"),
    ];
    for (text, message) in table {
        assert_eq!(errors(text), message, "{text}");
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text = "\
interval: soon
listen: 0.0.0.0:1
scrape_configs:
- nonsense
- job_name: a
  scrape_intervall: 5s
  scrape_timeout: 1m
  static_configs:
  - targets: [a b]
- {job_name: a, metrics_path: metrics}
detect: {warm_up: 0s}
";
    let lines: Vec<String> = errors(text).lines().map(str::to_owned).collect();
    let starts = [
        "larnax.yaml:1:11: interval: found `soon`",
        "larnax.yaml:2:9: listen: 0.0.0.0:1 can",
        "larnax.yaml:4:3: scrape_configs[0]: found `nonsense`",
        "larnax.yaml:6:3: scrape_configs[1].scrape_intervall: unknown",
        "larnax.yaml:7:19: scrape_configs[1].scrape_timeout: found `1m`",
        "larnax.yaml:9:15: scrape_configs[1].static_configs[0].targets[0]",
        "larnax.yaml:10:14: scrape_configs[2].job_name: `a` is",
        "larnax.yaml:10:31: scrape_configs[2].metrics_path: found",
        "larnax.yaml:11:19: detect.warm_up: found `0s`",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn a_text_that_is_no_yaml_says_where() {
    for (text, start) in [
        ("a: [1, 2", "larnax.yaml:1:"),
        ("a: 'x", "larnax.yaml:1:"),
        ("a: b: c", "larnax.yaml:1:"),
        ("a: *b", "larnax.yaml:1:4"),
    ] {
        let message = errors(text);
        assert!(message.starts_with(start) && message.contains("not YAML"), "{text}: {message}");
    }
}

#[test]
fn a_secret_is_never_in_a_message() {
    for text in [
        "api: hunter2",
        "api: {bearer_token: [hunter2]}",
        "scrape_configs: [{job_name: a, basic_auth: hunter2}]",
        "scrape_configs: [{job_name: a, authorization: hunter2}]",
        "scrape_configs: [{job_name: a, basic_auth: {username: x, password: {hunter2: x}}}]",
        "alerts: {webhooks: ['http://me:hunter2@host']}",
        "alerts: {webhooks: ['https://a/hunter2', 'https://a/hunter2']}",
        "alerts: {webhooks: ['https:/a/hunter2']}",
        "alerts: {webhooks: ['https://a/hunter2?ü']}",
        "alerts: {webhooks: [{url: 'http://me:hunter2@host'}]}",
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['me:hunter2@host:1']}]}]",
    ] {
        let message = errors(text);
        assert!(!message.contains("hunter2") && message.starts_with("larnax.yaml:1:"), "{text}: {message}");
    }
}

#[test]
fn a_name_that_looks_like_a_boolean_stays_a_text() {
    let text = "external_labels: {a: y, b: n, c: no, d: true, e: 007, f: 1.50}";
    let (config, _) = Config::from_yaml(text, "f").unwrap();
    let values: Vec<&str> = config.external_labels.values().map(String::as_str).collect();
    assert_eq!(values, ["y", "n", "no", "true", "007", "1.50"]);
}

#[test]
fn an_alias_bomb_and_a_tower_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
    }
    assert!(errors(&bomb).contains("more than 200000 values"), "{}", errors(&bomb));
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    assert!(errors(&deep).contains("nested more than 48"), "{}", errors(&deep));
    let mut tower = "a0: &a0 [[[[[[[[x]]]]]]]]\n".to_owned();
    for level in 1..20 {
        tower.push_str(&format!("a{level}: &a{level} [[[[*a{}]]]]\n", level - 1));
    }
    assert!(errors(&tower).contains("nested more than 48"), "{}", errors(&tower));
    assert!(errors(&"x".repeat(9 << 20)).contains("expected at most 8388608"));
    assert!(errors("a: &a [*a]").contains("alias"), "{}", errors("a: &a [*a]"));
}

#[test]
fn the_environment_overrides_the_file_and_fills_it_in() {
    let environment: Environment = [
        ("LARNAX_INTERVAL", "1s"),
        ("LARNAX_ALERTMANAGER_URL", "http://a:1, http://b:2"),
        ("LARNAX_SCRAPE", "http://127.0.0.1:9100/metrics"),
        ("LARNAX_EXTERNAL_LABELS", "site=ghent"),
        ("LARNAX_LISTEN", ""),
        ("LARNAX_INTERVALL", "1s"),
        ("LARNAX_SERVICE_HOST", "10.0.0.1"),
        ("PASSWORD", "hunter2"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect();
    let text = "\
interval: 9s
external_labels: {site: gone, rack: r1}
scrape_configs:
- job_name: a
  basic_auth: {username: '$${PASSWORD}', password: '${PASSWORD}'}
  metrics_path: /${1}$
";
    let (config, warnings) = Config::from_yaml_in(text, "f", &environment).unwrap();
    assert_eq!(config.interval.to_string(), "1s");
    assert_eq!(config.external_labels["site"], "ghent");
    assert_eq!(config.alerts.alertmanagers.len(), 2);
    assert_eq!(config.scrape_configs[1].job_name, "127.0.0.1:9100");
    let auth = config.scrape_configs[0].basic_auth.as_ref().unwrap();
    assert_eq!(auth.username, "${PASSWORD}");
    assert_eq!(auth.password.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(config.scrape_configs[0].metrics_path, "/${1}$");
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.contains(
            &"environment: LARNAX_INTERVALL: has no effect: no such variable; did you mean LARNAX_INTERVAL?"
                .to_owned()
        )
    );
    assert!(!warnings.iter().any(|warning| warning.contains("SERVICE")), "{warnings:?}");

    let open = [("LARNAX_LISTEN".to_owned(), "0.0.0.0:1".to_owned())].into_iter().collect();
    let errors = Config::from_yaml_in("listen: :7676", "f", &open).unwrap_err().to_string();
    assert!(errors.starts_with("environment: LARNAX_LISTEN: 0.0.0.0:1 can be reached"), "{errors}");

    let bad = [("LARNAX_INTERVAL".to_owned(), "often".to_owned())].into_iter().collect();
    let errors = Config::from_environment(&bad).unwrap_err().to_string();
    assert!(
        errors.starts_with("environment: LARNAX_INTERVAL: found `often`, expected a duration"),
        "{errors}"
    );
}

#[test]
fn files_are_found_beside_the_config_and_checked_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larnax.yaml");
    let text = "\
api: {bearer_token_file: token}
scrape_configs:
- job_name: a
  static_configs: [{targets: [a:1]}]
  tls_config: {ca_file: ca.pem}
  basic_auth: {username: a, password_file: /nowhere/password}
alerts: {jsonl: '-'}
";
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("token"), "t\n").unwrap();
    std::fs::write(folder.path().join("ca.pem"), "no pem\n").unwrap();
    let environment = [("LARNAX_STATE".to_owned(), "here".to_owned())].into_iter().collect();
    let (config, warnings) = Config::load(&path, &environment).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.state, Some("here".into()), "relative to where the program runs");
    assert_eq!(config.api.bearer_token_file, Some(folder.path().join("token")));
    assert_eq!(config.api.token().unwrap().read().unwrap().expose(), "t");
    let errors = config.check_files().unwrap_err();
    let lines: Vec<String> = errors.problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines[0].starts_with(
        "config: scrape_configs[0].basic_auth.password_file: `/nowhere/password` can't be used"
    ));
    assert!(lines[1].contains("tls_config.ca_file") && lines[1].contains("expected PEM"), "{errors}");

    let missing =
        Config::load(&folder.path().join("none.yaml"), &Environment::default()).unwrap_err().to_string();
    assert!(missing.contains("none.yaml: the config file can't be read"), "{missing}");
    std::fs::write(&path, b"a: 1\nb: \xff\n").unwrap();
    let binary = Config::load(&path, &Environment::default()).unwrap_err().to_string();
    assert!(binary.contains("bytes on line 2 that are no UTF-8"), "{binary}");
}

#[test]
fn a_hub_and_a_topology_are_read_and_the_topology_becomes_a_delta() {
    let text = "\
hub: {url: 'http://127.0.0.1:7677', bearer_token: hunter2, proxy_url: 'http://p:3128'}
topology:
  edges:
  - {from: service/shop/api, to: service/shop/orders}
  - {from: service/shop/api, to: node/local/n1, kind: runs_on}
  remove: [{from: service/shop/api, to: service/ops/backup}]
  components: [{id: service/shop/api, labels: {team: red}}]
";
    let (config, warnings) = Config::from_yaml(text, "f").unwrap();
    assert_eq!(warnings, []);
    let hub = config.hub.as_ref().unwrap();
    assert_eq!(hub.token().unwrap().read().unwrap().expose(), "hunter2");
    let delta = config.topology.delta("f");
    assert_eq!((delta.edges.len(), delta.removed_edges.len(), delta.components.len()), (2, 1, 1));
    assert_eq!(delta.edges[1].kind, larnax_core::EdgeKind::RunsOn);
    assert_eq!((delta.source, delta.ttl_seconds), (larnax_core::TopologySource::Config, None));
    let json = serde_json::to_string(&config).unwrap();
    assert!(!json.contains("hunter2"), "{json}");

    let text = "hub: {url: 'http://hub', bearer_token: hunter2, allow_plain_token: true, tls_config: {}}";
    let (_, warnings) = Config::from_yaml(text, "f").unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("f:1:68: hub.allow_plain_token: the token is sent unencrypted"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("hub.tls_config: has no effect"), "{warnings:?}");

    let environment: Environment = [("LARNAX_HUB_URL", "http://hub:1"), ("LARNAX_HUB_TOKEN", "hunter2")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let errors = Config::from_environment(&environment).unwrap_err().to_string();
    assert!(
        errors.starts_with("environment: LARNAX_HUB_URL: found `http://hub:1`, expected https://"),
        "{errors}"
    );
    let token = [("LARNAX_HUB_TOKEN".to_owned(), "hunter2".to_owned())].into_iter().collect();
    assert_eq!(Config::from_environment(&token).unwrap().0.hub, None);
}

#[test]
fn rules_of_metrics_are_read_and_written_with_open_ends_and_idle_ones_are_warned_of() {
    let text = "metrics:\n  rules:\n  - {match: up, data_range: [1, 1]}\n  \
                - {match: '.*_seconds', min_dev_from_expected: 0.05, detection_direction: above_expected, data_range: [0, inf]}\n  \
                - {match: t, data_range: [-inf, 1e3]}\n  - {match: up, min_dev_from_expected: 1}\n  - {match: idle}\n";
    let (config, warnings) = Config::from_yaml(text, "larnax.yaml").unwrap();
    let rules = &config.metrics.rules;
    assert_eq!(rules[1].min_dev_from_expected, Some(0.05));
    assert_eq!(rules[1].detection_direction, Some(larnax_spec::DetectionDirection::AboveExpected));
    let ranges: Vec<(f64, f64)> =
        rules.iter().filter_map(|rule| rule.data_range).map(|range| (range.low(), range.high())).collect();
    assert_eq!(ranges, [(1.0, 1.0), (0.0, f64::INFINITY), (f64::NEG_INFINITY, 1e3)]);
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings[0].starts_with("larnax.yaml:6:13: metrics.rules[3].match: the same pattern as rule [0]"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].starts_with("larnax.yaml:7:13: metrics.rules[4].match: it says nothing"),
        "{warnings:?}"
    );

    let json = serde_json::to_string(&config).unwrap();
    let (again, _) = Config::from_yaml(&json, "larnax.json").unwrap();
    assert_eq!(again, config);
}

#[test]
fn a_budget_of_cpu_for_a_detector_that_takes_no_notice_of_it_is_warned_of() {
    let (config, warnings) =
        Config::from_yaml("detect: {detector: pca, cpu_budget: 50us}", "larnax.yaml").unwrap();
    assert_eq!(config.detect.cpu_budget.map(|budget| budget.to_string()), Some("50us".to_owned()));
    assert!(warnings[0].to_string().contains("only the detector `auto` keeps to it; `pca`"), "{warnings:?}");
    let (_, warnings) =
        Config::from_yaml("detect: {detector: auto, cpu_budget: 50us}", "larnax.yaml").unwrap();
    assert_eq!(warnings, []);
}
