//! The examples of `docs/actions.md` are configs that are offered.
#![allow(clippy::unwrap_used)]

use larnax_act::catalogue;
use larnax_spec::Config;

#[test]
fn every_example_of_the_page_about_actions_can_be_offered() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/actions.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 9, "{}", examples.len());
    for example in examples {
        let text = if example.starts_with("actions:") {
            example.to_owned()
        } else {
            let indented: String = example.lines().map(|line| format!("    {line}\n")).collect();
            format!("actions:\n  - name: example\n    on: [\"service/shop/*\"]\n{indented}")
        };
        let (config, _) =
            Config::from_yaml(&text, "docs/actions.md").unwrap_or_else(|error| panic!("{text}\n{error}"));
        let offered = catalogue(&config.actions).unwrap();
        assert_eq!(offered.len(), 1, "{text}");
    }
}
