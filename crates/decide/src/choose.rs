//! Which action is likeliest to help, by what experts say and by what came of it before.

use std::collections::BTreeMap;
use std::time::Duration;

use larnax_core::Risk;
use serde::{Deserialize, Serialize};

use crate::bandit::{Arm, Expected};

/// What an expert's word is worth: as if the action had been seen so often to bring so much (ALGORITHMS 7.5 of the design).
const WORD: (usize, f64) = (20, 0.7);
/// How many deviations of what is not known of an action are hoped for: the α of LinUCB.
const HOPE: f64 = 0.5;
/// What nobody recommends is expected to bring so much of what is recommended, hoping for the worst, or it isn't tried.
const NOT_WORSE: f64 = 0.9;
/// Where nothing is recommended, it is expected to bring more than this.
const HELPS: f64 = 0.05;
/// What was done so often and never helped is in vain: once may have been bad luck, or something else that was wrong besides.
const IN_VAIN: u64 = 2;
/// After so long without recovery an action is taken not to have helped.
pub const GIVEN_UP: Duration = Duration::from_secs(300);

/// What is known when something is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    /// How sure the cause is, from 0 to 1.
    pub confidence: f64,
    /// The time of day, from 0 to 1.
    pub day: f64,
}

/// As many numbers as a situation has.
const DIMENSIONS: usize = 4;

impl Situation {
    fn vector(self) -> [f64; DIMENSIONS] {
        let (sin, cos) = (self.day * std::f64::consts::TAU).sin_cos();
        // Smaller than what is always there: of a few outcomes neither sureness nor hours should explain much.
        [1.0, self.confidence / 2.0, sin / 4.0, cos / 4.0]
    }
}

/// What may be done about an incident.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remedy<'a> {
    /// Its name in the catalogue.
    pub action: &'a str,
    /// Whether the catalogue says that it is for this.
    pub recommended: bool,
    /// How risky it is.
    pub risk: Risk,
}

/// What is to be expected of one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Which.
    pub action: String,
    /// Its reward, from -1 (it made things worse) to 1 (all was well at once).
    pub expected: Expected,
    /// How often it was seen what came of it, for this pattern.
    pub outcomes: u64,
    /// How often all was well after it.
    pub helped: u64,
    /// How many seconds that took on average; none where it never was.
    pub seconds: Option<f64>,
    /// Whether it may be tried: what nobody recommends and is not safe has to have shown first that it isn't worse.
    pub may_be_tried: bool,
}

impl Ranked {
    /// Whether it was done for this pattern, more than once, and never helped.
    pub fn is_in_vain(&self) -> bool {
        self.helped == 0 && self.outcomes >= IN_VAIN
    }
}

/// What came of actions, for each pattern.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experience(BTreeMap<String, BTreeMap<String, Arm>>);

