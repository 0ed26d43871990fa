//! The agent without a network: samples are handed to it, on a clock that the test moves.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use larnax_alert::{Outbox, OutboxOptions};
use larnax_collect::ErrorClass;
use larnax_core::{AnomalyKind, CloseReason, ManualClock, Metric, MetricKind, MetricName, Schema};
use larnax_detect::WatchState;
use larnax_spec::Config;

use super::*;
use crate::report;

const ONE: &str = "scrape_configs: [{job_name: shop, static_configs: [{targets: ['127.0.0.1:1']}]}]";
const TWO: &str =
    "scrape_configs: [{job_name: shop, static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]}]";

/// An agent with three gauges per component.
struct Bench {
    agent: Agent,
    clock: Rc<ManualClock>,
    schema: Arc<Schema>,
    noise: u64,
}

fn plan(yaml: &str) -> Plan {
    let text = format!("interval: 1s\ndetect: {{warm_up: 60s}}\n{yaml}\n");
    let (config, _) = Config::from_yaml(&text, "test").unwrap();
    Plan::of(&config, &crate::targets::Found::default(), "edge-1").unwrap()
}

impl Bench {
    /// As at a start of the program, on the state that earlier ones left in `state`.
    fn start(state: &Path, clock: Rc<ManualClock>, yaml: &str) -> Self {
        let options = OutboxOptions { sinks: vec!["sink".to_owned()], ..OutboxOptions::default() };
        let (outbox, recovered) = Outbox::open(Some(&state.join("outbox")), options).unwrap();
        let mut agent = Agent::new(AgentParts {
            hostname: "edge-1".to_owned(),
            clock: clock.clone(),
            state: Some(state.to_owned()),
            journal: Journal::new("/larnax/edge/edge-1".to_owned(), Rc::new(outbox), recovered.open),
            reload: Rc::default(),
            keep_history: true,
            listeners: Vec::new(),
        });
        agent.apply(&plan(yaml));
        let gauge = |name: &str| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
        let schema = Schema::new(["load", "latency", "errors"].map(gauge).to_vec()).unwrap();
        Self { agent, clock, schema, noise: 1 }
    }

    fn fresh(state: &Path, yaml: &str) -> Self {
        Self::start(state, Rc::new(ManualClock::at(Timestamp::from_seconds(1.7e9))), yaml)
    }

    /// One sample for each component; the first one's latency is `extra` higher than normal.
    fn tick(&mut self, extra: f64) {
        self.clock.advance(Duration::from_secs(1));
        for component in 0..self.agent.components.len() {
            let batch = self.batch(if component == 0 { extra } else { 0.0 });
            self.deliver(component, Ok(Collected::Rows), &batch);
        }
    }

    fn ticks(&mut self, count: usize, extra: f64) {
        (0..count).for_each(|_| self.tick(extra));
    }

    fn batch(&mut self, extra: f64) -> Batch {
        let mut batch = Batch::new(Arc::clone(&self.schema));
        let row = batch.push_row(self.clock.now());
        for (value, level) in row.iter_mut().zip([2.0, 30.0 + extra, 5.0]) {
            // Knuth's MMIX generator: the test must see the same numbers everywhere.
            self.noise =
                self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *value = level * (1.0 + 0.02 * ((self.noise >> 40) as f64 / (1u64 << 24) as f64 - 0.5));
        }
        batch
    }

    fn deliver(&mut self, component: usize, result: Result<Collected, SourceError>, batch: &Batch) {
        let place = Place { component, input: 0 };
        self.agent.deliver(place, Cost::default(), result, batch, Duration::ZERO);
    }

    /// Warm, and then with an open anomaly on the first component.
    fn open_anomaly(&mut self) -> AnomalyId {
        self.ticks(200, 0.0);
        self.ticks(20, 60.0);
        let open: Vec<AnomalyId> = self.open();
        assert_eq!(open.len(), 1);
        open[0]
    }

    fn open(&self) -> Vec<AnomalyId> {
        self.agent.components.iter().flat_map(|c| c.watch.open_anomalies().map(|a| a.id)).collect()
    }

    fn recorded(&self, id: AnomalyId) -> Option<CloseReason> {
        let reports = report::anomalies(&self.agent, false, true);
        reports.into_iter().find(|r| r.anomaly.id == id).unwrap().anomaly.close_reason
    }

