//! What edges and others tell a hub: session messages, CloudEvents, topology, anomalies in any order. Nothing panics.

#![no_main]

use larnax_core::{Event, Timestamp, TopologyDelta};
use larnax_diagnose::incidents::{Heard, Options};
use larnax_diagnose::{Incidents, Topology};
use larnax_session::{FromEdge, FromHub};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let now = Timestamp::from_seconds(1.8e9);
    let (mut incidents, mut topology) = (Incidents::new(Options::default()), Topology::default());
    for line in text.lines() {
        let _ = larnax_bus::cloudevents::parse(line, now);
        let _ = larnax_bus::cloudevents::parse_batch(line, now);
        let _ = serde_json::from_str::<FromHub>(line);
        let _ = serde_json::from_str::<FromEdge>(line);
        if let Ok(delta) = serde_json::from_str::<TopologyDelta>(line) {
            topology.apply(&delta, now);
            incidents.regroup(&topology, now);
        }
        if let Ok(event) = serde_json::from_str::<Event>(line) {
            incidents.hear(Heard { event: &event, clock_ahead: 0.0 }, &topology, now);
        }
    }
    incidents.pass(now);
    incidents.changes();
});
