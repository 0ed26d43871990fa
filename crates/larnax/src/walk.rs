//! A file's rows on their way through pipeline and watch, and what was told about them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{
    Anomaly, AnomalyId, Batch, Component, ComponentId, Schema, Status, Timestamp, Transition, Verdict,
};
use larnax_detect::{AlertBudget, Change, Settings, Watch};
use larnax_edge_role::walk::walk;
use larnax_pipeline::{Options, Pipeline};

/// Rows with a time of day keep it when they have to be put after what was learnt before.
const DAY: Duration = Duration::from_secs(86_400);

/// Something that was told: an anomaly opened, or an alert given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Told {
    /// At which row of the file, from 0.
    pub(crate) row: usize,
    /// Since when, by what was told.
    pub(crate) onset: Timestamp,
    /// The highest score by then.
    pub(crate) peak: f64,
}

/// One watch over one file after the other.
pub(crate) struct Walk {
    pub(crate) watch: Watch,
    pipeline: Pipeline,
    budget: AlertBudget,
    batch: Batch,
    /// What the last row changed.
    changes: Vec<Change>,
    /// Alerts that were given, in whichever file.
    alerted: HashSet<AnomalyId>,
    // Of the file that is being walked:
    has_time: bool,
    /// By how much times are moved, so that the file comes after what was learnt before it; none before its first row.
    moved: Option<Duration>,
    rows: usize,
    usable: bool,
    opened: Vec<Told>,
    alerts: Vec<Told>,
}

impl Walk {
    /// Of a watch that knows nothing.
    pub(crate) fn new(name: &str, settings: Settings) -> Self {
        let component = Component {
            id: ComponentId::from_parts("file", "local", name),
            group: "file".to_owned(),
            labels: Default::default(),
        };
        Self {
            watch: Watch::new(component, settings),
            pipeline: Pipeline::new(Options::default(), 1),
            budget: AlertBudget::default(),
            batch: Batch::new(Arc::default()),
            changes: Vec::new(),
            alerted: HashSet::new(),
            has_time: false,
            moved: None,
            rows: 0,
            usable: false,
            opened: Vec::new(),
            alerts: Vec::new(),
        }
    }

    /// What comes next is a file, or another one.
    pub(crate) fn begin(&mut self, has_time: bool) {
        (self.has_time, self.moved, self.rows) = (has_time, None, 0);
        self.opened.clear();
        self.alerts.clear();
    }

    /// Leads the next row of the file through; one without a time can't be used.
    pub(crate) fn row(&mut self, schema: &Arc<Schema>, time: Option<Timestamp>, values: &[f64]) {
        self.changes.clear();
        self.batch.reset(schema);
        if let Some(time) = time {
            let moved = *self.moved.get_or_insert_with(|| behind(&self.watch, time, self.has_time));
            self.batch.push_row(time.plus(moved)).copy_from_slice(values);
        }
        let mut judged = false;
        let Self { pipeline, batch, watch, budget, changes, .. } = self;
        walk(pipeline, (0, batch), watch, budget, changes, |_, _| judged = true);
        self.usable = judged && self.watch.verdict().status != Status::Unknown;
        let moved = self.moved.unwrap_or_default();
        for Change { transition, anomaly } in &mut self.changes {
            move_back(anomaly, moved);
            let told = Told { row: self.rows, onset: anomaly.onset, peak: anomaly.peak.get() };
            if *transition == Transition::Opened {
                self.opened.push(told);
            }
            if anomaly.alerted && self.alerted.insert(anomaly.id) {
                self.alerts.push(told);
            }
        }
        self.rows += 1;
    }

    /// What is said of the last row; none where it can't be used.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.usable.then(|| self.watch.verdict())
    }

    /// What happened to anomalies at the last row, in the times of the file.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether an alert was given at the last row.
    pub(crate) fn has_alerted(&self) -> bool {
        self.alerts.last().is_some_and(|told| told.row + 1 == self.rows)
    }

    /// Anomalies opened in this file.
    pub(crate) fn opened(&self) -> &[Told] {
        &self.opened
    }

    /// Alerts given in this file.
    pub(crate) fn alerts(&self) -> &[Told] {
        &self.alerts
    }

    /// Anomalies that are open now, in the times of the file.
    pub(crate) fn open_anomalies(&self) -> impl Iterator<Item = Anomaly> {
        self.watch.open_anomalies().cloned().map(|mut anomaly| {
            move_back(&mut anomaly, self.moved.unwrap_or_default());
            anomaly
        })
    }
}

/// How far a file that begins at `first` has to be moved. What is not after all that was learnt is judged as if it began right
/// after it: files without times all begin at the epoch, and rows from the past are refused.
fn behind(watch: &Watch, first: Timestamp, has_time: bool) -> Duration {
    let behind = match watch.last_seen() {
        Some(last) if last >= first => last.since(first) + watch.period(),
        _ => 0.0,
    };
    let days = (behind / DAY.as_secs_f64()).ceil() * DAY.as_secs_f64();
    Duration::try_from_secs_f64(if has_time { days } else { behind }).unwrap_or_default()
}

fn move_back(anomaly: &mut Anomaly, by: Duration) {
    let times = [&mut anomaly.onset, &mut anomaly.opened, &mut anomaly.last_seen];
    for time in times.into_iter().chain(&mut anomaly.closed) {
        *time = time.minus(by);
    }
}
