//! The file of scores: one row per input row, in the same order.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use larnax_core::{Schema, Status, Verdict};

/// How many metrics are named per row.
const TOP: usize = 5;
/// Written at once, in bytes.
const BUFFER: usize = 64 << 10;
/// Metrics inside their band are not named: half of the band's half-width is where a reader may begin to wonder.
const WORTH_NAMING: f64 = 0.5;

/// Writes `timestamp,score,anomalous,alert,warmup,top_metrics`.
pub(crate) struct ScoreWriter {
    out: csv::Writer<Box<dyn Write>>,
    score: String,
    top: String,
}

impl ScoreWriter {
    /// Writes to a file, or to standard output for `-`.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            let file = File::create(path).with_context(|| format!("{}: can't be made", path.display()))?;
            Box::new(file)
        };
        let mut out = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(out);
        out.write_record(["timestamp", "score", "anomalous", "alert", "warmup", "top_metrics"])?;
        Ok(Self { out, score: String::new(), top: String::new() })
    }

    /// One row; without a verdict the row could not be used.
    pub(crate) fn write(
        &mut self,
        time: &str,
        verdict: Option<&Verdict>,
        schema: &Schema,
        alert: bool,
    ) -> io::Result<()> {
        self.row(time, verdict, schema, alert).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })
    }

    fn row(
        &mut self,
        time: &str,
        verdict: Option<&Verdict>,
        schema: &Schema,
        alert: bool,
    ) -> csv::Result<()> {
        use std::fmt::Write as _;
        // Writing to a text never fails.
        self.score.clear();
        self.top.clear();
        let Some(verdict) = verdict else {
            return self.out.write_record([time, "", "0", flag(alert), "0", ""]);
        };
        let _ = write!(self.score, "{:.4}", verdict.score.get());
        for (metric, deviation) in verdict.top(TOP).into_iter().filter(|(_, d)| d.abs() >= WORTH_NAMING) {
            let separator = if self.top.is_empty() { "" } else { ";" };
            let _ = write!(self.top, "{separator}{}:{deviation:+.1}", schema.name(metric));
        }
        let warm_up = flag(verdict.status != Status::Ready);
        let anomalous = flag(verdict.score.is_anomalous());
        self.out.write_record([time, &self.score, anomalous, flag(alert), warm_up, &self.top])
    }

    /// Makes sure that everything is written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn flag(set: bool) -> &'static str {
    if set { "1" } else { "0" }
}
