//! The results as Markdown.

use std::fmt::Write;

use serde_json::Value;

use crate::bench::report::number;

/// One line for each system, method and way to tell the onset.
pub(super) fn table(result: &Value) -> String {
    let mut text = String::from(
        "\n| system | method | onset | cases | top-1 | top-3 | Avg@5 | named | precision of named | Brier |\n\
        |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in result["rows"].as_array().into_iter().flatten() {
        let word = |name: &str| row[name].as_str().unwrap_or_default();
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            word("system"),
            word("method"),
            word("onset"),
            row["cases"],
            number(&row["top_1"], 1.0, 3),
            number(&row["top_3"], 1.0, 3),
            number(&row["avg_5"], 1.0, 3),
            number(&row["named"], 1.0, 0),
            number(&row["precision"], 1.0, 2),
            number(&row["brier"], 1.0, 3),
        );
    }
    text.push_str("\n| system | evidence of an incident, mean | most | budget | cases that became one incident |\n|---|---|---|---|---|\n");
    for row in result["rows"].as_array().into_iter().flatten().filter(|row| row["bytes_budget"].is_u64()) {
        let _ = writeln!(
            text,
            "| {} | {} KiB | {} KiB | {} KiB | {} of {} |",
            row["system"].as_str().unwrap_or_default(),
            number(&row["bytes_mean"], 1024.0, 0),
            number(&row["bytes_max"], 1024.0, 0),
            number(&row["bytes_budget"], 1024.0, 0),
            row["one_incident"],
            row["cases"],
        );
    }
    let cost = &result["cost"];
    let _ = writeln!(
        text,
        "\nRanking {} components of {} metrics over {} rows: {} ms with the onset told, {} ms without.",
        cost["components"],
        cost["metrics"],
        cost["rows"],
        number(&cost["told_ms"], 1.0, 1),
        number(&cost["found_ms"], 1.0, 1),
    );
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_always_name_one_have_no_precision() {
        let row = json!({
            "system": "shop", "method": "n-sigma", "onset": "given", "cases": 4,
            "top_1": 0.5, "top_3": 0.75, "avg_5": 0.7,
        });
        let text = table(&json!({ "rows": [row] }));
        assert!(
            text.contains("| shop | n-sigma | given | 4 | 0.500 | 0.750 | 0.700 | – | – | – |"),
            "{text}"
        );
    }
}
