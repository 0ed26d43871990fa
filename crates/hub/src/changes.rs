//! Changes of which deploying, configuring and scaling tools have told: evidence for where an incident began.

use std::collections::{BTreeSet, VecDeque};

use larnax_core::event::CHANGE;
use larnax_core::{ComponentId, LogError, Logged, RawEvent};
use larnax_diagnose::{Change, ChangeKind};
use larnax_store::Store;
use serde::Deserialize;

/// So many are kept, the latest.
const KEPT: usize = 10_000;
/// So many of the log's latest events are looked through for them after a start.
const LOOKED_THROUGH: u64 = 20_000;
/// So many at once.
const READ: usize = 1_000;
/// The longest text that is shown, in characters.
const MAX_TEXT: usize = 200;

/// The latest changes, as they came.
#[derive(Default)]
pub(crate) struct Changes(VecDeque<Change>);

/// The data of such an event.
#[derive(Deserialize)]
struct Data {
    kind: Kind,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Deploy,
    Config,
    Scale,
}

impl Changes {
    /// Takes in what of these events is a change.
    pub(crate) fn hear(&mut self, batch: &[Logged]) {
        let changes = batch.iter().filter(|logged| logged.event.r#type == CHANGE);
        for change in changes.filter_map(|logged| read(&logged.event)) {
            if self.0.len() == KEPT {
                self.0.pop_front();
            }
            self.0.push_back(change);
        }
    }

    /// Those of some components.
    pub(crate) fn of(&self, components: &[ComponentId]) -> Vec<Change> {
        let components: BTreeSet<&ComponentId> = components.iter().collect();
        self.0.iter().filter(|change| components.contains(&change.component)).cloned().collect()
    }
}

/// The changes among the latest events of the log up to a sequence.
pub(crate) fn lately(log: &dyn Store, until: u64) -> Result<Vec<Logged>, LogError> {
    let (mut from, mut changes) = (until.saturating_sub(LOOKED_THROUGH), Vec::new());
    loop {
        let batch = log.read_after(from, READ)?;
        let Some(last) = batch.last().map(|logged| logged.sequence) else { return Ok(changes) };
        changes.extend(batch.into_iter().filter(|one| one.sequence <= until && one.event.r#type == CHANGE));
        if last >= until {
            return Ok(changes);
        }
        from = last;
    }
}

/// None for what is no change as it should be; it stays in the log for others.
fn read(event: &RawEvent) -> Option<Change> {
    #[derive(Deserialize)]
    struct Told {
        data: Data,
    }
    let Told { data } = serde_json::from_str(&event.json)
        .inspect_err(|error| tracing::warn!(id = event.id, %error, "a change can't be understood"))
        .ok()?;
    Some(Change {
        time: event.time,
        component: event.subject.parse().ok()?,
        kind: match data.kind {
            Kind::Deploy => ChangeKind::Deploy,
            Kind::Config => ChangeKind::Config,
            Kind::Scale => ChangeKind::Scale,
        },
        text: data.text.chars().take(MAX_TEXT).collect(),
    })
}

#[cfg(test)]
mod tests {
    use larnax_core::Timestamp;

    use super::*;

    fn logged(subject: &str, data: &str) -> Logged {
        let event = RawEvent {
            id: "1".to_owned(),
            r#type: CHANGE.to_owned(),
            subject: subject.to_owned(),
            time: Timestamp::from_seconds(1.0),
            json: format!("{{\"data\": {data}}}"),
        };
        Logged { sequence: 1, event }
    }

    #[test]
    fn changes_of_the_components_asked_for_are_given_and_what_is_none_is_left_out() {
        let mut changes = Changes::default();
        changes.hear(&[
            logged("service/shop/orders", r#"{"kind": "deploy", "text": "1.4.2"}"#),
            logged("service/shop/web", r#"{"kind": "scale"}"#),
            logged("service/shop/orders", r#"{"kind": "prayer"}"#),
            logged("no component", r#"{"kind": "config"}"#),
        ]);
        let orders: ComponentId = "service/shop/orders".parse().unwrap();
        let found = changes.of(&[orders]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, found[0].text.as_str()), (ChangeKind::Deploy, "1.4.2"));
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut changes = Changes::default();
        let one = logged("service/shop/orders", r#"{"kind": "deploy"}"#);
        changes.hear(&vec![one; KEPT + 5]);
        assert_eq!(changes.0.len(), KEPT);
    }
}
