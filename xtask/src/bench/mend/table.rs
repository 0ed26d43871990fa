//! The results as Markdown. What met a shop that was not calm says nothing, and does not count.

use std::fmt::Write;

use larnax_shop::{Decoy, Fault};
use serde_json::Value;

use super::LEARNT_AFTER;
use super::follow::{Arm, PERSON};

/// A fault that is over so soon after everything was started again was ended by that, in seconds.
const SOON: f64 = 15.0;

/// The tables.
pub(super) fn table(result: &Value) -> String {
    let rows: Vec<&Value> = result["rows"].as_array().into_iter().flatten().collect();
    let calm: Vec<&Value> = rows.iter().copied().filter(|row| row["disturbed"] != true).collect();
    let of =
        |fault: Fault| calm.iter().copied().filter(|row| row["fault"] == fault.name()).collect::<Vec<_>>();
    let faults: Vec<(Fault, Vec<&Value>)> =
        Fault::ALL.into_iter().map(|fault| (fault, of(fault))).filter(|(_, rows)| !rows.is_empty()).collect();
    let all: Vec<&Value> = calm.iter().copied().filter(|row| row["fault"].is_string()).collect();
    let mut text = format!(
        "\n| fault | noticed | acted on | right the first time | right from time {} | right component | known by its name, from \
         the second time | not asked | begun after, s: median | 95 % |\n|---|---|---|---|---|---|---|---|---|---|\n",
        LEARNT_AFTER + 1
    );
    for (fault, rows) in &faults {
        text += &right(fault.name(), rows);
    }
    text += &right("all", &all);
    let _ = write!(
        text,
        "\n| fault | well after, s: first time | time {LEARNT_AFTER} | no action | restart everything | which ended it \
         | not served: first time | time {LEARNT_AFTER} | no action | restart everything |\n|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for (fault, rows) in &faults {
        text += &well(fault.name(), rows);
    }
    text += &well("median of the faults", &all);
    text += &harm(&calm);
    let given_up = result["given_up"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for reason in given_up {
        // Writing to a string can't fail.
        let _ = writeln!(text, "Given up: {reason}");
    }
    let _ = writeln!(text, "Not counted, because the shop was not calm before: {}.", rows.len() - calm.len());
    text
}

fn is(arm: Arm) -> impl Fn(&&&Value) -> bool {
    move |row| row["arm"] == arm.name()
}

/// Something was done, and it was the right thing in the right place.
fn is_right(row: &Value) -> bool {
    has_acted(row) && row["action_right"] == true && row["component_right"] == true
}

fn has_acted(row: &Value) -> bool {
    row["actions"].as_u64() > Some(0)
}

fn round(row: &Value) -> u64 {
    row["round"].as_u64().unwrap_or_default()
}

/// Who was right, and how soon.
fn right(name: &str, rows: &[&Value]) -> String {
    let rows: Vec<&Value> = rows.iter().filter(is(Arm::Mend)).copied().collect();
    let count = |among: fn(&Value) -> bool, what: fn(&Value) -> bool| {
        let among: Vec<&&Value> = rows.iter().filter(|row| among(row)).collect();
        format!("{} of {}", among.iter().filter(|row| what(row)).count(), among.len())
    };
    let begun = sorted(rows.iter().filter_map(|row| row["begun_after_onset"].as_f64()));
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        count(|_| true, |row| row["noticed_after"].is_number()),
        count(|_| true, has_acted),
        count(|row| round(row) == 1, is_right),
        count(|row| round(row) > LEARNT_AFTER, is_right),
        count(|_| true, |row| row["component_right"] == true),
        count(|row| round(row) > 1, |row| row["name_right"] == true),
        count(has_acted, |row| row["by"].is_string() && row["by"] != PERSON),
        seconds(percentile(&begun, 0.5)),
        seconds(percentile(&begun, 0.95)),
    )
}

