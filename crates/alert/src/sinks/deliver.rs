//! The loop that brings events from the outbox to one sink, however long it takes.

use std::cell::RefCell;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{Clock, CloudEvent, Timestamp};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Outbox;
use crate::sinks::{DeliveryError, Sink};
use crate::told::Told;

/// The first pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a sink is doing: shared between its loop and whoever shows it.
#[derive(Debug, Default)]
pub struct SinkStatus(RefCell<Health>);

/// Figures for `/metrics` and `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Events that arrived, each counted once.
    pub delivered: u64,
    /// Events that the sink will never take; they were given up.
    pub refused: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Reminders of open anomalies that arrived.
    pub resent: u64,
    /// Heartbeats that arrived.
    pub heartbeats: u64,
    /// Bytes sent over the network.
    pub bytes_sent: u64,
    /// When something last arrived.
    pub last_success: Option<Timestamp>,
    /// What went wrong last; none once something has arrived since.
    pub last_error: Option<String>,
}

impl SinkStatus {
    /// The figures as they stand.
    pub fn health(&self) -> Health {
        self.0.borrow().clone()
    }
}

/// Delivers until `shutdown` resolves, then goes on for at most `drain` while something is pending.
///
/// Sleeps without a timer while nothing is pending, no anomaly is open and no heartbeat is due. Each sink has its own
/// loop, so that one which is down holds up nobody. What the sink refuses is halved until the events to blame are found;
/// those are given up, loudly. Everything else is tried again after pauses that double up to a minute, with jitter.
pub async fn deliver_loop<D: Told>(
    outbox: Rc<Outbox<D>>,
    sink: Box<dyn Sink<D>>,
    status: Rc<SinkStatus>,
    clock: Rc<dyn Clock>,
    drain: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let name = sink.name().to_owned();
    let serving = Delivery { outbox: Rc::clone(&outbox), sink, status, clock, failures: 0 };
    let stopping = async {
        shutdown.await;
        let drained = timeout(drain, delivered(&outbox, &name)).await;
        if drained.is_err() {
            tracing::warn!(sink = %name, "stopped before everything was delivered: what is on disk goes out after the next start");
        }
    };
    tokio::select! {
        () = serving.run() => {}
        () = stopping => {}
    }
}

/// Waits until a sink has everything.
async fn delivered<D: Told>(outbox: &Outbox<D>, sink: &str) {
    loop {
        let mut changed = pin!(outbox.changed());
        changed.as_mut().enable();
        if outbox.is_delivered(sink) {
            return;
        }
        changed.await;
    }
}

struct Delivery<D> {
    outbox: Rc<Outbox<D>>,
    sink: Box<dyn Sink<D>>,
    status: Rc<SinkStatus>,
    clock: Rc<dyn Clock>,
    /// Failed attempts since the last success.
    failures: u32,
}

impl<D: Told> Delivery<D> {
    async fn run(mut self) {
        let outbox = Rc::clone(&self.outbox);
        // Open anomalies are resent at once after a start: the other side may have given them up by now.
        let mut resend_at = Instant::now();
        let mut heartbeat_at = Instant::now();
        loop {
            let mut changed = pin!(outbox.changed());
            changed.as_mut().enable();
            let now = Instant::now();
            let resend = self.sink.resend_every().filter(|_| outbox.has_open());
            let heartbeat = self.sink.heartbeat_every();

            let batch = outbox.pending(self.sink.name(), self.sink.max_batch());
            if batch.events.is_empty() && !outbox.is_delivered(self.sink.name()) {
                // What was read first is lost; what stands behind it is not.
                continue;
            }
            let result = if !batch.events.is_empty() {
                let result = self.deliver(&batch.events, Some(&batch.sequences)).await;
                if let (Some(every), true) = (self.sink.resend_every(), resend_at <= now) {
                    // What was just told need not be repeated at once.
                    resend_at = now + every;
                }
                result
            } else if let Some(every) = resend.filter(|_| resend_at <= now) {
                let events = outbox.open_events(self.sink.name());
                let result = self.deliver(&events, None).await;
                if result.is_ok() {
                    resend_at = now + every;
                }
                result
            } else if let Some(every) = heartbeat.filter(|_| heartbeat_at <= now) {
                // One that fails is not repeated: that it is missing is what it is for.
                heartbeat_at = now + every;
                let result = self.sink.heartbeat().await;
                self.note(&result, |health| health.heartbeats += 1);
                self.failures = 0;
                Ok(())
            } else {
                let next =
                    [resend.map(|_| resend_at), heartbeat.map(|_| heartbeat_at)].into_iter().flatten().min();
                match next {
                    Some(next) => tokio::select! { () = changed => {} () = sleep_until(next) => {} },
                    None => changed.await,
                }
                continue;
            };
            match result {
                Ok(()) => self.failures = 0,
                Err(_) => {
                    self.failures = self.failures.saturating_add(1);
                    sleep(pause(self.failures)).await;
                }
            }
        }
    }

    /// Delivers and acknowledges what arrived, in parts where the whole is refused. An error is always one worth
    /// trying again. Without `sequences` it is a reminder.
    async fn deliver(
        &mut self,
        events: &[CloudEvent<D>],
        sequences: Option<&[u64]>,
    ) -> Result<(), DeliveryError> {
        let max = self.sink.max_batch().max(1);
        let (mut done, mut size) = (0, max);
        while done < events.len() {
            let part = &events[done..(done + size).min(events.len())];
            let result = self.sink.deliver(part).await;
            let count = part.len() as u64;
            self.note(&result, |health| match sequences {
                Some(_) => health.delivered += count,
                None => health.resent += count,
            });
            match result {
                Ok(()) => {}
                Err(error) if error.retryable => return Err(error),
                Err(_) if part.len() > 1 => {
                    size = part.len() / 2;
                    continue;
                }
                Err(error) => {
                    self.status.0.borrow_mut().refused += 1;
                    let (sink, event) = (self.sink.name(), part.first().map_or("", |event| &event.id));
                    tracing::error!(sink, event, %error, "the sink refuses this event: it is given up there");
                }
            }
            done += part.len();
            size = max;
            if let Some(sequence) = sequences.and_then(|sequences| sequences.get(done - 1)) {
                self.outbox.ack(self.sink.name(), *sequence);
            }
        }
        Ok(())
    }

    fn note(&self, result: &Result<(), DeliveryError>, arrived: impl FnOnce(&mut Health)) {
        let mut health = self.status.0.borrow_mut();
        health.bytes_sent = self.sink.bytes_sent();
        match result {
            Ok(()) => {
                arrived(&mut health);
                health.last_success = Some(self.clock.now());
                if health.last_error.take().is_some() {
                    tracing::info!(sink = self.sink.name(), "events arrive again");
                }
            }
            Err(error) => {
                health.failures += 1;
                if health.last_error.as_ref() != Some(&error.message) {
                    tracing::warn!(sink = self.sink.name(), %error, "events do not arrive");
                }
                health.last_error = Some(error.message.clone());
            }
        }
    }
}

/// Between half and all of 1 s, 2 s, 4 s … 60 s, so that agents that lost the same peer don't come back together.
pub fn pause(failures: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE);
    // Each RandomState has fresh keys: enough randomness to spread agents, without a generator to seed.
    let random = RandomState::new().hash_one(failures) as f64 / u64::MAX as f64;
    full.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread() {
        for (failures, full) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            let full = Duration::from_secs(full);
            for _ in 0..50 {
                let pause = pause(failures);
                assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
            }
        }
    }
}
