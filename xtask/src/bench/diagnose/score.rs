//! How well rankings meet the truth, by system.

use serde_json::{Value, json};

/// Where the truth stood in a ranking, from 1, and whether the first was named as the cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// None if it was not among those that were listed.
    pub(super) rank: Option<usize>,
    /// None for rules that always name one.
    pub(super) named: Option<bool>,
    pub(super) confidence: Option<f64>,
}

/// The figures of one method on one system.
pub(super) fn figures(outcomes: &[Outcome]) -> Value {
    let within = |k: usize| share(outcomes.iter(), |outcome| outcome.rank.is_some_and(|rank| rank <= k));
    let average = (1..=5).map(within).sum::<f64>() / 5.0;
    let mut figures =
        json!({ "cases": outcomes.len(), "top_1": within(1), "top_3": within(3), "avg_5": average });
    if outcomes.iter().any(|outcome| outcome.named.is_some()) {
        let named = || outcomes.iter().filter(|outcome| outcome.named == Some(true));
        figures["named"] = json!(named().count());
        figures["abstained"] = json!(share(outcomes.iter(), |outcome| outcome.named == Some(false)));
        if named().count() > 0 {
            figures["precision"] = json!(share(named(), |outcome| outcome.rank == Some(1)));
        }
        let brier = |outcome: &Outcome| {
            let right = f64::from(u8::from(outcome.rank == Some(1)));
            (right - outcome.confidence.unwrap_or(0.0)).powi(2)
        };
        figures["brier"] = json!(outcomes.iter().map(brier).sum::<f64>() / outcomes.len().max(1) as f64);
    }
    figures
}

/// What choosing blindly reaches on average: `sizes` is how many components each case has.
pub(super) fn blind(sizes: &[usize]) -> Value {
    let mean = |k: usize| {
        sizes.iter().map(|&size| (k as f64 / size.max(1) as f64).min(1.0)).sum::<f64>()
            / sizes.len().max(1) as f64
    };
    let average = (1..=5).map(mean).sum::<f64>() / 5.0;
    json!({ "cases": sizes.len(), "top_1": mean(1), "top_3": mean(3), "avg_5": average })
}

fn share<'a>(outcomes: impl Iterator<Item = &'a Outcome>, is: impl Fn(&Outcome) -> bool) -> f64 {
    let (mut all, mut those) = (0usize, 0usize);
    for outcome in outcomes {
        all += 1;
        those += usize::from(is(outcome));
    }
    those as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_named_does_not_count_against_precision() {
        let outcome = |rank, named| Outcome { rank, named: Some(named), confidence: Some(1.0) };
        let figures = figures(&[
            outcome(Some(1), true),
            outcome(Some(3), true),
            outcome(None, false),
            outcome(Some(1), false),
        ]);
        assert_eq!(figures["top_1"], 0.5);
        assert_eq!(figures["top_3"], 0.75);
        assert_eq!((&figures["named"], &figures["precision"]), (&json!(2), &json!(0.5)));
    }

    #[test]
    fn blind_choice_reaches_its_share() {
        assert_eq!(blind(&[10, 2])["top_1"], 0.3);
        assert_eq!(blind(&[10, 2])["top_3"], 0.65);
    }
}
