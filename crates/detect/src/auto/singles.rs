//! Each metric by itself: its band ([`crate::bands`]), what its season leaves ([`super::rhythm`]) and what comes back daily
//! ([`super::returning`]).

use larnax_core::{Bounds, Metric, MetricVerdict, Row, Timestamp, Verdict};

use super::calibration::{Calibration, Form};
use super::returning::Returning;
use super::rhythm::{Moment, Rhythm, kept};
use crate::bands::{Band, Caution, Judged};
use crate::detector::Tuning;
use crate::row_context::{GIVEN_UP, RowContext, RowFacts, Width, is_value};

/// The largest deviation of a row. Its limit is the edge of the band, unless the bands of this component turn out to be
/// left now and then: of many metrics one is always about to do something new.
pub(super) const LARGEST: Form = Form {
    event_rows: 1.0,
    margins: (1.0, 1.0),
    least: 1.0,
    prior: (1.0, 1.0),
    // A bin below: at the limit itself, each would move it by a part of a bin.
    event_at: 0.84,
    over_usual: f64::INFINITY,
};
/// A deviation that lasts counts as one event in so many seconds. Bands learn nothing from what is outside them: without
/// this, one metric of forty that has found a new level would be anomalous for hours, where nobody calls it a fault.
const LASTING_EVENT: f64 = 600.0;

/// What is the same for all metrics of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Seconds since the row before.
    pub dt: f64,
    /// Memory of levels in seconds.
    pub memory: f64,
    /// Seconds after which a band is relied on.
    pub warm_up: f64,
    /// Period and tail.
    pub tuning: Tuning,
    /// Whether bands that are not yet relied on count: nothing is, so far.
    pub provisional: bool,
}

/// What the bands say of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judgement {
    /// Metrics that should be there, and those of them that are.
    pub expected: u32,
    pub observed: u32,
    /// The largest deviation in half-widths, and whose.
    pub single: f64,
    pub metric: Option<usize>,
}

/// A value of the row judged last, NaN where it is missing, and what was subtracted from it.
#[derive(Clone, Copy, Debug)]
struct Taken {
    raw: f64,
    offset: f64,
}

/// One band per metric.
#[derive(Debug)]
pub(super) struct Singles {
    pub(super) bands: Vec<Band>,
    pub(super) rhythm: Rhythm,
    pub(super) returning: Returning,
    pub(super) last_learnt: Option<Timestamp>,
    /// Past deviations, the largest of each row.
    pub(super) calibration: Calibration,
    /// How many metrics move.
    moving: f64,
    // Of the row judged last:
    judged: Vec<Judged>,
    /// Empty where no days are kept.
    taken: Vec<Taken>,
    /// How many half-widths are allowed at this hour, at least 1; empty likewise.
    allowances: Vec<f64>,
    moment: Moment,
    largest: f64,
    row: RowContext,
    width: Width,
}

impl Singles {
    /// Of no metrics.
    pub(super) fn new() -> Self {
        Self {
            bands: Vec::new(),
            rhythm: Rhythm::new(0),
            returning: Returning::new(0),
            last_learnt: None,
            calibration: Calibration::new(),
            moving: 1.0,
            judged: Vec::new(),
            taken: Vec::new(),
            allowances: Vec::new(),
            moment: Moment::default(),
            largest: 0.0,
            row: RowContext::default(),
            width: Width::new(),
        }
    }

    /// Of metrics with these bands.
    pub(super) fn with(bands: Vec<Band>, calibration: Calibration, last_learnt: Option<Timestamp>) -> Self {
        let moving = bands.iter().filter(|band| band.moves()).count().max(1) as f64;
        let width = bands.len();
        Self {
            bands,
            rhythm: Rhythm::new(width),
            returning: Returning::new(kept(width)),
            calibration,
            last_learnt,
            moving,
            judged: vec![Judged::default(); width],
            taken: vec![Taken { raw: f64::NAN, offset: 0.0 }; kept(width)],
            allowances: vec![1.0; kept(width)],
            ..Self::new()
        }
    }

    fn context(&mut self, time: Timestamp, context: &Context) -> RowContext {
        let Context { dt, memory, warm_up, tuning: Tuning { period, tail }, .. } = *context;
        let since_learnt = self.last_learnt.map_or(period, |last| time.since(last));
        let k0 = self.width.at(tail, self.moving);
        RowContext::of(RowFacts { period, dt, since_learnt, memory, warm_up, k0, moving: self.moving })
    }

