//! What the agent says about a target that it really scrapes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use larnax_collect::openmetrics::{Format, Limits, SeriesCache};
use larnax_core::{Batch, Schema, Timestamp};
use larnax_detect::Explanation;
use larnax_edge_role::server::api::{
    AnomalyReport, ComponentReport, HistoryReport, MetricReport, StatusReport,
};
use support::{Answer, get, page, run, scraping, send, start, start_reloading, target, until};

/// An agent that has seen a few samples of its target, and the name of the component.
fn watching(test: impl AsyncFnOnce(SocketAddr, String)) {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let target = target().await;
        let agent = start(&scraping(target), state.path()).await;
        let judged = |answer: &Answer| {
            let rows = answer.body.lines().find(|l| l.starts_with("larnax_pipeline_rows_total{"));
            rows.is_some_and(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0"))
        };
        until(agent, "/metrics", judged).await;
        test(agent, format!("service/shop/{target}")).await;
    });
}

#[test]
fn an_agent_is_healthy_at_once_and_ready_when_it_has_asked_its_target() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        // Nobody listens there: an agent is ready to watch what is down.
        let agent = start(&scraping("127.0.0.1:9".parse().unwrap()), state.path()).await;
        assert_eq!(get(agent, "/-/healthy").await.body, "healthy\n");
        let answer = until(agent, "/-/ready", |a| a.status == 200).await;
        assert_eq!(answer.body, "ready\n");
        let components: Vec<ComponentReport> = get(agent, "/api/v1/components").await.json();
        assert!(!components[0].sources[0].up && components[0].sources[0].error.is_some());
        let _: Explanation = get(agent, "/api/v1/explain?component=service/shop/127.0.0.1:9").await.json();
    });
}

#[test]
fn the_status_names_the_agent_its_budgets_and_what_it_costs() {
    watching(async |agent, _| {
        let status: StatusReport = get(agent, "/api/v1/status").await.json();
        assert!(status.instance.starts_with("/larnax/edge/") && !status.version.is_empty());
        assert_eq!((status.components, status.open_anomalies, status.interval_seconds), (1, 0, 0.1));
        assert!(status.now > status.started && status.resident_bytes > 0 && status.cpu_seconds > 0.0);
        assert_eq!(status.budgets.len(), 1);
        assert_eq!((status.budgets[0].group.as_str(), status.budgets[0].given), ("shop", 0));
        assert_eq!(status.notices, Vec::<String>::new());
    });
}

#[test]
fn a_component_has_its_state_its_labels_and_its_source() {
    watching(async |agent, id| {
        let components: Vec<ComponentReport> = get(agent, "/api/v1/components").await.json();
        let component = &components[0];
        assert_eq!((component.id.as_str(), component.group.as_str()), (id.as_str(), "shop"));
        assert_eq!((component.state.as_str(), component.metrics), ("warming_up", 3));
        assert!(component.warm_up_remaining_seconds.is_some_and(|left| left > 0.0));
        assert_eq!(component.labels["job"], "shop");
        let source = &component.sources[0];
        assert!(source.up && source.error.is_none() && source.collections > 0 && source.last_seconds > 0.0);
        assert_eq!((source.failures, source.bad_samples, source.refused_samples), (0, 0, 0));
    });
}

#[test]
fn metrics_history_and_explanation_are_those_of_the_component() {
    watching(async |agent, id| {
        let metrics: Vec<MetricReport> = get(agent, &format!("/api/v1/metrics?component={id}")).await.json();
        let names: Vec<&str> = metrics.iter().map(|m| m.metric.as_str()).collect();
        assert_eq!(names, ["requests_total", "load", "temperature{room=\"a\"}"]);
        assert_eq!(metrics[1].y, Some(0.5));

        let path = format!(
            "/api/v1/history?component={id}&metric=load&metric=temperature%7Broom%3D%22a%22%7D&metric=no"
        );
        let history: HistoryReport = get(agent, &path).await.json();
        assert_eq!((history.component.as_str(), history.step_seconds), (id.as_str(), 5.0));
        assert_eq!(history.metrics.len(), 2, "unknown ones are left out");
        assert!(!history.times.is_empty() && history.times.len() == history.anomaly_score.len());
        assert!(
            history.metrics.iter().all(|m| m.y.len() == history.times.len() && m.yhat.len() == m.y.len())
        );

        let explanation: Explanation = get(agent, &format!("/api/v1/explain?component={id}")).await.json();
        assert_eq!(explanation.component, id);
        let anomalies: Vec<AnomalyReport> = get(agent, "/api/v1/anomalies?state=open").await.json();
        assert!(anomalies.is_empty());
    });
}