    fn notices(&self) -> String {
        self.agent.noticed().cloned().collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn an_anomaly_opens_with_evidence_and_ends_when_all_is_calm() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), TWO);
    let id = bench.open_anomaly();
    let report = report::anomalies(&bench.agent, true, true).remove(0);
    assert_eq!((report.anomaly.id, report.anomaly.kind), (id, AnomalyKind::Deviation));
    assert_eq!(report.anomaly.metrics[0].metric.as_str(), "latency");
    let evidence = report.evidence.unwrap();
    assert_eq!(evidence.metrics[0].metric.as_str(), "latency");
    assert!(evidence.metrics[0].median_before.is_some_and(|median| (29.0..31.0).contains(&median)));
    bench.ticks(60, 0.0);
    assert_eq!(bench.recorded(id), Some(CloseReason::Recovered));
    assert!(report::anomalies(&bench.agent, true, true).is_empty());
    assert!(
        report::anomalies(&bench.agent, false, true)[0].evidence.is_some(),
        "evidence outlives the anomaly"
    );
}

#[test]
fn a_reload_keeps_what_was_learnt_and_closes_what_is_no_longer_watched() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), TWO);
    let id = bench.open_anomaly();
    bench.agent.apply(&plan(TWO));
    assert_eq!(bench.open(), [id]);
    assert_eq!(bench.agent.components[1].watch.state(), WatchState::Normal);
    assert!(bench.agent.is_ready(), "a reload must not take the agent out of service");

    let other = "scrape_configs: [{job_name: shop, static_configs: [{targets: ['127.0.0.1:2']}]}]";
    bench.agent.apply(&plan(other));
    assert_eq!(bench.agent.components.len(), 1);
    assert_eq!(bench.recorded(id), Some(CloseReason::Unwatched));
    assert_eq!(bench.agent.components[0].watch.state(), WatchState::Normal);
}

#[test]
fn a_reload_with_other_settings_keeps_what_was_learnt_and_follows_them() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    let id = bench.open_anomaly();
    let mut changed = plan(ONE);
    changed.components[0].settings.close_after = Duration::from_secs(90);
    bench.agent.apply(&changed);
    assert_eq!(bench.open(), [id]);
    bench.ticks(60, 0.0);
    assert_eq!(bench.open(), [id], "calm for less than close_after");
    bench.ticks(60, 0.0);
    assert_eq!(bench.recorded(id), Some(CloseReason::Recovered));
}

#[test]
fn after_a_kill_the_anomaly_goes_on_under_its_name() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), TWO);
    let id = bench.open_anomaly();
    let clock = Rc::clone(&bench.clock);
    drop(bench);
    let mut bench = Bench::start(state.path(), clock, TWO);
    assert_eq!(bench.open(), [id]);
    bench.ticks(60, 0.0);
    assert_eq!(bench.recorded(id), Some(CloseReason::Recovered));
}

#[test]
fn an_anomaly_that_goes_on_after_a_restart_is_told_as_newer_than_its_end() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    let id = bench.open_anomaly();
    let told = |bench: &Bench| {
        let mut events = bench.agent.journal.recent();
        events.find(|event| event.data.anomaly.id == id).map(|event| event.data.sequence)
    };
    while !bench.open().is_empty() {
        bench.tick(0.0);
    }
    let end = told(&bench).unwrap();
    bench.agent.save_all();
    let clock = Rc::clone(&bench.clock);
    drop(bench);
    let mut bench = Bench::start(state.path(), clock, ONE);
    assert_eq!(told(&bench), None, "what has ended is not remembered");
    bench.ticks(10, 60.0);
    assert_eq!(bench.open(), [id]);
    let again = told(&bench).unwrap();
    assert!(again > end, "{again} after {end}");
    bench.ticks(200, 0.0);
    assert_eq!(bench.recorded(id), Some(CloseReason::Recovered));
    assert!(told(&bench) > Some(again));
}

#[test]
fn an_anomaly_that_nobody_knows_after_a_restart_is_closed() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    let id = bench.open_anomaly();
    let clock = Rc::clone(&bench.clock);
    drop(bench);
    fs::remove_dir_all(state.path().join("models")).unwrap();
    let bench = Bench::start(state.path(), clock, ONE);
    assert_eq!(bench.recorded(id), Some(CloseReason::Unwatched));
    assert!(bench.agent.journal.orphans(&bench.agent.components).next().is_none());
    assert!(!bench.agent.journal.outbox.has_open());
}

