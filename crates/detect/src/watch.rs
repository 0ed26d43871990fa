//! Everything about one component: detector, tracker, presence and budget, in the order in which a row meets them.
//!
//! The same code runs beside a live source and over a file. A row is scored with what was learnt before it; the tracker
//! decides whether an anomaly opens, goes on or ends, and with it whether the row may be learnt.

use std::sync::Arc;
use std::time::Duration;

use larnax_core::{
    Anomaly, AnomalyId, AnomalyKind, CloseReason, Component, Contribution, Row, Schema, Score, Status,
    Timestamp, Transition, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::budget::AlertBudget;
use crate::detector::{Detector, DetectorKind, Tuning};
use crate::presence::{self, Presence};
use crate::tracker::{Step, Times, Tracker};

/// Metrics that an anomaly names.
const NAMED: usize = 10;
/// While an anomaly is open, a metric that it does not name holds it open only beyond this deviation.
const HOLDS_UNNAMED: f64 = 3.0;
/// An anomaly is reported again when its peak has grown by this factor,
const WORSE: f64 = 1.5;
/// and not more often than this, in seconds.
const UPDATE_EVERY: f64 = 30.0;
/// Gaps from which the sampling period is found (specification 0.4).
const GAPS: usize = 20;
/// Shortest and longest sampling period in seconds that is worked with.
const PERIODS: (f64, f64) = (0.001, 86_400.0);

/// How a component is watched. Durations, whatever the sampling period; minimum sample counts are built in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model.
    pub detector: DetectorKind,
    /// Nothing is alerted before this much has been learnt (and 60 samples).
    pub warm_up: Duration,
    /// Window in which 60 % of the samples must be anomalous for an anomaly to open (and 5 samples).
    pub open_after: Duration,
    /// Calm after which an anomaly ends (and 5 samples).
    pub close_after: Duration,
    /// What is anomalous again within this time of its end is the same anomaly.
    pub rejoin: Duration,
    /// A change that lasts so long is taken as the new normal.
    pub adopt_after: Duration,
    /// How far back levels are remembered.
    pub memory: Duration,
    /// The sampling interval where it is known beforehand; it is measured in any case.
    pub interval: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            detector: DetectorKind::default(),
            warm_up: Duration::from_secs(150),
            open_after: Duration::from_secs(5),
            close_after: Duration::from_secs(15),
            rejoin: Duration::from_secs(120),
            adopt_after: Duration::from_secs(4 * 3_600),
            memory: Duration::from_secs(6 * 3_600),
            interval: None,
        }
    }
}

/// What happened to an anomaly. `anomaly.alerted` says whether it is worth an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What happened.
    pub transition: Transition,
    /// The anomaly as it stands.
    pub anomaly: Anomaly,
}

/// How a component is doing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WatchState {
    /// Too little is known.
    WarmingUp {
        /// Seconds until enough is known, if samples keep coming.
        remaining: f64,
    },
    /// As it was learnt to be.
    Normal,
    /// An anomaly is open.
    Anomalous,
    /// Nothing comes from it.
    Absent,
    /// Too little of it comes to judge.
    Unknown,
}

/// One component under watch.
#[derive(Debug)]
pub struct Watch {
    pub(crate) component: Component,
    pub(crate) settings: Settings,
    pub(crate) detector: Box<dyn Detector>,
    pub(crate) tracker: Tracker,
    pub(crate) presence: Presence,
    schema: Arc<Schema>,
    verdict: Verdict,
    /// The last row's values, for explanations.
    values: Vec<f64>,
    /// The open anomaly of each kind.
    pub(crate) deviation: Option<Anomaly>,
    pub(crate) vanished: Option<Anomaly>,
    pub(crate) silence: Option<Anomaly>,
    /// The last deviation that ended; it may go on.
    pub(crate) ended: Option<Anomaly>,
    /// Where the metrics that the open deviation names stand in the schema.
    named: Vec<usize>,
    /// Highest score of the stretch that is being judged.
    stretch_peak: Score,
    /// Peak and time of the last report about the open deviation.
    pub(crate) reported: (f64, Timestamp),
    pub(crate) last: Option<Timestamp>,
    pub(crate) period: f64,
    gaps: [f64; GAPS],
    gap_count: usize,
    /// A silent component was taken as gone: no more is said until it returns.
    gone: bool,
    /// Just restored: silence counts from the first look, not from before the restart.
    pub(crate) resumed: bool,
    refused: u64,
}

