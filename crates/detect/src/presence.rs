//! What is not there: a component that fell silent, and metrics that vanished.
//!
//! Absence is an anomaly of its own kind: no value deviates, so no detector sees it. A component is absent when nothing
//! came for more than [`limit`]; a metric when it was there for the warm-up time without a break and then is missing for at
//! least three samples and ten seconds while the rest still comes, whether its values are missing or the schema no longer
//! has it. Families whose series come and go (containers, connections, processes) are left alone: once a series of a
//! family has appeared or returned after warm-up, vanishing is what series of that family do.

use std::sync::Arc;

use larnax_core::{Contribution, MetricName, Schema};

/// Shortest silence in seconds that is an absence.
pub const MIN_SILENCE: f64 = 10.0;
/// The same in samples.
pub const MIN_SAMPLES: f64 = 3.0;
/// Samples that a metric, or a component, must have been there before its absence is noticed.
const MIN_SEEN: u32 = 60;
/// Vanished metrics and families that are kept by name.
const MAX_KEPT: usize = 256;

/// Seconds without a sample after which a component is absent.
pub fn limit(period: f64) -> f64 {
    (MIN_SAMPLES * period).max(MIN_SILENCE)
}

/// One metric's presence.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    /// Samples in a row that had it, since it first came.
    streak: u32,
    /// Seconds in a row.
    seconds: f64,
    /// Samples and seconds in a row that lacked it.
    missing: u32,
    missing_seconds: f64,
}

/// A metric that was always there and is not any more.
#[derive(Clone, Debug)]
struct Lost {
    name: MetricName,
    missing: u32,
    seconds: f64,
}

/// Watches which metrics are there.
#[derive(Debug, Default)]
pub struct Presence {
    schema: Option<Arc<Schema>>,
    seats: Vec<Seat>,
    /// Gone from the schema.
    lost: Vec<Lost>,
    /// Families whose series come and go.
    churning: Vec<String>,
    /// Rows and seconds watched.
    rows: u32,
    age: f64,
    absent: u32,
}

impl Presence {
    /// Takes a schema; what an earlier one had and this one lacks begins to be missing.
    pub fn resize(&mut self, schema: &Arc<Schema>, warm_up: f64) {
        let old = self.schema.replace(Arc::clone(schema));
        if old.as_ref().is_some_and(|old| Arc::ptr_eq(old, schema)) {
            return;
        }
        let old_metrics = old.as_ref().map_or(&[][..], |old| old.metrics());
        let old_seats = std::mem::take(&mut self.seats);
        for (metric, seat) in old_metrics.iter().zip(&old_seats) {
            if schema.position(metric.name.as_str()).is_none() && established(seat, warm_up) {
                self.lost.push(Lost {
                    name: metric.name.clone(),
                    missing: seat.missing,
                    seconds: seat.missing_seconds,
                });
            }
        }
        self.lost.truncate(MAX_KEPT);
        for metric in schema.metrics() {
            let name = metric.name.as_str();
            let seat =
                old.as_ref().and_then(|old| old.position(name)).and_then(|i| old_seats.get(i)).copied();
            let seat = seat.or_else(|| {
                let lost = self.lost.iter().find(|lost| lost.name.as_str() == name)?;
                // Whether it is back is seen from its first value.
                let (missing, missing_seconds) = (lost.missing, lost.seconds);
                Some(Seat { streak: MIN_SEEN, seconds: warm_up, missing, missing_seconds })
            });
            if seat.is_none() && old.is_some() && self.age > warm_up {
                self.churns(metric.name.family());
            }
            self.seats.push(seat.unwrap_or_default());
        }
        self.lost.retain(|lost| schema.position(lost.name.as_str()).is_none());
    }

    /// What has to survive a restart: rows and seconds watched, and the families that come and go.
    pub fn saved(&self) -> (u32, f64, &[String]) {
        (self.rows, self.age, &self.churning)
    }

    /// Takes over what survived a restart; `absent` names the metrics that were absent.
    pub fn restore(&mut self, rows: u32, age: f64, churning: Vec<String>, absent: &[Contribution]) {
        (self.rows, self.age, self.churning) = (rows, age, churning);
        self.churning.truncate(MAX_KEPT);
        let lost = |c: &Contribution| Lost { name: c.metric.clone(), missing: 1_000, seconds: 1_000.0 };
        self.lost = absent.iter().take(MAX_KEPT).map(lost).collect();
        self.absent = self.lost.len() as u32;
        self.schema = None;
        self.seats.clear();
    }

    /// Takes in which metrics a row has. Says whether the set of absent metrics changed.
    ///
    /// Hot: no allocation unless a metric returns.
    pub fn observe(&mut self, values: &[f64], dt: f64, warm_up: f64) -> bool {
        self.age += dt;
        self.rows = self.rows.saturating_add(1);
        let mut absent = 0;
        let mut returned = None;
        for (i, (seat, x)) in self.seats.iter_mut().zip(values).enumerate() {
            if x.is_finite() {
                if is_absent(seat.missing, seat.missing_seconds) && established(seat, warm_up) {
                    returned = Some(i);
                }
                seat.streak = seat.streak.saturating_add(1);
                seat.seconds += dt;
                (seat.missing, seat.missing_seconds) = (0, 0.0);
            } else {
                seat.missing = seat.missing.saturating_add(1);
                seat.missing_seconds += dt;
                let gone = is_absent(seat.missing, seat.missing_seconds);
                if gone && !established(seat, warm_up) {
                    (seat.streak, seat.seconds) = (0, 0.0);
                }
                absent += u32::from(gone && established(seat, warm_up));
            }
        }
        for lost in &mut self.lost {
            lost.missing = lost.missing.saturating_add(1);
            lost.seconds += dt;
            absent += u32::from(is_absent(lost.missing, lost.seconds));
        }
        if let (Some(i), Some(schema)) = (returned, self.schema.clone()) {
            self.churns(schema.name(i).family());
        }
        let changed = absent != self.absent;
        self.absent = absent;
        changed
    }

