//! What is said in a session.

use larnax_core::{
    AnomalyId, Command, Component, ComponentId, MetricName, Offer, Report, Timestamp, TopologyDelta, Window,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What an edge says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromEdge {
    /// First of all.
    Hello(Hello),
    /// What it is has changed. That it is alive it says by [`crate::Sender::ping`].
    Heartbeat(Heartbeat),
    /// Events, of which the hub says when they are safe.
    Events(Delivery),
    /// What it sees of who calls whom.
    Topology(TopologyDelta),
    /// An answer, or a part of one.
    Evidence(EvidencePart),
    /// What came of a command.
    Report(Report),
}

/// What a hub says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromHub {
    /// The answer to [`FromEdge::Hello`].
    Welcome(Welcome),
    /// Events are safe.
    Acknowledged(Acknowledged),
    /// A question.
    Pull(Pull),
    /// An order; only to edges that offer something.
    Command(Command),
    /// A person says that an anomaly is normal. Where it has ended, nothing is to be done.
    Normal(AnomalyId),
}

/// Who an edge is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL`] of the edge.
    pub protocol: u32,
    /// Its name: that of its machine. A second session of the same name ends the first.
    pub agent: String,
    /// Version of the program.
    pub version: String,
    /// What it watches.
    pub components: Vec<Component>,
    /// What it can do to that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
}

/// What an edge is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its clock.
    pub time: Timestamp,
    /// What it watches, where that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<Component>>,
    /// What it can do to that, where that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offers: Option<Vec<Offer>>,
}

/// Events in order. The next ones are sent when these are acknowledged.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Counts deliveries of this session, from 1.
    pub number: u64,
    /// CloudEvents.
    pub events: Vec<Box<RawValue>>,
}

/// A delivery is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// [`Delivery::number`].
    pub number: u64,
    /// Events of it that the hub will never take, by their place in the delivery, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(usize, String)>,
}

/// A hub greets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`crate::PROTOCOL`] of the hub.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// How often the hub wants to hear something, in seconds.
    pub heartbeat_seconds: f64,
}

/// What a component did in a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// Names the question.
    pub id: u64,
    /// Whose samples.
    pub component: ComponentId,
    /// From when,
    pub from: Timestamp,
    /// and until when, both included.
    pub until: Timestamp,
    /// Which metrics; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricName>,
    /// The most rows; where there are more, they are thinned evenly.
    pub max_rows: usize,
    /// The most bytes that the answer may have on the wire; rows are thinned until it has.
    pub max_bytes: usize,
}

/// The answer to a [`Pull`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvidencePart {
    /// [`Pull::id`].
    pub id: u64,
    /// The samples.
    pub window: Window,
    /// Stretches without samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// How many rows there were before thinning.
    #[serde(default)]
    pub rows: usize,
    /// Why there is less than was asked for, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A stretch without samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The last sample before it, or where the question began.
    pub from: Timestamp,
    /// The first one after it, or where the question ended.
    pub until: Timestamp,
}

/// Samples farther apart than so many usual distances have a gap between them.
const GAP: f64 = 2.5;

impl Gap {
    /// Those between samples that usually come every `period` seconds, and at both ends of what was asked for.
    pub fn among(times: &[Timestamp], from: Timestamp, until: Timestamp, period: f64) -> Vec<Self> {
        let after = times.iter().copied().chain([until]);
        let before = [from].into_iter().chain(times.iter().copied());
        let pairs = before.zip(after).filter(|(from, until)| until.since(*from) > GAP * period);
        pairs.map(|(from, until)| Self { from, until }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_at_both_ends_and_between() {
        let at = Timestamp::from_seconds;
        let times = [at(10.0), at(11.0), at(12.0), at(20.0)];
        let found = Gap::among(&times, at(0.0), at(21.0), 1.0);
        let pairs: Vec<(f64, f64)> =
            found.iter().map(|gap| (gap.from.seconds(), gap.until.seconds())).collect();
        assert_eq!(pairs, [(0.0, 10.0), (12.0, 20.0)]);
        assert_eq!(Gap::among(&[], at(0.0), at(60.0), 1.0).len(), 1);
    }
}
