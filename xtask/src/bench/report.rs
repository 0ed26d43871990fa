//! The raw results, kept, and the table for people.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::cargo::root;

/// The folder of raw results.
pub(crate) fn folder() -> PathBuf {
    root().join("bench/results")
}

/// Writes `DATE-BENCH.json` into a folder. A second run on the same day replaces the first.
pub(crate) fn keep(folder: &Path, result: &Value, bench: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}-{bench}.json", result["date"].as_str().unwrap_or_default()));
    std::fs::write(&path, format!("{result:#}\n"))?;
    eprintln!("kept {}", path.display());
    Ok(())
}

/// The folder of pictures.
pub(crate) fn pictures() -> PathBuf {
    root().join("docs/pictures")
}

/// Writes `NAME.svg` into a folder.
pub(crate) fn picture(folder: &Path, name: &str, svg: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name).with_extension("svg");
    std::fs::write(&path, svg)?;
    eprintln!("drew {}", path.display());
    Ok(())
}

/// The results as Markdown.
pub(crate) fn table(result: &Value) -> String {
    let machine = &result["machine"];
    let mut text = format!(
        "\n{}; {}, {} cores, {} MiB, Linux {}, {}; {} s measured after {} s\n\n",
        word(&result["date"]),
        word(&machine["cpu"]),
        machine["cores"],
        machine["memory_mib"],
        word(&machine["kernel"]),
        word(&machine["rustc"]),
        result["window_seconds"],
        result["settle_seconds"],
    );
    text.push_str("| program | source | interval | CPU ms/s | resident MiB | proportional MiB ");
    text.push_str("| sent bytes/s | exporter CPU ms/s |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for row in result["rows"].as_array().into_iter().flatten() {
        let source = match (&row["series"], &row["metrics"]) {
            (Value::Null, metrics) => format!("{}, {metrics} metrics", word(&row["source"])),
            (series, Value::Null) => format!("{}, {series} series", word(&row["source"])),
            (series, metrics) => format!("{}, {series} series, {metrics} judged", word(&row["source"])),
        };
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {source} | {} | {} | {} | {} | {} | {} |",
            word(&row["program"]),
            word(&row["interval"]),
            number(&row["cpu_ms_per_second"], 1.0, 3),
            number(&row["resident_kib"], 1024.0, 1),
            number(&row["proportional_kib"], 1024.0, 1),
            number(&row["sent_bytes_per_second"], 1.0, 1),
            number(&row["exporter_cpu_ms_per_second"], 1.0, 2),
        );
    }
    text.push_str("\nPrometheus also stores what it scrapes, vmagent forwards it; neither detects.\n\n");
    for (program, bytes) in result["stripped_bytes"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{program}: {} MiB stripped", number(bytes, 1024.0 * 1024.0, 2));
    }
    if let Some(seconds) = result["cold_build_seconds"].as_f64() {
        let _ = writeln!(text, "cold `cargo build --release`: {seconds:.0} s");
    }
    text
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number in a unit, or a dash where there is none.
pub(crate) fn number(value: &Value, unit: f64, decimals: usize) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), |value| format!("{:.decimals$}", value / unit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_what_was_measured_and_leaves_a_dash_for_what_was_not() {
        let row = json!({
            "program": "larnax-edge 0.1.0", "source": "host", "interval": "100ms", "metrics": 140,
            "cpu_ms_per_second": 1.23456, "resident_kib": 4096, "proportional_kib": 3072, "sent_bytes_per_second": 0.0,
        });
        let text = table(&json!({ "rows": [row] }));
        assert!(
            text.contains("| larnax-edge 0.1.0 | host, 140 metrics | 100ms | 1.235 | 4.0 | 3.0 | 0.0 | – |"),
            "{text}"
        );
    }
}
