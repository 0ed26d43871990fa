//! Damaged files: whatever stands in them, the host source neither panics nor gives infinite values.

#![allow(clippy::unwrap_used, clippy::panic)]

mod host_tree;

use host_tree::Tree;
use larnax_collect::host::{CgroupPattern, ProcessGroup};
use proptest::prelude::*;
use regex_lite::Regex;

#[derive(Clone, Debug)]
enum Damage {
    Replace(Vec<u8>),
    Truncate(prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    /// Every number becomes this text.
    Numbers(&'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let texts = [
        "-",
        "99999999999999999999999",
        "\n",
        " ",
        "\0",
        ":",
        "-1",
        "18446744073709551615",
        "\u{fffd}",
        "max",
    ];
    prop_oneof![
        any::<Vec<u8>>().prop_map(Damage::Replace),
        any::<prop::sample::Index>().prop_map(Damage::Truncate),
        (any::<prop::sample::Index>(), prop::sample::select(texts.to_vec()))
            .prop_map(|(at, text)| Damage::Insert(at, text)),
        prop::sample::select(texts.to_vec()).prop_map(Damage::Numbers),
    ]
}

fn damaged(bytes: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match damage {
        Damage::Replace(other) => return other.clone(),
        Damage::Truncate(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Damage::Insert(at, text) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, text.bytes());
        }
        Damage::Numbers(text) => {
            let numbers = Regex::new(r"\b\d+\b").unwrap();
            return numbers.replace_all(&String::from_utf8_lossy(&bytes), *text).into_owned().into_bytes();
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_to_any_file_costs_values_only(
        fixture in prop::sample::select(vec!["raspberry-pi", "nvme-server", "container"]),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..12),
        at_start: bool,
    ) {
        let tree = Tree::of(fixture);
        tree.process(100, "nginx", "nginx\0", 200);
        let wound = |tree: &Tree| {
            let files = tree.files();
            for (file, damage) in &wounds {
                let file = &files[file.index(files.len())];
                let bytes = std::fs::read(file).unwrap();
                std::fs::write(file, damaged(&bytes, damage)).unwrap();
            }
        };
        if at_start {
            wound(&tree);
        }
        let mut host = tree.host_with(|options| {
            options.cgroups = vec![CgroupPattern::new("/**").unwrap()];
            options.processes = vec![ProcessGroup { name: "all".to_owned(), pattern: Regex::new(".").unwrap() }];
        });
        for second in 0..12 {
            if second == 4 {
                wound(&host.tree);
            }
            if host.try_collect(f64::from(second)).is_ok() {
                prop_assert!(host.values().iter().all(|value| value.is_nan() || (value.is_finite() && *value >= 0.0)));
            }
        }
    }
}
