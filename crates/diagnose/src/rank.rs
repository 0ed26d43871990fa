//! Which component began it.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use larnax_core::{Candidate, CandidateMetric, ComponentId, Diagnosis, Timestamp};

use crate::case::{Case, Change, When};
use crate::confidence::{Judged, chance, judge};
use crate::graph::Graph;
use crate::onset::{FEW, LATE, find};
use crate::reasons::reasons;
use crate::sides::{Sorted, Span};
use crate::signals::{Kind, Moved, Signal, signals};
use crate::since::{Since, since};
use crate::walk;

/// The most candidates that a diagnosis lists: more than anybody looks at.
const LISTED: usize = 10;
/// The most metrics that are told of a candidate.
const METRICS: usize = 3;
/// The most components whose onset is looked for, the likeliest first.
const DATED: usize = 50;
/// For so many seconds a change is suspected of what begins.
const CHANGED: f64 = 1_800.0;

/// What is left of a score where there is reason to doubt it. A quarter is what made graphs need in which callers are hit harder than
/// the component that they call; the public sets don't care between a half and a quarter.
const DOUBT: f64 = 0.25;

/// Ranks the components of a case by how likely it began with them, names the first as the cause where that is clear enough, and
/// says why. The same case gets the same diagnosis; no case panics.
pub fn rank(case: &Case) -> Diagnosis {
    let places = places(case);
    let series: Vec<Sorted<'_>> =
        case.components.iter().flat_map(|o| o.series.iter().map(Sorted::new)).collect();
    let Some((span, signals)) = span(case, &places, &series) else {
        return unknown("no time was found at which metrics changed more than they always do");
    };
    if signals.is_empty() {
        return unknown("no metric has enough values both before the onset and since");
    }
    Ranking::of(case, &places, &series, &span, signals).diagnosis()
}

