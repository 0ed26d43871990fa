//! Whether an action may be done: the rules that hold whatever was learnt.

use std::collections::BTreeSet;
use std::time::Duration;

use larnax_core::{ComponentId, Mode, Risk, Timestamp};
use larnax_spec::Policy;
use serde::{Deserialize, Serialize};

/// An action that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// On what.
    pub component: ComponentId,
    /// When.
    pub begun: Timestamp,
    /// When it was seen how it came out; none while that is open.
    pub ended: Option<Timestamp>,
}

/// What is to be done, and what is known.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// On what.
    pub component: &'a ComponentId,
    /// How risky it is.
    pub risk: Risk,
    /// For so long it isn't done again, where the policy says less.
    pub cooldown: Duration,
    /// Whether the incident's cause is known.
    pub cause_known: bool,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Whether its pattern is known.
    pub pattern_known: bool,
    /// Whether a person approved it.
    pub approved: bool,
    /// Whether a person has stopped everything.
    pub frozen: bool,
    /// Whether people are working on it.
    pub maintained: bool,
    /// Whether a person has silenced it.
    pub silenced: bool,
    /// How many components the policy is about.
    pub components: usize,
    /// Actions on these components that count: those of the rate's time, and those that are open.
    pub deeds: &'a [Deed],
    /// Now.
    pub now: Timestamp,
}

/// Whether it may be done, and why not. Reasons are sentences for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Act,
    /// If a person approves it.
    Ask(Vec<String>),
    /// Not, or not now.
    No(Vec<String>),
}

/// Whether a policy allows an action now. What a person approved is held back by everything but doubt.
pub fn allows(policy: &Policy, question: &Question<'_>) -> Answer {
    let never = against(policy, question);
    if !never.is_empty() {
        return Answer::No(never);
    }
    let doubts = doubts(policy, question);
    if question.approved || doubts.is_empty() { Answer::Act } else { Answer::Ask(doubts) }
}

fn against(policy: &Policy, question: &Question<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if question.frozen {
        reasons.push("everything is frozen".to_owned());
    }
    if question.maintained {
        reasons.push("people are working on it: it is a time of maintenance".to_owned());
    }
    if question.silenced {
        reasons.push("it is silenced".to_owned());
    }
    if policy.mode == Mode::Observe {
        reasons.push("its components are only observed".to_owned());
    }
    if question.risk > policy.most_risk {
        reasons.push(format!("it is {}, which is not allowed there", question.risk.as_str()));
    }
    let age = |at: Timestamp| question.now.since(at);
    let mine = question.deeds.iter().filter(|deed| deed.component == *question.component);
    if mine.clone().any(|deed| deed.ended.is_none()) {
        reasons.push("the action before it is not over".to_owned());
    }
    let cooldown = policy.cooldown.0.max(question.cooldown).as_secs_f64();
    if let Some(last) = mine.map(|deed| age(deed.begun)).filter(|age| *age < cooldown).reduce(f64::min) {
        let wait = (cooldown - last.max(0.0)).ceil();
        reasons.push(format!("something was done to it {last:.0} s ago: not again for {wait:.0} s"));
    }
    let (most, within) = (policy.most as usize, policy.within.as_secs_f64());
    if question.deeds.iter().filter(|deed| age(deed.begun) < within).count() >= most {
        reasons.push(format!("{most} actions were done in the last {within:.0} s already"));
    }
    let touched: BTreeSet<&ComponentId> = question
        .deeds
        .iter()
        .filter(|deed| deed.ended.is_none() && deed.component != *question.component)
        .map(|deed| &deed.component)
        .collect();
    let room = ((question.components as f64 * policy.share) as usize).max(1);
    if touched.len() >= room {
        reasons.push(format!(
            "something is being done to {} of {} components: no more than {room} at once",
            touched.len(),
            question.components
        ));
    }
    reasons
}

