//! One component as the agent watches it: the walk of a sample from its sources to a verdict.

use std::path::Path;
use std::time::Duration;

use larnax_alert::evidence::{EvidenceOptions, Judged, evidence};
use larnax_alert::ring::Ring;
use larnax_collect::{Cost, SourceError};
use larnax_core::{Batch, Component, Evidence, MetricName, Timestamp, Window};
use larnax_detect::{AlertBudget, Change, Settings, Watch};
use larnax_pipeline::Pipeline;

use crate::history::History;
use crate::plan::ComponentPlan;
use crate::walk::walk;

/// How long before an onset its past reaches: long enough for a median at a sample every 15 s.
const PAST: Duration = Duration::from_secs(600);
/// The past is thinned to about this many rows.
const MAX_PAST_ROWS: usize = 600;

/// One component: pipeline, watch, evidence ring, history.
pub(crate) struct Watched {
    /// Time between samples.
    pub interval: Duration,
    /// State of each source, in the order of the pipeline's inputs.
    pub sources: Vec<SourceState>,
    /// What judges it.
    pub watch: Watch,
    /// The last hour, where it is kept.
    pub history: Option<History>,
    /// When it was last written down.
    pub saved: Option<Timestamp>,
    component: Component,
    settings: Settings,
    pipeline: Pipeline,
    ring: Option<Ring>,
    changes: Vec<Change>,
}

/// What is known of one source, for reports.
#[derive(Clone, Debug)]
pub(crate) struct SourceState {
    /// A URL, `host` or a path.
    pub name: String,
    /// Whether a collection was tried.
    pub tried: bool,
    /// Why the last collection gave nothing; none when it gave samples.
    pub error: Option<SourceError>,
    /// How long the last collection took.
    pub last_took: Duration,
    /// What it has cost.
    pub cost: Cost,
}

impl Watched {
    /// A component that has seen nothing yet. Its evidence lies at `ring_path`, or in memory only; the text says why it
    /// can't be on disk.
    pub(crate) fn new(
        plan: &ComponentPlan,
        keep_history: bool,
        ring_path: Option<&Path>,
    ) -> (Self, Option<String>) {
        let opened = Ring::open(ring_path, plan.ring.clone());
        let notice =
            opened.as_ref().err().map(|error| format!("{}: no evidence is kept: {error}", plan.component.id));
        let watch = Watch::new(plan.component.clone(), plan.settings.clone());
        (Self::assemble(plan, keep_history, watch, opened.ok()), notice)
    }

    /// The same component under a plan that may have changed: keeps what it has learnt, its open anomalies, its evidence
    /// and what is known of its sources. The text says why it can't.
    pub(crate) fn inherit(plan: &ComponentPlan, keep_history: bool, earlier: Self) -> (Self, Option<String>) {
        let mut notice = None;
        let watch = if earlier.settings == plan.settings {
            earlier.watch
        } else {
            // As over a restart: the settings go into a watch when it is made.
            let mut watch = Watch::new(plan.component.clone(), plan.settings.clone());
            let restored = watch.restore(&earlier.watch.save());
            notice = restored.err().map(|error| format!("{} is learnt anew: {error}", plan.component.id));
            watch
        };
        let mut watched = Self::assemble(plan, keep_history, watch, earlier.ring);
        if watched.interval == earlier.interval {
            watched.history = earlier.history;
        }
        for state in &mut watched.sources {
            if let Some(known) = earlier.sources.iter().find(|known| known.name == state.name) {
                *state = known.clone();
            }
        }
        watched.saved = earlier.saved;
        (watched, notice)
    }

    fn assemble(plan: &ComponentPlan, keep_history: bool, watch: Watch, ring: Option<Ring>) -> Self {
        Self {
            interval: plan.interval,
            sources: plan.sources.iter().map(|source| SourceState::new(source.name())).collect(),
            watch,
            history: keep_history.then(|| History::new(plan.interval)),
            saved: None,
            component: plan.component.clone(),
            settings: plan.settings.clone(),
            pipeline: Pipeline::new(plan.pipeline.clone(), plan.sources.len()),
            ring,
            changes: Vec::new(),
        }
    }

    /// Which component it is.
    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    /// What the pipeline took, made and refused.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Samples of one source on their way to a verdict. Hot: nothing may be allocated here once the schema is known.
    ///
    /// Returns what happened to anomalies; the buffer is reused at the next call. Samples of which none can be judged
    /// (an empty page, times that stand still) are silence.
    pub(crate) fn feed(
        &mut self,
        input: usize,
        batch: &Batch,
        now: Timestamp,
        budget: &mut AlertBudget,
    ) -> &mut Vec<Change> {
        self.changes.clear();
        let before = self.watch.last_seen();
        let Self { pipeline, watch, ring, history, changes, .. } = self;
        walk(pipeline, (input, batch), watch, budget, changes, |watch, row| {
            if let Some(ring) = ring {
                ring.push(watch.schema(), row);
            }
            if let Some(history) = history {
                history.push(watch.schema(), row, watch.verdict());
            }
        });
        if self.watch.last_seen() == before {
            self.watch.silent(now, budget, &mut self.changes);
        }
        &mut self.changes
    }