impl Watch {
    /// Begins to watch a component of which nothing is known.
    pub fn new(component: Component, settings: Settings) -> Self {
        let detector = settings.detector.build(settings.warm_up.as_secs_f64(), settings.memory.as_secs_f64());
        let period = settings.interval.map_or(1.0, |i| i.as_secs_f64()).clamp(PERIODS.0, PERIODS.1);
        Self {
            component,
            settings,
            detector,
            tracker: Tracker::default(),
            presence: Presence::default(),
            schema: empty_schema(),
            verdict: Verdict::default(),
            values: Vec::new(),
            deviation: None,
            vanished: None,
            silence: None,
            ended: None,
            named: Vec::with_capacity(NAMED),
            stretch_peak: Score::default(),
            reported: (0.0, Timestamp::default()),
            last: None,
            period,
            gaps: [0.0; GAPS],
            gap_count: 0,
            gone: false,
            resumed: false,
            refused: 0,
        }
    }

    /// Takes a schema: metrics keep what was learnt under their names. Call before the first row and at every change;
    /// the same `Arc` again costs nothing.
    pub fn resize(&mut self, schema: &Arc<Schema>) {
        if Arc::ptr_eq(&self.schema, schema) {
            return;
        }
        self.schema = Arc::clone(schema);
        self.detector.resize(schema);
        self.presence.resize(schema, self.settings.warm_up.as_secs_f64());
        self.verdict.reset(schema.len());
        self.values.clear();
        self.values.resize(schema.len(), f64::NAN);
        self.find_named();
    }

    /// Scores, tracks and learns a row; what happened to anomalies is appended to `changes`. A row that is not later
    /// than the one before, or has another width than the schema, is refused and counted.
    ///
    /// Hot: no allocation while nothing happens.
    pub fn observe(&mut self, row: Row<'_>, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let before = self.last;
        if row.values.len() != self.schema.len() || before.is_some_and(|last| row.time <= last) {
            self.refused += 1;
            return;
        }
        self.last = Some(row.time);
        self.resumed = false;
        self.gone = false;
        budget.observe(row.time);
        let dt = before.map_or(0.0, |last| row.time.since(last));
        self.learn_period(dt);
        if let Some(anomaly) = self.silence.take() {
            changes.push(close(anomaly, row.time, CloseReason::Recovered));
        }
        self.values.copy_from_slice(row.values);
        self.detector.tune(Tuning { period: self.period, tail: budget.tail(self.period) });
        self.detector.score(row, &mut self.verdict);
        match self.verdict.status {
            Status::Unknown => {}
            Status::Ready => self.track(row, budget, changes),
            Status::WarmingUp | Status::Provisional => {
                if row.learnable {
                    self.detector.learn(row, 1.0);
                }
            }
        }
        let warm_up = self.settings.warm_up.as_secs_f64();
        let steady = dt.min(presence::MIN_SAMPLES * self.period);
        if self.presence.observe(row.values, steady, warm_up) || self.vanished.is_some() {
            self.judge_vanished(row.time, budget, changes);
        }
    }

    /// The sampling itself paused between the two instants (a suspended machine, a stopped agent): that is nobody's
    /// absence, and what was flagged before does not add up with what comes.
    pub fn gap(&mut self, after: Timestamp, until: Timestamp) {
        self.detector.gap(after, until);
        self.tracker.gap();
        self.resumed = true;
    }

