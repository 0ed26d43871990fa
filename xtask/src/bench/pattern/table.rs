//! The results as Markdown.

use std::fmt::Write;

use larnax_shop::Fault;
use serde_json::Value;

/// What is counted of one fault, or of all.
#[derive(Default)]
struct Counts {
    times: usize,
    right: usize,
    remedy: usize,
    known_right: usize,
    known_wrong: usize,
    harmful: usize,
    rejected: usize,
}

impl Counts {
    fn of<'a>(incidents: impl Iterator<Item = &'a Value>) -> Self {
        let mut counts = Self::default();
        for incident in incidents {
            let fault = incident["fault"].as_str().unwrap_or_default();
            let seen = &incident["seen_before"];
            let nearest = seen["nearest"].as_str().unwrap_or_default();
            let (right, known) = (nearest == fault, seen["known"] == true);
            let same_remedy = remedy(nearest).is_some() && remedy(nearest) == remedy(fault);
            counts.times += 1;
            counts.right += usize::from(right);
            counts.remedy += usize::from(same_remedy);
            counts.known_right += usize::from(known && right);
            counts.known_wrong += usize::from(known && !right);
            counts.harmful += usize::from(known && !same_remedy);
            counts.rejected += usize::from(incident["never_seen"]["known"] != true);
        }
        counts
    }

    fn line(&self, name: &str) -> String {
        let Self { times, right, remedy, known_right, known_wrong, harmful, rejected } = self;
        format!(
            "| {name} | {right} of {times} | {remedy} | {known_right} | {known_wrong} | {harmful} | {rejected} of {times} |\n"
        )
    }

    fn shares(&self) -> String {
        let Self { times, right, remedy, known_right, known_wrong, harmful, rejected } = self;
        let counts = [right, remedy, known_right, known_wrong, harmful, rejected];
        let share = |count: &usize| format!("| {:.0} % ", 100.0 * *count as f64 / (*times).max(1) as f64);
        counts.map(share).concat() + "|\n"
    }
}

/// What ends a fault.
fn remedy(fault: &str) -> Option<larnax_shop::Remedy> {
    fault.parse::<Fault>().ok().map(Fault::remedy)
}

/// Whether every fault was put somewhere so often.
pub(super) fn is_whole(result: &Value, runs: usize) -> bool {
    Fault::ALL.iter().all(|fault| result["recorded"][fault.name()].as_u64() >= Some(runs as u64))
}

/// A table for each age, fault by fault, where it is known where it began; and one of all faults together.
pub(super) fn table(result: &Value) -> String {
    let mut text = String::new();
    let head = "| nearest is right | so is its remedy | known and right | known and wrong | and its remedy too | never seen: not known \
                |\n|---|---|---|---|---|---|---|\n";
    for judged in result["all"].as_array().into_iter().flatten().filter(|one| one["located_by_hub"] == false)
    {
        // Writing to a string can't fail.
        let _ = write!(text, "\n{} s after the onset:\n\n| fault {head}", judged["after_seconds"]);
        for fault in Fault::ALL {
            let counts = Counts::of(incidents(judged).filter(|one| one["fault"] == fault.name()));
            if counts.times > 0 {
                text += &counts.line(fault.name());
            }
        }
        text += &Counts::of(incidents(judged)).line("all");
    }
    text += "\n| of which faults | after | located by | nearest is right | so is its remedy | known and right | known and wrong \
             | and its remedy too | never seen: not known |\n|---|---|---|---|---|---|---|---|---|\n";
    for which in ["all", "ten"] {
        for judged in result[which].as_array().into_iter().flatten() {
            let by = if judged["located_by_hub"] == true { "the hub" } else { "the truth" };
            let counts = Counts::of(incidents(judged));
            text += &format!("| {which} | {} s | {by} {}", judged["after_seconds"], counts.shares());
        }
    }
    text
}

fn incidents(judged: &Value) -> impl Iterator<Item = &Value> {
    judged["incidents"].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_one_with_the_same_remedy_is_wrong_and_harmless() {
        let one = |nearest: &str, known: bool, else_known: bool| {
            json!({ "fault": "link-delay", "seen_before": { "nearest": nearest, "known": known },
                    "never_seen": { "nearest": "stop", "known": else_known } })
        };
        let incidents = [
            one("link-delay", true, false),
            one("link-loss", true, false),
            one("latency", true, true),
            one("latency", false, false),
        ];
        let judged = json!([{ "after_seconds": 10, "located_by_hub": false, "incidents": incidents }]);
        let text = table(&json!({ "all": judged, "ten": [] }));
        assert!(text.contains("| link-delay | 1 of 4 | 2 | 1 | 2 | 1 | 3 of 4 |"), "{text}");
        assert!(
            text.contains("| all | 10 s | the truth | 25 % | 50 % | 25 % | 50 % | 25 % | 75 % |"),
            "{text}"
        );
    }

    #[test]
    fn it_is_whole_where_each_fault_was_put_somewhere_so_often() {
        let all: serde_json::Map<String, Value> =
            Fault::ALL.iter().map(|fault| (fault.name().to_owned(), json!(10))).collect();
        assert!(is_whole(&json!({ "recorded": all }), 10));
        assert!(!is_whole(&json!({ "recorded": { "stop": 10 } }), 10));
    }
}