impl Experience {
    /// Ranks what may be done about an incident of a pattern: what is hoped to bring most, and of those of which as much is hoped what may
    /// be tried. What was safe and in vain is not tried again before what is better: a person is asked for that.
    pub fn rank(&self, pattern: &str, remedies: &[Remedy<'_>], situation: Situation) -> Vec<Ranked> {
        let all: Vec<(&Remedy<'_>, Arm, Expected)> = remedies
            .iter()
            .map(|remedy| {
                let known = self.0.get(pattern).and_then(|arms| arms.get(remedy.action)).cloned();
                let arm = known.unwrap_or_else(|| arm(remedy.recommended));
                let expected = arm.expected(&situation.vector());
                (remedy, arm, expected.unwrap_or(Expected { mean: 0.0, error: 1.0 }))
            })
            .collect();
        let recommended = all.iter().filter(|(remedy, ..)| remedy.recommended);
        let least = recommended.map(|(.., expected)| NOT_WORSE * expected.mean).reduce(f64::max);
        let ranked = |(remedy, arm, expected): (&Remedy<'_>, Arm, Expected)| Ranked {
            action: remedy.action.to_owned(),
            may_be_tried: remedy.recommended
                || remedy.risk == Risk::Safe
                || expected.mean - HOPE * expected.error >= least.unwrap_or(HELPS),
            expected,
            outcomes: arm.outcomes,
            helped: arm.helped,
            seconds: (arm.helped > 0).then(|| arm.seconds / arm.helped as f64),
        };
        let mut ranked: Vec<Ranked> = all.into_iter().map(ranked).collect();
        let hoped = |one: &Ranked| one.expected.mean + HOPE * one.expected.error;
        let something_helped = ranked.iter().any(|one| one.helped > 0);
        // An expert's word outweighs many outcomes; what has helped here at all comes before what he was wrong about here.
        let last = |one: &Ranked| something_helped && one.is_in_vain();
        ranked.sort_by(|a, b| {
            let tried = b.may_be_tried.cmp(&a.may_be_tried);
            let best = last(a).cmp(&last(b)).then_with(|| hoped(b).total_cmp(&hoped(a)));
            best.then(tried).then_with(|| a.action.cmp(&b.action))
        });
        ranked
    }

    /// Whether anything has helped with a pattern; with any, if none is named.
    pub(crate) fn knows_help(&self, pattern: Option<&str>) -> bool {
        let arms = self.0.iter().filter(|(name, _)| pattern.is_none_or(|wanted| wanted == *name));
        arms.flat_map(|(_, arms)| arms.values()).any(|arm| arm.helped > 0)
    }

    /// How often it was seen what comes of each action, for a pattern.
    pub fn of(&self, pattern: &str) -> BTreeMap<String, u64> {
        let arms = self.0.get(pattern).into_iter().flatten();
        arms.map(|(action, arm)| (action.clone(), arm.outcomes)).collect()
    }

    /// Learns what came of an action, and after how many seconds all was well, if it was.
    pub fn learn(
        &mut self,
        pattern: &str,
        remedy: &Remedy<'_>,
        situation: Situation,
        reward: f64,
        recovered: Option<f64>,
    ) {
        let arms = self.0.entry(pattern.to_owned()).or_default();
        let arm = arms.entry(remedy.action.to_owned()).or_insert_with(|| arm(remedy.recommended));
        arm.learn(&situation.vector(), reward);
        if let Some(seconds) = recovered {
            arm.helped += 1;
            arm.seconds += seconds;
        }
    }

    /// A pattern is no more.
    pub fn forget(&mut self, pattern: &str) {
        self.0.remove(pattern);
    }

    /// A pattern has another name from now on. What was known under that name already stays.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(gone) = self.0.remove(from) {
            let arms = self.0.entry(to.to_owned()).or_default();
            for (action, arm) in gone {
                arms.entry(action).or_insert(arm);
            }
        }
    }
}

/// An action of which nothing was seen.
fn arm(recommended: bool) -> Arm {
    let mut arm = Arm::new(DIMENSIONS);
    if recommended {
        let (times, reward) = WORD;
        let usual = [1.0, 0.4, 0.0, 0.0];
        (0..times).for_each(|_| arm.learn(&usual, reward));
        arm.outcomes = 0;
    }
    arm
}