    /// No sample came although one was due. Call now and then while nothing comes.
    pub fn silent(&mut self, now: Timestamp, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let Some(last) = self.last else { return };
        if std::mem::take(&mut self.resumed) {
            self.last = Some(last.max(now));
            return;
        }
        let limit = presence::limit(self.period);
        let silence = now.since(last);
        if self.gone || silence <= limit || !self.presence.is_established(self.settings.warm_up.as_secs_f64())
        {
            return;
        }
        let score = Score::new(silence / limit);
        if let Some(anomaly) = &mut self.silence {
            (anomaly.score, anomaly.last_seen) = (score, now);
            anomaly.peak = if score > anomaly.peak { score } else { anomaly.peak };
            if now.since(anomaly.opened) >= self.settings.adopt_after.as_secs_f64() {
                if let Some(anomaly) = self.silence.take() {
                    changes.push(close(anomaly, now, CloseReason::Adopted));
                }
                self.gone = true;
            } else if !anomaly.alerted && budget.spend(now, score) {
                anomaly.alerted = true;
                changes.push(Change { transition: Transition::Updated, anomaly: anomaly.clone() });
            }
            return;
        }
        let onset = last.plus(Duration::from_secs_f64(self.period));
        let anomaly = self.open(AnomalyKind::TargetAbsent, onset, now, score, Vec::new(), budget);
        changes.push(Change { transition: Transition::Opened, anomaly: anomaly.clone() });
        self.silence = Some(anomaly);
    }

