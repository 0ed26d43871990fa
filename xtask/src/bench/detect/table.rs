//! The results as Markdown.

use std::fmt::Write;

use serde_json::Value;

use crate::bench::report::number;

/// Heading, set, figure in what is said of that set, and digits.
type Column = (&'static str, &'static str, &'static str, usize);

/// How well the score ranks rows, and which metric is named; for NAB its own score.
const RANKED: [Column; 14] = [
    ("SMD VUS-PR", "smd", "/vus_pr", 3),
    ("AUC-PR", "smd", "/auc_pr", 3),
    ("EV1", "smd", "/ev1", 2),
    ("hit@100", "smd", "/attribution/hit_at_100", 2),
    ("top-1", "smd", "/attribution/top_1", 2),
    ("SMD, no train file, VUS-PR", "smd-untrained", "/vus_pr", 3),
    ("ASD VUS-PR", "asd", "/vus_pr", 3),
    ("AUC-PR", "asd", "/auc_pr", 3),
    ("EV1", "asd", "/ev1", 2),
    ("NAB standard, anomalies", "nab", "/nab/opened/0/shipped", 1),
    ("NAB standard, state", "nab", "/nab/state/0/shipped", 1),
    ("made: machine VUS-PR", "machine", "/vus_pr", 3),
    ("series VUS-PR", "series", "/vus_pr", 3),
    ("host VUS-PR", "host", "/vus_pr", 3),
];

/// What a person gets at default settings, by set.
const SHIPPED: [(&str, &str); 6] = [
    ("SMD", "smd"),
    ("ASD", "asd"),
    ("NAB", "nab"),
    ("made: machine", "machine"),
    ("series", "series"),
    ("host", "host"),
];

/// Accuracy and cost; then events caught and false alarms, as anomalies and as alerts.
pub(super) fn tables(result: &Value) -> String {
    let rows: &[Value] = result["rows"].as_array().map_or(&[], Vec::as_slice);
    let has = |set: &str| rows.iter().any(|row| row["sets"].get(set).is_some());
    let ranked: Vec<Column> = RANKED.into_iter().filter(|(_, set, ..)| has(set)).collect();
    let shipped: Vec<(&str, &str)> = SHIPPED.into_iter().filter(|(_, set)| has(set)).collect();

    let mut text = String::from("\n| detector |");
    for (heading, ..) in &ranked {
        // Writing to a string can't fail.
        let _ = write!(text, " {heading} |");
    }
    text.push_str(" CPU µs a sample of 28 metrics | state kB |\n|---|");
    text.push_str(&"---|".repeat(ranked.len() + 2));
    text.push('\n');
    for row in rows {
        let _ = write!(text, "| {} |", name(row, result));
        for &(_, set, figure, digits) in &ranked {
            let figure = row["sets"][set].pointer(figure).unwrap_or(&Value::Null);
            let _ = write!(text, " {} |", number(figure, 1.0, digits));
        }
        let cost = &row["cost"];
        let _ = writeln!(
            text,
            " {} | {} |",
            number(&cost["cpu_us"], 1.0, 1),
            number(&cost["state_bytes"], 1e3, 0)
        );
    }

    text.push_str("\nAs shipped, events caught and false ones a day: anomalies; alerts.\n\n| detector |");
    for (heading, _) in &shipped {
        let _ = write!(text, " {heading} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(shipped.len()));
    text.push('\n');
    for row in rows {
        let _ = write!(text, "| {} |", name(row, result));
        for (_, set) in &shipped {
            let (opened, alerts) = (&row["sets"][set]["opened"], &row["sets"][set]["alerts"]);
            let false_ones = |of: &Value| number(&of["false_alarms_per_day"], 1.0, 2);
            let _ = write!(
                text,
                " {} of {}, {}; {}, {} |",
                opened["caught"],
                opened["events"],
                false_ones(opened),
                alerts["caught"],
                false_ones(alerts)
            );
        }
        text.push('\n');
    }
    text
}

fn name(row: &Value, result: &Value) -> String {
    let name = row["detector"].as_str().unwrap_or_default();
    if row["detector"] == result["default"] { format!("`{name}` (default)") } else { format!("`{name}`") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_that_were_not_there_have_no_column() {
        let told = json!({"caught": 3, "events": 4, "false_alarms_per_day": 0.5});
        let row = json!({
            "detector": "a", "cost": {"cpu_us": 1.25, "state_bytes": 2000},
            "sets": {"asd": {"vus_pr": 0.5, "auc_pr": null, "opened": told, "alerts": told}},
        });
        let text = tables(&json!({"default": "a", "rows": [row]}));
        assert!(text.contains("| detector | ASD VUS-PR | AUC-PR | EV1 | CPU"), "{text}");
        assert!(text.contains("| `a` (default) | 0.500 | – | – | 1.2 | 2 |"), "{text}");
        assert!(text.contains("| `a` (default) | 3 of 4, 0.50; 3, 0.50 |"), "{text}");
    }
}