    /// Judges every metric of a row and writes its entry of the verdict.
    ///
    /// Hot: no allocation.
    pub(super) fn judge(
        &mut self,
        metrics: &[Metric],
        row: Row<'_>,
        verdict: &mut Verdict,
        context: &Context,
    ) -> Judgement {
        self.row = self.context(row.time, context);
        self.moment = Moment::of(row.time.seconds());
        self.returning.allow(row.time.seconds(), &mut self.allowances);
        let mut caution = Caution::at(0.0, &self.row);
        let mut judgement = Judgement::default();
        let slots = self.judged.iter_mut().zip(&mut verdict.metrics);
        for (i, (((band, metric), &x), (judged, out))) in
            self.bands.iter_mut().zip(metrics).zip(row.values).zip(slots).enumerate()
        {
            *judged = Judged::default();
            let known = band.seen > 0.0 && band.missing < GIVEN_UP;
            judgement.expected += u32::from(known);
            let offset = self.rhythm.offset(i, &self.moment);
            if let Some(taken) = self.taken.get_mut(i) {
                *taken = Taken { raw: x, offset };
            }
            if !is_value(x) {
                band.missing += self.row.dt;
                if band.shown() {
                    out.expected = offset + if band.wanders() { band.local } else { band.mean };
                }
                continue;
            }
            judgement.observed += u32::from(known);
            if !band.shown() {
                continue;
            }
            *judged = band.judge(x - offset, &without(offset, &metric.bounds), &self.row, &mut caution);
            let mut half_width = judged.half_width;
            if let Some(&allowance) = self.allowances.get(i).filter(|_| !metric.bounds.excludes(x)) {
                judged.deviation /= allowance;
                half_width *= allowance;
            }
            let expected = judged.expected + offset;
            *out = MetricVerdict {
                expected,
                lower: expected - half_width,
                upper: expected + half_width,
                deviation: judged.deviation,
            };
            let counts = context.provisional || band.ready(context.warm_up);
            if counts && judged.deviation.abs() > judgement.single {
                (judgement.single, judgement.metric) = (judged.deviation.abs(), Some(i));
            }
        }
        self.largest = judgement.single;
        judgement
    }

    /// Learns the row that was judged last; with weight 0 only surprises are noted.
    ///
    /// Hot: no allocation.
    pub(super) fn learn(&mut self, row: Row<'_>, weight: f64, ready: bool) {
        let mut moving = 0u32;
        self.returning.pass(row.time);
        for (i, ((band, &x), judged)) in self.bands.iter_mut().zip(row.values).zip(&self.judged).enumerate() {
            if is_value(x) {
                let taken = self.taken.get(i).copied().unwrap_or(Taken { raw: x, offset: 0.0 });
                let allowance = self.allowances.get(i).copied().unwrap_or(1.0);
                if weight > 0.0 {
                    // What is allowed at this hour must not widen the band of all others.
                    let weight = weight / allowance;
                    band.learn_without_season(x, x - taken.offset, judged, weight, &self.row);
                } else {
                    band.suspect(judged);
                }
                if ready {
                    self.returning.note(i, judged.deviation * allowance);
                }
            }
            moving += u32::from(band.moves());
        }
        match (ready, weight > 0.0) {
            (true, true) => self.calibration.learn(self.largest, self.row.dt, self.row.fade),
            (true, false) => {
                self.calibration.suspect(self.largest);
                self.calibration.count(self.largest, (self.row.dt / LASTING_EVENT).min(1.0));
            }
            (false, _) => {}
        }
        if weight > 0.0 {
            self.moving = f64::from(moving.max(1));
            self.last_learnt = Some(row.time);
            self.rhythm.learn(row, weight, self.row.dt);
        }
    }

    /// The stretch of flagged rows is over.
    pub(super) fn settle(&mut self, was_anomaly: bool, tail: f64) {
        self.calibration.settle(was_anomaly, tail, &LARGEST);
        for (i, (band, judged)) in self.bands.iter_mut().zip(&self.judged).enumerate() {
            band.settle(was_anomaly);
            if was_anomaly && judged.deviation.abs() > 1.0 {
                band.reseat(self.taken.get(i).map_or(judged.value, |taken| taken.raw), judged.value);
            }
        }
    }

    /// There are no samples for a while.
    pub(super) fn gap(&mut self) {
        self.bands.iter_mut().for_each(Band::gap);
    }

    /// What is there now is normal.
    pub(super) fn adopt(&mut self) {
        self.bands.iter_mut().for_each(Band::adopt);
        for (i, taken) in self.taken.iter().enumerate().filter(|(_, taken)| is_value(taken.raw)) {
            self.rhythm.adopt(i, taken.raw, &self.moment);
        }
        self.last_learnt = None;
    }

    /// Takes other metrics: `from[i]` is where metric i stood.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        let bands =
            from.iter().map(|at| at.and_then(|at| self.bands.get(at)).cloned().unwrap_or_default()).collect();
        let kept = if kept(from.len()) > 0 { from } else { &[] };
        let (rhythm, returning) = (self.rhythm.rearranged(from), self.returning.rearranged(kept));
        *self = Self::with(bands, self.calibration.clone(), self.last_learnt);
        (self.rhythm, self.returning) = (rhythm, returning);
    }

    /// Bytes held besides itself.
    pub(super) fn bytes(&self) -> usize {
        self.bands.capacity() * size_of::<Band>()
            + self.judged.capacity() * size_of::<Judged>()
            + self.taken.capacity() * size_of::<Taken>()
            + self.allowances.capacity() * size_of::<f64>()
            + self.rhythm.bytes()
            + self.returning.bytes()
            + self.calibration.bytes()
    }
}

/// Bounds of what is left when `offset` is subtracted.
fn without(offset: f64, bounds: &Bounds) -> Bounds {
    Bounds { lowest: bounds.lowest - offset, highest: bounds.highest - offset, ..*bounds }
}