    /// What was said about the last row.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The metrics of the rows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The last row's values.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// When the last row was taken.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.last
    }

    /// Usual seconds between rows.
    pub fn period(&self) -> f64 {
        self.period
    }

    /// Rows that could not be used: not later than the one before, or of another width.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes of memory that the model holds.
    pub fn state_bytes(&self) -> usize {
        self.detector.state_bytes()
            + self.verdict.metrics.capacity() * size_of::<larnax_core::MetricVerdict>()
    }

    /// How it is doing.
    pub fn state(&self) -> WatchState {
        let remaining = self.detector.warm_up_left();
        if self.silence.is_some() || self.gone {
            WatchState::Absent
        } else if self.deviation.is_some() || self.vanished.is_some() {
            WatchState::Anomalous
        } else if remaining > 0.0 {
            WatchState::WarmingUp { remaining }
        } else if self.verdict.status == Status::Unknown {
            WatchState::Unknown
        } else {
            WatchState::Normal
        }
    }

    /// Anomalies that have not ended.
    pub fn open_anomalies(&self) -> impl Iterator<Item = &Anomaly> {
        [&self.deviation, &self.vanished, &self.silence].into_iter().flatten()
    }

    /// The last deviation that ended.
    pub fn last_ended(&self) -> Option<&Anomaly> {
        self.ended.as_ref()
    }

    /// Flagged samples in the opening window, and how many samples it has.
    pub fn flagged_window(&self) -> (u32, u32) {
        self.tracker.window(&self.times(), self.period)
    }

    /// What the last score rests on.
    pub fn basis(&self) -> crate::detector::Basis {
        self.detector.basis()
    }

    /// A person says that an open anomaly is normal: it ends, and what is there now is learnt. False where there is no
    /// such open anomaly.
    pub fn declare_normal(&mut self, id: AnomalyId, now: Timestamp, changes: &mut Vec<Change>) -> bool {
        let reason = CloseReason::DeclaredNormal;
        if let Some(anomaly) = self.deviation.take_if(|a| a.id == id) {
            self.detector.settle(true);
            self.detector.adopt();
            self.tracker.stop(now);
            changes.push(close(anomaly, now, reason));
        } else if let Some(anomaly) = self.vanished.take_if(|a| a.id == id) {
            self.presence.forget_absent();
            changes.push(close(anomaly, now, reason));
        } else if let Some(anomaly) = self.silence.take_if(|a| a.id == id) {
            self.gone = true;
            changes.push(close(anomaly, now, reason));
        } else {
            return false;
        }
        true
    }

    /// The component is no longer watched: what is open ends.
    pub fn unwatch(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        for anomaly in
            [self.deviation.take(), self.vanished.take(), self.silence.take()].into_iter().flatten()
        {
            changes.push(close(anomaly, now, CloseReason::Unwatched));
        }
        self.tracker.stop(now);
    }

    pub(crate) fn times(&self) -> Times {
        Times {
            open_after: self.settings.open_after.as_secs_f64(),
            close_after: self.settings.close_after.as_secs_f64(),
            rejoin: self.settings.rejoin.as_secs_f64(),
            adopt_after: self.settings.adopt_after.as_secs_f64(),
        }
    }

    /// Median of the last gaps, looked at again each time they have all been replaced.
    fn learn_period(&mut self, dt: f64) {
        if dt <= 0.0 {
            return;
        }
        self.gaps[self.gap_count % GAPS] = dt;
        self.gap_count += 1;
        if self.gap_count <= GAPS || self.gap_count.is_multiple_of(GAPS) {
            let mut sorted = self.gaps;
            let known = &mut sorted[..self.gap_count.min(GAPS)];
            known.sort_unstable_by(f64::total_cmp);
            // The lower of the middle two: a gap among few must not look like the period.
            self.period = known[(known.len() - 1) / 2].clamp(PERIODS.0, PERIODS.1);
        }
    }

    /// Whether the open deviation still lasts: all metrics together are anomalous, or one that it names is outside its band,
    /// or another one far outside. An incident leaves things behind (caches, pools, counts) that must not keep it open.
    fn holds(&self) -> bool {
        let outside = |i: &usize| self.verdict.metrics.get(*i).is_some_and(|m| m.deviation.abs() > 1.0);
        let basis = self.detector.basis();
        basis.joint > basis.joint_limit || basis.single > HOLDS_UNNAMED || self.named.iter().any(outside)
    }

    pub(crate) fn find_named(&mut self) {
        self.named.clear();
        let metrics = self.deviation.as_ref().map_or(&[][..], |a| &a.metrics);
        self.named.extend(
            metrics
                .iter()
                .filter(|c| c.deviation.abs() > 1.0)
                .filter_map(|c| self.schema.position(c.metric.as_str())),
        );
    }

    /// Scored and ready: opens, continues or ends the deviation, then learns.
    fn track(&mut self, row: Row<'_>, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let score = self.verdict.score;
        let flagged = if self.deviation.is_some() { self.holds() } else { score.is_anomalous() };
        let (step, over) = self.tracker.step(row.time, flagged, &self.times(), self.period);
        if let Some(was_anomaly) = over {
            self.detector.settle(was_anomaly);
        }
        if flagged {
            self.stretch_peak = if score > self.stretch_peak { score } else { self.stretch_peak };
        } else if !self.tracker.is_undecided() {
            self.stretch_peak = Score::default();
        }
        match step {
            Step::Same => {
                if flagged && self.deviation.is_some() {
                    self.follow(row.time, budget, changes);
                }
            }
            Step::Open(onset) => self.begin(onset, row.time, budget, changes),
            Step::Reopen => match self.ended.take() {
                Some(mut anomaly) => {
                    (anomaly.closed, anomaly.close_reason) = (None, None);
                    self.deviation = Some(anomaly);
                    self.find_named();
                    self.reported = (0.0, Timestamp::from_nanos(i64::MIN));
                    self.follow(row.time, budget, changes);
                }
                None => self.begin(self.tracker.began().unwrap_or(row.time), row.time, budget, changes),
            },
            Step::Close => self.finish(row.time, CloseReason::Recovered, changes),
            Step::Adopt => {
                self.finish(row.time, CloseReason::Adopted, changes);
                self.detector.adopt();
            }
        }
        if row.learnable {
            self.detector.learn(row, self.tracker.weight(flagged));
        }
    }

    fn begin(
        &mut self,
        onset: Timestamp,
        now: Timestamp,
        budget: &mut AlertBudget,
        changes: &mut Vec<Change>,
    ) {
        let metrics = self.verdict.contributions(&self.schema, NAMED);
        let peak = self.stretch_peak;
        let mut anomaly = self.open(AnomalyKind::Deviation, onset, now, peak, metrics, budget);
        anomaly.score = self.verdict.score;
        self.reported = (peak.get(), now);
        changes.push(Change { transition: Transition::Opened, anomaly: anomaly.clone() });
        self.deviation = Some(anomaly);
        self.find_named();
    }

    /// A flagged row while an anomaly is open.
    fn follow(&mut self, now: Timestamp, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let Some(anomaly) = &mut self.deviation else { return };
        (anomaly.score, anomaly.last_seen) = (self.verdict.score, now);
        if anomaly.score > anomaly.peak {
            anomaly.peak = anomaly.score;
            anomaly.metrics = self.verdict.contributions(&self.schema, NAMED);
            self.find_named();
        }
        let Some(anomaly) = &mut self.deviation else { return };
        let rises = !anomaly.alerted && budget.spend(now, anomaly.peak);
        anomaly.alerted |= rises;
        let (peak, at) = self.reported;
        if rises || (anomaly.peak.get() > WORSE * peak && now.since(at) >= UPDATE_EVERY) {
            self.reported = (anomaly.peak.get(), now);
            changes.push(Change { transition: Transition::Updated, anomaly: anomaly.clone() });
        }
    }

    fn finish(&mut self, now: Timestamp, reason: CloseReason, changes: &mut Vec<Change>) {
        if let Some(anomaly) = self.deviation.take() {
            let change = close(anomaly, now, reason);
            self.ended = Some(change.anomaly.clone());
            changes.push(change);
        }
        self.stretch_peak = Score::default();
    }

    fn open(
        &self,
        kind: AnomalyKind,
        onset: Timestamp,
        now: Timestamp,
        score: Score,
        metrics: Vec<Contribution>,
        budget: &mut AlertBudget,
    ) -> Anomaly {
        Anomaly {
            id: AnomalyId::of(&self.component.id, kind, onset),
            component: self.component.id.clone(),
            kind,
            onset,
            opened: now,
            last_seen: now,
            closed: None,
            close_reason: None,
            score,
            peak: score,
            alerted: budget.spend(now, score),
            metrics,
        }
    }

    /// The set of absent metrics changed, or some are absent.
    fn judge_vanished(&mut self, now: Timestamp, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let metrics = self.presence.absent(self.settings.warm_up.as_secs_f64(), NAMED);
        let Some(anomaly) = &mut self.vanished else {
            if !metrics.is_empty() {
                let onset = now.minus(Duration::from_secs_f64(presence::limit(self.period)));
                // Above the first bar in any case, and higher the more of the component is gone.
                let share = metrics.len() as f64 / self.schema.len().max(1) as f64;
                let score = Score::new(1.1 + share);
                let anomaly = self.open(AnomalyKind::MetricAbsent, onset, now, score, metrics, budget);
                changes.push(Change { transition: Transition::Opened, anomaly: anomaly.clone() });
                self.vanished = Some(anomaly);
            }
            return;
        };
        if metrics.is_empty() {
            if let Some(anomaly) = self.vanished.take() {
                changes.push(close(anomaly, now, CloseReason::Recovered));
            }
            return;
        }
        anomaly.last_seen = now;
        if now.since(anomaly.opened) >= self.settings.adopt_after.as_secs_f64() {
            self.presence.forget_absent();
            if let Some(anomaly) = self.vanished.take() {
                changes.push(close(anomaly, now, CloseReason::Adopted));
            }
        } else if metrics.len() > anomaly.metrics.len() {
            anomaly.metrics = metrics;
            changes.push(Change { transition: Transition::Updated, anomaly: anomaly.clone() });
        }
    }
}

fn close(mut anomaly: Anomaly, now: Timestamp, reason: CloseReason) -> Change {
    (anomaly.closed, anomaly.close_reason) = (Some(now), Some(reason));
    Change { transition: Transition::Closed, anomaly }
}

/// A schema without metrics.
fn empty_schema() -> Arc<Schema> {
    match Schema::new(Vec::new()) {
        Ok(schema) => schema,
        Err(_) => unreachable!("no metrics, so no metric stands twice"),
    }
}
