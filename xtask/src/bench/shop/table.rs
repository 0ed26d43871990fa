//! The results as Markdown. What met a shop that was not calm says nothing, and does not count.

use std::fmt::Write;

use larnax_shop::{Decoy, Fault, Service};
use serde_json::Value;

/// How soon a fault has to be noticed.
const SOON: f64 = 15.0;
/// The rules of the table; the others are in the raw results.
const RULES: [&str; 3] = ["three sigma", "n-sigma", "earliest onset"];

/// What is counted of one fault, or of all.
#[derive(Default)]
struct Counts {
    times: usize,
    soon: usize,
    alerted: usize,
    one: usize,
    right: usize,
    named: usize,
    named_right: usize,
    first_anomaly: usize,
    rules: [usize; RULES.len()],
    after: Vec<f64>,
}

impl Counts {
    fn of<'a>(rows: impl Iterator<Item = &'a Value>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            let truth = row["on"].as_str().unwrap_or_default();
            let is_right =
                |component: &Value| component.as_str().is_some_and(|id| id.rsplit('/').next() == Some(truth));
            let right = is_right(&row["candidates"][0]["component"]);
            let named = row["known"] == true;
            counts.times += 1;
            counts.alerted += usize::from(row["alerted"] == true);
            counts.one += usize::from(row["incidents"] == 1);
            counts.right += usize::from(right);
            counts.named += usize::from(named);
            counts.named_right += usize::from(named && right);
            counts.first_anomaly += usize::from(is_right(&row["first_anomaly"]));
            for (count, rule) in counts.rules.iter_mut().zip(RULES) {
                *count += usize::from(row["rules"][rule] == 1);
            }
            if let Some(after) = row["noticed_after_seconds"].as_f64() {
                counts.soon += usize::from(after <= SOON);
                counts.after.push(after);
            }
        }
        counts.after.sort_by(f64::total_cmp);
        counts
    }

    fn line(&self, name: &str) -> String {
        let median =
            self.after.get(self.after.len() / 2).map_or_else(|| "–".to_owned(), |s| format!("{s:.1}"));
        let mut line = format!(
            "| {name} | {} of {} | {median} | {} | {} | {} | {} of {} | {} ",
            self.soon,
            self.times,
            self.alerted,
            self.one,
            self.right,
            self.named_right,
            self.named,
            self.first_anomaly,
        );
        for rule in self.rules {
            line += &format!("| {rule} ");
        }
        line + "|\n"
    }
}

/// The tables: faults, decoys, and all in a line.
pub(super) fn table(result: &Value) -> String {
    let rows = result["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let calm = || rows.iter().filter(|row| row["disturbed"] != true);
    let mut text = String::from(
        "\n| fault | noticed within 15 s | median seconds | alerted | one incident | right service first | named rightly \
         | first anomaly right ",
    );
    for rule in RULES {
        text += &format!("| {rule} right ");
    }
    text += "|\n|---|---|---|---|---|---|---|---";
    text += &"|---".repeat(RULES.len());
    text += "|\n";
    for fault in Fault::ALL {
        let counts = Counts::of(calm().filter(|row| row["fault"] == fault.name()));
        if counts.times > 0 {
            text += &counts.line(fault.name());
        }
    }
    let all = Counts::of(calm().filter(|row| row["fault"].is_string()));
    text += &all.line("all");
    let share = |count: usize| 100.0 * count as f64 / all.times.max(1) as f64;
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "\nWithin 15 s: {:.0} %. The right service first: {:.0} % (by chance {:.0} %).",
        share(all.soon),
        share(all.right),
        100.0 / Service::ALL.len() as f64
    );
    let disturbed = rows.iter().filter(|row| row["disturbed"] == true && row["fault"].is_string()).count();
    let _ = writeln!(text, "Not counted, because the shop was not calm before: {disturbed}.");
    text += "\n| decoy | times | became an incident | alerted |\n|---|---|---|---|\n";
    for decoy in Decoy::ALL {
        let mine: Vec<&Value> = calm().filter(|row| row["decoy"] == decoy.name()).collect();
        let opened = mine.iter().filter(|row| row["incidents"].as_u64() > Some(0)).count();
        let alerted = mine.iter().filter(|row| row["alerted"] == true).count();
        let _ = writeln!(text, "| {decoy} | {} | {opened} | {alerted} |", mine.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_counts_when_the_shop_was_calm_and_is_right_when_the_place_is_first() {
        let row = |after: f64, first: &str, disturbed: bool| {
            json!({"fault": "latency", "on": "stock", "noticed_after_seconds": after, "alerted": true, "incidents": 1,
                   "candidates": [{"component": first}], "known": after < 10.0, "first_anomaly": "service/shop/web",
                   "rules": {"three sigma": 1, "earliest onset": 2}, "disturbed": disturbed})
        };
        let decoy = json!({"decoy": "restart", "incidents": 1, "alerted": false, "disturbed": false});
        let rows = [
            row(4.0, "service/shop/stock", false),
            row(16.0, "service/shop/web", false),
            row(1.0, "service/shop/stock", true),
            decoy,
        ];
        let text = table(&json!({ "rows": rows }));
        assert!(text.contains("| latency | 1 of 2 | 16.0 | 2 | 2 | 1 | 1 of 1 | 0 | 2 | 0 | 0 |"), "{text}");
        assert!(
            text.contains("Within 15 s: 50 %. The right service first: 50 % (by chance 25 %)."),
            "{text}"
        );
        assert!(text.contains("before: 1."), "{text}");
        assert!(text.contains("| restart | 1 | 1 | 0 |"), "{text}");
    }
}
