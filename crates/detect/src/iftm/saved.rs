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
    /// Whether the series know how far they shift: not in what was saved before 2026-11-22.
    #[prost(bool, tag = "10")]
    knows_shifts: bool,
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
            knows_shifts: true,
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
        if !saved.knows_shifts {
            // As far as single values, until that is learnt.
            iftm.series.iter_mut().for_each(|series| series.shift_square = 1.0);
        }
        iftm.threshold = threshold;
        iftm.threshold.become_kind(self.threshold.kind());
        (iftm.seen, iftm.age) = (saved.seen, saved.age);
        iftm.last_row = saved.last_row.map(Timestamp::from_nanos);
        iftm.last_learnt = saved.last_learnt.map(Timestamp::from_nanos);
        iftm.make_room();
        Ok(iftm)
    }

    /// Adds what others learnt, by name. Before the first schema it becomes the first of them.
    pub(super) fn take_in(&mut self, others: &[&[u8]]) -> Result<(), DetectError> {
        let mut others = others.iter().map(|bytes| self.decode(bytes)).collect::<Result<Vec<_>, _>>()?;
        if self.schema.is_none() {
            if others.is_empty() {
                return Ok(());
            }
            let mut merged = others.remove(0);
            merged.identity.gap();
            merged.add(others)?;
            *self = merged;
            return Ok(());
        }
        self.pass();
        let mut merged = self.decode(&self.encode())?;
        merged.schema = self.schema.clone();
        merged.bounds.clone_from(&self.bounds);
        merged.add(others)?;
        *self = merged;
        Ok(())
    }

    /// The same, decoded; on an error nothing is as it was. All identity functions are first rewritten to how the metrics
    /// are normalised afterwards, so that what they know adds up.
    fn add(&mut self, mut others: Vec<Self>) -> Result<(), DetectError> {
        let mine = self.schema.clone().unwrap_or_default();
        for other in &mut others {
            let theirs = other.schema.clone().unwrap_or_default();
            if !mine.metrics().iter().any(|metric| theirs.position(metric.name.as_str()).is_some()) {
                return Err(DetectError::NothingInCommon);
            }
            other.resize(&mine);
        }
        let k0 = self.width.at(self.tuning.tail, self.moving);
        for (i, (series, bounds)) in self.series.iter_mut().zip(&self.bounds).enumerate() {
            let before = series.clone();
            others.iter().filter_map(|other| other.series.get(i)).for_each(|theirs| series.merge(theirs));
            let scale = series.scale(bounds, k0);
            let reframe = |identity: &mut I, old: &Series| {
                if old.shown() {
                    identity.reframe(i, old.scale(bounds, k0) / scale, (old.mean - series.mean) / scale);
                }
            };
            reframe(&mut self.identity, &before);
            for other in &mut others {
                if let Some(old) = other.series.get(i) {
                    reframe(&mut other.identity, old);
                }
            }
        }
        self.identity.merge_all(others.iter().map(|other| other.identity.save()).collect())?;
        for other in &others {
            self.threshold.merge(&other.threshold);
            self.seen += other.seen;
            self.age += other.age;
            self.last_learnt = self.last_learnt.max(other.last_learnt);
            self.last_row = self.last_row.max(other.last_row);
        }
        self.make_room();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use larnax_core::{Metric, MetricKind, MetricName, Row, Verdict};

    use super::*;
    use crate::arima::Rls;

    #[test]
    fn state_that_knows_no_shifts_flags_nothing_for_that() {
        let metric = Metric::new(MetricName::new("a").unwrap(), MetricKind::Gauge);
        let schema = Schema::new(vec![metric]).unwrap();
        let mut iftm = Iftm::<Rls>::new(150.0, 21_600.0);
        iftm.resize(&schema);
        let (mut verdict, mut seed) = (Verdict::default(), 1u64);
        let mut feed = |iftm: &mut Iftm<Rls>, t: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let values = [(seed >> 40) as f64];
            let row =
                Row { time: Timestamp::from_seconds(5.0 * f64::from(t)), values: &values, learnable: true };
            iftm.score(row, &mut verdict);
            iftm.learn(row, 1.0);
            verdict.score.is_anomalous()
        };
        for t in 0..500 {
            feed(&mut iftm, t);
        }
        let mut saved: Saved = open(&iftm.encode(), "arima", 1).unwrap();
        saved.knows_shifts = false;
        for series in &mut saved.series {
            (series.shift, series.shift_square, series.shift_record) = (0.0, 0.0, 0.0);
        }
        let older = Envelope { kind: "arima", version: 1, payload: &saved.encode_to_vec() }.encode();
        iftm.restore(&older).unwrap();
        assert_eq!((500..700).filter(|&t| feed(&mut iftm, t)).count(), 0);
    }
}
