//! Two hubs on one PostgreSQL, with RabbitMQ, and an edge: the hub that acts dies, then the database is away. Nothing is lost,
//! and nobody hears twice that the incident has begun.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::time::Duration;

use larnax_test_peers::{Agent, NodeExporter, Peer, Peers, Postgres, RabbitMq, eventually};
use serde_json::{Value, json};
use support::amqp::Amqp;
use support::webhook::Webhook;

const SOON: Duration = Duration::from_secs(60);

/// A hub in this database.
fn hub(name: &str, store: &str, files: &Files) -> Agent {
    let arguments = ["hub", "--name", name, "--store", store, "--config", &files.config];
    Agent::start("larnax", &[&arguments[..], &["--rabbitmq-url-file", &files.rabbitmq]].concat())
}

struct Files {
    config: String,
    rabbitmq: String,
}

/// The ids and numbers of anomalies of all incidents of a hub.
fn incidents(hub: &Agent) -> Vec<Value> {
    hub.json("/api/v1/incidents").as_array().unwrap().clone()
}

/// The only incident, once it is as it should be.
fn incident(hub: &Agent, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let found = eventually(what, SOON, || {
        let response = larnax_test_peers::get(hub.address(), "/api/v1/incidents").ok()?;
        let all: Vec<Value> = serde_json::from_str(&response.body).ok()?;
        all.into_iter().find(&is_so)
    });
    assert_eq!(incidents(hub).len(), 1, "{}", hub.output());
    found
}

fn anomalies(incident: &Value) -> &Vec<Value> {
    incident["anomalies"].as_array().unwrap()
}

/// Whether an incident has the anomaly with this id. The edge may see more, when its target comes back.
fn has(incident: &Value, id: &str) -> bool {
    anomalies(incident).iter().any(|anomaly| anomaly["id"] == id)
}

/// An anomaly of a component, as an edge elsewhere tells it.
fn opened(component: &str, onset: &str, id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{id}-0"), "source": "/larnax/edge/elsewhere", "subject": component,
        "type": "io.larnax.anomaly.opened.v1", "time": onset, "datacontenttype": "application/json",
        "data": {
            "transition": "opened", "sequence": 0,
            "anomaly": {
                "id": id, "component": component, "kind": "deviation", "onset": onset, "opened": onset,
                "last_seen": onset, "closed": null, "close_reason": null, "score": 3.0, "peak": 3.0,
                "alerted": true, "metrics": []
            },
            "component": {"id": component, "group": "", "labels": {}}
        }
    })
}

#[test]
fn an_incident_goes_on_when_the_hub_that_acts_dies_and_when_the_database_was_away() {
    let needs = [Peer::Postgres, Peer::Initdb, Peer::RabbitMq, Peer::NodeExporter];
    let Some(peers) = Peers::for_test(&needs) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (broker, mut database, people) = (RabbitMq::start(&peers), Postgres::start(&peers), Webhook::start());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = Files {
        config: file("hub.yaml", &format!("alerts: {{webhooks: ['{}']}}\n", people.url())),
        rabbitmq: file("rabbitmq", &broker.url()),
    };
    let mut first = hub("hub-1", &database.url(), &files);
    eventually("hub-1 to act", SOON, || first.output().contains("this hub builds incidents").then_some(()));
    let second = hub("hub-2", &database.url(), &files);
    let mut amqp = Amqp::connect(&broker.url());
    amqp.listen("io.larnax.incident.#");

    // An edge that is connected to the hub that doesn't act.
    let mut exporter = NodeExporter::start(&peers);
    let config = format!(
        "interval: 200ms\ndetect: {{warm_up: 10s}}\nhub: {{url: 'http://{}'}}\nscrape_configs:\n  - job_name: node\n    \
         static_configs:\n      - targets: ['{}']\n",
        second.address(),
        exporter.address()
    );
    let edge = Agent::start("larnax-edge", &["--config", &file("edge.yaml", &config)]);
    eventually("the end of the warm-up", SOON, || {
        (edge.json("/api/v1/components")[0]["state"] == "normal").then_some(())
    });
    let connected = first.json("/api/v1/agents");
    assert_eq!(connected[0]["hub"], "hub-2", "{connected}");

    // One anomaly, one incident, on both hubs, with evidence of the other hub's edge.
    exporter.stop();
    let found = incident(&first, "a diagnosis", |incident| {
        incident["diagnosis"]["evidence_bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    });
    let id = found["id"].as_str().unwrap().to_owned();
    let component = anomalies(&found)[0]["component"].as_str().unwrap().to_owned();
    let onset = found["onset"].as_str().unwrap().to_owned();
    assert_eq!(incident(&second, "the same incident", |_| true)["id"], id.as_str());
    eventually("people to be told", SOON, || (people.told(&id, "opened") == 1).then_some(()));

    // The hub that acts dies. What comes through RabbitMQ meanwhile belongs to the same incident.
    first.kill();
    amqp.publish("larnax.inbox", &opened(&component, &onset, "00000000000000aa"));
    let grown = incident(&second, "the second anomaly", |incident| has(incident, "00000000000000aa"));
    assert_eq!(grown["id"], id.as_str());
    assert!(second.output().contains("this hub builds incidents"));

    // The database is away. What is told meanwhile waits: at the edge and in RabbitMQ.
    database.stop();
    amqp.publish("larnax.inbox", &opened(&component, &onset, "00000000000000ab"));
    exporter.start_again();
    std::thread::sleep(Duration::from_secs(2));
    database.start_again();
    let whole = incident(&second, "all that was told", |incident| {
        has(incident, "00000000000000ab") && anomalies(incident).iter().any(|one| one["closed"].is_string())
    });
    assert_eq!(whole["id"], id.as_str());

    // The other hub comes back, and does not act.
    first.start_again();
    assert_eq!(incident(&first, "the same incident", |_| true)["id"], id.as_str());
    assert_eq!(first.output().matches("this hub builds incidents").count(), 1, "{}", first.output());

    // Nobody heard twice that it has begun, and RabbitMQ has all there is.
    let sequence = |incident: &Value| incident["sequence"].as_u64().unwrap();
    let last = sequence(&whole);
    let heard = eventually("RabbitMQ's last event", SOON, || {
        let heard = amqp.heard();
        let any_last = heard.iter().any(|event| sequence(&event["data"]["incident"]) >= last);
        any_last.then(|| heard.to_vec())
    });
    assert!(heard.iter().all(|event| event["data"]["incident"]["id"] == id.as_str()), "{heard:?}");
    let mut sequences: Vec<u64> = heard.iter().map(|event| sequence(&event["data"]["incident"])).collect();
    sequences.dedup();
    assert_eq!(sequences, (0..=*sequences.last().unwrap()).collect::<Vec<_>>(), "in order, none left out");
    assert_eq!(people.told(&id, "opened"), 1);
}
