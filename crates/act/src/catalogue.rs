//! From the config's actions to what can be done.

use std::rc::Rc;

use larnax_core::Offer;
use larnax_spec::Action;

use crate::actuators::{Cgroup, Command, Record, Restart, Signal, Systemd, Virsh, Webhook};
use crate::{ActError, Actuator};

/// An action and how it is done.
#[derive(Clone)]
pub struct Offered {
    /// What the hub may know of it.
    pub offer: Offer,
    /// How it is done.
    pub actuator: Rc<dyn Actuator>,
}

/// The actions of a config that was checked. Touches nothing.
pub fn catalogue(actions: &[Action]) -> Result<Vec<Offered>, ActError> {
    actions.iter().map(offered).collect()
}

fn offered(action: &Action) -> Result<Offered, ActError> {
    let actuator = actuator(action)?;
    let globs = |scopes: &[larnax_spec::Scope]| scopes.iter().map(|scope| scope.0.clone()).collect();
    let offer = Offer {
        action: action.name.clone(),
        summary: action.summary.clone(),
        on: globs(&action.on),
        patterns: globs(&action.patterns),
        metrics: globs(&action.metrics),
        risk: action.risk,
        cost_seconds: action.cost.as_secs_f64(),
        timeout_seconds: action.timeout.as_secs_f64(),
        helps_within_seconds: action.helps_within.as_secs_f64(),
        cooldown_seconds: action.cooldown.as_secs_f64(),
        can_undo: actuator.can_undo(),
    };
    Ok(Offered { offer, actuator })
}

fn actuator(action: &Action) -> Result<Rc<dyn Actuator>, ActError> {
    let error = |reason: String| ActError::Action { action: action.name.clone(), reason };
    let mut found: Vec<Rc<dyn Actuator>> = Vec::new();
    if let Some(spec) = &action.record {
        found.push(Rc::new(Record::new(spec.clone())));
    }
    if let Some(spec) = &action.command {
        found.push(Rc::new(Command::new(spec.clone())));
    }
    if let Some(spec) = &action.signal {
        found.push(Rc::new(Signal::new(spec.clone())));
    }
    if let Some(spec) = &action.restart {
        found.push(Rc::new(Restart::new(spec.clone())));
    }
    if let Some(spec) = &action.systemd {
        found.push(Rc::new(Systemd::new(spec.clone())));
    }
    if let Some(spec) = &action.cgroup {
        found.push(Rc::new(Cgroup::new(spec.clone())));
    }
    if let Some(spec) = &action.webhook {
        found.push(Rc::new(Webhook::new(spec).map_err(|problem| error(problem.to_string()))?));
    }
    if let Some(spec) = &action.virsh {
        found.push(Rc::new(Virsh::new(spec.clone())));
    }
    match (found.pop(), found.len()) {
        (Some(actuator), 0) => Ok(actuator),
        (None, _) => Err(error(
            "says nowhere how it is done: expected one of `command`, `restart` and the others".to_owned(),
        )),
        (Some(_), more) => Err(error(format!("is done in {} ways: expected exactly one", more + 1))),
    }
}
