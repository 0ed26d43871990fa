//! Several inputs side by side under one schema: those of one component, such as its exporter, the host and a process
//! group.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Bounds, Metric, MetricKind, MetricName, Row, Schema, Timestamp};

use crate::rate::CounterState;
use crate::rule::{Rule, bounds};

/// One metric on its way from an input's row to the joined row.
#[derive(Clone, Debug)]
struct Slot {
    /// Position in the input's schema.
    from: u32,
    /// Position in the joined schema.
    to: u32,
    /// What the next rate needs; none for a gauge.
    counter: Option<CounterState>,
    /// What the input's latest row says: the value or the rate.
    value: f64,
}

/// One input's part of the joined row.
#[derive(Debug, Default)]
struct Input {
    schema: Option<Arc<Schema>>,
    /// Positions that the patterns select.
    selected: Vec<u32>,
    /// Selected metrics that found room, ascending in `from`.
    slots: Vec<Slot>,
    latest: Option<Timestamp>,
    learnable: bool,
}

/// The joined row's layout and the latest values of each input.
///
/// A name that an earlier input has too gets the later input's number in front, as in `input1/up`: to refuse it would
/// lose a signal, and to rename the first one would lose its model.
#[derive(Debug)]
pub(crate) struct Join {
    inputs: Vec<Input>,
    schema: Arc<Schema>,
    max_metrics: usize,
    refused: usize,
}

impl Join {
    pub(crate) fn new(inputs: usize, max_metrics: usize) -> Self {
        let inputs = (0..inputs).map(|_| Input::default()).collect();
        Self { inputs, schema: Arc::default(), max_metrics, refused: 0 }
    }

    /// The joined schema: gauges only, at most `max_metrics`.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How many selected metrics have no room in the joined schema.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// Whether an input's rows still have this schema. Cheap while it is the same allocation.
    pub(crate) fn knows(&mut self, input: usize, schema: &Arc<Schema>) -> bool {
        let known = &mut self.inputs[input].schema;
        match known {
            Some(old) if Arc::ptr_eq(old, schema) => true,
            Some(old) if old == schema => {
                *old = Arc::clone(schema);
                true
            }
            _ => false,
        }
    }

    /// Takes an input's new schema with the positions that are selected from it, and lays the row out anew. State goes
    /// with the metric's name. `rules` are those of each input. Returns whether the joined schema is another one now.
    pub(crate) fn adopt(
        &mut self,
        input: usize,
        schema: &Arc<Schema>,
        selected: Vec<u32>,
        rules: &[Vec<Rule>],
    ) -> bool {
        let old = self.inputs[input].schema.replace(Arc::clone(schema));
        self.inputs[input].selected = selected;

        let mut candidates = self.candidates(rules);
        let found = candidates.len();
        keep_at_most(&mut candidates, self.max_metrics, &self.schema);
        self.refused = found - candidates.len();

        let mut slots: Vec<Vec<Slot>> = self.inputs.iter().map(|_| Vec::new()).collect();
        for (to, candidate) in candidates.iter().enumerate() {
            let (i, from) = (candidate.input, candidate.from);
            let before = match &old {
                Some(old) if i == input => old.position(schema.name(from as usize).as_str()),
                None if i == input => None,
                _ => Some(from as usize),
            };
            let before = before.and_then(|at| self.inputs[i].slot(at as u32));
            slots[i].push(Slot::new(from, to as u32, candidate.kind, before));
        }
        for (input, slots) in self.inputs.iter_mut().zip(slots) {
            input.slots = slots;
        }

        let metric = |c: Candidate| Metric { name: c.name, kind: MetricKind::Gauge, bounds: c.bounds };
        match Schema::new(candidates.into_iter().map(metric).collect()) {
            Ok(joined) if joined != self.schema => {
                self.schema = joined;
                true
            }
            // Names are unique by now, so there is no other error to report.
            _ => false,
        }
    }

