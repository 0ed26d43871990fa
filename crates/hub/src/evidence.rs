//! What is pulled from edges for an incident, and its diagnosis.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{
    ComponentId, Diagnosis, Edge, EdgeKind, Incident, IncidentAnomaly, IncidentId, MetricName, Timestamp,
    Window,
};
use larnax_decide::{Look, Offered};
use larnax_diagnose::{Case, Observed, Series, When};
use larnax_session::{EvidencePart, Pull};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::calls;
use crate::hub::Hub;
use crate::looks;
use crate::up::up;

/// Edges of the topology from an incident's components to those whose evidence is asked for: the nearest first, so that the number
/// of components and the budget are what limits it. Where only the entrance has alerted, the cause may be as deep as the calls go.
const HOPS: usize = 6;
/// So many samples of what is normal are wanted of each component; where they are far apart, more of the past is asked for.
const NORMAL_ROWS: usize = 300;
/// So many are enough to leave out those of other incidents.
const CALM_ROWS: usize = 60;
/// But not more than this.
const MAX_PAST: Duration = Duration::from_secs(7 * 86_400);
/// The most rows of one component.
const MAX_ROWS: usize = 2_000;
/// What began in a component is noticed in its callers within so many seconds, as long as silence takes to be noticed. What began earlier
/// crept, and looks like itself from when it was noticed: then it is as far out each time.
const NOTICED_WITHIN: f64 = 10.0;
/// Candidates and metrics that get a chart, and the points of one.
const CHARTS: (usize, usize, usize) = (3, 3, 120);
/// Edges that an incident shows at most.
const MAX_EDGES: usize = 300;

/// What an edge has of a component.
#[derive(Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) part: EvidencePart,
    /// Its length on the wire.
    pub(crate) bytes: u64,
    /// How far the edge's clock is ahead of the hub's, in seconds.
    pub(crate) clock_ahead: f64,
}

/// Where an incident began, and what it looks like from there.
pub(crate) struct Diagnosed {
    pub(crate) diagnosis: Diagnosis,
    pub(crate) look: Option<Look>,
    /// What can be done there.
    pub(crate) offers: Vec<Offered>,
}

/// What was asked for and what came.
struct Pulled {
    observed: Vec<Observed>,
    bytes: u64,
    notes: Vec<String>,
}

impl Hub {
    /// Where an incident began, by all that can be had.
    pub(crate) async fn diagnose(&self, id: IncidentId) -> Diagnosed {
        let Some(incident) = self.known.borrow().incidents.get(id).cloned() else {
            return Diagnosed::unknown("the incident is gone".to_owned());
        };
        let (components, edges) = self.involved(&incident);
        let pulled = self.pull(&incident, &components).await;
        self.count(|counters| {
            counters.diagnoses += 1;
            counters.evidence_bytes += pulled.bytes;
        });
        let mut observed = pulled.observed;
        let also_called = calls::names(&self.known.borrow().topology, &components);
        let case = Case {
            calls: calls::take(&mut observed, &edges, &also_called),
            components: observed,
            when: When::Since(incident.onset),
            edges: edges.clone(),
            alerting: alerting(&incident, &edges).cloned(),
            noticed: noticed(&incident),
            changes: self.known.borrow().changes.of(&components),
            also_called,
        };
        let ranked = spawn_blocking(move || {
            let mut diagnosis = larnax_diagnose::rank(&case);
            add_charts(&mut diagnosis, &case, incident.onset);
            let look = diagnosis.candidates.first().map(|cause| {
                // Who noticed it first is often a caller, some seconds late: what was wrong by then would be what is usual.
                let is_near =
                    |onset: &Timestamp| (0.0..=NOTICED_WITHIN).contains(&incident.onset.since(*onset));
                let onset = cause.onset.filter(is_near).unwrap_or(incident.onset);
                looks::look(&case, &cause.component, onset, incident.opened)
            });
            Diagnosed { diagnosis, look, offers: Vec::new() }
        });
        let failed = |_| Diagnosed::unknown("the ranking failed".to_owned());
        let Diagnosed { mut diagnosis, look, .. } = ranked.await.unwrap_or_else(failed);
        diagnosis.edges = edges;
        diagnosis.evidence_bytes = pulled.bytes;
        diagnosis.notes.extend(pulled.notes);
        diagnosis.notes.extend(self.known.borrow().regions.notes(&incident));
        let offers = match diagnosis.candidates.first() {
            Some(cause) => self.offered(&cause.component).await,
            None => Vec::new(),
        };
        Diagnosed { diagnosis, look, offers }
    }

