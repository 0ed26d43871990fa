//! One round, looked at until its outcome is known. Whoever is asked approves what is proposed first.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use larnax_core::{Incident, IncidentId, Plan, PlanId, PlanState, Timestamp};
use larnax_shop::{Remedy, Role, Service, Shop};
use larnax_test_peers::{Agent, post};
use serde_json::json;

use super::judge::Seen;
use crate::bench::shop::trial;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// After so long a round ends, whatever became of it: a fault's 300 s, and a try that began just before and did not help.
pub(super) const FOLLOWED: Duration = Duration::from_secs(420);
/// How long all has to be well for a round to be over.
const WELL: Duration = Duration::from_secs(10);

/// Who does something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    /// Larnax, and a person who approves whatever is proposed first.
    Mend,
    /// Nobody.
    Nothing,
    /// Somebody who starts all services again at the first alert.
    RestartAll,
}

impl Arm {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mend => "mend",
            Self::Nothing => "nothing",
            Self::RestartAll => "restart everything",
        }
    }
}

/// What is looked at in a round.
pub(super) struct Round<'a> {
    pub(super) agent: &'a Agent,
    pub(super) shop: &'a Shop,
    pub(super) arm: Arm,
    /// Which service has a fault; none for a decoy.
    pub(super) broken: Option<Service>,
    /// By the agent's clock.
    pub(super) since: Timestamp,
    /// It is looked at for so long at least.
    pub(super) least: Duration,
    /// Customers who had not been served before it.
    pub(super) unserved: u64,
}

impl Round<'_> {
    /// Until all is well, or for as long as it may take.
    pub(super) fn follow(&self) -> Result<Seen> {
        let began = Instant::now();
        let mut well_since = None;
        let mut approved = BTreeSet::new();
        let mut seen = Seen::new(self.since);
        let mut before = 0;
        // A decoy is no fault.
        seen.over = self.broken.is_none().then_some(self.since);
        loop {
            sleep(LOOK);
            let (incidents, plans) = self.look()?;
            seen.unserved = unserved(self.shop).map_or(before, |now| now.saturating_sub(self.unserved));
            let acted = plans.iter().any(|plan| plan.done.as_ref().is_some_and(|step| step.began.is_some()));
            if acted && seen.unserved_before_acting.is_none() {
                seen.unserved_before_acting = Some(before);
            }
            before = seen.unserved;
            if self.arm == Arm::Mend {
                self.approve(&plans, &mut approved);
            }
            if self.arm == Arm::RestartAll
                && seen.restarted.is_none()
                && incidents.iter().any(|incident| incident.alerted)
            {
                seen.restarted = Some(trial::now(self.agent));
                seen.unserved_before_acting = Some(before);
                for service in Service::ALL {
                    if let Err(error) = self.shop.mend(service, Remedy::Restart) {
                        eprintln!("{error}");
                    }
                }
            }
            if let (None, Some(broken)) = (seen.over, self.broken)
                // One that is being started again does not answer.
                && self.shop.report(Role::Service(broken)).is_ok_and(|report| report.faults.is_empty())
            {
                seen.over = Some(trial::now(self.agent));
            }
            let quiet = incidents.iter().all(is_quiet);
            (seen.incidents, seen.plans, seen.quiet) = (incidents, plans, quiet);
            let under_way = |plan: &Plan| {
                matches!(plan.state, PlanState::Acting | PlanState::Verifying | PlanState::Undoing)
            };
            if seen.over.is_some() && quiet && !seen.plans.iter().any(under_way) {
                let since = *well_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= WELL && began.elapsed() >= self.least {
                    return Ok(seen);
                }
            } else {
                well_since = None;
            }
            if began.elapsed() > FOLLOWED {
                return Ok(seen);
            }
        }
    }

    /// The incidents of the round, and what is done about them and about those that became a part of them.
    fn look(&self) -> Result<(Vec<Incident>, Vec<Plan>)> {
        let mut incidents: Vec<Incident> =
            serde_json::from_value(self.agent.json("/api/v1/incidents?limit=20"))?;
        incidents.retain(|incident| incident.opened >= self.since);
        let mut plans = Vec::new();
        for incident in &incidents {
            plans.extend(plans_of(self.agent, incident.id)?);
        }
        incidents.retain(|incident| incident.merged_into.is_none());
        Ok((incidents, plans))
    }

    /// What is refused, because of a cooldown, is asked for again.
    fn approve(&self, plans: &[Plan], approved: &mut BTreeSet<PlanId>) {
        for plan in plans.iter().filter(|plan| plan.state == PlanState::Proposed) {
            if approved.contains(&plan.id) {
                continue;
            }
            let path = format!("/api/v1/plans/{}/approve", plan.id);
            match post(self.agent.address(), &path, &json!({ "by": PERSON }).to_string()) {
                Ok(answer) if answer.status == 200 => {
                    approved.insert(plan.id);
                }
                Ok(answer) => eprintln!("{} can't be approved: {}", plan.id, answer.body),
                Err(error) => eprintln!("{} can't be approved: {error}", plan.id),
            }
        }
    }
}

/// Who approves.
pub(super) const PERSON: &str = "bench";

fn plans_of(agent: &Agent, incident: IncidentId) -> Result<Vec<Plan>> {
    Ok(serde_json::from_value(agent.json(&format!("/api/v1/plans?incident={incident}")))?)
}

fn is_quiet(incident: &Incident) -> bool {
    incident.anomalies.iter().all(|anomaly| anomaly.closed.is_some())
}

/// Names the pattern of what helped after the fault, where it was new or taken for another one.
pub(super) fn name(agent: &Agent, seen: &Seen, name: &str) -> Result<()> {
    let helped = |plan: &&Plan| {
        plan.done.is_some()
            && plan.outcome.as_ref().is_some_and(|outcome| outcome.recovered_seconds.is_some())
    };
    let is_other = |plan: &&Plan| plan.pattern.as_ref().is_some_and(|pattern| pattern.pattern != name);
    let Some(plan) = seen.plans.iter().filter(helped).find(is_other) else { return Ok(()) };
    let path = format!("/api/v1/plans/{}/name", plan.id);
    let answer = post(agent.address(), &path, &json!({ "by": PERSON, "name": name }).to_string())?;
    ensure!(answer.status == 200, "the pattern of {} can't be named: {}", plan.id, answer.body);
    Ok(())
}

/// Until no incident is open, none has been for so long, and all is normal. False if that takes too long.
pub(super) fn wait_until_apart(agent: &Agent, apart: Duration, within: Duration) -> Result<bool> {
    let began = Instant::now();
    loop {
        let now = trial::now(agent);
        let all: Vec<Incident> = serde_json::from_value(agent.json("/api/v1/incidents?limit=20"))?;
        let mut ends = all.iter().filter(|incident| incident.merged_into.is_none()).flat_map(|incident| {
            incident.anomalies.iter().map(|anomaly| anomaly.closed.unwrap_or(incident.last_seen))
        });
        let is_apart = ends.all(|end| now.since(end) >= apart.as_secs_f64());
        if is_apart && trial::is_calm(agent) {
            return Ok(true);
        }
        if began.elapsed() > within {
            return Ok(false);
        }
        sleep(LOOK);
    }
}

/// Customers who were not served so far: who got an error or no answer, and who went away again because too many were waiting.
pub(super) fn unserved(shop: &Shop) -> Option<u64> {
    let sent = shop.report(Role::Load).ok()?.sent?;
    Some(sent.failed + sent.skipped)
}
