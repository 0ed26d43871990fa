//! How a watch is saved and restored, so that a restart neither forgets what is normal nor loses an open anomaly.
//!
//! The detector keeps its own envelope inside; anomalies are kept in the JSON of their events, which already evolves.

use std::sync::Arc;

use larnax_core::model_store::Envelope;
use larnax_core::schema::SchemaError;
use larnax_core::{Anomaly, AnomalyKind, Metric, MetricKind, MetricName, Schema, Timestamp};
use prost::Message as _;

use crate::attribution::{Attribution, Recent};
use crate::detector::{DetectError, DetectorKind, open};
use crate::tracker::Tracker;
use crate::watch::Watch;

/// The newest format that is read, and the one that is written.
const VERSION: u16 = 1;
const KIND: &str = "watch";

#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(bytes = "vec", tag = "1")]
    detector: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    tracker: Option<Tracker>,
    /// JSON, each open.
    #[prost(bytes = "vec", repeated, tag = "3")]
    open: Vec<Vec<u8>>,
    /// JSON.
    #[prost(bytes = "vec", optional, tag = "4")]
    ended: Option<Vec<u8>>,
    #[prost(double, tag = "5")]
    period: f64,
    #[prost(int64, optional, tag = "6")]
    last: Option<i64>,
    #[prost(uint32, tag = "7")]
    presence_rows: u32,
    #[prost(double, tag = "8")]
    presence_age: f64,
    #[prost(string, repeated, tag = "9")]
    churning: Vec<String>,
    #[prost(message, repeated, tag = "10")]
    recent: Vec<Recent>,
    /// The metrics of `recent`.
    #[prost(string, repeated, tag = "11")]
    metrics: Vec<String>,
}

/// The names of metrics, and which of them are counters, as detectors save them.
pub(crate) fn names_of(schema: &Schema) -> (Vec<String>, Vec<u32>) {
    let metrics = schema.metrics();
    let counters = metrics.iter().zip(0..).filter(|(metric, _)| metric.kind == MetricKind::Counter);
    (metrics.iter().map(|m| m.name.as_str().to_owned()).collect(), counters.map(|(_, i)| i).collect())
}

/// The schema that was saved by [`names_of`]. `kind` is whose state it is.
pub(crate) fn schema_of(
    names: &[String],
    counters: &[u32],
    kind: &'static str,
) -> Result<Arc<Schema>, DetectError> {
    let inconsistent = |e: SchemaError| DetectError::inconsistent(kind, e.to_string());
    let mut kinds = vec![MetricKind::Gauge; names.len()];
    for &i in counters {
        if let Some(kind) = kinds.get_mut(i as usize) {
            *kind = MetricKind::Counter;
        }
    }
    let metric =
        |(name, kind): (&String, MetricKind)| MetricName::new(name).map(|name| Metric::new(name, kind));
    let metrics = names.iter().zip(kinds).map(metric).collect::<Result<_, _>>().map_err(inconsistent)?;
    Schema::new(metrics).map_err(inconsistent)
}

fn read(json: &[u8]) -> Result<Anomaly, DetectError> {
    serde_json::from_slice(json)
        .map_err(|e| DetectError::inconsistent(KIND, format!("an anomaly can't be read: {e}")))
}

impl Watch {
    /// Everything that a restart must not lose, in an envelope of kind `watch`.
    pub fn save(&self) -> Vec<u8> {
        Envelope { kind: KIND, version: VERSION, payload: &self.saved().encode_to_vec() }.encode()
    }

    fn saved(&self) -> Saved {
        let json = |anomaly: &Anomaly| serde_json::to_vec(anomaly).unwrap_or_default();
        let (presence_rows, presence_age, churning) = self.presence.saved();
        Saved {
            detector: self.detector.save(),
            tracker: Some(self.tracker.clone()),
            open: self.open_anomalies().map(json).collect(),
            ended: self.ended.as_ref().map(json),
            period: self.period,
            last: self.last.map(Timestamp::nanos),
            presence_rows,
            presence_age,
            churning: churning.to_vec(),
            recent: self.attribution.saved(),
            metrics: names_of(self.schema()).0,
        }
    }

    /// What it has learnt and another component of the same kind may begin with, saved as by [`Watch::save`]: nothing of its anomalies.
    /// None while it is learning itself, or something is wrong.
    pub fn learnt(&self) -> Option<Vec<u8>> {
        if self.is_learning() || self.open_anomalies().next().is_some() {
            return None;
        }
        let saved = Saved { tracker: None, ended: None, last: None, ..self.saved() };
        Some(Envelope { kind: KIND, version: VERSION, payload: &saved.encode_to_vec() }.encode())
    }

