//! The results as Markdown.

use std::fmt::Write;

use serde_json::Value;

use super::list;
use crate::bench::report::number;

/// What is between nodes, whose it is, and what all of it costs.
pub(super) fn tables(result: &Value) -> String {
    let rows = list(result, "rows");
    let mut text = traffic(rows);
    text.push_str(&costs(rows));
    text.push_str(&flows(rows));
    text
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn rate(row: &Value, of: &str) -> f64 {
    row["bytes_per_second"][of].as_f64().unwrap_or_default()
}

/// As a share of another number, as `12.3 %`; nothing where there is none.
fn percent(part: f64, whole: Option<f64>) -> String {
    match whole.filter(|whole| *whole > 0.0) {
        Some(whole) => format!("{:.1} %", 100.0 * part / whole),
        None => "–".to_owned(),
    }
}

fn traffic(rows: &[Value]) -> String {
    let mut text = String::from(
        "\n| watched by | alerts | incidents | application B/s | watching B/s | more than none | less than central |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let central = rows.iter().find(|row| row["case"] == "central").map(|row| rate(row, "watching"));
    for row in rows {
        let (application, watching) = (rate(row, "application"), rate(row, "watching"));
        let less = central.map(|central| central - watching);
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {application:.0} | {watching:.0} | {} | {} |",
            word(&row["case"]),
            word(&row["alerts"]),
            row["incidents"],
            percent(watching, Some(application)),
            percent(less.unwrap_or_default(), central),
        );
    }
    text
}

fn costs(rows: &[Value]) -> String {
    let mut text = String::from(
        "\n| watched by | alerts | CPU ms/s of all | part | containers | CPU ms/s | memory MiB each | requests/s at most |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let parts = row["parts"].as_object().into_iter().flatten();
        for (at, (name, part)) in parts.enumerate() {
            let (case, alerts, all, most) = if at == 0 {
                let all = number(&row["cpu_ms_per_second"], 1.0, 1);
                (word(&row["case"]), word(&row["alerts"]), all, mean(list(row, "requests_per_second")))
            } else {
                ("", "", String::new(), String::new())
            };
            let _ = writeln!(
                text,
                "| {case} | {alerts} | {all} | {name} | {} | {} | {} | {most} |",
                part["containers"],
                number(&part["cpu_ms_per_second"], 1.0, 2),
                number(&part["memory_mib_each"], 1.0, 1),
            );
        }
    }
    text
}

/// With how far its rounds were from it: `1234 ± 5`.
fn mean(rounds: &[Value]) -> String {
    let rounds: Vec<f64> = rounds.iter().filter_map(Value::as_f64).collect();
    if rounds.is_empty() {
        return String::new();
    }
    let mean = rounds.iter().sum::<f64>() / rounds.len() as f64;
    let squares: f64 = rounds.iter().map(|round| (round - mean).powi(2)).sum();
    format!("{mean:.0} ± {:.0}", (squares / rounds.len() as f64).sqrt())
}

/// Who talks to whom, those first that say most.
fn flows(rows: &[Value]) -> String {
    let mut text = String::from(
        "\n| watched by | alerts | client | server | port | B/s to the server | to the client | frames/s | connections |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        for flow in list(row, "flows") {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                word(&row["case"]),
                word(&row["alerts"]),
                word(&flow["client"]),
                word(&flow["server"]),
                flow["port"],
                number(&flow["to_server_bytes_per_second"], 1.0, 1),
                number(&flow["to_client_bytes_per_second"], 1.0, 1),
                number(&flow["frames_per_second"], 1.0, 2),
                flow["connections"],
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_watching_costs_is_beside_the_application_and_a_central_prometheus() {
        let row = |case: &str, watching: u32| {
            json!({"case": case, "alerts": "zero", "incidents": 0,
                "bytes_per_second": {"all": 8000 + watching, "application": 8000, "watching": watching}})
        };
        let text = traffic(&[row("none", 0), row("central", 5000), row("sidecar", 80)]);
        assert!(text.contains("| sidecar | zero | 0 | 8000 | 80 | 1.0 % | 98.4 % |"), "{text}");
        let alone = traffic(&[row("node", 80)]);
        assert!(alone.contains("| 1.0 % | – |"), "{alone}");
    }

    #[test]
    fn tables_of_nothing_are_heads() {
        assert_eq!(tables(&json!({})).lines().filter(|line| line.starts_with('|')).count(), 6);
    }
}
