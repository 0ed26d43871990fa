//! Streams of noise without any anomaly, and what a watch makes of them.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Component, Metric, MetricKind, MetricName, Row, Schema, Timestamp, Transition};
use larnax_detect::{AlertBudget, Settings, Watch};

const DAY: f64 = 86_400.0;
const WEEK: f64 = 7.0 * DAY;

/// What the values are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Normal.
    Gaussian,
    /// Student's t with three degrees of freedom.
    StudentT,
    /// The exponential of a normal value.
    LogNormal,
    /// Exponential.
    Exponential,
    /// Autoregressive, 0.9 from sample to sample, with innovations of Student's t with three degrees of freedom.
    Wandering,
    /// A daily rhythm, twenty times the scale of the noise of Student's t on it.
    Daily,
    /// Bursts at random times, six an hour and a minute long on average, of log-normal height: as an arrival process of
    /// clusters. All metrics have them at the same time, with heights of their own.
    Bursts,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Gaussian,
        Self::StudentT,
        Self::LogNormal,
        Self::Exponential,
        Self::Wandering,
        Self::Daily,
        Self::Bursts,
    ];

    /// Standard deviation of a value, without the daily rhythm.
    pub(crate) fn deviation(self) -> f64 {
        let heavy = 3.0f64.sqrt();
        match self {
            Self::Gaussian | Self::Exponential => 1.0,
            Self::StudentT => heavy,
            Self::LogNormal => ((1f64.exp() - 1.0) * 1f64.exp()).sqrt(),
            Self::Wandering => heavy / 0.19f64.sqrt(),
            Self::Daily => 2.0 * heavy,
            // On average 0.1 bursts at a time, of mean square 25·e².
            Self::Bursts => (1.0 + 0.1 * 25.0 * 2f64.exp()).sqrt(),
        }
    }
}

/// A source of rows.
pub(crate) struct Stream {
    kind: Kind,
    period: f64,
    random: u64,
    state: Vec<f64>,
    /// End of each burst that goes on, and the number of its heights.
    bursts: Vec<(f64, u64)>,
    next_burst: f64,
}

impl Stream {
    /// A row of `metrics` values each `period` seconds.
    pub(crate) fn new(kind: Kind, metrics: usize, period: f64, seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { kind, period, random, state: vec![0.0; metrics], bursts: Vec::new(), next_burst: 0.0 }
    }

