//! For any text.

use larnax_spec::{Config, Environment};
use proptest::prelude::*;

/// The words that a config is made of, in any order.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "interval",
        "scrape_configs",
        "job_name",
        "global",
        "alerting",
        "alertmanagers",
        "tls_config",
        "basic_auth",
        "static_configs",
        "targets",
        "labels",
        "host",
        "alerts",
        "true",
        "5s",
        "1/week",
        ": ",
        ":\n",
        "\n",
        "\n  ",
        "- ",
        "\n- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&a ",
        "*a",
        "<<: ",
        "'",
        "\"",
        "!!str ",
        "~",
        "|\n",
        "${X}",
        "#",
        "---\n",
        "é",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// A catalogue and policies with anything in any of their fields.
fn acting() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "name",
        "on",
        "risk",
        "timeout",
        "cost",
        "signal",
        "pid_file",
        "restart",
        "run",
        "stop_within",
        "systemd",
        "unit",
        "cgroup",
        "path",
        "set",
        "command",
        "undo",
        "folder",
        "webhook",
        "to",
        "url",
        "virsh",
        "domain",
        "record",
        "file",
        "mode",
        "sure",
        "share",
        "most",
        "within",
        "maintenance",
        "days",
        "from",
        "until",
        "time_zone",
        "most_risk",
    ]);
    let value = prop::sample::select(vec![
        "a",
        "'*'",
        "['*', a/b]",
        "[service/shop/*]",
        "{}",
        "[]",
        "~",
        "0",
        "-1",
        ".nan",
        "1e400",
        "5s",
        "0s",
        "act",
        "safe",
        "'{name}'",
        "'{{'",
        "'}'",
        "'{nmae}'",
        "[{}]",
        "[a, '{x']",
        "{a: b}",
        "{memory.high: '{'}",
        "{pid_file: a}",
        "{run: [./a, '']}",
        "{unit: -a}",
        "{path: /../a}",
        "{to: {url: 'http://a'}}",
        "{to: http}",
        "22:00",
        "'25:61'",
        "[{from: 22:00, days: [mon]}]",
        "[{time_zone: 'A1B,M1.1.1,M2.2.2'}]",
        "[{time_zone: ',,,'}]",
        "é",
    ]);
    let map = prop::collection::btree_map(field, value, 0..8).prop_map(|map| {
        let fields: Vec<String> = map.iter().map(|(field, value)| format!("{field}: {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    });
    let list = || prop::collection::vec(map.clone(), 0..4).prop_map(|maps| format!("[{}]", maps.join(", ")));
    (list(), list()).prop_map(|(actions, policies)| format!("actions: {actions}\npolicies: {policies}\n"))
}

proptest! {
    #[test]
    fn no_catalogue_and_no_policy_makes_the_reader_panic(text in acting()) {
        if let Ok((config, _)) = Config::from_yaml(&text, "f") {
            let again = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(Config::from_yaml(&again, "f").unwrap().0.policies, config.policies);
        }
    }

    #[test]
    fn a_literal_text_stands_for_itself_and_no_text_is_too_strange(text in "[{}a-zé]{0,20}") {
        use larnax_spec::placeholder::{Piece, literal, pieces};
        let _ = pieces(&text);
        let literal = literal(&text);
        let plain: Option<String> = pieces(&literal).unwrap().into_iter().map(|piece| match piece {
            Piece::Text(text) => Some(text),
            Piece::Placeholder(_) => None,
        }).collect();
        prop_assert_eq!(plain, Some(text));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Config::from_yaml(&text, "f");
    }

    #[test]
    fn no_mixture_of_words_makes_the_reader_panic(text in words()) {
        let _ = Config::from_yaml(&text, "f");
    }

    #[test]
    fn no_cut_or_change_of_a_good_config_makes_the_reader_panic(at in 0usize..400, with in "\\PC{0,3}") {
        let good = "host: {processes: {a: 'b.*'}}\nglobal: {scrape_interval: 5s}\nscrape_configs:\n- &j\n  job_name: a\n  \
                    static_configs: [{targets: ['a:1', \"[::1]:2\"], labels: {a: 1.10}}]\n- <<: *j\n  job_name: b\n";
        let mut at = at.min(good.len());
        while !good.is_char_boundary(at) {
            at -= 1;
        }
        let _ = Config::from_yaml(&good[..at], "f");
        let _ = Config::from_yaml(&format!("{}{with}{}", &good[..at], &good[at..]), "f");
    }

    #[test]
    fn no_environment_makes_the_reader_panic(value in "\\PC{0,40}") {
        let all = larnax_spec::env::VARIABLES.iter().map(|variable| (variable.name.to_owned(), value.clone()));
        let environment: Environment = all.collect();
        let _ = Config::from_environment(&environment);
    }

    #[test]
    fn what_is_written_out_is_read_back(
        interval in 100u64..3_600_000,
        memory in 64u64 << 10..1 << 40,
        port in 1u16..,
        label in "\\PC{0,12}",
        alerts in 1u32..,
    ) {
        let config = Config {
            interval: larnax_spec::Period::millis(interval),
            evidence: larnax_spec::Evidence { max_bytes: larnax_spec::Bytes(memory) },
            listen: format!(":{port}").parse().unwrap(),
            external_labels: [("a".to_owned(), label.replace("${", "$"))].into(),
            detect: larnax_spec::Detect {
                alert_budget: format!("{alerts}/day").parse().unwrap(),
                ..Default::default()
            },
            host: Some(larnax_spec::Host::On(Default::default())),
            ..Config::default()
        };
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&config).unwrap();
        prop_assert_eq!(Config::from_yaml(&text, "f").map_err(|e| e.to_string()), Ok((config, Vec::new())));
    }
}

#[test]
fn an_empty_file_and_the_defaults_are_the_same() {
    for text in ["", "\n", "# nothing\n", "---\n", "{}", "scrape_configs:\nhost:\nalerts:\n"] {
        assert_eq!(Config::from_yaml(text, "f").unwrap(), (Config::default(), Vec::new()), "{text:?}");
    }
    for text in ["\u{feff}interval: 1s", "interval: 1s\r\nhost: true\r\n", "---\ninterval: 1s\n...\n"] {
        assert_eq!(Config::from_yaml(text, "f").unwrap().0.interval.to_string(), "1s", "{text:?}");
    }
    let text = serde_json::to_string(&Config::default()).unwrap();
    assert_eq!(Config::from_yaml(&text, "f").unwrap().0, Config::default());
    assert!(Config::default().watched_host().is_some());
}
