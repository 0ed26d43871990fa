//! Files that a crash or a hand may have damaged: models, alert budgets, the outbox, the evidence ring. Nothing panics.

#![no_main]

use std::sync::Arc;

use larnax_alert::{outbox, ring};
use larnax_core::event::AnomalyEvent;
use larnax_core::model_store::Envelope;
use larnax_core::{Component, ComponentId};
use larnax_detect::{AlertBudget, Settings, Watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice % 4 {
        0 => restore(bytes, "watch"),
        1 => restore(bytes, "budget"),
        2 => drop(outbox::salvage::<AnomalyEvent>(bytes)),
        _ => drop(ring::salvage(bytes)),
    }
});

/// The bytes as they are, and as the payload of an envelope whose checksum is right: else nothing gets behind it.
fn restore(bytes: &[u8], kind: &str) {
    let component = Component {
        id: ComponentId::from_parts("node", "local", "a"),
        group: "host".to_owned(),
        labels: Default::default(),
    };
    for bytes in [bytes.to_vec(), Envelope { kind, version: 1, payload: bytes }.encode()] {
        let mut watch = Watch::new(component.clone(), Settings::default());
        watch.resize(&Arc::default());
        let _ = watch.restore(&bytes);
        let _ = AlertBudget::default().restore(&bytes);
    }
}