/// How soon all was well, and what it had cost by then.
fn well(name: &str, rows: &[&Value]) -> String {
    let some = |arm: Arm, time: u64| -> Vec<&Value> {
        rows.iter().filter(is(arm)).filter(|row| round(row) == time).copied().collect()
    };
    let arms =
        [some(Arm::Mend, 1), some(Arm::Mend, LEARNT_AFTER), some(Arm::Nothing, 1), some(Arm::RestartAll, 1)];
    // What was never well is later than all that was.
    let after = |row: &&Value| row["well_after"].as_f64().unwrap_or(f64::INFINITY);
    let mut line = format!("| {name} ");
    for arm in &arms {
        line += &format!("| {} ", seconds(percentile(&sorted(arm.iter().map(after)), 0.5)));
    }
    let ended = arms[3].iter().filter(|row| was_ended_by_restart(row)).count();
    line += &format!("| {ended} of {} ", arms[3].len());
    for arm in &arms {
        let unserved = sorted(arm.iter().filter_map(|row| row["unserved"].as_f64()));
        line += &format!("| {} ", percentile(&unserved, 0.5).map_or("–".to_owned(), |n| format!("{n:.0}")));
    }
    line + "|\n"
}

fn was_ended_by_restart(row: &Value) -> bool {
    let time = |name: &str| row[name].as_f64();
    time("restarted_after").zip(time("over_after")).is_some_and(|(at, over)| over - at <= SOON)
}