    /// Metrics that are absent and worth saying so, at most `n`.
    pub fn absent(&self, warm_up: f64, n: usize) -> Vec<Contribution> {
        let Some(schema) = &self.schema else { return Vec::new() };
        let absent =
            |seat: &Seat| is_absent(seat.missing, seat.missing_seconds) && established(seat, warm_up);
        let masked =
            self.seats.iter().enumerate().filter(|(_, seat)| absent(seat)).map(|(i, _)| schema.name(i));
        let lost = self.lost.iter().filter(|lost| is_absent(lost.missing, lost.seconds));
        masked
            .chain(lost.map(|lost| &lost.name))
            .filter(|name| !self.churning.iter().any(|family| family == name.family()))
            .take(n)
            .map(|name| Contribution { metric: name.clone(), deviation: -1.0, since: None })
            .collect()
    }

    /// Whether it was there long enough for its silence to mean something.
    pub fn is_established(&self, warm_up: f64) -> bool {
        self.age >= warm_up && self.rows >= MIN_SEEN
    }

    /// The metrics that are absent are not expected any more.
    pub fn forget_absent(&mut self) {
        self.lost.clear();
        for seat in self.seats.iter_mut().filter(|seat| seat.missing > 0) {
            *seat = Seat::default();
        }
        self.absent = 0;
    }

    fn churns(&mut self, family: &str) {
        if self.churning.len() < MAX_KEPT && !self.churning.iter().any(|known| known == family) {
            self.churning.push(family.to_owned());
        }
    }
}

fn established(seat: &Seat, warm_up: f64) -> bool {
    seat.streak >= MIN_SEEN && seat.seconds >= warm_up
}

fn is_absent(missing: u32, seconds: f64) -> bool {
    f64::from(missing) >= MIN_SAMPLES && seconds >= MIN_SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use larnax_core::{Metric, MetricKind};

    fn schema(names: &[&str]) -> Arc<Schema> {
        let metric = |name: &&str| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
        Schema::new(names.iter().map(metric).collect()).unwrap()
    }

    fn feed(presence: &mut Presence, values: &[f64], samples: usize) {
        for _ in 0..samples {
            presence.observe(values, 5.0, 150.0);
        }
    }

    fn names(presence: &Presence) -> Vec<String> {
        presence.absent(150.0, 9).into_iter().map(|c| c.metric.to_string()).collect()
    }

    #[test]
    fn a_metric_that_was_always_there_is_missed_after_three_samples_and_ten_seconds() {
        let mut presence = Presence::default();
        presence.resize(&schema(&["a", "b"]), 150.0);
        feed(&mut presence, &[1.0, 1.0], 100);
        feed(&mut presence, &[1.0, f64::NAN], 2);
        assert!(names(&presence).is_empty());
        feed(&mut presence, &[1.0, f64::NAN], 1);
        assert_eq!(names(&presence), ["b"]);
    }

    #[test]
    fn it_is_missed_too_when_the_schema_drops_it() {
        let mut presence = Presence::default();
        presence.resize(&schema(&["a", "b"]), 150.0);
        feed(&mut presence, &[1.0, 1.0], 100);
        presence.resize(&schema(&["a"]), 150.0);
        feed(&mut presence, &[1.0], 3);
        assert_eq!(names(&presence), ["b"]);
        presence.resize(&schema(&["b", "a"]), 150.0);
        assert_eq!(names(&presence), ["b"]);
        feed(&mut presence, &[1.0, 1.0], 1);
        assert!(names(&presence).is_empty());
    }

    #[test]
    fn series_of_a_family_that_comes_and_goes_are_not_missed() {
        let mut presence = Presence::default();
        presence.resize(&schema(&["a", "c{pod=\"1\"}"]), 150.0);
        feed(&mut presence, &[1.0, 1.0], 100);
        presence.resize(&schema(&["a", "c{pod=\"1\"}", "c{pod=\"2\"}"]), 150.0);
        feed(&mut presence, &[1.0, 1.0, 1.0], 100);
        feed(&mut presence, &[1.0, f64::NAN, 1.0], 10);
        assert!(names(&presence).is_empty());
    }

    #[test]
    fn a_metric_that_came_late_or_seldom_is_not_missed() {
        let mut presence = Presence::default();
        presence.resize(&schema(&["a", "b"]), 150.0);
        for _ in 0..50 {
            feed(&mut presence, &[1.0, 1.0], 5);
            feed(&mut presence, &[1.0, f64::NAN], 5);
        }
        assert!(names(&presence).is_empty());
    }
}
