//! Made events.

use larnax_bus::cloudevents;
use larnax_core::{RawEvent, Timestamp};

/// The `number`th event of a component.
pub fn event(component: &str, number: usize) -> RawEvent {
    let json = format!(
        r#"{{"specversion":"1.0","id":"{component}-{number}","source":"/larnax/edge/a","type":"io.larnax.anomaly.updated.v1","subject":"service/shop/{component}","time":"2026-11-22T00:00:00Z","datacontenttype":"application/json","data":{{"number":{number}}}}}"#
    );
    cloudevents::parse(&json, Timestamp::default()).unwrap()
}

/// `total` events of `components` components in turn.
pub fn events(components: usize, total: usize) -> Vec<RawEvent> {
    (0..total).map(|i| event(&format!("c{}", i % components), i / components)).collect()
}

/// The component and the number of an event that was made here.
pub fn number(event: &RawEvent) -> (String, usize) {
    let data: serde_json::Value = serde_json::from_str(&event.json).unwrap();
    (event.subject.clone(), usize::try_from(data["data"]["number"].as_u64().unwrap()).unwrap())
}
