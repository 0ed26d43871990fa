//! The figures, as a document and as tables.

use larnax_evaluate::{Deployed, Hits, nab};
use serde::Serialize;

use super::args::{EvaluateArgs, Format, Train};
use super::figures::{Outcome, Ranking};
use super::write::{emissions, unit};
use crate::labels::Caught;
use crate::output::columns;

/// All figures of a data set.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    folder: String,
    format: Format,
    detector: String,
    train: Train,
    all: All,
    streams: Vec<StreamReport>,
}

/// Over all streams.
#[derive(Debug, Serialize)]
struct All {
    streams: usize,
    rows: usize,
    /// Rows that could not be used.
    rows_unused: usize,
    /// The mean over the streams that have one.
    #[serde(flatten)]
    ranking: RankingReport,
    #[serde(flatten)]
    shipped: Shipped,
    /// The mean over the events of which people named the metrics.
    attribution: Option<AttributionReport>,
    nab: Option<NabReport>,
    cpu_microseconds_per_row: f64,
    /// The most of any stream.
    state_bytes: usize,
}

#[derive(Debug, Serialize)]
struct StreamReport {
    name: String,
    rows: usize,
    train_rows: usize,
    rows_unused: usize,
    metrics: usize,
    events: usize,
    /// The longest edge of an event for VUS-PR, in rows.
    window_rows: Option<usize>,
    #[serde(flatten)]
    ranking: RankingReport,
    #[serde(flatten)]
    shipped: Shipped,
    attribution: Option<AttributionReport>,
    /// How the detector kept to a budget of CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_plan: Option<String>,
    cpu_microseconds_per_row: f64,
    state_bytes: usize,
}

#[derive(Debug, Serialize)]
struct RankingReport {
    vus_pr: Option<f64>,
    auc_pr: Option<f64>,
    ev1: Option<f64>,
    ev1_delay_rows: Option<f64>,
}

/// What a person would have got at default settings.
#[derive(Debug, Serialize)]
struct Shipped {
    /// Rows with a score above 1.
    state: Caught,
    /// Anomalies, before the alert budget.
    opened: Caught,
    /// Those that the alert budget let through.
    alerts: Caught,
}

#[derive(Debug, Serialize)]
struct AttributionReport {
    events: usize,
    hit_at_100: f64,
    top_1: f64,
}

/// NAB's score of what was told, and of the dense state.
#[derive(Debug, Serialize)]
struct NabReport {
    opened: Vec<NabScore>,
    alerts: Vec<NabScore>,
    state: Vec<NabScore>,
}

#[derive(Debug, Serialize)]
struct NabScore {
    profile: &'static str,
    /// At the threshold that ships: everything that was told, or a score above 1.
    shipped: Option<f64>,
    /// At the best threshold, chosen afterwards.
    best: Option<f64>,
    best_threshold: Option<f64>,
}

impl Report {
    pub(super) fn new(args: &EvaluateArgs, outcomes: &[Outcome]) -> anyhow::Result<Self> {
        Ok(Self {
            folder: args.folder.display().to_string(),
            format: args.format,
            detector: args.detector.as_str().to_owned(),
            train: args.train,
            all: All::new(args, outcomes)?,
            streams: outcomes.iter().map(StreamReport::new).collect(),
        })
    }
}

