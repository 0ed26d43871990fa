//! How the detector is saved, restored and merged.

use std::sync::Arc;

use larnax_core::model_store::Envelope;
use larnax_core::{Schema, Timestamp};

use super::Birch;
use super::flat::Clusters;
use crate::bands::{Band, LARGEST, within};
use crate::detector::{DetectError, open};
use crate::state::{names_of, schema_of};
use crate::threshold::Threshold;

/// The newest format that is read, and the one that is written.
const VERSION: u16 = 1;
const KIND: &str = "birch";
/// No mean or variance of residuals is larger: each is at most 8.
const MOST: f32 = 1e6;

/// Everything learnt.
#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    bands: Vec<Band>,
    #[prost(message, optional, tag = "3")]
    threshold: Option<Threshold>,
    #[prost(double, tag = "4")]
    seen: f64,
    #[prost(double, tag = "5")]
    age: f64,
    #[prost(int64, optional, tag = "6")]
    last_row: Option<i64>,
    #[prost(int64, optional, tag = "7")]
    last_learnt: Option<i64>,
    #[prost(float, repeated, tag = "8")]
    pooled: Vec<f32>,
    #[prost(message, repeated, tag = "9")]
    clusters: Vec<Cluster>,
    /// Positions, in `names`, of counters.
    #[prost(uint32, repeated, tag = "10")]
    counters: Vec<u32>,
    #[prost(double, tag = "11")]
    cluster_limit: f64,
}

/// One entry.
#[derive(Clone, PartialEq, prost::Message)]
struct Cluster {
    #[prost(double, tag = "1")]
    mass: f64,
    #[prost(float, repeated, tag = "2")]
    mean: Vec<f32>,
    #[prost(float, repeated, tag = "3")]
    var: Vec<f32>,
}

fn inconsistent(reason: impl Into<String>) -> DetectError {
    DetectError::inconsistent(KIND, reason)
}

impl Saved {
    /// Checks everything that later code relies on.
    fn check(&self) -> Result<Arc<Schema>, DetectError> {
        let width = self.names.len();
        if self.bands.len() != width || self.pooled.len() != width {
            return Err(inconsistent(format!(
                "{width} metrics, {} bands and {} variances: expected the same number of each",
                self.bands.len(),
                self.pooled.len()
            )));
        }
        let schema = schema_of(&self.names, &self.counters, KIND)?;
        let sound = |xs: &[f32]| xs.iter().all(|x| x.abs() <= MOST);
        if let Some(i) = self.bands.iter().position(|band| !band.is_sound()) {
            return Err(inconsistent(format!(
                "the band of `{}` holds a number that can't be",
                self.names[i]
            )));
        }
        let whole = |c: &Cluster| {
            c.mean.len() == width
                && c.var.len() == width
                && c.mass > 0.0
                && c.mass <= LARGEST
                && sound(&c.mean)
                && sound(&c.var)
                && c.var.iter().all(|&v| v >= 0.0)
        };
        let scalars = [self.seen, self.age, self.cluster_limit];
        if !self.clusters.iter().all(whole)
            || !sound(&self.pooled)
            || !self.threshold.as_ref().is_none_or(Threshold::is_sound)
            || !within(&scalars, LARGEST)
            || scalars.iter().any(|x| *x < 0.0)
        {
            return Err(inconsistent("a cluster or the threshold holds a number that can't be"));
        }
        Ok(schema)
    }
}

impl Birch {
    pub(super) fn encode(&self) -> Vec<u8> {
        use prost::Message as _;
        let (names, counters) = self.schema.as_deref().map(names_of).unwrap_or_default();
        let saved = Saved {
            names,
            counters,
            bands: self.bands.clone(),
            threshold: Some(self.threshold.clone()),
            seen: self.seen,
            age: self.age,
            last_row: self.last_row.map(Timestamp::nanos),
            last_learnt: self.last_learnt.map(Timestamp::nanos),
            pooled: self.pooled.clone(),
            clusters: (0..self.clusters.len())
                .map(|i| {
                    let (mass, mean, var) = self.clusters.entry(i);
                    Cluster { mass, mean: mean.to_vec(), var: var.to_vec() }
                })
                .collect(),
            cluster_limit: self.clusters.limit(),
        };
        Envelope { kind: KIND, version: VERSION, payload: &saved.encode_to_vec() }.encode()
    }

    /// A detector with this one's settings and the saved knowledge.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<(Self, Arc<Schema>), DetectError> {
        let saved: Saved = open(bytes, KIND, VERSION)?;
        let schema = saved.check()?;
        let mut birch = Self::new(self.warm_up, self.memory);
        birch.tuning = self.tuning;
        birch.clusters = Clusters::new(schema.len());
        birch.clusters.set_limit(saved.cluster_limit);
        for cluster in &saved.clusters {
            birch.clusters.insert_entry(cluster.mass, &cluster.mean, &cluster.var);
        }
        birch.moving = saved.bands.iter().filter(|band| band.moves()).count().max(1) as f64;
        birch.judged.resize(schema.len(), Default::default());
        birch.joint.resize(schema.len(), 0.0);
        birch.bands = saved.bands;
        birch.pooled = saved.pooled;
        birch.threshold = saved.threshold.unwrap_or_default();
        birch.threshold.become_kind(self.threshold.kind());
        (birch.seen, birch.age) = (saved.seen, saved.age);
        birch.last_row = saved.last_row.map(Timestamp::from_nanos);
        birch.last_learnt = saved.last_learnt.map(Timestamp::from_nanos);
        Ok((birch, schema))
    }

    /// Adds what another one learnt: bands by name; clusters, where a series is unknown to one side, at 0 in it.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        let (other, schema) = self.decode(bytes)?;
        let Some(mine) = self.schema.clone() else {
            (*self, self.schema) = (other, Some(schema));
            return Ok(());
        };
        let from: Vec<Option<usize>> =
            mine.metrics().iter().map(|metric| schema.position(metric.name.as_str())).collect();
        if from.iter().all(Option::is_none) {
            return Err(DetectError::NothingInCommon);
        }
        for (band, at) in self.bands.iter_mut().zip(&from) {
            if let Some(theirs) = at.and_then(|at| other.bands.get(at)) {
                band.merge(theirs);
            }
        }
        for i in 0..other.clusters.len() {
            let (mass, mean, var) = other.clusters.entry(i);
            self.clusters.insert_entry(
                mass,
                &super::project(&from, mean, 0.0),
                &super::project(&from, var, 0.0),
            );
        }
        for (mine, theirs) in self.pooled.iter_mut().zip(super::project(&from, &other.pooled, 1.0)) {
            *mine = mine.max(theirs);
        }
        self.threshold.merge(&other.threshold);
        self.seen += other.seen;
        self.age += other.age;
        self.last_learnt = self.last_learnt.max(other.last_learnt);
        self.last_row = self.last_row.max(other.last_row);
        self.scored = None;
        Ok(())
    }
}