/// What was done that should not have been, and what that cost.
fn harm(calm: &[&Value]) -> String {
    let mended: Vec<&Value> = calm.iter().filter(is(Arm::Mend)).copied().collect();
    let count = |what: &dyn Fn(&Value) -> bool| mended.iter().filter(|row| what(row)).count();
    let is_fault = |row: &Value| row["fault"].is_string();
    let known = mended.iter().filter(|row| is_fault(row) && row["known"] == true);
    let begun = sorted(known.filter_map(|row| row["begun_after_onset"].as_f64()));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\nWhere it was known: begun after {} s (median) and {} s (95 %), {} times.",
        seconds(percentile(&begun, 0.5)),
        seconds(percentile(&begun, 0.95)),
        begun.len()
    );
    let _ = writeln!(
        text,
        "Worse after an action: {} of {}, of which taken back: {}. Another action than the right one, or elsewhere: {}.",
        count(&|row| is_fault(row) && row["worse"] == true),
        count(&|row| is_fault(row) && has_acted(row)),
        count(&|row| is_fault(row) && row["worse"] == true && row["rolled_back"] == true),
        count(&|row| is_fault(row) && has_acted(row) && !is_right(row)),
    );
    let learnt = |row: &Value| is_fault(row) && round(row) > LEARNT_AFTER;
    let right = count(&|row| learnt(row) && is_right(row));
    let of = count(&|row| learnt(row) || (row["decoy"].is_string() && has_acted(row)));
    let _ = writeln!(
        text,
        "Right from time {} on, where each decoy that was acted on is wrong: {right} of {of}.",
        LEARNT_AFTER + 1
    );
    let restarted: Vec<&Value> = calm.iter().filter(is(Arm::RestartAll)).copied().collect();
    let cost = sorted(restarted.iter().filter_map(|row| row["unserved_since_acting"].as_f64()));
    let _ = writeln!(
        text,
        "Restart everything: ended {} of {}; from then on {} customers were not served (median).",
        restarted.iter().filter(|row| was_ended_by_restart(row)).count(),
        restarted.len(),
        percentile(&cost, 0.5).map_or("–".to_owned(), |n| format!("{n:.0}")),
    );
    text +=
        "\n| decoy | times | became an incident | acted on | which made it worse |\n|---|---|---|---|---|\n";
    for decoy in Decoy::ALL {
        let mine: Vec<&&Value> = mended.iter().filter(|row| row["decoy"] == decoy.name()).collect();
        let acted: Vec<&&&Value> = mine.iter().filter(|row| has_acted(row)).collect();
        let worse = |row: &&&&&Value| row["worse"] == true || row["unserved_since_acting"].as_u64() > Some(0);
        let _ = writeln!(
            text,
            "| {decoy} | {} | {} | {} | {} |",
            mine.len(),
            mine.iter().filter(|row| row["incidents"].as_u64() > Some(0)).count(),
            acted.len(),
            acted.iter().filter(worse).count()
        );
    }
    text
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The nearest rank.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn seconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.is_infinite() => "never".to_owned(),
        Some(value) => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mended(round: u64, action_right: bool, begun: f64, well: Option<f64>) -> Value {
        json!({"arm": "mend", "fault": "stop", "round": round, "noticed_after": 4.0, "actions": 1, "known": round > 1,
               "action_right": action_right, "component_right": true, "name_right": round > 1,
               "by": if round > 1 { "policy" } else { "bench" }, "begun_after_onset": begun, "well_after": well,
               "unserved": 40, "worse": !action_right, "rolled_back": false})
    }

    fn other(arm: &str, well: f64, unserved: u64) -> Value {
        json!({"arm": arm, "fault": "stop", "round": 1, "actions": 0, "well_after": well, "unserved": unserved,
               "restarted_after": 6.0, "over_after": 7.5, "unserved_since_acting": 30, "noticed_after": 4.0})
    }

    #[test]
    fn the_first_time_and_what_comes_after_five_are_told_apart() {
        let mut rows = vec![mended(1, false, 12.0, None)];
        rows.extend((2..=6).map(|round| mended(round, true, 5.0, Some(9.0 + round as f64))));
        rows.push(other("nothing", 302.0, 900));
        rows.push(other("restart everything", 20.0, 100));
        let text = table(&json!({ "rows": rows }));
        assert!(
            text.contains(
                "| stop | 6 of 6 | 6 of 6 | 0 of 1 | 1 of 1 | 6 of 6 | 5 of 5 | 5 of 6 | 5.0 | 12.0 |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| stop | never | 14.0 | 302.0 | 20.0 | 1 of 1 | 40 | 40 | 900 | 100 |"),
            "{text}"
        );
        assert!(text.contains("begun after 5.0 s (median) and 5.0 s (95 %), 5 times"), "{text}");
        assert!(text.contains("Worse after an action: 1 of 6, of which taken back: 0."), "{text}");
        assert!(text.contains("or elsewhere: 1."), "{text}");
        assert!(text.contains("acted on is wrong: 1 of 1."), "{text}");
        assert!(text.contains("ended 1 of 1; from then on 30 customers"), "{text}");
    }

    #[test]
    fn the_right_action_on_another_component_is_wrong() {
        let mut row = mended(1, true, 5.0, Some(300.0));
        row["component_right"] = json!(false);
        let text = table(&json!({ "rows": [row] }));
        assert!(text.contains("| stop | 1 of 1 | 1 of 1 | 0 of 1 | 0 of 0 | 0 of 1 |"), "{text}");
    }

    #[test]
    fn a_decoy_that_is_acted_on_is_worse_where_customers_were_not_served_since() {
        let decoy = |actions: u64, unserved: u64| {
            json!({"arm": "mend", "decoy": "restart", "round": 1, "incidents": 1, "actions": actions,
                   "unserved_since_acting": unserved})
        };
        let text = table(&json!({ "rows": [decoy(0, 9), decoy(1, 0), decoy(1, 9)] }));
        assert!(text.contains("| restart | 3 | 3 | 2 | 1 |"), "{text}");
        assert!(
            text.contains("Right from time 6 on, where each decoy that was acted on is wrong: 0 of 2."),
            "{text}"
        );
    }

    #[test]
    fn what_met_a_shop_that_was_not_calm_does_not_count() {
        let mut row = mended(1, true, 5.0, Some(8.0));
        row["disturbed"] = json!(true);
        let text = table(&json!({ "rows": [row], "given_up": ["shop 0: the time was over"] }));
        assert!(!text.contains("| stop |") && text.contains("not calm before: 1."), "{text}");
        assert!(text.contains("Given up: shop 0: the time was over"), "{text}");
    }

    #[test]
    fn the_percentile_is_the_nearest_rank() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.95)), (Some(10.0), Some(19.0)));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
