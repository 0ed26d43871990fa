use larnax_core::{
    Candidate, CandidateMetric, Diagnosis, Edge, EdgeKind, Evidence, IncidentId, MetricName, Timestamp,
    TopologyDelta, TopologySource,
};
use larnax_store::{AnomalyQuery, IncidentQuery, Sighting};

use super::{Place, anomaly, component, event, incident, time};

pub(crate) fn of_a_component_the_latest_sighting_stays(place: &Place) {
    let store = place.open();
    let seen = |name: &str, agent: &str, second: f64| Sighting {
        component: component(name),
        agent: agent.to_owned(),
        last_seen: time(second),
    };
    store.upsert_components(&[seen("b", "one", 1.0), seen("a", "one", 5.0), seen("b", "two", 3.0)]).unwrap();
    store.upsert_components(&[seen("a", "old", 4.0), seen("Z", "one", 1.0)]).unwrap();
    store.upsert_components(&[]).unwrap();
    let expected = [seen("Z", "one", 1.0), seen("a", "one", 5.0), seen("b", "two", 3.0)];
    assert_eq!(store.components().unwrap(), expected);
}

pub(crate) fn of_a_source_of_topology_the_latest_delta_stays(place: &Place) {
    let store = place.open();
    let delta = |source, by: &str, callee: &str| TopologyDelta {
        source,
        by: by.to_owned(),
        ttl_seconds: Some(60.0),
        components: vec![component("orders"), component(callee)],
        edges: vec![Edge { from: component("orders").id, to: component(callee).id, kind: EdgeKind::Calls }],
        removed_components: Vec::new(),
        removed_edges: Vec::new(),
    };
    let (agent, config) = (TopologySource::Agent, TopologySource::Config);
    assert!(store.upsert_topology(time(2.0), &delta(agent, "one", "stock")).unwrap());
    assert!(store.upsert_topology(time(3.0), &delta(agent, "one", "payment")).unwrap());
    assert!(!store.upsert_topology(time(1.0), &delta(agent, "one", "stock")).unwrap());
    assert!(store.upsert_topology(time(1.0), &delta(agent, "two", "stock")).unwrap());
    assert!(store.upsert_topology(time(9.0), &delta(config, "hub.yml", "mail")).unwrap());
    let expected = [
        (time(3.0), delta(agent, "one", "payment")),
        (time(1.0), delta(agent, "two", "stock")),
        (time(9.0), delta(config, "hub.yml", "mail")),
    ];
    assert_eq!(store.topology().unwrap(), expected);
}

pub(crate) fn an_anomaly_follows_its_events_and_keeps_its_evidence(place: &Place) {
    let store = place.open();
    let opened = anomaly("orders", 10.0);
    let mut first = event(&opened, 0);
    first.data.evidence = Some(Evidence::default());
    let mut ended = opened.clone();
    ended.closed = Some(time(60.0));
    assert_eq!(store.upsert_anomalies(&[first.clone(), event(&anomaly("stock", 11.0), 0)]).unwrap(), 2);
    assert_eq!(store.upsert_anomalies(&[event(&ended, 2), event(&opened, 1)]).unwrap(), 1);
    assert_eq!(store.upsert_anomalies(&[first, event(&opened, 1)]).unwrap(), 0, "older ones change nothing");
    assert_eq!(store.upsert_anomalies(&[]).unwrap(), 0);
    let record = store.anomaly(opened.id).unwrap().unwrap();
    assert_eq!((record.anomaly, record.sequence), (ended, 2));
    assert_eq!((record.component, record.agent), (component("orders"), "/larnax/edge/test".to_owned()));
    assert_eq!(record.evidence, Some(Evidence::default()));
    assert_eq!(store.anomaly(anomaly("nobody", 1.0).id).unwrap(), None);
}

