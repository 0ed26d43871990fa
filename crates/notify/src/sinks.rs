//! The sinks of a config, and the loops that feed them.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use larnax_alert::sinks::{
    Alertmanager, AlertmanagerOptions, JsonLines, JsonLinesOptions, Output, Sink, SinkStatus, Webhook,
    WebhookOptions, deliver_loop,
};
use larnax_alert::{AlertError, Health, Outbox, Told};
use larnax_core::Clock;
use larnax_core::event::AnomalyEvent;
use larnax_spec::Config;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client;

/// How long sinks may go on after the agent was told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Who speaks to the sinks of a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// An agent for itself.
    Agent,
    /// An agent whose hub is in the same process: what people are told is the hub's affair, one incident and not many
    /// anomalies; the agent only writes its lines.
    AgentBesideHub,
    /// A hub.
    Hub,
}

/// The sinks of a role.
pub struct Sinks<D = AnomalyEvent> {
    sinks: Vec<(Box<dyn Sink<D>>, Rc<SinkStatus>)>,
}

/// Sinks that run; they end when this is dropped.
#[derive(Default)]
pub struct Running {
    statuses: Vec<(String, Rc<SinkStatus>)>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl<D: Told> Sinks<D> {
    /// Makes the sinks of `config`; connects to nobody yet.
    pub fn of(
        config: &Config,
        speaker: Speaker,
        identity: &Identity,
        clock: &Rc<dyn Clock>,
    ) -> Result<Self, AlertError> {
        let mut sinks: Vec<Box<dyn Sink<D>>> = Vec::new();
        let tells_people = speaker != Speaker::AgentBesideHub;
        let alerts = &config.alerts;
        for receiver in alerts.alertmanagers.iter().filter(|_| tells_people) {
            let Some(url) = &receiver.url else { continue };
            let name = unique(&sinks, format!("alertmanager {}", url.authority()));
            let options = AlertmanagerOptions {
                http: client::options(receiver),
                external_labels: config.external_labels.clone(),
                resend_every: alerts.resend.0,
                heartbeat: alerts.heartbeat,
                evidence_url: Some(identity.page.clone()),
                ..AlertmanagerOptions::new(&name, url.as_str(), &identity.hostname)?
            };
            sinks.push(Box::new(Alertmanager::new(options, Rc::clone(clock))?));
        }
        for receiver in alerts.webhooks.iter().filter(|_| tells_people) {
            let Some(url) = &receiver.url else { continue };
            let name = unique(&sinks, format!("webhook {}", url.authority()));
            let options = WebhookOptions {
                http: client::options(receiver),
                ..WebhookOptions::new(&name, url.as_str(), &identity.source)?
            };
            sinks.push(Box::new(Webhook::new(options, Rc::clone(clock))?));
        }
        if let Some(path) = alerts.jsonl.as_ref().filter(|_| speaker != Speaker::Hub) {
            let output = if path == Path::new("-") { Output::Stdout } else { Output::File(path.clone()) };
            sinks.push(Box::new(JsonLines::new(JsonLinesOptions::new("json lines", output))));
        }
        Ok(Self { sinks: sinks.into_iter().map(|sink| (sink, Rc::default())).collect() })
    }

    /// Their names, which the outbox remembers deliveries under.
    pub fn names(&self) -> Vec<String> {
        self.sinks.iter().map(|(sink, _)| sink.name().to_owned()).collect()
    }

    /// Starts a loop for each.
    pub fn start(self, outbox: &Rc<Outbox<D>>, clock: &Rc<dyn Clock>) -> Running {
        let mut running = Running::default();
        for (sink, status) in self.sinks {
            running.statuses.push((sink.name().to_owned(), Rc::clone(&status)));
            let mut stopped = running.stop.subscribe();
            let shutdown = async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let (outbox, clock) = (Rc::clone(outbox), Rc::clone(clock));
            running
                .tasks
                .push(tokio::task::spawn_local(deliver_loop(outbox, sink, status, clock, DRAIN, shutdown)));
        }
        running
    }
}

impl Running {
    /// Where each tells how it is doing, by name.
    pub fn statuses(&self) -> &[(String, Rc<SinkStatus>)] {
        &self.statuses
    }

    /// How they are doing, by name.
    pub fn health(&self) -> impl Iterator<Item = (&str, Health)> {
        self.statuses.iter().map(|(name, status)| (name.as_str(), status.health()))
    }

    /// Stops them, once what is pending has gone out or some seconds are over.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            // A loop that panicked has nothing left to wait for.
            let _ = task.await;
        }
    }
}

/// How the agent is called by those that it tells something.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The machine's name.
    pub hostname: String,
    /// Source of its events, `/larnax/edge/HOSTNAME`.
    pub source: String,
    /// Where its page or API can be looked at.
    pub page: String,
}

/// Two sinks on one host and port (with other paths) get a number.
fn unique<D>(sinks: &[Box<dyn Sink<D>>], name: String) -> String {
    let taken: BTreeSet<&str> = sinks.iter().map(|sink| sink.name()).collect();
    let numbered = (2..).map(|n| format!("{name} #{n}"));
    std::iter::once(name.clone()).chain(numbered).find(|n| !taken.contains(n.as_str())).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use larnax_core::SystemClock;

    #[test]
    fn sinks_on_one_host_and_port_have_names_of_their_own() {
        let text =
            "alerts: {jsonl: '-', webhooks: ['http://a:1/x', 'http://a:1/y'], alertmanagers: ['http://a:1']}";
        let (config, _) = Config::from_yaml(text, "test").unwrap();
        let identity = Identity {
            hostname: "edge-1".to_owned(),
            source: "/larnax/edge/edge-1".to_owned(),
            page: String::new(),
        };
        let clock: Rc<dyn Clock> = Rc::new(SystemClock);
        let sinks: Sinks = Sinks::of(&config, Speaker::Agent, &identity, &clock).unwrap();
        assert_eq!(sinks.names(), ["alertmanager a:1", "webhook a:1", "webhook a:1 #2", "json lines"]);
        let beside: Sinks = Sinks::of(&config, Speaker::AgentBesideHub, &identity, &clock).unwrap();
        assert_eq!(beside.names(), ["json lines"]);
    }
}