    /// The components of an incident and those near them, nearest first, with the edges between them.
    fn involved(&self, incident: &Incident) -> (Vec<ComponentId>, Vec<Edge>) {
        let known = self.known.borrow();
        let mut components: Vec<ComponentId> = Vec::new();
        for anomaly in &incident.anomalies {
            if !components.contains(&anomaly.component) {
                components.push(anomaly.component.clone());
            }
        }
        let mut near: Vec<(usize, ComponentId)> = components
            .iter()
            .flat_map(|id| known.topology.near(id, HOPS))
            .map(|(id, distance)| (distance, id))
            .collect();
        // Of those whose calls nobody has seen, what the same edge watches is what is near.
        let unknown = |id: &ComponentId| !known.topology.knows_calls_of(id);
        for agent in components.iter().filter(|id| unknown(id)).filter_map(|id| self.sessions.watcher(id)) {
            let beside = self.sessions.watched_by(&agent.0).into_iter().filter(unknown);
            near.extend(beside.map(|id| (HOPS, id)));
        }
        near.sort();
        near.dedup();
        for (_, id) in near {
            if !components.contains(&id) {
                components.push(id);
            }
        }
        components.truncate(self.options.evidence_components);
        let among: BTreeSet<ComponentId> = components.iter().cloned().collect();
        let mut edges = known.topology.edges_among(&among);
        edges.truncate(MAX_EDGES);
        (components, edges)
    }

    /// Asks for the past of components, all at once, each with its share of the budget.
    async fn pull(&self, incident: &Incident, components: &[ComponentId]) -> Pulled {
        let share = self.options.evidence_bytes / components.len().max(1);
        let pulls = components.iter().map(|component| self.pull_of(incident, component, share));
        let (here, elsewhere): (Vec<Pull>, Vec<Pull>) =
            pulls.partition(|pull| self.sessions.watcher(&pull.component).is_some());
        let here = join_all(here.into_iter().map(async |pull| {
            let component = pull.component.clone();
            (component, self.pull_here(pull).await)
        }));
        let (here, elsewhere) = tokio::join!(here, self.evidence_elsewhere(elsewhere));
        let mut answers: BTreeMap<ComponentId, _> = here.into_iter().chain(elsewhere).collect();
        let disturbed = self.disturbed(incident, components);
        let near = merged(disturbed.values().flatten().copied().collect());
        let mut pulled = Pulled { observed: Vec::new(), bytes: 0, notes: Vec::new() };
        for component in components {
            let answer =
                answers.remove(component).unwrap_or_else(|| Err("no connected edge watches it".to_owned()));
            self.count(|counters| {
                counters.pulls += 1;
                counters.pulls_failed += u64::from(answer.is_err());
            });
            match answer {
                Ok(Evidence { part, bytes, clock_ahead }) => {
                    pulled.bytes += bytes;
                    if let Some(problem) = &part.problem {
                        pulled.notes.push(format!("{component}: {problem}"));
                    }
                    pulled.notes.extend(missing(&part).map(|missing| format!("{component}: {missing}")));
                    let up = up(&part, shifted(incident.onset, clock_ahead));
                    let own = merged(disturbed.get(component).cloned().unwrap_or_default());
                    let by_edge = |times: &[(Timestamp, Timestamp)]| {
                        let both = |(from, until)| (shifted(from, clock_ahead), shifted(until, clock_ahead));
                        times.iter().copied().map(both).collect()
                    };
                    let onset = shifted(incident.onset, clock_ahead);
                    let window = calm(part.window, onset, &[by_edge(&near), by_edge(&own)]);
                    pulled.observed.push(observed(component.clone(), window, up, clock_ahead));
                }
                Err(reason) => pulled.notes.push(format!("{component}: no evidence, {reason}")),
            }
        }
        pulled
    }