    /// All selected metrics of all inputs in order, each under a name of its own.
    fn candidates(&self, rules: &[Vec<Rule>]) -> Vec<Candidate> {
        let mut names = HashSet::new();
        let mut candidates = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let Some(schema) = &input.schema else { continue };
            let rules = rules.get(i).map(Vec::as_slice).unwrap_or_default();
            for &from in &input.selected {
                let Metric { name, kind, bounds: source } = &schema.metrics()[from as usize];
                let bounds = bounds(rules, name, *source);
                let Some(name) = unique(name, i, &mut names) else { continue };
                candidates.push(Candidate { input: i, from, name, kind: *kind, bounds });
            }
        }
        candidates
    }

    /// Takes an input's next row, which must be later than its last one. Returns how many counters were reset.
    ///
    /// Hot path: allocates nothing.
    pub(crate) fn take(&mut self, input: usize, row: &Row<'_>) -> u64 {
        let input = &mut self.inputs[input];
        let mut resets = 0;
        for slot in &mut input.slots {
            let value = row.values.get(slot.from as usize).copied().unwrap_or(f64::NAN);
            slot.value = match &mut slot.counter {
                None => value,
                Some(counter) => {
                    let rate = counter.rate(row.time, value);
                    resets += u64::from(rate.reset);
                    rate.per_second
                }
            };
        }
        input.latest = Some(row.time);
        input.learnable = row.learnable && resets == 0;
        resets
    }

    /// Writes the joined row as of `time`: of each input the latest values, unless they are further than `stale_after`
    /// from `time`. Returns whether all that was used may be learnt from.
    ///
    /// Hot path: allocates nothing once `row` has the schema's length.
    pub(crate) fn fill(&self, time: Timestamp, stale_after: Duration, row: &mut Vec<f64>) -> bool {
        row.clear();
        row.resize(self.schema.len(), f64::NAN);
        let mut learnable = true;
        for input in &self.inputs {
            let Some(latest) = input.latest else { continue };
            if time.since(latest).abs() > stale_after.as_secs_f64() {
                continue;
            }
            learnable &= input.learnable;
            for slot in &input.slots {
                row[slot.to as usize] = slot.value;
            }
        }
        learnable
    }
}

impl Input {
    /// The slot of the metric at a position of the input's schema, if it has one.
    fn slot(&self, from: u32) -> Option<&Slot> {
        self.slots.binary_search_by_key(&from, |slot| slot.from).ok().map(|at| &self.slots[at])
    }
}

impl Slot {
    /// A slot that goes on from the one the metric had, if it still means the same.
    fn new(from: u32, to: u32, kind: MetricKind, before: Option<&Self>) -> Self {
        let is_counter = kind == MetricKind::Counter;
        match before {
            Some(before) if before.counter.is_some() == is_counter => Self { from, to, ..before.clone() },
            _ => Self { from, to, counter: is_counter.then_some(CounterState::NEW), value: f64::NAN },
        }
    }
}

/// A metric that wants a place in the joined row.
struct Candidate {
    input: usize,
    from: u32,
    name: MetricName,
    kind: MetricKind,
    bounds: Bounds,
}

/// The name under which a metric of an input stands in the joined schema; none if even the prefixed name is taken.
fn unique(name: &MetricName, input: usize, names: &mut HashSet<MetricName>) -> Option<MetricName> {
    if names.insert(name.clone()) {
        return Some(name.clone());
    }
    let prefixed = MetricName::new(&format!("input{input}/{name}")).ok()?;
    names.insert(prefixed.clone()).then_some(prefixed)
}

/// Cuts the candidates to the limit. Those that had a place before keep it, so that a metric that appears does not
/// push out one that is being watched; then it goes by order.
fn keep_at_most(candidates: &mut Vec<Candidate>, limit: usize, before: &Schema) {
    if candidates.len() <= limit {
        return;
    }
    let had_place = |candidate: &Candidate| before.position(candidate.name.as_str()).is_some();
    let mut room = limit.saturating_sub(candidates.iter().filter(|c| had_place(c)).count());
    candidates.retain(|candidate| {
        if had_place(candidate) {
            return true;
        }
        let fits = room > 0;
        room -= usize::from(fits);
        fits
    });
}
