//! What faults change in a service while it serves: written by the thread that keeps the faults, read by the one that
//! serves.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;

use crate::Service;
use crate::random::Random;

/// The shortest time after which TCP sends again what was not acknowledged (Linux, `TCP_RTO_MIN`); it doubles each time.
const RESEND: Duration = Duration::from_millis(200);
/// After so many losses in a row a message passes.
const MOST_LOSSES: u32 = 4;

/// Whether the service is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It serves.
    Serving,
    /// Its port is closed.
    Stopped,
    /// Its port is open, and nothing happens.
    Frozen,
}

/// Switches, all off at first. A number is a `f64`'s bits.
#[derive(Debug)]
pub(crate) struct Effects {
    latency: Number,
    errors: Number,
    link_delay: Number,
    link_loss: Number,
    detour: Number,
    slow: [Number; Service::ALL.len()],
    /// Processes that the service started and that still run.
    pub(crate) children: AtomicU64,
    /// Processes that it ever started.
    pub(crate) children_started: AtomicU64,
    presence: watch::Sender<Presence>,
}

#[derive(Debug, Default)]
struct Number(AtomicU64);

impl Number {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// A switch with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// Milliseconds before each answer.
    Latency,
    /// The share of requests that fail.
    Errors,
    /// Milliseconds that a message takes.
    LinkDelay,
    /// The share of messages that are lost.
    LinkLoss,
    /// Milliseconds that a message takes while routes change.
    Detour,
    /// Milliseconds before each call to one service.
    Slow(Service),
}

impl Effects {
    /// How long messages are held up while routes change: lost, and sent again.
    pub(crate) const DETOUR_MS: f64 = RESEND.as_millis() as f64;

    pub(crate) fn new() -> Self {
        Self {
            latency: Number::default(),
            errors: Number::default(),
            link_delay: Number::default(),
            link_loss: Number::default(),
            detour: Number::default(),
            slow: Default::default(),
            children: AtomicU64::new(0),
            children_started: AtomicU64::new(0),
            presence: watch::Sender::new(Presence::Serving),
        }
    }

    fn number(&self, switch: Switch) -> &Number {
        match switch {
            Switch::Latency => &self.latency,
            Switch::Errors => &self.errors,
            Switch::LinkDelay => &self.link_delay,
            Switch::LinkLoss => &self.link_loss,
            Switch::Detour => &self.detour,
            Switch::Slow(service) => &self.slow[service.index()],
        }
    }

    /// Turns a switch; 0 is off.
    pub(crate) fn set(&self, switch: Switch, value: f64) {
        self.number(switch).set(value);
    }

    /// How a switch stands.
    pub(crate) fn get(&self, switch: Switch) -> f64 {
        self.number(switch).get()
    }

    pub(crate) fn set_presence(&self, presence: Presence) {
        self.presence.send_replace(presence);
    }

    /// To wait for a change of presence.
    pub(crate) fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }

    /// How long a switch of milliseconds holds something up: around its number, never twice the same.
    pub(crate) fn hold_up(&self, switch: Switch, random: &mut Random) -> Option<Duration> {
        let milliseconds = self.get(switch);
        (milliseconds > 0.0).then(|| Duration::from_secs_f64(random.lognormal(milliseconds, 0.15) / 1000.0))
    }

    /// How long one message is held up on the way from or to this service; none while the link is well.
    pub(crate) fn link(&self, random: &mut Random) -> Option<Duration> {
        let delays = [Switch::LinkDelay, Switch::Detour].map(|switch| self.hold_up(switch, random));
        let delay = delays.into_iter().flatten().reduce(|one, other| one + other);
        let loss = self.get(Switch::LinkLoss);
        let losses = (0..MOST_LOSSES).take_while(|_| loss > 0.0 && random.happens(loss)).count() as u32;
        let resent = (losses > 0).then(|| RESEND * ((1 << losses) - 1));
        match (delay, resent) {
            (None, None) => None,
            (delay, resent) => Some(delay.unwrap_or_default() + resent.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_link_holds_nothing_up_and_a_bad_one_does() {
        let (effects, mut random) = (Effects::new(), Random::new(1, "test"));
        assert_eq!(effects.link(&mut random), None);
        effects.set(Switch::LinkDelay, 60.0);
        let delays: Vec<f64> =
            (0..500).filter_map(|_| effects.link(&mut random)).map(|delay| delay.as_secs_f64()).collect();
        assert_eq!(delays.len(), 500);
        let mean = delays.iter().sum::<f64>() / 500.0;
        assert!((0.055..0.066).contains(&mean), "{mean}");
        effects.set(Switch::LinkDelay, 0.0);
        effects.set(Switch::LinkLoss, 0.2);
        let lost: Vec<Duration> = (0..1000).filter_map(|_| effects.link(&mut random)).collect();
        assert!((150..250).contains(&lost.len()), "{}", lost.len());
        assert!(lost.iter().all(|held| *held >= RESEND && *held <= RESEND * 15));
        effects.set(Switch::LinkLoss, 0.0);
        assert_eq!(effects.link(&mut random), None);
    }
}
