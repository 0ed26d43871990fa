//! A hub of a region and one above it.

#![allow(clippy::unwrap_used)]

mod support;

use std::rc::Rc;
use std::time::Duration;

use larnax_core::{Clock, Incident, SystemClock};
use larnax_store::IncidentQuery;
use support::*;

#[test]
fn what_a_region_sees_is_an_incident_above_too_with_its_evidence_and_what_the_region_found() {
    on_one_thread(async {
        let (below, above) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (region_store, store) = (store(below.path()), store(above.path()));
        let region = named_hub("eu", &region_store, vec![]);
        let hub = named_hub("world", &store, [2, 5, 8, 12].map(Duration::from_secs).to_vec());
        region.tell_topology(shop()).await;
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        let up = Rc::clone(&region);
        let url = larnax_http::Url::parse("http://127.0.0.1/").unwrap();
        let (sender, receiver) = larnax_session::open::over(hub.connect(), &url, None).await.unwrap();
        tokio::task::spawn_local(async move { up.hand_up_over(sender, receiver).await });
        let mut edges = Edges::connect(&region).await;
        let later = onset.plus(Duration::from_secs(3));
        edges.tell(&[opened("stock", onset), opened("web", later)]).await;
        tokio::task::spawn_local(edges.answer(move |pull| samples(pull, onset)));

        let below = incident_that(&region_store, |incident| incident.diagnosis.is_some()).await;
        // What the region's edges watch may be told a moment later than what happened.
        let named = |incident: &Incident| {
            incident.diagnosis.as_ref().is_some_and(|found| !found.candidates.is_empty())
        };
        let above = incident_that(&store, named).await;
        assert_eq!(above.anomalies.len(), 2);
        let diagnosis = above.diagnosis.unwrap();
        assert_eq!(diagnosis.candidates[0].component, id("stock"), "{diagnosis:?}");
        assert_eq!(diagnosis.edges, below.diagnosis.unwrap().edges, "the region's topology is known above");
        assert!(diagnosis.evidence_bytes > 0);
        assert_eq!(store.incidents(&IncidentQuery::default()).unwrap().len(), 1);
        incident_that(&store, |incident| {
            let notes = incident.diagnosis.iter().flat_map(|diagnosis| &diagnosis.notes);
            notes
                .into_iter()
                .any(|note| note.contains("hub eu found that its part began in service/shop/stock"))
        })
        .await;
    });
}