    /// A source gave nothing at `now`.
    pub(crate) fn silent(&mut self, now: Timestamp, budget: &mut AlertBudget) -> &mut Vec<Change> {
        self.changes.clear();
        self.watch.silent(now, budget, &mut self.changes);
        &mut self.changes
    }

    /// It is no longer watched.
    pub(crate) fn unwatch(&mut self, now: Timestamp) -> &mut Vec<Change> {
        self.changes.clear();
        self.watch.unwatch(now, &mut self.changes);
        &mut self.changes
    }

    /// What an anomaly that began at `onset` can be judged by.
    pub(crate) fn evidence(&self, onset: Timestamp) -> Evidence {
        let options = EvidenceOptions::default();
        let judged = Judged {
            schema: self.watch.schema(),
            values: self.watch.values(),
            verdict: self.watch.verdict(),
        };
        let wanted = judged.top(options.top);
        let now = self.watch.last_seen().unwrap_or(onset);
        let past = self.ring.as_ref().map_or_else(Window::default, |ring| {
            ring.read(onset.minus(PAST), now, MAX_PAST_ROWS, |metric| wanted.contains(metric))
        });
        evidence(&judged, &past, onset, &options)
    }

    /// Its rows from `from` to `to`, thinned to about `max_rows`, of the metrics named, or of all where none is.
    pub(crate) fn past(
        &self,
        from: Timestamp,
        to: Timestamp,
        max_rows: usize,
        metrics: &[MetricName],
    ) -> Window {
        let wanted = |metric: &MetricName| metrics.is_empty() || metrics.contains(metric);
        self.ring.as_ref().map_or_else(Window::default, |ring| ring.read(from, to, max_rows, wanted))
    }

    /// Writes the evidence that is still in memory.
    pub(crate) fn flush(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.flush();
        }
    }
}

impl SourceState {
    fn new(name: String) -> Self {
        Self { name, tried: false, error: None, last_took: Duration::ZERO, cost: Cost::default() }
    }

    /// Notes how a collection went, and logs when that changed: once per outage, not once per try.
    pub(crate) fn note(&mut self, cost: Cost, took: Duration, error: Option<SourceError>) {
        self.tried = true;
        self.cost = cost;
        self.last_took = took;
        if self.error == error {
            return;
        }
        match &error {
            Some(error) => tracing::warn!(source = self.name, class = error.class.as_str(), "{error}"),
            None => tracing::info!(source = self.name, "gives samples again"),
        }
        self.error = error;
    }
}

#[cfg(test)]
mod tests {
    use larnax_core::{Metric, MetricKind, MetricName, Schema};
    use larnax_spec::Config;

    use super::*;
    use crate::plan::Plan;

    fn plan(rules: &str) -> ComponentPlan {
        let yaml = format!("host: true\nmetrics: {{rules: [{rules}]}}");
        let (config, _) = Config::from_yaml(&yaml, "test").unwrap();
        Plan::of(&config, &crate::targets::Found::default(), "edge-1").unwrap().components.remove(0)
    }

    /// Feeds a latency at a sample every 5 s, and says whether an anomaly is open after the last one.
    fn feed(watched: &mut Watched, seconds: std::ops::Range<u32>, latency: f64) -> bool {
        let name = MetricName::new("latency_seconds").unwrap();
        let schema = Schema::new(vec![Metric::new(name, MetricKind::Gauge)]).unwrap();
        let mut budget = AlertBudget::default();
        for second in seconds.step_by(5) {
            let now = Timestamp::from_seconds(f64::from(second));
            let mut batch = Batch::new(schema.clone());
            let ripple = 1e-3 * f64::from(second * 7 % 13);
            batch.push_row(now).copy_from_slice(&[latency + ripple]);
            watched.feed(0, &batch, now, &mut budget);
        }
        watched.watch.open_anomalies().next().is_some()
    }

    #[test]
    fn what_a_rule_says_is_how_a_metric_is_judged_and_a_reload_changes_it_without_learning_anew() {
        let judged = |rules: &str, latency: f64| {
            let (mut watched, _) = Watched::new(&plan(rules), false, None);
            feed(&mut watched, 0..3_000, 0.5);
            feed(&mut watched, 3_000..3_120, latency)
        };
        assert!(judged("", 1.0) && judged("", 0.1));
        let only_above = "{match: latency.*, detection_direction: above_expected}";
        assert!(judged(only_above, 1.0) && !judged(only_above, 0.1));
        let in_range = "{match: latency_seconds, detection_direction: below_expected, data_range: [0, 0.9]}";
        assert!(judged(in_range, 1.0) && !judged(in_range, 0.8));
        assert!(!judged("{match: latency, data_range: [0, 0.1]}", 0.5), "another metric's rule");

        let (mut watched, _) =
            Watched::new(&plan("{match: latency_seconds, min_dev_from_expected: 0.6}"), false, None);
        feed(&mut watched, 0..3_000, 0.5);
        let band = watched.watch.verdict().metrics[0];
        assert!(band.upper - band.expected >= 0.6, "{band:?}");

        let (mut watched, _) = Watched::new(&plan(""), false, None);
        feed(&mut watched, 0..3_000, 0.5);
        let (mut watched, _) = Watched::inherit(&plan(only_above), false, watched);
        assert!(!feed(&mut watched, 3_000..3_120, 0.1), "the new rule holds");
        assert!(feed(&mut watched, 3_120..3_240, 3.0), "what was learnt is still known");
    }
}