    /// When any of these components had anomalies of other incidents before this one. What went wrong then is not what is usual for
    /// the others either: a caller that was not noticed itself had errors, and the next ones like them would be nothing new.
    fn disturbed(
        &self,
        incident: &Incident,
        components: &[ComponentId],
    ) -> BTreeMap<ComponentId, Vec<(Timestamp, Timestamp)>> {
        let known = self.known.borrow();
        let mut times: BTreeMap<ComponentId, Vec<_>> =
            components.iter().map(|component| (component.clone(), Vec::new())).collect();
        let others = known.incidents.all().filter(|other| other.id != incident.id);
        for anomaly in others.flat_map(|other| &other.anomalies) {
            if let Some(times) = times.get_mut(&anomaly.component) {
                times.push((anomaly.onset, anomaly.closed.unwrap_or(incident.onset)));
            }
        }
        times
    }

    /// What is asked of a component, by the hub's clock.
    fn pull_of(&self, incident: &Incident, component: &ComponentId, max_bytes: usize) -> Pull {
        let until = incident.closed.unwrap_or_else(|| self.now());
        Pull {
            id: 0,
            component: component.clone(),
            from: incident.onset.minus(self.options.past),
            until: until.plus(Duration::from_secs(1)),
            metrics: Vec::new(),
            max_rows: MAX_ROWS,
            max_bytes,
            packed: true,
        }
    }

    /// Asks an edge that is connected to this hub just what is asked.
    pub(crate) async fn ask_here(&self, pull: Pull) -> Result<Evidence, String> {
        let Some((agent, clock_ahead)) = self.sessions.watcher(&pull.component) else {
            return Err("no connected edge watches it".to_owned());
        };
        // The edge goes by its own clock.
        let (from, until) = (shifted(pull.from, clock_ahead), shifted(pull.until, clock_ahead));
        let answer =
            self.sessions.ask(&agent, Pull { from, until, ..pull }, self.options.answer_within).await?;
        Ok(Evidence { part: answer.part, bytes: answer.bytes, clock_ahead })
    }

    /// Asks an edge that is connected to this hub; a second time, for more of the past, where samples are far apart.
    pub(crate) async fn pull_here(&self, pull: Pull) -> Result<Evidence, String> {
        let onset = pull.from.plus(self.options.past);
        let mut first = self.ask_here(pull.clone()).await?;
        let left = pull.max_bytes.saturating_sub(first.bytes as usize);
        let past = farther(&first.part.window.times, shifted(onset, first.clock_ahead), self.options.past);
        let Some(past) = past.filter(|_| left > 0 && first.part.problem.is_none()) else { return Ok(first) };
        let again = Pull { from: onset.minus(past), max_bytes: left, ..pull };
        if let Ok(second) = self.ask_here(again).await {
            first.bytes += second.bytes;
            if second.part.window.times.len() > first.part.window.times.len() {
                first.part = second.part;
            }
        }
        Ok(first)
    }
}

/// Evidence by the clock of the hub that got it from an edge.
pub(crate) fn by_hub(mut part: EvidencePart, clock_ahead: f64) -> EvidencePart {
    for time in &mut part.window.times {
        *time = shifted(*time, -clock_ahead);
    }
    for gap in &mut part.gaps {
        (gap.from, gap.until) = (shifted(gap.from, -clock_ahead), shifted(gap.until, -clock_ahead));
    }
    part
}

/// How much of the past is to be asked for to get [`NORMAL_ROWS`], by the samples that came; none where they are enough.
fn farther(times: &[Timestamp], onset: Timestamp, past: Duration) -> Option<Duration> {
    if times.partition_point(|time| *time < onset) >= NORMAL_ROWS {
        return None;
    }
    let span = times.first().zip(times.last()).map_or(0.0, |(first, last)| last.since(*first));
    let rows = times.len();
    // One row or none: they are farther apart than all that was asked for.
    let period = if rows >= 2 { span / (rows - 1) as f64 } else { MAX_PAST.as_secs_f64() };
    let wanted = period * (NORMAL_ROWS + 1) as f64;
    let wanted = Duration::try_from_secs_f64(wanted).unwrap_or(MAX_PAST).min(MAX_PAST);
    (wanted > past).then_some(wanted)
}

