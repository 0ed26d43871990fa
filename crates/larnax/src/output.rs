//! How answers are printed.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

use crate::cli::Output;

/// Prints as JSON or YAML, or as the table that `table` makes.
pub(crate) fn print<T: Serialize + ?Sized>(
    output: Output,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = match output {
        Output::Table => table(value),
        Output::Json => serde_json::to_string_pretty(value)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&value).context("the answer can't be written as YAML")?,
    };
    write(text.as_bytes())
}

/// Writes to standard output. A reader that has seen enough, as in `larnax status | head`, is no error.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("standard output can't be written"),
    }
}

/// Rows of cells under a head, in columns as wide as their widest cell.
pub(crate) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head).add_rows(rows);
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A number as a person would write it: three significant digits, thousands and millions with a letter.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 1e9 => format!("{:.2}G", value / 1e9),
        _ if size >= 1e6 => format!("{:.2}M", value / 1e6),
        _ if size >= 1e4 => format!("{:.1}k", value / 1e3),
        _ if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ if size >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_enough_for_a_table() {
        let cases = [(0.0, "0"), (0.12345, "0.1235"), (12.3456, "12.35"), (123.4, "123"), (2.5e6, "2.50M")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