impl All {
    fn new(args: &EvaluateArgs, outcomes: &[Outcome]) -> anyhow::Result<Self> {
        let rankings: Vec<Ranking> = outcomes.iter().filter_map(|outcome| outcome.ranking).collect();
        let mean = |of: fn(&Ranking) -> Option<f64>| mean(rankings.iter().filter_map(of));
        let sum = |of: fn(&Outcome) -> &Deployed| {
            let mut sum = Deployed::default();
            outcomes.iter().for_each(|outcome| sum.add(of(outcome)));
            Caught::from(&sum)
        };
        let hits: Vec<Hits> = outcomes.iter().flat_map(|outcome| outcome.hits.iter().copied()).collect();
        let rows = outcomes.iter().map(|outcome| outcome.notes.scores.len()).sum();
        let judged: usize = outcomes.iter().map(|o| o.notes.train_rows + o.notes.scores.len()).sum();
        let cpu: f64 = outcomes.iter().map(|outcome| outcome.notes.cpu_seconds).sum();
        Ok(Self {
            streams: outcomes.len(),
            rows,
            rows_unused: outcomes.iter().map(|outcome| outcome.notes.unused).sum(),
            ranking: RankingReport {
                vus_pr: mean(|ranking| Some(ranking.vus_pr)),
                auc_pr: mean(|ranking| Some(ranking.auc_pr)),
                ev1: mean(|ranking| Some(ranking.ev1.caught)),
                ev1_delay_rows: mean(|ranking| ranking.ev1.delay_rows),
            },
            shipped: Shipped {
                state: sum(|outcome| &outcome.state),
                opened: sum(|outcome| &outcome.opened),
                alerts: sum(|outcome| &outcome.alerts),
            },
            attribution: AttributionReport::new(&hits),
            nab: (args.format == Format::Nab).then(|| NabReport::new(outcomes)).transpose()?,
            cpu_microseconds_per_row: 1e6 * cpu / judged.max(1) as f64,
            state_bytes: outcomes.iter().map(|outcome| outcome.notes.state_bytes).max().unwrap_or(0),
        })
    }
}

impl StreamReport {
    fn new(outcome: &Outcome) -> Self {
        let notes = &outcome.notes;
        let ranking = outcome.ranking;
        Self {
            name: outcome.name.clone(),
            rows: notes.scores.len(),
            train_rows: notes.train_rows,
            rows_unused: notes.unused,
            metrics: notes.metrics,
            events: outcome.known.events.len(),
            window_rows: ranking.map(|ranking| ranking.window),
            ranking: RankingReport {
                vus_pr: ranking.map(|ranking| ranking.vus_pr),
                auc_pr: ranking.map(|ranking| ranking.auc_pr),
                ev1: ranking.map(|ranking| ranking.ev1.caught),
                ev1_delay_rows: ranking.and_then(|ranking| ranking.ev1.delay_rows),
            },
            shipped: Shipped {
                state: Caught::from(&outcome.state),
                opened: Caught::from(&outcome.opened),
                alerts: Caught::from(&outcome.alerts),
            },
            attribution: AttributionReport::new(&outcome.hits),
            cost_plan: notes.cost_plan.clone(),
            cpu_microseconds_per_row: outcome.cpu_microseconds(),
            state_bytes: notes.state_bytes,
        }
    }
}

impl AttributionReport {
    fn new(hits: &[Hits]) -> Option<Self> {
        let mean = Hits::mean(hits)?;
        Some(Self { events: hits.len(), hit_at_100: mean.at_100, top_1: mean.top_1 })
    }
}

