//! Checks of `policies`.

use larnax_core::{Mode, Risk};

use super::{Findings, positive};
use crate::config::Config;
use crate::path::Path;
use crate::policies::Policy;
use crate::value::Scope;

/// Whoever is less sure of a cause than this is more often wrong than right.
const SURE: f64 = 0.5;

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    let root = Path::root().key("policies");
    for (index, policy) in config.policies.iter().enumerate() {
        let path = root.index(index);
        one(policy, &path, findings);
        covered(config.policies.get(..index).unwrap_or_default(), policy, &path, findings);
    }
    // A hub may report to another one; only an agent watches something.
    let is_agent = !config.scrape_configs.is_empty() || !config.actions.is_empty() || config.host.is_some();
    let reports = config.hub.as_ref().is_some_and(|hub| hub.url.is_some());
    if !config.policies.is_empty() && is_agent && reports {
        let message =
            "has no effect: this agent reports to a hub, and that hub's config says what is allowed";
        findings.warning(root, message);
    }
}

fn one(policy: &Policy, path: &Path, findings: &mut Findings<'_>) {
    let acts = policy.mode == Mode::Act;
    if policy.on.is_empty() {
        findings.error(path.key("on"), "missing, expected components such as `[\"service/shop/*\"]`");
    }
    if acts {
        for (index, scope) in policy.on.iter().enumerate().filter(|(_, scope)| scope.0.is_everything()) {
            let message = format!(
                "found `{scope}`, which with `mode: act` would act on everything; expected kinds or scopes by their \
                 names, such as `service/shop/*`"
            );
            findings.error(path.key("on").index(index), message);
        }
    }
    for (name, value) in [("sure", policy.sure), ("share", policy.share)] {
        if !(0.0..=1.0).contains(&value) {
            findings.error(path.key(name), format!("found `{value}`, expected a number from 0 to 1"));
        }
    }
    if acts && policy.sure < SURE {
        let message = format!(
            "found `{}`: it acts where the cause is more likely another one; expected at least {SURE}",
            policy.sure
        );
        findings.warning(path.key("sure"), message);
    }
    if policy.most == 0 {
        let message = "found `0`, expected at least 1; to do nothing, say `mode: observe`";
        findings.error(path.key("most"), message);
    }
    positive(policy.within, &path.key("within"), findings);
    positive(policy.answer_within, &path.key("answer_within"), findings);
    if acts && policy.most_risk == Risk::Destructive {
        let message =
            "found `destructive`: what is destructive is never done without approval, also with `mode: act`";
        findings.warning(path.key("most_risk"), message);
    }
    for (index, maintenance) in policy.maintenance.iter().enumerate() {
        if maintenance.is_always() {
            let message =
                "it is always such a time, so nothing is ever done; expected days, or from and until";
            findings.warning(path.key("maintenance").index(index), message);
        }
    }
}

/// Warns of a policy that no component comes to: each of its scopes lies within one that comes first.
fn covered(before: &[Policy], policy: &Policy, path: &Path, findings: &mut Findings<'_>) {
    let over =
        |scope: &Scope| before.iter().position(|first| first.on.iter().any(|wide| covers(wide, scope)));
    let Some(over): Option<Vec<usize>> = policy.on.iter().map(over).collect() else { return };
    if let Some(last) = over.into_iter().max() {
        let message = format!(
            "it never holds: all that it is about is meant by policies[{last}]{} already, and the first one holds",
            if last > 0 { " or one before it" } else { "" }
        );
        findings.warning(path.key("on"), message);
    }
}

/// Whether a glob stands for all that another one stands for. A star of the other one can be any text, so only a star can stand for it.
fn covers(wide: &Scope, narrow: &Scope) -> bool {
    wide.0.is_everything() || wide.0.matches(narrow.0.as_str())
}