/// What is normal and what the incident, as the case says or found, and what deviated. None when nothing began.
fn span<'a>(
    case: &'a Case,
    places: &HashMap<&ComponentId, usize>,
    series: &[Sorted<'_>],
) -> Option<(Span, Vec<Signal<'a>>)> {
    let with = |span: Span| {
        let signals = signals(case, places, series, &span);
        (span, signals)
    };
    match &case.when {
        When::Windows { normal, incident } => {
            Some(with(Span { normal: normal.clone(), incident: incident.clone() }))
        }
        When::Unknown => Some(with(Span::since(find(&series.iter().collect::<Vec<_>>(), |_| true)?))),
        When::Since(told) => {
            let (span, signals) = with(Span::since(*told));
            // Those that moved most know best when it began.
            let mut most: Vec<(f64, &Sorted<'_>)> = signals
                .iter()
                .filter_map(|signal| Some((signal.size, series.get(signal.moved.as_ref()?.series)?)))
                .collect();
            most.sort_by(|a, b| b.0.total_cmp(&a.0));
            let most: Vec<&Sorted<'_>> = most.into_iter().take(FEW).map(|(_, series)| series).collect();
            let earliest = told.minus(LATE).max(halfway(&most, *told));
            let near = earliest..told.plus(LATE);
            match find(&most, |time| near.contains(&time)).filter(|found| found < told) {
                Some(found) => {
                    // What jumped earlier may be another matter, and over by now.
                    let earlier = with(Span::since(found));
                    Some(if out(&earlier.1) > out(&signals) { earlier } else { (span, signals) })
                }
                None => Some((span, signals)),
            }
        }
    }
}

/// How much left its band, all in all.
fn out(signals: &[Signal<'_>]) -> f64 {
    signals.iter().filter(|signal| signal.hot).map(|signal| signal.size).sum()
}

/// The middle of the time before the onset that was told. No earlier one is believed: less would lie before it, to be called normal,
/// than between the two, which the detector called normal; and what has just been started is often not yet as usual.
fn halfway(series: &[&Sorted<'_>], told: Timestamp) -> Timestamp {
    let first = series.iter().filter_map(|series| series.times().first()).min();
    first.map_or(told, |first| told.minus(Duration::from_secs_f64((told.since(*first) / 2.0).max(0.0))))
}

/// For each component its signals in the order in which they are told; `strongest` has those with the largest share first.
fn told(
    case: &Case,
    places: &HashMap<&ComponentId, usize>,
    strongest: &[Vec<usize>],
    signals: &[Signal<'_>],
) -> Vec<Vec<usize>> {
    let noticed = case.noticed.iter().filter_map(|(id, metric)| Some((*places.get(id)?, metric.as_str())));
    let noticed: HashSet<(usize, &str)> = noticed.collect();
    let key = |at: &usize| {
        let Some(signal) = signals.get(*at) else { return (false, false) };
        let is_noticed =
            matches!(signal.kind, Kind::Metric(name) if noticed.contains(&(signal.component, name)));
        (!(is_noticed && signal.hot), !signal.hot)
    };
    let sorted = |list: &Vec<usize>| {
        let mut list = list.clone();
        list.sort_by_key(key);
        list
    };
    strongest.iter().map(sorted).collect()
}

fn unknown(note: &str) -> Diagnosis {
    Diagnosis { notes: vec![note.to_owned()], ..Diagnosis::default() }
}

/// Each component's place; one that comes twice has one.
fn places(case: &Case) -> HashMap<&ComponentId, usize> {
    let mut places = HashMap::new();
    for observed in &case.components {
        let next = places.len();
        places.entry(&observed.component).or_insert(next);
    }
    places
}

/// Everything that is known of the components, by place.
pub(crate) struct Ranking<'a> {
    pub(crate) case: &'a Case,
    pub(crate) components: Vec<&'a ComponentId>,
    pub(crate) graph: Graph,
    pub(crate) onset: Timestamp,
    pub(crate) signals: Vec<Signal<'a>>,
    /// For each component its signals, the one with the largest share first.
    by_component: Vec<Vec<usize>>,
    /// The same in the order in which they are told.
    told: Vec<Vec<usize>>,
    /// Whether each component left its band in any metric, or in what all others measure of it.
    hot: Vec<bool>,
    /// Which of them did in what all others measure of it.
    blamed: Vec<bool>,
    pub(crate) scores: Vec<f64>,
    /// Best first.
    pub(crate) order: Vec<usize>,
    /// How many metrics there are of components that may have begun it.
    asked: usize,
    /// How many may have begun it with nothing to tell them apart.
    rivals: usize,
    /// How many of the metrics that are asked would do by chance what one of the first component's did.
    chance: f64,
    /// Since when those in front are out of their band.
    pub(crate) since: HashMap<usize, Since<'a>>,
}

impl<'a> Ranking<'a> {
    fn of(
        case: &'a Case,
        places: &HashMap<&'a ComponentId, usize>,
        series: &[Sorted<'_>],
        span: &Span,
        signals: Vec<Signal<'a>>,
    ) -> Self {
        let mut components: Vec<(&ComponentId, usize)> =
            places.iter().map(|(id, place)| (*id, *place)).collect();
        components.sort_unstable_by_key(|(_, place)| *place);
        let mut by_component = vec![Vec::new(); places.len()];
        let mut hot = vec![false; places.len()];
        for (at, signal) in signals.iter().enumerate() {
            by_component[signal.component].push(at);
            hot[signal.component] |= signal.hot;
        }
        let share = |at: &usize| signals.get(*at).map_or(0.0, |signal| signal.share);
        for list in &mut by_component {
            list.sort_by(|a, b| share(b).total_cmp(&share(a)));
        }
        let told = told(case, places, &by_component, &signals);
        let mut ranking = Self {
            case,
            components: components.into_iter().map(|(id, _)| id).collect(),
            graph: Graph::new(places, &case.edges),
            onset: span.incident.start,
            signals,
            by_component,
            told,
            hot,
            blamed: Vec::new(),
            scores: Vec::new(),
            order: Vec::new(),
            asked: 0,
            rivals: 1,
            chance: f64::INFINITY,
            since: HashMap::new(),
        };
        ranking.blamed = (0..ranking.components.len()).map(|place| ranking.all_blame(place)).collect();
        for (hot, blamed) in ranking.hot.iter_mut().zip(&ranking.blamed) {
            *hot |= blamed;
        }
        let alerting = case.alerting.as_ref().and_then(|id| places.get(id)).copied();
        let only_symptoms = ranking.knows_symptoms_only();
        let reached = match alerting.filter(|_| only_symptoms && !ranking.graph.is_empty()) {
            Some(alerting) => Some(ranking.walk(alerting, series, span)),
            None => {
                ranking.rivals = if only_symptoms { ranking.unexplained() } else { 1 };
                ranking.score(alerting)
            }
        };
        if let Some(first) = ranking.order.first() {
            ranking.asked = match reached.filter(|reached| reached.contains(first)) {
                Some(reached) => reached.iter().map(|place| ranking.strongest(*place).count()).sum(),
                None => series.len(),
            };
            let moved = ranking.strongest(*first).chain(ranking.measured_of(*first));
            let moved = moved.filter_map(|signal| signal.moved.as_ref());
            ranking.chance = chance(moved, series, span) * ranking.asked as f64;
        }
        ranking.date(series, span);
        ranking
    }

    /// What its callers measure of what all of them blame.
    fn measured_of(&self, place: usize) -> impl Iterator<Item = &Signal<'a>> {
        let callers = if self.is_blamed(place) { self.graph.dependents(place) } else { &[] };
        let names = self.names_of(place);
        let all = callers.iter().flat_map(|caller| self.strongest(*caller));
        all.filter(move |signal| names.iter().any(|name| signal.kind.is_of(name)))
    }

    /// What labels may call the component at a place.
    fn names_of(&self, place: usize) -> Vec<&'a str> {
        self.components.get(place).map_or_else(Vec::new, |id| self.case.names_of(id).collect())
    }

    /// Whether all that call a component, two or more, measure of it what is out of its band: then it is the one, or the way to it,
    /// whatever it says of itself. With one caller it may as well be that one.
    fn all_blame(&self, place: usize) -> bool {
        let (callers, names) = (self.graph.dependents(place), self.names_of(place));
        let blames = |caller: &usize| {
            let mut hot = self.strongest(*caller).filter(|signal| signal.hot);
            hot.any(|signal| names.iter().any(|name| signal.kind.is_of(name)))
        };
        callers.len() >= 2 && callers.iter().all(blames)
    }

    /// Whether there is one kind of metric at the most for each component.
    fn knows_symptoms_only(&self) -> bool {
        self.by_component.iter().all(|list| list.len() <= 1)
    }

    /// How many left their band while nothing that they are known to depend on did.
    fn unexplained(&self) -> usize {
        let explained = |place| self.graph.dependencies(place).iter().any(|other| self.is_hot(*other));
        (0..self.components.len()).filter(|place| self.is_hot(*place) && !explained(*place)).count()
    }

    /// From the alerting component along the graph. Gives back which components that reached.
    fn walk(&mut self, alerting: usize, series: &[Sorted<'_>], span: &Span) -> HashSet<usize> {
        let moved: Vec<Option<Moved<'_>>> = (0..self.components.len())
            .map(|place| self.strongest(place).next().and_then(|signal| signal.moved))
            .collect();
        let keys = walk::keys(alerting, &self.graph, &moved, series, span);
        let reached =
            (0..keys.len()).filter(|place| keys.get(*place).is_some_and(walk::Key::is_reached)).collect();
        let keys: Vec<_> = keys.into_iter().enumerate().map(|(place, key)| (key, self.lift(place))).collect();
        self.order = self.sorted(&keys);
        // Keys are no numbers: only the order means something.
        self.scores = vec![0.0; keys.len()];
        for (i, place) in self.order.iter().enumerate() {
            self.scores[*place] = 1.0 / (i + 1) as f64;
        }
        reached
    }

    /// By what each component did itself. Gives back which components the alerting one depends on, where that is known.
    fn score(&mut self, alerting: Option<usize>) -> Option<HashSet<usize>> {
        // What the alerting component does not depend on can't have made it alert.
        let reached: Option<HashSet<usize>> = alerting
            .filter(|_| !self.graph.is_empty())
            .map(|start| self.graph.reach(start, Graph::dependencies, |_| true).into_keys().collect());
        let any_hot = self.hot.contains(&true);
        self.scores = (0..self.components.len())
            .map(|place| {
                let far = reached.as_ref().is_some_and(|reached| !reached.contains(&place));
                // Many metrics that are each a bit off say less than one that left its band.
                let cold = any_hot && !self.is_hot(place);
                let doubts = i32::from(far) + i32::from(cold);
                (self.own(place) + self.credit(place)) * self.lift(place) * DOUBT.powi(doubts)
            })
            .collect();
        self.order = self.sorted(&self.scores);
        reached
    }

    /// The places, the largest key first; equals by name, so that the order of a case's components does not matter.
    fn sorted<K: PartialOrd>(&self, keys: &[K]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|&a, &b| {
            let keys = keys.get(b).partial_cmp(&keys.get(a)).unwrap_or(Ordering::Equal);
            keys.then_with(|| self.components.get(a).cmp(&self.components.get(b)))
        });
        order
    }

    /// The mean share of its signals. A symptom that something it depends on shows as well is doubted: it may have come from there.
    /// So is what it measured of a component that left what is usual itself, as calls to it; and all that it shows if it calls what
    /// all others blame as well.
    fn own(&self, place: usize) -> f64 {
        let blames = self.graph.dependencies(place).iter().any(|other| self.is_blamed(*other));
        if blames { DOUBT * self.unblaming(place) } else { self.unblaming(place) }
    }

    /// What the callers of what all blame are doubted for, on average, is put down to that.
    fn credit(&self, place: usize) -> f64 {
        let callers = if self.is_blamed(place) { self.graph.dependents(place) } else { &[] };
        let doubted: f64 = callers.iter().map(|caller| (1.0 - DOUBT) * self.unblaming(*caller)).sum();
        doubted / callers.len().max(1) as f64
    }

    /// What a component's own would be if nobody were blamed by all.
    fn unblaming(&self, place: usize) -> f64 {
        let hot: Vec<usize> =
            self.graph.dependencies(place).iter().copied().filter(|other| self.is_hot(*other)).collect();
        // Labels are not compared: two services have other routes.
        let felt: HashSet<Kind<'_>> = hot
            .iter()
            .flat_map(|other| self.strongest(*other))
            .filter(|signal| signal.hot)
            .map(|signal| signal.kind.family())
            .collect();
        let hot: Vec<&str> = hot.iter().flat_map(|other| self.names_of(*other)).collect();
        let (mut sum, mut count) = (0.0, 0);
        for signal in self.strongest(place) {
            let felt = felt.contains(&signal.kind.family()) || hot.iter().any(|name| signal.kind.is_of(name));
            sum += if felt { DOUBT * signal.share } else { signal.share };
            count += 1;
        }
        sum / f64::from(count.max(1))
    }

    /// How much likelier recent changes make a component: twice if nothing else was changed, less if others were.
    fn lift(&self, place: usize) -> f64 {
        if self.changes_of(place).next().is_none() {
            return 1.0;
        }
        let changed =
            (0..self.components.len()).filter(|other| self.changes_of(*other).next().is_some()).count();
        1.0 + 1.0 / changed.max(1) as f64
    }

    /// Dates the components in front that left their band.
    fn date(&mut self, series: &[Sorted<'_>], span: &Span) {
        let front: Vec<usize> =
            self.order.iter().copied().filter(|place| self.is_hot(*place)).take(DATED).collect();
        for place in front {
            let moved: Vec<&Moved<'a>> =
                self.told(place).filter_map(|signal| signal.moved.as_ref()).take(METRICS).collect();
            if let Some(since) = since(&moved, series, span) {
                self.since.insert(place, since);
            }
        }
    }

    /// Whether a component left its band in any metric.
    pub(crate) fn is_hot(&self, place: usize) -> bool {
        self.hot.get(place).copied().unwrap_or_default()
    }

    /// Whether all others that call it measure of it what is out of its band.
    pub(crate) fn is_blamed(&self, place: usize) -> bool {
        self.blamed.get(place).copied().unwrap_or_default()
    }

    /// A component's signals, the one with the largest share first.
    pub(crate) fn strongest(&self, place: usize) -> impl Iterator<Item = &Signal<'a>> {
        let list = self.by_component.get(place).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|at| self.signals.get(*at))
    }

    /// A component's signals: those that its detector noticed first, then those that left their band as a rule, each with the largest
    /// share first.
    pub(crate) fn told(&self, place: usize) -> impl Iterator<Item = &Signal<'a>> {
        let list = self.told.get(place).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|at| self.signals.get(*at))
    }

    /// How many deviations this kind of metric was out at the most in other components that have it.
    pub(crate) fn elsewhere(&self, than: usize, kind: Kind<'_>) -> Option<f64> {
        let others = self.signals.iter().filter(|signal| signal.kind == kind && signal.component != than);
        others.map(|signal| signal.size.exp_m1()).reduce(f64::max)
    }

    /// What was changed at a component shortly before the onset.
    pub(crate) fn changes_of(&self, place: usize) -> impl Iterator<Item = &'a Change> {
        let component = self.components.get(place).copied();
        let onset = self.onset;
        self.case.changes.iter().filter(move |change| {
            Some(&change.component) == component && (-1.0..=CHANGED).contains(&onset.since(change.time))
        })
    }

    fn diagnosis(&self) -> Diagnosis {
        let judged = judge(self.chance).among(self.rivals);
        let candidates = self.order.iter().take(LISTED).map(|place| self.candidate(*place)).collect();
        Diagnosis {
            known: judged.known,
            confidence: judged.confidence,
            candidates,
            notes: self.notes(judged),
            ..Diagnosis::default()
        }
    }

    fn notes(&self, judged: Judged) -> Vec<String> {
        let mut notes = vec![format!("the incident begins at {}", self.onset)];
        if !judged.known && self.rivals > 1 {
            notes.push(format!(
                "one kind of metric is known of each component, and {} left their band without an explanation: any of them may have \
                 begun it",
                self.rivals
            ));
        } else if !judged.known {
            notes.push(format!(
                "what the first did is too little to name it: of {} metrics, as many as {} would do as much by chance",
                self.asked,
                chance_text(self.chance)
            ));
        }
        notes
    }

    fn candidate(&self, place: usize) -> Candidate {
        let path = self.path(place);
        let since = self.since.get(&place);
        let metric = |moved: Moved<'_>| CandidateMetric {
            metric: moved.metric.clone(),
            before: moved.normal.mean,
            extreme: moved.extreme,
            deviation: moved.z(),
            points: Vec::new(),
        };
        Candidate {
            component: (*self.components[place]).clone(),
            score: self.scores.get(place).copied().unwrap_or(0.0),
            onset: since.map(|since| since.time),
            onset_error_seconds: since.map(|since| since.error),
            metrics: self.told(place).filter_map(|signal| signal.moved).take(METRICS).map(metric).collect(),
            reasons: reasons(self, place, &path),
            path: path.iter().map(|place| (*self.components[*place]).clone()).collect(),
        }
    }

    /// From a component through those that depend on it and left their band: to the one that alerted, else to the farthest.
    fn path(&self, place: usize) -> Vec<usize> {
        let from =
            self.graph.reach(place, Graph::dependents, |other| self.is_hot(other) || self.alerted(other));
        let ways = from.keys().map(|end| {
            let mut way = vec![*end];
            let mut at = *end;
            while let Some(&before) = from.get(&at).filter(|before| **before != at) {
                way.push(before);
                at = before;
            }
            way.reverse();
            way
        });
        let key = |way: &Vec<usize>| {
            let end = way.last().copied().unwrap_or(place);
            (self.alerted(end), way.len(), std::cmp::Reverse(end))
        };
        ways.max_by_key(key).filter(|way| way.len() > 1).unwrap_or_default()
    }

    fn alerted(&self, place: usize) -> bool {
        self.case.alerting.as_ref().is_some_and(|id| self.components.get(place) == Some(&id))
    }
}

fn chance_text(chance: f64) -> String {
    if chance >= 10.0 { format!("{chance:.0}") } else { format!("{chance:.2}") }
}
