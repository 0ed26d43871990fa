//! The last hour of one component, for the page: score, and value and band of each metric.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Row, Schema, Timestamp, Verdict};

/// How far back it reaches.
pub(crate) const SPAN: Duration = Duration::from_secs(3600);
/// The most points that are kept: one pixel column each on a page of ordinary width.
const MAX_POINTS: usize = 720;
/// The most metrics whose values are kept: beyond it only the score is (16 bytes a point and metric).
const MAX_METRICS: usize = 2000;

/// One point of one metric. NaN where there was nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// The value.
    pub y: f32,
    /// What was expected.
    pub yhat: f32,
    /// The lower edge of the band.
    pub lower: f32,
    /// The upper edge of the band.
    pub upper: f32,
}

const NOTHING: Point = Point { y: f32::NAN, yhat: f32::NAN, lower: f32::NAN, upper: f32::NAN };

/// Points of [`SPAN`], at most one per [`History::step`]; within a step the highest score stands with its values.
#[derive(Debug)]
pub(crate) struct History {
    step: Duration,
    times: VecDeque<Timestamp>,
    scores: VecDeque<f32>,
    schema: Option<Arc<Schema>>,
    /// One line per metric of the schema, as long as `times`.
    metrics: Vec<VecDeque<Point>>,
}

/// A line of nothing, with room for all that will be kept: [`History::push`] allocates nothing.
fn line(points: usize) -> VecDeque<Point> {
    let mut line = VecDeque::with_capacity(MAX_POINTS + 1);
    line.resize(points, NOTHING);
    line
}

impl History {
    /// For samples that come every `interval`.
    pub(crate) fn new(interval: Duration) -> Self {
        let step = interval.max(SPAN / MAX_POINTS as u32);
        let (times, scores) =
            (VecDeque::with_capacity(MAX_POINTS + 1), VecDeque::with_capacity(MAX_POINTS + 1));
        Self { step, times, scores, schema: None, metrics: Vec::new() }
    }

    /// Seconds between points.
    pub(crate) fn step(&self) -> Duration {
        self.step
    }

    /// Adds a sample and its verdict, both under `schema`. Hot: allocates only when the schema changes.
    pub(crate) fn push(&mut self, schema: &Arc<Schema>, row: Row<'_>, verdict: &Verdict) {
        if !self.schema.as_ref().is_some_and(|known| Arc::ptr_eq(known, schema)) {
            self.adopt(schema);
        }
        let score = verdict.score.get() as f32;
        match self.times.back() {
            Some(&last) if row.time.since(last) < self.step.as_secs_f64() && row.time >= last => {
                if self.scores.back().is_some_and(|&kept| kept >= score) {
                    return;
                }
                self.scores.pop_back();
                self.scores.push_back(score);
                for line in &mut self.metrics {
                    line.pop_back();
                }
            }
            _ => {
                self.times.push_back(row.time);
                self.scores.push_back(score);
            }
        }
        for (i, line) in self.metrics.iter_mut().enumerate() {
            let y = row.values.get(i).map_or(f32::NAN, |&v| v as f32);
            line.push_back(verdict.metrics.get(i).map_or(Point { y, ..NOTHING }, |m| Point {
                y,
                yhat: m.expected as f32,
                lower: m.lower as f32,
                upper: m.upper as f32,
            }));
        }
        while self.times.front().is_some_and(|&t| row.time.since(t) > SPAN.as_secs_f64())
            || self.times.len() > MAX_POINTS
        {
            self.times.pop_front();
            self.scores.pop_front();
            for line in &mut self.metrics {
                line.pop_front();
            }
        }
    }

    /// Keeps the lines of metrics that are still there, by name.
    fn adopt(&mut self, schema: &Arc<Schema>) {
        let old = std::mem::take(&mut self.metrics);
        let old_schema = self.schema.replace(Arc::clone(schema));
        let mut old: Vec<Option<VecDeque<Point>>> = old.into_iter().map(Some).collect();
        let kept = |name: &str, old: &mut Vec<Option<VecDeque<Point>>>| {
            let position = old_schema.as_ref()?.position(name)?;
            old.get_mut(position)?.take()
        };
        self.metrics = schema
            .metrics()
            .iter()
            .take(MAX_METRICS)
            .map(|m| kept(m.name.as_str(), &mut old).unwrap_or_else(|| line(self.times.len())))
            .collect();
    }

    /// Times and scores, oldest first.
    pub(crate) fn scores(&self) -> impl Iterator<Item = (Timestamp, f32)> {
        self.times.iter().copied().zip(self.scores.iter().copied())
    }

    /// The points of one metric, oldest first, as many as there are scores; none where it isn't kept.
    pub(crate) fn metric(&self, name: &str) -> Option<impl Iterator<Item = Point>> {
        let position = self.schema.as_ref()?.position(name)?;
        self.metrics.get(position).map(|line| line.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larnax_core::{Metric, MetricKind, MetricName, Score};

    fn schema(names: &[&str]) -> Arc<Schema> {
        let metric = |n: &&str| Metric::new(MetricName::new(n).unwrap(), MetricKind::Gauge);
        Schema::new(names.iter().map(metric).collect()).unwrap()
    }

    fn push(history: &mut History, schema: &Arc<Schema>, second: f64, value: f64, score: f64) {
        let mut verdict = Verdict::default();
        verdict.reset(schema.len());
        verdict.score = Score::new(score);
        let values = vec![value; schema.len()];
        let row = Row { time: Timestamp::from_seconds(second), values: &values, learnable: true };
        history.push(schema, row, &verdict);
    }

    #[test]
    fn samples_within_a_step_leave_the_one_with_the_highest_score() {
        let mut history = History::new(Duration::from_secs(1));
        let schema = schema(&["a"]);
        for (second, score) in [(0.0, 0.2), (1.0, 3.0), (2.0, 0.1), (5.0, 0.4)] {
            push(&mut history, &schema, second, second, score);
        }
        assert_eq!(history.scores().map(|(_, s)| s).collect::<Vec<_>>(), [3.0, 0.4]);
        assert_eq!(history.metric("a").unwrap().map(|p| p.y).collect::<Vec<_>>(), [1.0, 5.0]);
    }

    #[test]
    fn it_reaches_back_one_hour_and_keeps_metrics_by_name_when_the_schema_changes() {
        let mut history = History::new(Duration::from_secs(5));
        let (one, two) = (schema(&["a"]), schema(&["b", "a"]));
        for i in 0..2000 {
            push(&mut history, &one, f64::from(i) * 5.0, 1.0, 0.0);
        }
        push(&mut history, &two, 10_000.0, 2.0, 0.0);
        let (first, _) = history.scores().next().unwrap();
        assert!(Timestamp::from_seconds(10_000.0).since(first) <= 3600.0);
        let a: Vec<f32> = history.metric("a").unwrap().map(|p| p.y).collect();
        assert_eq!((a.len(), a[0], a[a.len() - 1]), (history.scores().count(), 1.0, 2.0));
        assert!(history.metric("b").unwrap().next().unwrap().y.is_nan());
    }
}
