//! What opens, continues and ends the anomalies of a watch.

use std::time::Duration;

use larnax_core::{Anomaly, AnomalyId, AnomalyKind, CloseReason, Contribution, Score, Timestamp, Transition};

use super::{Change, Watch};
use crate::attribution::Part;
use crate::budget::AlertBudget;
use crate::presence;

/// Metrics that an anomaly names.
pub(super) const NAMED: usize = 10;
/// An anomaly is reported again when its peak has grown by this factor,
const WORSE: f64 = 1.5;
/// and not more often than this, in seconds.
const UPDATE_EVERY: f64 = 30.0;
/// While an anomaly is open, a metric that it does not name holds it open only beyond this deviation.
const HOLDS_UNNAMED: f64 = 3.0;
impl Watch {
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
            // Never adopted: what has stopped stays told until it returns or a person says that it is gone.
            if !anomaly.alerted && budget.spend_on_absence(now, score) {
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

    /// A person says that an open anomaly is normal: it ends, and what is there now is learnt. False where there is no
    /// such open anomaly.
    pub fn declare_normal(&mut self, id: AnomalyId, now: Timestamp, changes: &mut Vec<Change>) -> bool {
        let reason = CloseReason::DeclaredNormal;
        if let Some(anomaly) = self.deviation.take_if(|a| a.id == id) {
            self.detector.settle(true);
            self.detector.adopt();
            self.attribution.adopt(&self.values);
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

    /// Whether all metrics together are anomalous, not only one alone.
    fn is_seen_in_all(&self) -> bool {
        let basis = self.detector.basis();
        basis.joint > basis.joint_limit
    }

    /// Whether the open deviation still lasts: all metrics together are anomalous in this row, or one that it names is outside its band,
    /// or another one far outside. An incident leaves things behind (caches, pools, counts) that must not keep it open. Rejected: outside on
    /// the side on which it was only; on SMD the area under precision and recall is .014 smaller.
    pub(super) fn holds(&self) -> bool {
        let basis = self.detector.basis();
        basis.joint - basis.held > basis.joint_limit || basis.single > HOLDS_UNNAMED || self.is_as_named()
    }

    /// Whether a metric that the open deviation names is outside its band.
    fn is_as_named(&self) -> bool {
        let outside = |i: &usize| self.verdict.metrics.get(*i).is_some_and(|m| m.deviation.abs() > 1.0);
        self.named.iter().any(outside)
    }

    pub(crate) fn find_named(&mut self) {
        self.named.clear();
        let metrics = self.deviation.as_ref().map_or(&[][..], |a| &a.metrics);
        self.named.extend(outside(metrics).filter_map(|c| self.schema.position(c.metric.as_str())));
        self.others = 0;
    }

    /// The metrics that the anomaly is about, with what was just said of them. The one that is farthest outside its band now is always one
    /// of them: it may have covered its whole range before (a processor that was busy for a second) and others do more than they ever did.
    fn contributions(&self) -> Vec<Contribution> {
        let one = |part: Part| {
            let deviation = self.verdict.metrics.get(part.metric)?.deviation;
            let metric = self.schema.metrics().get(part.metric)?.name.clone();
            deviation.is_finite().then_some(Contribution { metric, deviation, since: part.since })
        };
        let mut parts = self.attribution.top(NAMED);
        let deviation = |i: &usize| self.verdict.metrics.get(*i).map_or(0.0, |m| m.deviation.abs());
        let size = |i: &usize| Some(deviation(i)).filter(|size| size.is_finite()).unwrap_or(0.0);
        let farthest = (0..self.schema.len()).max_by(|a, b| size(a).total_cmp(&size(b)));
        if let Some(farthest) =
            farthest.filter(|i| size(i) > 1.0 && parts.iter().all(|part| part.metric != *i))
        {
            parts.truncate(NAMED - 1);
            parts.push(self.attribution.part(farthest));
        }
        parts.into_iter().filter_map(one).collect()
    }

    pub(super) fn begin(
        &mut self,
        onset: Timestamp,
        now: Timestamp,
        budget: &mut AlertBudget,
        changes: &mut Vec<Change>,
    ) {
        let metrics = self.contributions();
        let peak = self.stretch_peak;
        let mut anomaly = self.open(AnomalyKind::Deviation, onset, now, peak, metrics, budget);
        anomaly.score = self.verdict.score;
        self.reported = (peak.get(), now);
        changes.push(Change { transition: Transition::Opened, anomaly: anomaly.clone() });
        self.deviation = Some(anomaly);
        self.find_named();
    }

    /// Something is flagged soon after an anomaly ended: it goes on, unless this is something else.
    pub(super) fn reopen(&mut self, now: Timestamp, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let metrics = self.contributions();
        let Some(mut anomaly) = self.ended.take_if(|ended| !is_something_else(ended, &metrics)) else {
            self.tracker.begin_anew();
            return self.begin(self.tracker.began().unwrap_or(now), now, budget, changes);
        };
        let lasted = anomaly.last_seen.since(anomaly.onset);
        budget.take_back(anomaly.closed.unwrap_or_default(), anomaly.peak, lasted);
        (anomaly.closed, anomaly.close_reason) = (None, None);
        self.deviation = Some(anomaly);
        self.find_named();
        self.reported = (0.0, Timestamp::from_nanos(i64::MIN));
        self.follow(now, budget, changes);
    }

    /// A flagged row while an anomaly is open.
    pub(super) fn follow(&mut self, now: Timestamp, budget: &mut AlertBudget, changes: &mut Vec<Change>) {
        let score = self.verdict.score;
        let worst = self.deviation.as_ref().is_some_and(|anomaly| score > anomaly.peak);
        let renamed = !worst && self.is_something_else_by_now();
        if renamed {
            self.attribution.begin_anew(&self.verdict);
        }
        let metrics = (worst || renamed).then(|| self.contributions());
        let certain = self.is_seen_in_all();
        let Some(anomaly) = &mut self.deviation else { return };
        (anomaly.score, anomaly.last_seen) = (score, now);
        if let Some(metrics) = metrics {
            anomaly.metrics = metrics;
            if worst {
                anomaly.peak = score;
            }
            self.find_named();
        }
        let Some(anomaly) = &mut self.deviation else { return };
        let rises = !anomaly.alerted && budget.spend(now, anomaly.peak, now.since(anomaly.onset), certain);
        anomaly.alerted |= rises;
        let (peak, at) = self.reported;
        if rises || renamed || (anomaly.peak.get() > WORSE * peak && now.since(at) >= UPDATE_EVERY) {
            self.reported = (anomaly.peak.get(), now);
            changes.push(Change { transition: Transition::Updated, anomaly: anomaly.clone() });
        }
    }

    /// Whether, for as long as an anomaly takes to open, nothing that the open one names was outside its band while another metric was far
    /// outside: a burst of reads opened it, the load that follows is what lasts, and under the names of the burst nobody would look
    /// for it. Rejected: another anomaly, because who starts one thing starts both, and would be told twice.
    fn is_something_else_by_now(&mut self) -> bool {
        let other =
            !self.named.is_empty() && !self.is_as_named() && self.detector.basis().single > HOLDS_UNNAMED;
        self.others = if other { self.others + 1 } else { 0 };
        let (_, enough) = self.tracker.window(&self.times(), self.judged_period());
        self.others >= enough
    }

    pub(super) fn finish(
        &mut self,
        now: Timestamp,
        reason: CloseReason,
        budget: &mut AlertBudget,
        changes: &mut Vec<Change>,
    ) {
        if let Some(anomaly) = self.deviation.take() {
            budget.remember(now, anomaly.peak, anomaly.last_seen.since(anomaly.onset));
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
            alerted: match kind {
                AnomalyKind::Deviation => budget.spend(now, score, 0.0, self.is_seen_in_all()),
                _ => budget.spend_on_absence(now, score),
            },
            metrics,
        }
    }

    /// The set of absent metrics changed, or some are absent.
    pub(super) fn judge_vanished(
        &mut self,
        now: Timestamp,
        budget: &mut AlertBudget,
        changes: &mut Vec<Change>,
    ) {
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

pub(super) fn close(mut anomaly: Anomaly, now: Timestamp, reason: CloseReason) -> Change {
    (anomaly.closed, anomaly.close_reason) = (Some(now), Some(reason));
    Change { transition: Transition::Closed, anomaly }
}

/// Those that are outside their bands.
fn outside(metrics: &[Contribution]) -> impl Iterator<Item = &Contribution> {
    metrics.iter().filter(|c| c.deviation.abs() > 1.0)
}

/// Whether what is unusual `now` is something else than what an anomaly that has just ended was about: both name metrics, and none of
/// them is the same. Taken for one, the second would be told under the names of the first, or not at all.
fn is_something_else(ended: &Anomaly, now: &[Contribution]) -> bool {
    let before = |c: &Contribution| outside(&ended.metrics).any(|b| b.metric == c.metric);
    outside(&ended.metrics).next().is_some() && outside(now).next().is_some() && !outside(now).any(before)
}