impl NabReport {
    fn new(outcomes: &[Outcome]) -> anyhow::Result<Self> {
        let (mut opened, mut alerts, mut state) = <(nab::Corpus, nab::Corpus, nab::Corpus)>::default();
        for outcome in outcomes {
            let rows = outcome.notes.scores.len();
            opened.add(&emissions(&outcome.notes.opened, rows), &outcome.known.windows)?;
            alerts.add(&emissions(&outcome.notes.alerts, rows), &outcome.known.windows)?;
            let dense: Vec<f64> = outcome.notes.scores.iter().map(|&score| unit(score)).collect();
            state.add(&dense, &outcome.known.windows)?;
        }
        // A score of exactly 1 is still normal.
        let above_normal = unit(1.0).next_up();
        let scores = |corpus: &nab::Corpus| {
            let score = |profile: &nab::Profile| {
                let best = corpus.best(profile);
                NabScore {
                    profile: profile.name,
                    shipped: corpus.at(above_normal, profile),
                    best: best.map(|best| best.score),
                    best_threshold: best.map(|best| best.threshold),
                }
            };
            nab::PROFILES.iter().map(score).collect()
        };
        Ok(Self { opened: scores(&opened), alerts: scores(&alerts), state: scores(&state) })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    values.for_each(|value| (sum, count) = (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// For people.
pub(super) fn table(report: &Report) -> String {
    let all = &report.all;
    let has_learnt = report.streams.iter().any(|stream| stream.train_rows > 0);
    let train = if has_learnt { "after the train file" } else { "from the first row" };
    let mut text = format!(
        "{}: {} streams, {} rows ({} unused), {} {train}; {:.1} µs CPU a row, at most {:.0} KiB of state\n\n",
        report.folder,
        all.streams,
        all.rows,
        all.rows_unused,
        report.detector,
        all.cpu_microseconds_per_row,
        all.state_bytes as f64 / 1024.0,
    );
    let is_nab = report.format == Format::Nab;
    let mut head = vec!["STREAM", "ROWS", "METRICS", "EVENTS"];
    if !is_nab {
        head.extend(["VUS-PR", "AUC-PR", "EV1", "DELAY"]);
    }
    head.extend(["OPENED CAUGHT", "FALSE/DAY", "ALERTS CAUGHT", "FALSE/DAY"]);
    if all.attribution.is_some() {
        head.extend(["HIT@100", "TOP-1"]);
    }
    head.push("µs/ROW");
    let line = |name: &str,
                sizes: [usize; 3],
                r: &RankingReport,
                s: &Shipped,
                a: &Option<AttributionReport>,
                cpu| {
        let mut line = vec![name.to_owned()];
        line.extend(sizes.map(|size| size.to_string()));
        if !is_nab {
            line.extend([r.vus_pr, r.auc_pr, r.ev1].map(|figure| number(figure, 3)));
            line.push(number(r.ev1_delay_rows, 1));
        }
        for told in [&s.opened, &s.alerts] {
            line.extend([told.caught.to_string(), number(told.false_alarms_per_day, 2)]);
        }
        if all.attribution.is_some() {
            line.extend([
                number(a.as_ref().map(|a| a.hit_at_100), 3),
                number(a.as_ref().map(|a| a.top_1), 3),
            ]);
        }
        line.push(number(Some(cpu), 1));
        line
    };
    let mut lines: Vec<Vec<String>> = report
        .streams
        .iter()
        .map(|s| {
            let sizes = [s.rows, s.metrics, s.events];
            line(&s.name, sizes, &s.ranking, &s.shipped, &s.attribution, s.cpu_microseconds_per_row)
        })
        .collect();
    let metrics = report.streams.iter().map(|stream| stream.metrics).max().unwrap_or(0);
    let sizes = [all.rows, metrics, all.shipped.state.events];
    let cpu = all.cpu_microseconds_per_row;
    lines.push(line("all", sizes, &all.ranking, &all.shipped, &all.attribution, cpu));
    text += &columns(&head, &lines);

    text += "\nAs shipped, at default settings:\n";
    let head = ["", "EVENTS", "CAUGHT", "SHARE", "ALARMS", "FALSE", "FALSE/DAY", "MEDIAN DELAY"];
    let shipped =
        [("state", &all.shipped.state), ("opened", &all.shipped.opened), ("alerts", &all.shipped.alerts)];
    text += &columns(&head, &shipped.map(|(name, found)| deployed(name, found)));
    if let Some(nab) = &all.nab {
        text += "\nNAB:\n";
        let head = ["PROFILE", "OPENED", "BEST", "ALERTS", "BEST", "STATE", "BEST"];
        let line = |((opened, alerts), state): ((&NabScore, &NabScore), &NabScore)| {
            let mut line = vec![opened.profile.to_owned()];
            for score in [opened, alerts, state] {
                line.extend([number(score.shipped, 2), number(score.best, 2)]);
            }
            line
        };
        let lines: Vec<Vec<String>> = nab.opened.iter().zip(&nab.alerts).zip(&nab.state).map(line).collect();
        text += &columns(&head, &lines);
    }
    text
}

fn deployed(name: &str, found: &Caught) -> Vec<String> {
    vec![
        name.to_owned(),
        found.events.to_string(),
        found.caught.to_string(),
        number(found.caught_share, 3),
        found.alarms.to_string(),
        found.false_alarms.to_string(),
        number(found.false_alarms_per_day, 2),
        found.delay(),
    ]
}

fn number(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"))
}