/// What an outcome is worth, from -1 to 1: the sooner all was well, the more; less what the action itself cost; and less 1 if it made
/// things worse. `recovered` is none if that had not come when it was given up.
pub fn reward(recovered: Option<Duration>, cost: Duration, worse: bool) -> f64 {
    let share = |time: Duration| time.as_secs_f64() / GIVEN_UP.as_secs_f64();
    let took = recovered.map_or(1.0, |time| share(time).min(1.0));
    (1.0 - took - share(cost) - f64::from(u8::from(worse))).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITUATION: Situation = Situation { confidence: 0.9, day: 0.3 };

    fn remedy(action: &str, recommended: bool, risk: Risk) -> Remedy<'_> {
        Remedy { action, recommended, risk }
    }

    fn first(experience: &Experience, remedies: &[Remedy<'_>]) -> String {
        experience.rank("U-1", remedies, SITUATION)[0].action.clone()
    }

    #[test]
    fn what_experts_recommend_comes_first_until_it_was_seen_not_to_help() {
        let remedies = [remedy("restart", true, Risk::Disruptive), remedy("scale", true, Risk::Disruptive)];
        let mut experience = Experience::default();
        let ranked = experience.rank("U-1", &remedies, SITUATION);
        assert!((ranked[0].expected.mean - 0.7).abs() < 0.1, "{ranked:?}");
        (0..3).for_each(|_| experience.learn("U-1", &remedies[0], SITUATION, -0.2, None));
        assert_eq!(first(&experience, &remedies), "scale");
        assert_eq!(experience.rank("U-2", &remedies, SITUATION)[0].outcomes, 0, "another pattern");
    }

    #[test]
    fn what_has_helped_comes_before_what_an_expert_was_twice_wrong_about() {
        let remedies =
            [remedy("restart", true, Risk::Disruptive), remedy("roll-back", false, Risk::Disruptive)];
        let mut experience = Experience::default();
        experience.learn("U-1", &remedies[0], SITUATION, -0.007, None);
        experience.learn("U-1", &remedies[1], SITUATION, 0.85, Some(44.0));
        assert!(!experience.rank("U-1", &remedies, SITUATION)[0].is_in_vain());
        experience.learn("U-1", &remedies[0], SITUATION, -0.007, None);
        // Also where it was in vain itself once: it was taken for something else that looks alike.
        experience.learn("U-1", &remedies[1], SITUATION, -0.007, None);
        let ranked = experience.rank("U-1", &remedies, SITUATION);
        assert!(ranked[0].action == "roll-back" && ranked[1].is_in_vain(), "{ranked:?}");
        (0..3).for_each(|_| experience.learn("U-2", &remedies[0], SITUATION, -0.007, None));
        assert_eq!(
            experience.rank("U-2", &remedies, SITUATION)[0].action,
            "restart",
            "nothing has helped there yet"
        );
    }

    #[test]
    fn what_nobody_recommends_is_only_tried_if_it_is_safe_or_known_to_be_no_worse() {
        let remedies = [
            remedy("clear-cache", false, Risk::Safe),
            remedy("failover", false, Risk::Disruptive),
            remedy("restart", true, Risk::Disruptive),
        ];
        let mut experience = Experience::default();
        let tried = |experience: &Experience, action: &str| {
            experience
                .rank("U-1", &remedies, SITUATION)
                .iter()
                .any(|one| one.action == action && one.may_be_tried)
        };
        assert!(tried(&experience, "clear-cache") && !tried(&experience, "failover"));
        // A person did it now and then.
        (0..8).for_each(|_| experience.learn("U-1", &remedies[1], SITUATION, 0.95, Some(10.0)));
        assert!(tried(&experience, "failover"));
        assert_eq!(first(&experience, &remedies), "failover");
    }

    #[test]
    fn where_nothing_is_recommended_what_has_helped_comes_before_what_is_merely_safe() {
        let remedies = [remedy("clean-up", false, Risk::Safe), remedy("restart", false, Risk::Disruptive)];
        let mut experience = Experience::default();
        assert_eq!(first(&experience, &remedies), "clean-up");
        experience.learn("U-1", &remedies[1], SITUATION, 0.95, Some(10.0));
        assert_eq!(first(&experience, &remedies), "restart");
    }

    #[test]
    fn a_pattern_that_is_named_keeps_what_is_known_of_it() {
        let remedies = [remedy("restart", false, Risk::Safe)];
        let mut experience = Experience::default();
        experience.learn("U-1", &remedies[0], SITUATION, 0.5, None);
        experience.rename("U-1", "memory leak");
        assert_eq!(experience.rank("memory leak", &remedies, SITUATION)[0].outcomes, 1);
        assert_eq!(experience.rank("U-1", &remedies, SITUATION)[0].outcomes, 0);
    }

    #[test]
    fn an_outcome_is_worth_more_the_sooner_and_the_cheaper_it_was() {
        let seconds = Duration::from_secs;
        assert_eq!(reward(Some(seconds(30)), Duration::ZERO, false), 0.9);
        assert_eq!(reward(Some(seconds(30)), seconds(60), false), 0.9 - 0.2);
        assert_eq!(reward(None, Duration::ZERO, false), 0.0);
        assert_eq!(reward(None, seconds(60), true), -1.0);
        assert_eq!(reward(Some(seconds(9_999)), Duration::ZERO, false), 0.0);
    }

    #[test]
    fn what_was_safe_and_in_vain_is_not_tried_before_what_helped() {
        let all = [("clean-up", Risk::Safe), ("restart", Risk::Disruptive)];
        let all = all.map(|(action, risk)| Remedy { action, recommended: false, risk });
        let situation = Situation { confidence: 0.9, day: 0.5 };
        let mut experience = Experience::default();
        let first = |experience: &Experience| experience.rank("leak", &all, situation).remove(0);
        assert_eq!(first(&experience).action, "clean-up", "of two that are new the safe one");
        experience.learn("leak", &all[0], situation, 0.0, None);
        let next = first(&experience);
        assert_eq!((next.action.as_str(), next.may_be_tried), ("restart", false));
        experience.learn("leak", &all[1], situation, 0.9, Some(5.0));
        assert_eq!(first(&experience).action, "restart");
    }
}
