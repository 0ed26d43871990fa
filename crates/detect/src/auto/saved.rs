//! How the detector is saved, restored and merged.

use std::sync::Arc;

use larnax_core::model_store::Envelope;
use larnax_core::{Metric, Schema, Timestamp};

use super::Auto;
use super::calibration::Calibration;
use super::cost::CostPlan;
use super::few::Few;
use super::motion::Motion;
use super::multivariate::Together;
use super::peers::Peers;
use super::returning::Returning;
use super::rhythm::{Rhythm, kept};
use super::singles::Singles;
use super::univariate::{Learnt, Series};
use crate::bands::Band;
use crate::detector::{DetectError, Detector as _, open};
use crate::state::{names_of, schema_of};

/// The newest format that is read, and the one that is written.
const VERSION: u16 = 1;
const KIND: &str = "auto";

/// Everything learnt.
#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    /// Positions, in `names`, of counters.
    #[prost(uint32, repeated, tag = "2")]
    counters: Vec<u32>,
    #[prost(message, repeated, tag = "3")]
    bands: Vec<Band>,
    #[prost(message, repeated, tag = "4")]
    motions: Vec<Motion>,
    #[prost(message, optional, tag = "5")]
    calibration: Option<Calibration>,
    #[prost(float, repeated, tag = "6")]
    covariance: Vec<f32>,
    #[prost(float, repeated, tag = "7")]
    inverse: Vec<f32>,
    #[prost(float, repeated, tag = "8")]
    work: Vec<f32>,
    #[prost(uint64, tag = "9")]
    done: u64,
    #[prost(double, tag = "10")]
    rows: f64,
    #[prost(double, tag = "11")]
    compared: f64,
    #[prost(double, repeated, tag = "12")]
    peaks: Vec<f64>,
    #[prost(bool, tag = "13")]
    fresh: bool,
    #[prost(double, tag = "14")]
    moving: f64,
    #[prost(double, tag = "15")]
    seen: f64,
    #[prost(double, tag = "16")]
    age: f64,
    #[prost(int64, optional, tag = "17")]
    last_row: Option<i64>,
    #[prost(int64, optional, tag = "18")]
    last_learnt: Option<i64>,
    #[prost(int64, optional, tag = "19")]
    last_onset: Option<i64>,
    #[prost(message, optional, tag = "20")]
    largest: Option<Calibration>,
    /// One per metric where there are few; none where there are many.
    #[prost(message, repeated, tag = "21")]
    few: Vec<Learnt>,
    #[prost(message, optional, tag = "22")]
    rhythm: Option<Rhythm>,
    /// What comes back of each metric.
    #[prost(message, optional, tag = "23")]
    returning: Option<Returning>,
}

fn inconsistent(reason: impl Into<String>) -> DetectError {
    DetectError::inconsistent(KIND, reason)
}

impl Saved {
    /// The schema, after a check of everything that stands once per metric.
    fn schema(&self) -> Result<Arc<Schema>, DetectError> {
        let width = self.names.len();
        if self.bands.len() != width || self.motions.len() != width {
            return Err(inconsistent(format!(
                "{width} metrics, {} bands and {} motions: expected the same number of each",
                self.bands.len(),
                self.motions.len()
            )));
        }
        let unsound = (0..width).find(|&i| !self.bands[i].is_sound() || !self.motions[i].is_sound());
        if let Some(i) = unsound {
            return Err(inconsistent(format!(
                "what is known of `{}` holds a number that can't be",
                self.names[i]
            )));
        }
        schema_of(&self.names, &self.counters, KIND)
    }
}

impl Auto {
    pub(super) fn encode(&self) -> Vec<u8> {
        use prost::Message as _;
        let together = &self.together;
        let (covariance, inverse, work, done) = together.peers.parts();
        let (names, counters) = names_of(&self.schema);
        let saved = Saved {
            names,
            counters,
            bands: self.singles.bands.clone(),
            motions: together.motions.clone(),
            calibration: Some(together.calibration.clone()),
            covariance: covariance.to_vec(),
            inverse: inverse.to_vec(),
            work: work.to_vec(),
            done,
            rows: together.rows,
            compared: together.compared,
            peaks: together.peaks.to_vec(),
            fresh: together.fresh,
            moving: together.moving,
            seen: self.seen,
            age: self.age,
            last_row: self.last_row.map(Timestamp::nanos),
            last_learnt: self.singles.last_learnt.map(Timestamp::nanos),
            last_onset: self.last_onset.map(Timestamp::nanos),
            largest: Some(self.singles.calibration.clone()),
            few: self.few.0.iter().map(|series| series.learnt().clone()).collect(),
            rhythm: Some(self.singles.rhythm.clone()),
            returning: Some(self.singles.returning.clone()),
        };
        Envelope { kind: KIND, version: VERSION, payload: &saved.encode_to_vec() }.encode()
    }