/// The same times, in order and each once, however many there are in a storm.
fn merged(mut times: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    times.sort_unstable();
    let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (from, until) in times {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => merged.push((from, until)),
        }
    }
    merged
}

/// A window without those rows before the onset that are from other incidents: what went wrong before is not what is normal. Of several
/// lists of when that was, each [`merged`], the first one that leaves enough; as it is where none does.
fn calm(window: Window, onset: Timestamp, disturbed: &[Vec<(Timestamp, Timestamp)>]) -> Window {
    let is_calm = |time: &Timestamp, disturbed: &[(Timestamp, Timestamp)]| {
        let begun = disturbed.partition_point(|(from, _)| from <= time);
        let last = begun.checked_sub(1).and_then(|at| disturbed.get(at));
        *time >= onset || last.is_none_or(|(_, until)| until < time)
    };
    let before = |times: &[Timestamp]| times.partition_point(|time| *time < onset);
    let enough = CALM_ROWS.min(before(&window.times));
    for disturbed in disturbed {
        let times: Vec<Timestamp> =
            window.times.iter().copied().filter(|time| is_calm(time, disturbed)).collect();
        if before(&times) >= enough {
            let rows = window.times.iter().zip(window.rows).filter(|(time, _)| is_calm(time, disturbed));
            return Window { rows: rows.map(|(_, row)| row).collect(), times, ..window };
        }
    }
    window
}

/// All answers, in the order of the questions.
async fn join_all<T>(questions: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(questions).await
}

/// What is missing among the samples of a component. What was before the first of them is none of it: then nobody watched.
fn missing(part: &EvidencePart) -> Option<String> {
    let first = part.window.times.first()?;
    let gaps = || part.gaps.iter().filter(|gap| gap.from >= *first);
    let seconds: f64 = gaps().map(|gap| gap.until.since(gap.from)).sum();
    match gaps().count() {
        0 => None,
        1 => Some(format!("{seconds:.0} s without samples")),
        many => Some(format!("{seconds:.0} s without samples, in {many} gaps")),
    }
}

impl Diagnosed {
    fn unknown(reason: String) -> Self {
        Self {
            diagnosis: Diagnosis { notes: vec![reason], ..Diagnosis::default() },
            look: None,
            offers: Vec::new(),
        }
    }
}

fn noticed(incident: &Incident) -> Vec<(ComponentId, MetricName)> {
    let of = |anomaly: &IncidentAnomaly| {
        let component = anomaly.component.clone();
        anomaly.metrics.clone().into_iter().map(move |metric| (component.clone(), metric))
    };
    incident.anomalies.iter().flat_map(of).collect()
}

/// Where an incident is felt by those outside: of the components that alerted and call others, one that nothing calls; else one
/// that no other that alerted calls.
fn alerting<'a>(incident: &'a Incident, edges: &[Edge]) -> Option<&'a ComponentId> {
    let calls = || edges.iter().filter(|edge| edge.kind == EdgeKind::Calls && edge.from != edge.to);
    let alerted = || incident.anomalies.iter().map(|anomaly| &anomaly.component);
    let callers = || alerted().filter(|id| calls().any(|edge| edge.from == **id));
    let entrance = callers().find(|id| !calls().any(|edge| edge.to == **id));
    let first = |id: &&ComponentId| {
        !calls().any(|edge| edge.to == **id && alerted().any(|other| *other == edge.from))
    };
    entrance.or_else(|| callers().find(first))
}

pub(crate) fn shifted(time: Timestamp, seconds: f64) -> Timestamp {
    Timestamp::from_nanos(time.nanos().saturating_add((seconds * 1e9) as i64))
}