pub(crate) fn anomalies_are_found_by_component_time_and_whether_they_are_open(place: &Place) {
    let store = place.open();
    let mut all: Vec<_> =
        (0..12).map(|i| anomaly(["orders", "stock"][i % 2], (i / 4) as f64 + i as f64 * 1e-5)).collect();
    all[3].closed = Some(time(50.0));
    let events: Vec<_> = all.iter().map(|anomaly| event(anomaly, 0)).collect();
    store.upsert_anomalies(&events).unwrap();
    let count = |query: AnomalyQuery| store.anomalies(&query).unwrap().len();
    assert_eq!(count(AnomalyQuery::default()), 12);
    assert_eq!(count(AnomalyQuery { open: true, ..Default::default() }), 11);
    let orders = Some(component("orders").id);
    assert_eq!(count(AnomalyQuery { component: orders.clone(), ..Default::default() }), 6);
    let (from, until) = (Some(time(1.0)), Some(time(2.0)));
    assert_eq!(count(AnomalyQuery { from, until, ..Default::default() }), 4);
    assert_eq!(count(AnomalyQuery { component: orders, from, until, open: true, ..Default::default() }), 2);

    // Page by page, as somebody who only has the documents does: their times have milliseconds.
    let mut query = AnomalyQuery { limit: 5, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page = store.anomalies(&query).unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some((last.onset, last.id));
        found.extend(page.into_iter().map(|anomaly| (anomaly.onset, anomaly.id)));
    }
    assert_eq!(found.len(), 12);
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
}

pub(crate) fn an_older_incident_never_overwrites_a_newer_one(place: &Place) {
    let store = place.open();
    let first = incident("orders", 1.0, 0);
    let mut newer = incident("orders", 1.0, 5);
    newer.closed = Some(time(9.0));
    assert_eq!(store.upsert_incidents(std::slice::from_ref(&first), None).unwrap(), 1);
    assert_eq!(store.upsert_incidents(&[newer.clone()], None).unwrap(), 1);
    assert_eq!(store.upsert_incidents(&[incident("orders", 1.0, 4)], None).unwrap(), 0);
    let again = store.upsert_incidents(&[incident("orders", 1.0, 5)], None).unwrap();
    assert_eq!(again, 0, "a repetition changes nothing");
    assert_eq!(store.incident(first.id).unwrap(), Some(newer));
    assert_eq!(store.incident(incident("stock", 1.0, 0).id).unwrap(), None);
}

pub(crate) fn incidents_are_listed_newest_first_page_by_page(place: &Place) {
    let store = place.open();
    for i in 0..23 {
        // Some opened at the same moment.
        let mut incident = incident(&format!("c{i}"), f64::from(i / 4), 0);
        incident.closed = (i % 3 == 0).then(|| time(100.0));
        store.upsert_incidents(&[incident], None).unwrap();
    }
    let position = |query: &IncidentQuery| -> Vec<(Timestamp, IncidentId)> {
        let found = store.incidents(query).unwrap();
        found.into_iter().map(|incident| (incident.opened, incident.id)).collect()
    };
    let all = position(&IncidentQuery::default());
    assert_eq!(all.len(), 23);
    assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    let mut paged = Vec::new();
    loop {
        let page = position(&IncidentQuery { after: paged.last().copied(), limit: 4, open: false });
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(position(&IncidentQuery { open: true, ..Default::default() }).len(), 15);
}

pub(crate) fn what_could_not_be_read_back_is_refused(place: &Place) {
    let store = place.open();
    let mut incident = incident("orders", 1.0, 0);
    let metric = CandidateMetric {
        metric: MetricName::new("cpu").unwrap(),
        before: f64::NAN,
        extreme: 1.0,
        deviation: 1.0,
        points: Vec::new(),
    };
    incident.diagnosis = Some(Diagnosis {
        candidates: vec![Candidate {
            component: component("orders").id,
            score: 1.0,
            onset: None,
            onset_error_seconds: None,
            metrics: vec![metric],
            reasons: Vec::new(),
            path: Vec::new(),
        }],
        ..Diagnosis::default()
    });
    let error = store.upsert_incidents(&[incident], None).unwrap_err();
    assert!(!error.is_temporary() && error.to_string().contains("can't be read back"), "{error}");
    assert!(store.incidents(&IncidentQuery::default()).unwrap().is_empty());
}