    /// A detector with this one's settings and the saved knowledge.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Self, DetectError> {
        let saved: Saved = open(bytes, KIND, VERSION)?;
        let schema = saved.schema()?;
        let width = schema.len();
        let peers = Peers::from_parts(width, saved.covariance, saved.inverse, saved.work, saved.done)
            .ok_or_else(|| inconsistent("the covariances hold a number that can't be"))?;
        let calibration = saved.calibration.unwrap_or_default();
        let largest = saved.largest.unwrap_or_default();
        let peaks: Option<[f64; 4]> = saved.peaks.try_into().ok();
        let sound = |x: &f64| x.is_finite() && *x >= 0.0;
        let scalars = [saved.rows, saved.compared, saved.moving, saved.seen, saved.age];
        let peaks = peaks
            .filter(|peaks| {
                calibration.is_sound() && largest.is_sound() && peaks.iter().chain(&scalars).all(sound)
            })
            .ok_or_else(|| inconsistent("the joint error holds a number that can't be"))?;
        let few: Option<Vec<Series>> = saved.few.into_iter().map(Series::restore).collect();
        let few = few
            .filter(|few| few.is_empty() || few.len() == width)
            .ok_or_else(|| inconsistent("what is known of one series holds a number that can't be"))?;
        let rhythm = saved.rhythm.unwrap_or_else(|| Rhythm::new(width));
        let returning = saved.returning.unwrap_or_else(|| Returning::new(kept(width)));
        if !rhythm.is_sound(width) || !returning.is_sound(kept(width)) {
            return Err(inconsistent("what is known of hours holds a number that can't be"));
        }
        let mut singles = Singles::with(saved.bands, largest, saved.last_learnt.map(Timestamp::from_nanos));
        (singles.rhythm, singles.returning) = (rhythm, returning);
        let mut together = Together::new(width);
        together.wanted = peers.is_usual();
        (together.motions, together.peers, together.calibration) = (saved.motions, peers, calibration);
        (together.rows, together.compared) = (saved.rows, saved.compared);
        (together.peaks, together.fresh) = (peaks, saved.fresh);
        together.moving = saved.moving.max(1.0);
        together.compare(self.budget.is_none_or(|budget| CostPlan::new(width, budget).peers));
        Ok(Self {
            budget: self.budget,
            tuning: self.tuning,
            schema,
            sized: true,
            together,
            singles,
            few: Few(few),
            seen: saved.seen,
            age: saved.age,
            last_row: saved.last_row.map(Timestamp::from_nanos),
            last_onset: saved.last_onset.map(Timestamp::from_nanos),
            ..Self::new(self.warm_up, self.memory)
        })
    }

    /// Adds what another one learnt, metric by metric and pair by pair.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> Result<(), DetectError> {
        let mut other = self.decode(bytes)?;
        if !self.sized {
            *self = other;
            return Ok(());
        }
        let known = |metric: &Metric| other.schema.position(metric.name.as_str()).is_some();
        if !self.schema.metrics().iter().any(known) {
            return Err(DetectError::NothingInCommon);
        }
        other.resize(&self.schema);
        for (mine, theirs) in self.singles.bands.iter_mut().zip(&other.singles.bands) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.few.0.iter_mut().zip(&other.few.0) {
            mine.merge(theirs);
        }
        self.singles.calibration.merge(&other.singles.calibration);
        self.singles.rhythm.merge(&other.singles.rhythm);
        self.singles.returning.merge(&other.singles.returning);
        self.together.merge(&other.together);
        self.seen += other.seen;
        self.age += other.age;
        self.singles.last_learnt = self.singles.last_learnt.max(other.singles.last_learnt);
        self.last_row = self.last_row.max(other.last_row);
        self.last_onset = self.last_onset.max(other.last_onset);
        self.scored = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use larnax_core::{MetricKind, MetricName, Row, Verdict};

    fn taught() -> Auto {
        let metric = |i: usize| Metric::new(MetricName::new(&format!("m{i}")).unwrap(), MetricKind::Gauge);
        let mut auto = Auto::new(150.0, 21_600.0);
        auto.resize(&Schema::new((0..5).map(metric).collect()).unwrap());
        let mut verdict = Verdict::default();
        for t in 0..100 {
            let values = [0.0, 1.0, 2.0, 3.0, 4.0].map(|x| x + f64::from(t % 7));
            let row = Row { time: Timestamp::from_seconds(f64::from(t)), values: &values, learnable: true };
            auto.score(row, &mut verdict);
            auto.learn(row, 1.0);
        }
        auto
    }

    /// A restart with state that differs.
    fn restarted(change: impl Fn(&mut Saved)) -> Result<Auto, DetectError> {
        let mut saved: Saved = open(&taught().save(), KIND, VERSION)?;
        change(&mut saved);
        let mut auto = Auto::new(150.0, 21_600.0);
        auto.restore(&Envelope { kind: KIND, version: VERSION, payload: &saved.encode_to_vec() }.encode())?;
        Ok(auto)
    }

    #[test]
    fn state_from_before_hours_were_kept_is_restored_without_them() {
        let auto = restarted(|saved| {
            (saved.rhythm, saved.returning) = (None, None);
        });
        let auto = auto.unwrap();
        assert_eq!(auto.singles.rhythm, Rhythm::new(5));
        assert_eq!(auto.singles.bands, taught().singles.bands);
    }

    #[test]
    fn hours_of_other_metrics_are_refused() {
        assert!(restarted(|saved| saved.rhythm = Some(Rhythm::new(6))).is_err());
        assert!(restarted(|saved| saved.returning = Some(Returning::new(6))).is_err());
        assert!(restarted(|_| {}).is_ok_and(|auto| auto.save() == taught().save()));
    }
}