    /// Begins with what another component of the same kind has [`learnt`](Self::learnt), in place of what it has learnt so far. Whether it
    /// did: who has learnt enough by now, or says that something is wrong, goes on as it is.
    ///
    /// # Errors
    /// When that can't be read, or is of another detector; it goes on as it is.
    pub fn begin_with(&mut self, learnt: &[u8]) -> Result<bool, DetectError> {
        if !self.is_learning() || self.open_anomalies().next().is_some() {
            return Ok(false);
        }
        let saved: Saved = open(learnt, KIND, VERSION)?;
        let mut begun = Self::new(self.component().clone(), self.settings.clone());
        let last = self.last.map(Timestamp::nanos);
        begun.take_over(Saved { open: Vec::new(), ended: None, tracker: None, last, ..saved })?;
        let schema = Arc::clone(self.schema());
        if !schema.is_empty() {
            begun.resize(&schema);
        }
        *self = begun;
        Ok(true)
    }

    /// Which detector saved state is of.
    ///
    /// # Errors
    /// When it can't be read, or is of a detector that this program doesn't have.
    pub fn detector_of(bytes: &[u8]) -> Result<DetectorKind, DetectError> {
        let saved: Saved = open(bytes, KIND, VERSION)?;
        Envelope::decode(&saved.detector)?.kind.parse()
    }

    /// Takes over saved state; open anomalies go on under their ids. On an error the watch is as it was.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        self.take_over(open(bytes, KIND, VERSION)?)
    }

    fn take_over(&mut self, saved: Saved) -> Result<(), DetectError> {
        let opened = saved.open.iter().map(|json| read(json)).collect::<Result<Vec<_>, _>>()?;
        let ended = saved.ended.as_deref().map(read).transpose()?;
        let period_is_sound = saved.period.is_finite() && saved.period > 0.0;
        let age_is_sound = saved.presence_age.is_finite() && saved.presence_age >= 0.0;
        if !period_is_sound || !age_is_sound {
            let reason =
                format!("a sampling period of {} s and {} s of presence", saved.period, saved.presence_age);
            return Err(DetectError::inconsistent(KIND, reason));
        }
        let whole = saved.recent.len() == saved.metrics.len();
        let Some(mut attribution) = Attribution::of(saved.recent).filter(|_| whole) else {
            let reason =
                "what it knows of the last hour is not about its metrics, or holds a number that can't be";
            return Err(DetectError::inconsistent(KIND, reason));
        };
        let schema = self.schema().clone();
        self.detector.restore(&saved.detector)?;
        let position = |name: &str| saved.metrics.iter().position(|saved| saved == name);
        let from: Vec<_> = schema.metrics().iter().map(|metric| position(metric.name.as_str())).collect();
        attribution.rearrange(&from);
        self.attribution = attribution;
        let of_kind = |kind| opened.iter().find(|a: &&Anomaly| a.kind == kind).cloned();
        self.deviation = of_kind(AnomalyKind::Deviation);
        self.vanished = of_kind(AnomalyKind::MetricAbsent);
        self.silence = of_kind(AnomalyKind::TargetAbsent);
        self.ended = ended;
        self.tracker = saved.tracker.unwrap_or_default();
        if self.tracker.is_open() != self.deviation.is_some() {
            self.tracker = Tracker::default();
            self.deviation = None;
        }
        let absent = self.vanished.as_ref().map_or(&[][..], |a| &a.metrics);
        self.presence.restore(saved.presence_rows, saved.presence_age, saved.churning, absent);
        if !schema.is_empty() {
            self.presence.resize(&schema, self.settings.warm_up.as_secs_f64());
        }
        self.find_named();
        self.reported = self
            .deviation
            .as_ref()
            .map_or((0.0, Timestamp::default()), |anomaly| (anomaly.peak.get(), anomaly.last_seen));
        self.period = saved.period;
        self.last = saved.last.map(Timestamp::from_nanos);
        self.resumed = true;
        Ok(())
    }

    /// Adds what the detectors of other watches learnt; anomalies are not taken over. On an error nothing has changed.
    pub fn merge(&mut self, others: &[impl AsRef<[u8]>]) -> Result<(), DetectError> {
        let others = others.iter().map(|bytes| open::<Saved>(bytes.as_ref(), KIND, VERSION));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        self.detector.merge_all(&others.iter().map(|saved| saved.detector.as_slice()).collect::<Vec<_>>())
    }
}