    /// Between 0 and 1 (xorshift64*).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        ((self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Student's t with three degrees of freedom (Bailey 1994).
    fn heavy(&mut self) -> f64 {
        let radius = (3.0 * (self.uniform().powf(-2.0 / 3.0) - 1.0)).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Writes the row at `t` seconds.
    pub(crate) fn fill(&mut self, t: f64, values: &mut [f64]) {
        if self.kind == Kind::Bursts {
            self.bursts.retain(|(end, _)| *end > t);
            while self.next_burst <= t {
                let end = self.next_burst - 60.0 * self.uniform().ln();
                let heights = (self.uniform() * 1e15) as u64 | 1;
                if end > t {
                    self.bursts.push((end, heights));
                }
                self.next_burst -= 600.0 * self.uniform().ln();
            }
        }
        for (i, value) in values.iter_mut().enumerate() {
            *value = match self.kind {
                Kind::Gaussian => 100.0 + self.normal(),
                Kind::StudentT => 100.0 + self.heavy(),
                Kind::LogNormal => self.normal().exp(),
                Kind::Exponential => -self.uniform().ln(),
                Kind::Wandering => {
                    self.state[i] = 0.9 * self.state[i] + self.heavy();
                    100.0 + self.state[i]
                }
                Kind::Daily => {
                    let phase = i as f64 / 20.0;
                    100.0 + 40.0 * (std::f64::consts::TAU * (t / DAY + phase)).sin() + 2.0 * self.heavy()
                }
                Kind::Bursts => 10.0 + self.normal(),
            };
        }
        for b in 0..self.bursts.len() {
            let mut heights = Self::new(self.kind, 0, self.period, self.bursts[b].1);
            for value in values.iter_mut() {
                *value += 5.0 * heights.normal().exp();
            }
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Alerts promised after the first week.
    pub(crate) promised: f64,
    /// Alerts given after the first week.
    pub(crate) alerts: usize,
    /// Anomalies opened after the first week.
    pub(crate) opened: usize,
    /// Alerts in the first week.
    pub(crate) early: usize,
    /// Samples from a step of ten deviations in one metric to its alert, the middle of [`STEPS`] trials, and how many of them
    /// alerted within [`PATIENCE`] samples.
    pub(crate) delay: usize,
    /// See `delay`.
    pub(crate) alerted: usize,
}

/// Trials of a step.
pub(crate) const STEPS: usize = 21;
/// Samples in which a step has to be alerted.
pub(crate) const PATIENCE: usize = 12;

/// A watch with a budget of its own.
pub(crate) struct Watched {
    stream: Stream,
    watch: Watch,
    budget: AlertBudget,
    settings: Settings,
    values: Vec<f64>,
    changes: Vec<larnax_detect::Change>,
    row: u64,
    /// Added to the first metric.
    lift: f64,
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000.0 + seconds)
}

fn weekly(allowed: f64) -> AlertBudget {
    AlertBudget::new(allowed, Duration::from_secs(WEEK as u64))
}

impl Watched {
    /// Watches a stream with `allowed` alerts a week.
    pub(crate) fn new(stream: Stream, allowed: f64, settings: Settings) -> Self {
        let metrics = stream.state.len();
        let metric = |i| Metric::new(MetricName::new(&format!("m{i}")).unwrap(), MetricKind::Gauge);
        let schema: Arc<Schema> = Schema::new((0..metrics).map(metric).collect()).unwrap();
        let component = Component {
            id: "node/local/a".parse().unwrap(),
            group: "host".into(),
            labels: Default::default(),
        };
        let settings = Settings { interval: Some(Duration::from_secs_f64(stream.period)), ..settings };
        let mut watch = Watch::new(component, settings.clone());
        watch.resize(&schema);
        let (values, budget) = (vec![0.0; metrics], weekly(allowed));
        Self { stream, watch, budget, settings, values, changes: Vec::new(), row: 0, lift: 0.0 }
    }

    /// Takes the next row; what it changed.
    pub(crate) fn step(&mut self) -> &[larnax_detect::Change] {
        let t = self.row as f64 * self.stream.period;
        self.row += 1;
        self.stream.fill(t, &mut self.values);
        if let Some(first) = self.values.first_mut() {
            *first += self.lift;
        }
        self.changes.clear();
        let row = Row { time: at(t), values: &self.values, learnable: true };
        self.watch.observe(row, &mut self.budget, &mut self.changes);
        &self.changes
    }

    /// Another one that has learnt the same and goes on with other noise.
    fn fork(&self, allowed: f64, seed: u64) -> Self {
        let metrics = self.values.len();
        let stream = Stream::new(self.stream.kind, metrics, self.stream.period, seed);
        let mut fork = Self::new(stream, allowed, self.settings.clone());
        fork.watch.restore(&self.watch.save()).unwrap();
        fork.budget.restore(&self.budget.save()).unwrap();
        fork.row = self.row;
        fork.stream.next_burst = self.row as f64 * self.stream.period - 600.0;
        fork
    }

    /// Runs for `weeks` weeks, of which the first is not counted.
    pub(crate) fn run(&mut self, weeks: f64, allowed: f64) -> Outcome {
        let mut outcome = Outcome { promised: allowed * (weeks - 1.0), ..Outcome::default() };
        let first = (WEEK / self.stream.period) as u64;
        let mut alerted = BTreeSet::new();
        while self.row < (weeks * WEEK / self.stream.period) as u64 {
            let counts = self.row >= first;
            for change in self.step() {
                let opened = change.transition == Transition::Opened;
                let alerts = change.anomaly.alerted && alerted.insert(change.anomaly.id.to_string());
                if counts {
                    outcome.opened += usize::from(opened);
                    outcome.alerts += usize::from(alerts);
                } else {
                    outcome.early += usize::from(alerts);
                }
            }
        }
        outcome
    }

    /// Lets a step of ten deviations happen, in each of [`STEPS`] trials.
    pub(crate) fn lift(&self, allowed: f64, outcome: &mut Outcome) {
        let mut delays = Vec::new();
        for trial in 0..STEPS {
            let mut fork = self.fork(allowed, 1_000 + trial as u64);
            for _ in 0..30 + 7 * trial {
                fork.step();
            }
            fork.lift = 10.0 * fork.stream.kind.deviation();
            let alerts = |changes: &[larnax_detect::Change]| changes.iter().any(|c| c.anomaly.alerted);
            delays.push((1..=500).find(|_| alerts(fork.step())).unwrap_or(999));
        }
        delays.sort_unstable();
        outcome.delay = delays[STEPS / 2];
        outcome.alerted = delays.iter().filter(|d| **d <= PATIENCE).count();
    }
}

/// The 90 % confidence interval of the mean of a Poisson number of which `count` was seen (Byar's approximation).
pub(crate) fn poisson(count: usize) -> (f64, f64) {
    let bound = |n: f64, z: f64| n * (1.0 - 1.0 / (9.0 * n) + z / (3.0 * n.sqrt())).powi(3);
    let lower = if count == 0 { 0.0 } else { bound(count as f64, -1.645) };
    (lower, bound(count as f64 + 1.0, 1.645))
}
