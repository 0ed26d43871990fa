//! What is said in a session.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larnax_core::model_store::MAX_PAYLOAD_BYTES;
use larnax_core::{
    AnomalyId, Command, Component, ComponentId, MetricName, Offer, Report, Timestamp, TopologyDelta, Window,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::packed::Packed;

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
    /// The answer to [`FromHub::Learnt`].
    Learnt(Learnt),
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
    /// Asks what was learnt of a component; only edges that say what they are [learning](Hello::learning).
    Learnt(ComponentId),
    /// What others of its kind have learnt, for a component of which the edge has not learnt enough yet.
    BeginWith(Learnt),
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
    /// Of which components it has not learnt enough yet to judge them. None of an edge that has never heard of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning: Option<Vec<ComponentId>>,
}

/// What was learnt of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// Which component.
    pub component: ComponentId,
    /// What [`larnax_core::model_store`] has in an envelope, in base64. None where it is not known well, or something is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
}

/// The bytes of a model, in JSON as base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Model(pub Vec<u8>);

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({} bytes)", self.0.len())
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let most = MAX_PAYLOAD_BYTES + MAX_PAYLOAD_BYTES / 2;
        if text.len() > most {
            return Err(D::Error::custom(format!(
                "a model of {} bytes: expected at most {most}",
                text.len()
            )));
        }
        STANDARD.decode(&*text).map(Self).map_err(D::Error::custom)
    }
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
    /// Components that it has begun to learn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning: Vec<ComponentId>,
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
    /// Whether the window may come [packed](crate::Packed). Edges that have never heard of that send it as it is.
    #[serde(default)]
    pub packed: bool,
}

/// The answer to a [`Pull`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvidencePart {
    /// [`Pull::id`].
    pub id: u64,
    /// The samples, where they are not packed.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub window: Window,
    /// The samples, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
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

impl EvidencePart {
    /// The same with its samples unpacked.
    ///
    /// # Errors
    /// A sentence, where they can't be.
    pub fn unpacked(mut self) -> Result<Self, String> {
        if let Some(packed) = self.packed.take() {
            self.window = packed.unpack()?;
        }
        Ok(self)
    }

    /// The same with its samples packed.
    pub fn packed(self) -> Self {
        Self { packed: Some(Packed::of(&self.window)), window: Window::default(), ..self }
    }
}

fn is_empty(window: &Window) -> bool {
    window.metrics.is_empty() && window.times.is_empty()
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
