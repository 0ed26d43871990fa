//! The command line of `larnax evaluate`.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use larnax_detect::{DetectorKind, Settings};
use serde::Serialize;

use crate::cli::Output;

const HELP: &str = "\
Each stream goes through the same code as in `larnax detect` and in the agent, row by row, without
looking ahead. Printed:
  VUS-PR, AUC-PR  how well the score ranks anomalous rows over normal ones, over all thresholds
  EV1             share of events caught at the best threshold, chosen afterwards, that costs at
                  most one false alarm a day; DELAY is the median until then, in rows
  state           as shipped: events with a score above 1, alarms that touch none, delay
  opened, alerts  as shipped: anomalies; and those that the alert budget (1/week) let through. One
                  catches every event between its onset and the row at which it was told; without
                  any it is false. An event that goes by while an older one is open is missed
  NAB             the benchmark's score of anomalies, alerts and state, as shipped and at the best
                  threshold
  HIT@100, TOP-1  whether the metrics that deviate most in an event are those that people named

Formats:
  nab  data/**/*.csv (timestamp,value) and labels/combined_windows.json
  smd  a folder for each machine with test.csv, test_label.txt and, if there are, train.csv and
       interpretation_label.txt; or folders train, test, test_label, interpretation_label with a
       file for each machine. ASD has the same layout, with rows 5 minutes apart (--step 5m)
  csv  any CSV files with a column `label` or `is_anomaly`, or beside NAME.csv a NAME_label.csv
       (a label for each row) or a NAME_windows.csv (start,end of each event)
Data files may be compressed (gz, zst).

--scores writes OUT/NAME.csv with one score for each test row; for nab with the columns timestamp,
anomaly_score (anomalies opened, from 0 to 1), alert_score and state_score.

Examples:
  larnax evaluate NAB --format nab
  larnax evaluate ServerMachineDataset --format smd -o json
  larnax evaluate ASD --format smd --step 5m --train no
  larnax evaluate recordings --format csv --scores out
  larnax evaluate recordings --format csv --detector auto --budget 5us";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct EvaluateArgs {
    /// The folder of a data set
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// How the folder is laid out
    #[arg(long, value_enum)]
    pub(crate) format: Format,
    /// Which detector judges
    #[arg(long, default_value = DetectorKind::default().as_str(), value_name = "NAME")]
    pub(crate) detector: DetectorKind,
    /// CPU that `auto` may take for a row, on average, such as `50us` [default: what it needs]
    #[arg(long, value_name = "DURATION", value_parser = larnax_edge::duration)]
    pub(crate) budget: Option<Duration>,
    /// Time between rows of files that have no time [default: 1m for smd, 1s otherwise]
    #[arg(long, visible_alias = "interval", value_name = "DURATION", value_parser = larnax_edge::duration)]
    pub(crate) step: Option<Duration>,
    /// Whether the train file, where there is one, comes before the test file
    #[arg(long, value_enum, default_value = "yes")]
    pub(crate) train: Train,
    /// A folder, outside of DIR, for the scores
    #[arg(long, value_name = "OUT")]
    pub(crate) scores: Option<PathBuf>,
    /// How many streams are judged at once [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// How the figures are printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// How a data set's folder is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Numenta Anomaly Benchmark
    Nab,
    /// Server Machine Dataset, Application Server Dataset
    Smd,
    /// CSV files with labels in them or beside them
    Csv,
}

/// Whether train files are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Train {
    /// Learn from it first
    Yes,
    /// Know nothing at the first test row
    No,
}

impl EvaluateArgs {
    /// How streams are judged: as shipped.
    pub(crate) fn settings(&self) -> Settings {
        Settings { detector: self.detector, cpu_budget: self.budget, ..Settings::default() }
    }

    /// Time between rows of files that have none.
    pub(crate) fn step(&self) -> Duration {
        let usual = match self.format {
            Format::Smd => Duration::from_secs(60),
            Format::Nab | Format::Csv => Duration::from_secs(1),
        };
        self.step.unwrap_or(usual)
    }
}
