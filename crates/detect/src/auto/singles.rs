//! Each metric by itself: its band ([`crate::bands`]).

use larnax_core::{Metric, MetricVerdict, Row, Timestamp, Verdict};

use super::calibration::{Calibration, Form};
use crate::bands::{Band, Caution, Judged};
use crate::detector::Tuning;
use crate::row_context::{GIVEN_UP, RowContext, RowFacts, Width, is_value};

/// The largest deviation of a row. Its limit is the edge of the band, unless the bands of this component turn out to be
/// left now and then: of many metrics one is always about to do something new.
pub(super) const LARGEST: Form =
    Form { event_rows: 1.0, margins: (1.0, 1.0), least: 1.0, prior: (1.0, 1.0), over_usual: f64::INFINITY };
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

/// One band per metric.
#[derive(Debug)]
pub(super) struct Singles {
    pub(super) bands: Vec<Band>,
    pub(super) last_learnt: Option<Timestamp>,
    /// Past deviations, the largest of each row.
    pub(super) calibration: Calibration,
    /// How many metrics move.
    moving: f64,
    // Of the row judged last:
    judged: Vec<Judged>,
    largest: f64,
    row: RowContext,
    width: Width,
}

impl Singles {
    /// Of no metrics.
    pub(super) fn new() -> Self {
        Self {
            bands: Vec::new(),
            last_learnt: None,
            calibration: Calibration::new(),
            moving: 1.0,
            judged: Vec::new(),
            largest: 0.0,
            row: RowContext::default(),
            width: Width::new(),
        }
    }

    /// Of metrics with these bands.
    pub(super) fn with(bands: Vec<Band>, calibration: Calibration, last_learnt: Option<Timestamp>) -> Self {
        let moving = bands.iter().filter(|band| band.moves()).count().max(1) as f64;
        let judged = vec![Judged::default(); bands.len()];
        Self { bands, calibration, last_learnt, moving, judged, ..Self::new() }
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
        let mut caution = Caution::at(0.0, &self.row);
        let mut judgement = Judgement::default();
        let slots = self.judged.iter_mut().zip(&mut verdict.metrics);
        for (i, (((band, metric), &x), (judged, out))) in
            self.bands.iter_mut().zip(metrics).zip(row.values).zip(slots).enumerate()
        {
            *judged = Judged::default();
            let known = band.seen > 0.0 && band.missing < GIVEN_UP;
            judgement.expected += u32::from(known);
            if !is_value(x) {
                band.missing += self.row.dt;
                if band.shown() {
                    out.expected = if band.wanders() { band.local } else { band.mean };
                }
                continue;
            }
            judgement.observed += u32::from(known);
            if !band.shown() {
                continue;
            }
            *judged = band.judge(x, &metric.bounds, &self.row, &mut caution);
            *out = MetricVerdict {
                expected: judged.expected,
                lower: judged.expected - judged.half_width,
                upper: judged.expected + judged.half_width,
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
        for ((band, &x), judged) in self.bands.iter_mut().zip(row.values).zip(&self.judged) {
            if is_value(x) {
                if weight > 0.0 {
                    band.learn(x, judged, weight, &self.row);
                } else {
                    band.suspect(judged);
                }
            }
            moving += u32::from(band.moves());
        }
        match (ready, weight > 0.0) {
            (true, true) => self.calibration.learn(self.largest, 1.0, self.row.dt, self.row.fade),
            (true, false) => {
                self.calibration.suspect(self.largest);
                self.calibration.count(self.largest, (self.row.dt / LASTING_EVENT).min(1.0));
            }
            (false, _) => {}
        }
        if weight > 0.0 {
            self.moving = f64::from(moving.max(1));
            self.last_learnt = Some(row.time);
        }
    }

    /// The stretch of flagged rows is over.
    pub(super) fn settle(&mut self, was_anomaly: bool, tail: f64) {
        self.calibration.settle(was_anomaly, tail, &LARGEST);
        for (band, judged) in self.bands.iter_mut().zip(&self.judged) {
            band.settle(was_anomaly);
            if was_anomaly && judged.deviation.abs() > 1.0 {
                band.reseat(judged.value);
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
        self.last_learnt = None;
    }

    /// Takes other metrics: `from[i]` is where metric i stood.
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        let bands =
            from.iter().map(|at| at.and_then(|at| self.bands.get(at)).cloned().unwrap_or_default()).collect();
        *self = Self::with(bands, self.calibration.clone(), self.last_learnt);
    }

    /// Bytes held besides itself.
    pub(super) fn bytes(&self) -> usize {
        self.bands.capacity() * size_of::<Band>()
            + self.judged.capacity() * size_of::<Judged>()
            + self.calibration.bytes()
    }
}
