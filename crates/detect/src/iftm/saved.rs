//! How the detector is saved, restored and merged.
//!
//! The envelope carries the version of the identity function: what stands here may only gain fields.

use std::sync::Arc;

use larnax_core::model_store::Envelope;
use larnax_core::{Schema, Timestamp};
use prost::Message as _;

use super::Iftm;
use super::series::Series;
use crate::detector::{DetectError, Detector as _, open};
use crate::identity::Identity;
use crate::state::{names_of, schema_of};
use crate::threshold::Threshold;

/// Everything learnt.
#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    /// Positions, in `names`, of counters.
    #[prost(uint32, repeated, tag = "2")]
    counters: Vec<u32>,
    #[prost(message, repeated, tag = "3")]
    series: Vec<Series>,
    #[prost(message, optional, tag = "4")]
    threshold: Option<Threshold>,
    #[prost(double, tag = "5")]
    seen: f64,
    #[prost(double, tag = "6")]
    age: f64,
    #[prost(int64, optional, tag = "7")]
    last_row: Option<i64>,
    #[prost(int64, optional, tag = "8")]
    last_learnt: Option<i64>,
    /// The identity function, as it saves itself.
    #[prost(bytes = "vec", tag = "9")]
    identity: Vec<u8>,
}

fn inconsistent<I: Identity>(reason: impl Into<String>) -> DetectError {
    DetectError::inconsistent(I::KIND.as_str(), reason)
}

impl Saved {
    fn schema<I: Identity>(&self) -> Result<Arc<Schema>, DetectError> {
        let width = self.names.len();
        if self.series.len() != width {
            let found = self.series.len();
            return Err(inconsistent::<I>(format!(
                "{width} metrics and {found} series: expected as many of each"
            )));
        }
        if let Some(i) = self.series.iter().position(|series| !series.is_sound()) {
            let name = &self.names[i];
            return Err(inconsistent::<I>(format!("the series of `{name}` holds a number that can't be")));
        }
        if [self.seen, self.age].iter().any(|x| !x.is_finite() || *x < 0.0) {
            return Err(inconsistent::<I>("rows learnt are not a number"));
        }
        schema_of(&self.names, &self.counters, I::KIND.as_str())
    }
}

impl<I: Identity> Iftm<I> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (names, counters) = self.schema.as_deref().map(names_of).unwrap_or_default();
        let saved = Saved {
            names,
            counters,
            series: self.series.clone(),
            threshold: Some(self.threshold.clone()),
            seen: self.seen,
            age: self.age,
            last_row: self.last_row.map(Timestamp::nanos),
            last_learnt: self.last_learnt.map(Timestamp::nanos),
            identity: self.identity.save().encode_to_vec(),
        };
        Envelope { kind: I::KIND.as_str(), version: I::VERSION, payload: &saved.encode_to_vec() }.encode()
    }

    /// A detector with this one's settings and the saved knowledge.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Self, DetectError> {
        let saved: Saved = open(bytes, I::KIND.as_str(), I::VERSION)?;
        let schema = saved.schema::<I>()?;
        let identity = I::Saved::decode(&saved.identity[..]).map_err(|e| inconsistent::<I>(e.to_string()))?;
        let threshold = Some(saved.threshold.unwrap_or_default())
            .filter(Threshold::is_sound)
            .ok_or_else(|| inconsistent::<I>("the threshold holds a number that can't be"))?;
        let mut iftm = Self::new(self.warm_up, self.memory);
        iftm.tuning = self.tuning;
        iftm.resize(&schema);
        iftm.identity.restore(identity)?;
        iftm.series = saved.series;
        iftm.threshold = threshold;
        iftm.threshold.become_kind(self.threshold.kind());
        (iftm.seen, iftm.age) = (saved.seen, saved.age);
        iftm.last_row = saved.last_row.map(Timestamp::from_nanos);
        iftm.last_learnt = saved.last_learnt.map(Timestamp::from_nanos);
        iftm.make_room();
        Ok(iftm)
    }

    /// Adds what another one learnt, by name. Both identity functions are first rewritten to how the metrics are normalised
    /// afterwards, so that what they know adds up.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        let mut other = self.decode(bytes)?;
        let Some(mine) = self.schema.clone() else {
            other.identity.gap();
            *self = other;
            return Ok(());
        };
        let theirs = other.schema.clone().unwrap_or_default();
        if !mine.metrics().iter().any(|metric| theirs.position(metric.name.as_str()).is_some()) {
            return Err(DetectError::NothingInCommon);
        }
        other.resize(&mine);
        self.pass();
        let k0 = self.width.at(self.tuning.tail, self.moving);
        let mut merged = self.series.clone();
        for (i, (series, theirs)) in merged.iter_mut().zip(&other.series).enumerate() {
            series.merge(theirs);
            let bounds = &self.bounds[i];
            let scale = series.scale(bounds, k0);
            for (old, identity) in [(&self.series[i], &mut self.identity), (theirs, &mut other.identity)] {
                if old.shown() {
                    identity.reframe(i, old.scale(bounds, k0) / scale, (old.mean - series.mean) / scale);
                }
            }
        }
        self.identity.merge(other.identity.save())?;
        self.series = merged;
        self.threshold.merge(&other.threshold);
        self.seen += other.seen;
        self.age += other.age;
        self.last_learnt = self.last_learnt.max(other.last_learnt);
        self.last_row = self.last_row.max(other.last_row);
        self.make_room();
        Ok(())
    }
}