/// A window by the hub's clock.
pub(crate) fn observed(component: ComponentId, window: Window, up: Option<Series>, ahead: f64) -> Observed {
    let by_hub = |times: &[Timestamp]| times.iter().map(|time| shifted(*time, -ahead)).collect();
    let times: Arc<[Timestamp]> = by_hub(&window.times);
    let up = up.map(|up| Series { times: by_hub(&up.times), ..up });
    let column = |at: usize| -> Vec<f64> {
        window.rows.iter().map(|row| row.get(at).copied().flatten().unwrap_or(f64::NAN)).collect()
    };
    let series = window.metrics.iter().enumerate().map(|(at, metric)| Series {
        metric: metric.clone(),
        times: Arc::clone(&times),
        values: column(at),
    });
    Observed { series: series.chain(up).collect(), component }
}

/// Points for small charts of the first candidates.
fn add_charts(diagnosis: &mut Diagnosis, case: &Case, onset: Timestamp) {
    let (candidates, metrics, points) = CHARTS;
    for candidate in diagnosis.candidates.iter_mut().take(candidates) {
        let Some(observed) = case.components.iter().find(|o| o.component == candidate.component) else {
            continue;
        };
        for shown in candidate.metrics.iter_mut().take(metrics) {
            let Some(series) = observed.series.iter().find(|series| series.metric == shown.metric) else {
                continue;
            };
            let all = series.times.iter().zip(&series.values).filter(|(_, value)| value.is_finite());
            let all: Vec<(f64, f64)> = all.map(|(time, value)| (time.since(onset), *value)).collect();
            let step = all.len().div_ceil(points).max(1);
            shown.points = all.into_iter().step_by(step).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use larnax_session::Gap;

    use super::*;

    #[test]
    fn what_went_wrong_before_is_not_what_is_normal_unless_nothing_else_is_known() {
        let at = |second: usize| Timestamp::from_seconds(second as f64);
        let window = |seconds: usize| Window {
            times: (0..seconds).map(at).collect(),
            rows: (0..seconds).map(|second| vec![Some(second as f64)]).collect(),
            ..Window::default()
        };
        let kept_of = |seconds: usize, lists: &[Vec<(Timestamp, Timestamp)>]| {
            let window = calm(window(seconds), at(150), lists);
            assert_eq!(window.times.len(), window.rows.len());
            window.rows.iter().filter_map(|row| row[0]).map(|second| second as usize).collect::<Vec<_>>()
        };
        let kept =
            |seconds: usize, from: usize, until: usize| kept_of(seconds, &[vec![(at(from), at(until))]]);
        assert_eq!(kept(200, 20, 59), (0..20).chain(60..200).collect::<Vec<_>>());
        assert_eq!(kept(200, 140, 180), (0..140).chain(150..200).collect::<Vec<_>>(), "only before");
        assert_eq!(kept(200, 10, 140).len(), 200, "too little would be left");
        assert_eq!(kept(40, 100, 120).len(), 40);
        let overlapping = vec![(at(90), at(149)), (at(10), at(60)), (at(20), at(30)), (at(60), at(61))];
        assert_eq!(merged(overlapping), [(at(10), at(61)), (at(90), at(149))]);
        let (near, own) = (vec![(at(10), at(60)), (at(90), at(149))], vec![(at(10), at(60))]);
        assert_eq!(
            kept_of(200, &[near, own]),
            (0..10).chain(61..200).collect::<Vec<_>>(),
            "at least its own"
        );
    }

    #[test]
    fn a_gap_is_what_is_missing_after_the_first_sample() {
        let at = Timestamp::from_seconds;
        let gap = |from: f64, until: f64| Gap { from: at(from), until: at(until) };
        let part = |gaps: &[Gap]| EvidencePart {
            id: 0,
            window: Window { times: vec![at(400.0), at(401.0)], ..Window::default() },
            gaps: gaps.to_vec(),
            rows: 2,
            ..EvidencePart::default()
        };
        assert_eq!(missing(&part(&[gap(0.0, 400.0)])), None);
        let one = missing(&part(&[gap(0.0, 400.0), gap(401.0, 431.0)]));
        assert_eq!(one.as_deref(), Some("30 s without samples"));
        let two = missing(&part(&[gap(400.0, 405.0), gap(406.0, 411.0)]));
        assert_eq!(two.as_deref(), Some("10 s without samples, in 2 gaps"));
    }
}