fn doubts(policy: &Policy, question: &Question<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if policy.mode == Mode::Ask {
        reasons.push("a person decides there".to_owned());
    }
    if !question.cause_known {
        reasons.push("the cause is unknown".to_owned());
    } else if question.confidence < policy.sure || question.confidence.is_nan() {
        let (confidence, sure) = (100.0 * question.confidence, 100.0 * policy.sure);
        reasons.push(format!("the cause is only {confidence:.0} % sure, not {sure:.0} %"));
    }
    if !question.pattern_known {
        reasons.push("nothing like it was seen before".to_owned());
    }
    if question.risk == Risk::Destructive {
        reasons.push("it can't be taken back".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1e9 + second as f64)
    }

    fn id(number: usize) -> ComponentId {
        ComponentId::from_parts("service", "shop", &format!("s{number}"))
    }

    fn acting() -> Policy {
        Policy { mode: Mode::Act, ..Policy::default() }
    }

    fn question<'a>(component: &'a ComponentId, deeds: &'a [Deed]) -> Question<'a> {
        Question {
            component,
            risk: Risk::Disruptive,
            cooldown: Duration::ZERO,
            cause_known: true,
            confidence: 0.9,
            pattern_known: true,
            approved: false,
            frozen: false,
            maintained: false,
            silenced: false,
            components: 4,
            deeds,
            now: at(10_000),
        }
    }

    fn says(answer: &Answer, words: &str) -> bool {
        match answer {
            Answer::Act => false,
            Answer::Ask(reasons) | Answer::No(reasons) => reasons.iter().any(|one| one.contains(words)),
        }
    }

    #[test]
    fn without_a_policy_it_only_observes_whoever_approves() {
        let component = id(1);
        for approved in [false, true] {
            let answer = allows(&Policy::default(), &Question { approved, ..question(&component, &[]) });
            assert!(matches!(answer, Answer::No(_)) && says(&answer, "only observed"));
        }
    }

    #[test]
    fn it_does_what_it_is_sure_of_and_asks_for_the_rest() {
        let (component, policy) = (id(1), acting());
        let sure = question(&component, &[]);
        assert_eq!(allows(&policy, &sure), Answer::Act);
        let doubtful = [
            (Question { cause_known: false, ..sure.clone() }, "the cause is unknown"),
            (Question { confidence: 0.5, ..sure.clone() }, "only 50 % sure"),
            (Question { confidence: f64::NAN, ..sure.clone() }, "sure"),
            (Question { pattern_known: false, ..sure.clone() }, "seen before"),
        ];
        for (question, words) in doubtful {
            let answer = allows(&policy, &question);
            assert!(matches!(answer, Answer::Ask(_)) && says(&answer, words), "{answer:?}");
            assert_eq!(allows(&policy, &Question { approved: true, ..question }), Answer::Act);
        }
        let asks = Policy { mode: Mode::Ask, ..policy };
        assert!(says(&allows(&asks, &sure), "a person decides"));
    }

    #[test]
    fn what_cannot_be_taken_back_is_not_done_unless_allowed_and_then_only_with_approval() {
        let component = id(1);
        let destructive = Question { risk: Risk::Destructive, ..question(&component, &[]) };
        assert!(matches!(allows(&acting(), &destructive), Answer::No(_)));
        let allowed = Policy { most_risk: Risk::Destructive, ..acting() };
        assert!(matches!(allows(&allowed, &destructive), Answer::Ask(_)));
        assert_eq!(allows(&allowed, &Question { approved: true, ..destructive }), Answer::Act);
    }

    #[test]
    fn approval_ends_no_freeze_no_cooldown_and_no_rate_limit() {
        let (component, other) = (id(1), id(2));
        let deed = |component: &ComponentId, begun: u64, ended: Option<u64>| Deed {
            component: component.clone(),
            begun: at(begun),
            ended: ended.map(at),
        };
        let no = |question: Question<'_>, words: &str| {
            let answer = allows(&acting(), &Question { approved: true, ..question });
            assert!(matches!(answer, Answer::No(_)) && says(&answer, words), "{answer:?}");
        };
        no(Question { frozen: true, ..question(&component, &[]) }, "frozen");
        no(question(&component, &[deed(&component, 9_500, Some(9_600))]), "not again for 100 s");
        no(question(&component, &[deed(&component, 1_000, None)]), "is not over");
        no(question(&component, &[deed(&other, 9_990, None)]), "1 of 4 components");
        let often: Vec<Deed> = (0..6).map(|i| deed(&other, 9_000 + i, Some(9_100))).collect();
        no(question(&component, &often), "6 actions were done");
        let clock_set_back = [deed(&component, 20_000, Some(20_001))];
        no(question(&component, &clock_set_back), "not again for 600 s");
    }

    proptest! {
        /// Ten thousand incidents of random components, causes and times: whatever happens, no rule is broken.
        #[test]
        fn no_row_of_incidents_breaks_a_rule(
            incidents in proptest::collection::vec((0..30usize, 0..120u64, 1..400u64, any::<bool>()), 1..80),
        ) {
            let policy = acting();
            let mut deeds: Vec<Deed> = Vec::new();
            let mut now = 0;
            for (number, pause, lasts, approved) in incidents {
                now += pause;
                for deed in &mut deeds {
                    let over = deed.begun.plus(Duration::from_secs(lasts));
                    if deed.ended.is_none() && at(now) >= over {
                        deed.ended = Some(over);
                    }
                }
                let component = id(number);
                let question = Question { approved, components: 30, now: at(now), ..question(&component, &deeds) };
                if allows(&policy, &question) == Answer::Act {
                    deeds.push(Deed { component, begun: at(now), ended: None });
                }
                let open = deeds.iter().filter(|deed| deed.ended.is_none()).count();
                prop_assert!(open <= 3);
                let lately = deeds.iter().filter(|deed| at(now).since(deed.begun) < 3_600.0).count();
                prop_assert!(lately <= 6);
                for (at, deed) in deeds.iter().enumerate() {
                    let before = deeds.iter().take(at).filter(|before| before.component == deed.component);
                    for before in before {
                        prop_assert!(deed.begun.since(before.begun) >= 600.0);
                    }
                }
            }
        }
    }
}