#[test]
fn a_question_that_can_t_be_answered_says_what_was_expected() {
    watching(async |agent, _| {
        for (path, status, says) in [
            ("/api/v1/metrics", 400, "kind/scope/name"),
            ("/api/v1/history?component=a%20b", 400, "kind/scope/name"),
            ("/api/v1/explain?component=node/local/nobody", 404, "/api/v1/components"),
            ("/api/v1/anomalies?state=closed", 400, "expected `open`"),
        ] {
            let answer = get(agent, path).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.error().contains(says), "{path}: {}", answer.body);
        }
    });
}

#[test]
fn own_metrics_are_read_by_our_own_parser_without_a_bad_line() {
    watching(async |agent, id| {
        let accept = "Accept: application/openmetrics-text; version=1.0.0, text/plain;q=0.5";
        for (headers, format) in [(&[accept][..], Format::OpenMetrics), (&[], Format::Text004)] {
            let answer = send(agent, "GET /metrics", headers, "").await;
            assert_eq!(answer.head.contains("application/openmetrics-text"), format == Format::OpenMetrics);
            let mut cache = SeriesCache::new(Limits { max_series: 1000, max_line_bytes: 10_000 });
            let mut batch = Batch::new(Schema::new(Vec::new()).unwrap());
            let report = cache
                .parse(answer.body.as_bytes(), format, Timestamp::from_seconds(1e9), &mut batch)
                .unwrap();
            assert_eq!((report.bad, report.refused), (0, 0), "{report:?}");
            let score = format!("anomaly_score{{component=\"{id}\"}}");
            for name in [
                "larnax_outbox_pending_events",
                "process_cpu_seconds_total",
                "process_resident_memory_bytes",
                &score,
            ] {
                assert!(batch.schema().position(name).is_some(), "{name} in {}", answer.body);
            }
        }
    });
}

#[test]
fn all_paths_of_the_openapi_document_are_served() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let agent = start("host: false", state.path()).await;
        let document: serde_json::Value = get(agent, "/api/v1/openapi.json").await.json();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() >= 12);
        for (path, methods) in paths {
            for method in methods.as_object().unwrap().keys() {
                let answer = send(
                    agent,
                    &format!("{} {path}", method.to_uppercase()),
                    &["Content-Type: application/json"],
                    "",
                )
                .await;
                let answers = methods[method]["responses"].as_object().unwrap();
                assert!(answers.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
                assert!(
                    !matches!(answer.status, 405) && !answer.body.contains("there is nothing at"),
                    "{method} {path}"
                );
            }
        }
    });
}

#[test]
fn a_reload_watches_the_new_targets_and_tells_the_new_receivers() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let changed = Rc::new(Cell::new(None));
        let agent = start_reloading("host: false", state.path(), Rc::clone(&changed), Some(page)).await;
        assert_eq!(send(agent, "POST /-/reload", &[], "").await.status, 202);
        let kept = until(agent, "/api/v1/status", |a| a.body.contains("not reloaded")).await;
        assert!(kept.json::<StatusReport>().notices[0].contains("nothing has changed"));

        changed.set(Some(
            "scrape_configs: [{job_name: shop, static_configs: [{targets: ['127.0.0.1:9']}]}]\n\
             alerts: {webhooks: ['http://127.0.0.1:9/hook'], spool: {max_bytes: 1MiB}}",
        ));
        send(agent, "POST /-/reload", &[], "").await;
        let status: StatusReport =
            until(agent, "/api/v1/status", |a| a.body.contains("webhook")).await.json();
        assert_eq!((status.components, status.sinks.len()), (1, 1));
        assert_eq!(status.sinks[0].name, "webhook 127.0.0.1:9");
        let notices = status.notices.join("\n");
        assert!(notices.contains("`alerts.spool` has changed"), "{notices}");
    });
}