#[test]
fn a_damaged_model_is_said_aloud_and_its_component_starts_anew() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    bench.ticks(200, 0.0);
    bench.agent.save_all();
    let clock = Rc::clone(&bench.clock);
    drop(bench);
    for file in fs::read_dir(state.path().join("models")).unwrap() {
        fs::write(file.unwrap().path(), b"no model at all").unwrap();
    }
    let bench = Bench::start(state.path(), clock, ONE);
    assert!(bench.notices().contains("set aside"), "{}", bench.notices());
    assert!(matches!(bench.agent.components[0].watch.state(), WatchState::WarmingUp { .. }));
}

#[test]
fn a_state_folder_that_can_t_be_used_costs_the_memory_of_a_restart_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // A file where folders should be: it stops the superuser as well.
    fs::write(&state, b"").unwrap();
    let mut bench = Bench::fresh(&state, ONE);
    let id = bench.open_anomaly();
    assert_eq!(bench.recorded(id), None);
    assert!(bench.notices().contains("will not survive a restart"), "{}", bench.notices());
    assert!(bench.notices().contains("held in memory only"), "{}", bench.notices());
}

#[test]
fn a_target_that_falls_silent_is_an_anomaly_whether_it_fails_or_sends_nothing() {
    for fails in [true, false] {
        let state = tempfile::tempdir().unwrap();
        let mut bench = Bench::fresh(state.path(), ONE);
        bench.ticks(200, 0.0);
        let empty = Batch::new(Arc::clone(&bench.schema));
        for _ in 0..60 {
            bench.clock.advance(Duration::from_secs(1));
            let result = match fails {
                true => Err(SourceError::new(ErrorClass::Target, "refused")),
                false => Ok(Collected::Rows),
            };
            bench.deliver(0, result, &empty);
        }
        let report = report::components(&bench.agent).remove(0);
        assert_eq!((report.state.as_str(), report.open_anomalies.len()), ("absent", 1));
        assert_eq!(report.sources[0].up, !fails);
        bench.tick(0.0);
        assert!(bench.open().is_empty());
    }
}

#[test]
fn an_agent_is_ready_when_each_component_was_tried() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), TWO);
    let empty = Batch::new(Arc::clone(&bench.schema));
    bench.deliver(0, Ok(Collected::Rows), &empty);
    assert!(!bench.agent.is_ready());
    bench.deliver(1, Err(SourceError::new(ErrorClass::Target, "refused")), &empty);
    assert!(bench.agent.is_ready());
}

#[test]
fn what_a_person_calls_normal_ends_and_is_learnt() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    let id = bench.open_anomaly();
    assert!(bench.agent.declare_normal(id));
    assert_eq!(bench.recorded(id), Some(CloseReason::DeclaredNormal));
    assert!(!bench.agent.declare_normal(id), "it has ended");
    bench.ticks(30, 60.0);
    assert!(bench.open().is_empty());
}

#[test]
fn a_sample_allocates_nothing_on_its_way_once_all_is_known() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    bench.ticks(400, 0.0);
    // Within one block of evidence: writing that to disk is not the hot path.
    bench.agent.components[0].flush();
    bench.ticks(2, 0.0);
    let mut counted = 0;
    for _ in 0..20 {
        bench.clock.advance(Duration::from_secs(1));
        let batch = bench.batch(0.0);
        counted += allocation_counter::measure(|| bench.deliver(0, Ok(Collected::Rows), &batch)).count_total;
    }
    assert_eq!(counted, 0);
}

#[test]
fn the_journal_forgets_ended_anomalies_first() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    let id = bench.open_anomaly();
    let open = bench.agent.journal.recent().next().unwrap().clone();
    for i in 0..300u32 {
        let mut event = open.clone();
        event.data.anomaly.id = format!("{i:016x}").parse().unwrap();
        bench.agent.journal.close_orphan(&event, bench.clock.now()).unwrap();
    }
    assert!(bench.agent.journal.recent().count() <= 200);
    assert_eq!(bench.recorded(id), None);
}

#[test]
fn while_a_prometheus_is_away_its_targets_are_not_absent() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::fresh(state.path(), ONE);
    bench.ticks(200, 0.0);
    let empty = Batch::new(Schema::new(Vec::new()).unwrap());
    let mut silent = |result: Result<Collected, SourceError>| {
        for _ in 0..60 {
            bench.clock.advance(Duration::from_secs(1));
            bench.deliver(0, result.clone(), &empty);
        }
        bench.open().len()
    };
    assert_eq!(silent(Err(SourceError::new(ErrorClass::Prometheus, "away"))), 0);
    assert_eq!(silent(Ok(Collected::Nothing)), 0);
    assert_eq!(silent(Err(SourceError::new(ErrorClass::Target, "away"))), 1);
}
