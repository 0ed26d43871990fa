//! One series in its rectangle.

use std::fmt::Write as _;

use larnax_svg::{number, round_numbers};

use super::recording::Recording;
use super::{INNER, LEFT};

/// The score's axis: a tenth is as good as nothing.
const LEAST_SCORE: f64 = 0.1;
/// The score's axis reaches at least here, so that calm looks calm.
const LEAST_TOP: f64 = 10.0;
/// How much of the values' range may be added on each side to show the band.
const ROOM_FOR_BAND: f64 = 0.6;
/// The line is broken where nothing came for so many times the usual distance of columns with values.
const BREAK: usize = 4;

/// Where a panel stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) top: f64,
    pub(super) height: f64,
}

/// A frame with its vertical scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    frame: Frame,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Panel {
    /// From a metric's lowest to its highest value, with the band as far as it doesn't flatten them. None without values.
    pub(super) fn of_metric(frame: Frame, recording: &Recording, metric: usize) -> Option<Self> {
        let (low, high) = recording.range(metric)?;
        let bands: Vec<(f64, f64)> =
            (0..recording.columns()).filter_map(|column| recording.cell(column, metric).band()).collect();
        let middle = |mut edges: Vec<f64>| -> Option<f64> {
            edges.sort_unstable_by(f64::total_cmp);
            edges.get(edges.len() / 2).copied()
        };
        let lower = middle(bands.iter().map(|band| band.0).collect()).unwrap_or(low);
        let upper = middle(bands.iter().map(|band| band.1).collect()).unwrap_or(high);
        let room = ROOM_FOR_BAND * (high - low);
        let (low, high) = (low.min(lower.max(low - room)), high.max(upper.min(high + room)));
        // Of a constant, there is nothing to see but that.
        let edge = if high > low { 0.06 * (high - low) } else { (0.1 * high.abs()).max(1e-12) };
        let (low, high) = (low - edge, high + edge);
        (high - low).is_finite().then_some(Self { frame, low, high, logarithmic: false })
    }

    /// From a tenth to the highest score, by powers of ten.
    pub(super) fn of_score(frame: Frame, recording: &Recording) -> Self {
        let highest =
            (0..recording.columns()).filter_map(|column| recording.score(column)).map(|(_, high)| high);
        let high = 1.25 * highest.fold(LEAST_TOP, f64::max);
        Self { frame, low: LEAST_SCORE, high, logarithmic: true }
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.frame.top + self.frame.height * (1.0 - share.clamp(0.0, 1.0))
    }

    /// Numbers at the left, with their lines.
    pub(super) fn ticks(&self, svg: &mut String) {
        let ticks: Vec<f64> = match self.logarithmic {
            // 10⁻¹ to 10⁶, where scores end.
            true => (-1..=6).map(|power| 10f64.powi(power)).filter(|tick| *tick <= self.high).collect(),
            false => round_numbers(self.low, self.high),
        };
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let step = if step.is_finite() { step } else { (self.high - self.low) / 4.0 };
        let mut grid = String::new();
        for &tick in &ticks {
            let y = self.y(tick);
            let _ = write!(grid, "M{LEFT} {y:.1}h{INNER}");
            let text = number(tick, if self.logarithmic { tick } else { step });
            let _ = writeln!(
                svg,
                "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 7.0,
                y + 4.0
            );
        }
        let _ = writeln!(svg, "<path class=\"grid\" d=\"{grid}\"/>");
    }

    /// A metric with its band.
    pub(super) fn metric(&self, svg: &mut String, recording: &Recording, metric: usize) {
        let columns = || (0..recording.columns()).map(|column| (column, recording.cell(column, metric)));
        let band: Vec<(usize, f64, f64)> = columns()
            .filter_map(|(column, cell)| cell.band().map(|(low, high)| (column, low, high)))
            .collect();
        let mut shape = String::new();
        for run in runs(&band) {
            for (i, (column, _, high)) in run.iter().enumerate() {
                let begin = if i == 0 { 'M' } else { 'L' };
                let _ = write!(shape, "{begin}{:.1} {:.1}", x(recording, *column), self.y(*high));
            }
            for (column, low, _) in run.iter().rev() {
                let _ = write!(shape, "L{:.1} {:.1}", x(recording, *column), self.y(*low));
            }
            shape.push('z');
        }
        let _ = writeln!(svg, "<path class=\"band\" d=\"{shape}\"/>");
        let values: Vec<(usize, f64, f64)> = columns()
            .filter_map(|(column, cell)| cell.values().map(|(low, high)| (column, low, high)))
            .collect();
        self.line(svg, "line", recording, &values);
    }

    /// The score, with the line above which it is anomalous.
    pub(super) fn score(&self, svg: &mut String, recording: &Recording) {
        let scores: Vec<(usize, f64, f64)> = (0..recording.columns())
            .filter_map(|column| recording.score(column).map(|(low, high)| (column, low, high)))
            .collect();
        self.line(svg, "line", recording, &scores);
        let _ = writeln!(svg, "<path class=\"limit\" d=\"M{LEFT} {:.1}h{INNER}\"/>", self.y(1.0));
    }

    /// Through the smallest and largest of each column, the nearer one first.
    fn line(&self, svg: &mut String, class: &str, recording: &Recording, values: &[(usize, f64, f64)]) {
        let mut path = String::new();
        for run in runs(values) {
            let mut before: Option<f64> = None;
            for &(column, low, high) in run {
                let (x, low, high) = (x(recording, column), self.y(low), self.y(high));
                let low_first = before.is_none_or(|y| (y - low).abs() <= (y - high).abs());
                let (first, second) = if low_first { (low, high) } else { (high, low) };
                let begin = if before.is_none() { 'M' } else { 'L' };
                let _ = write!(path, "{begin}{x:.1} {first:.1}");
                if (low - high).abs() >= 0.1 {
                    let _ = write!(path, "V{second:.1}");
                }
                before = Some(second);
            }
            if let &[(column, low, _)] = run {
                let (x, y) = (x(recording, column), self.y(low));
                let _ = writeln!(svg, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.5\"/>");
            }
        }
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
    }
}

fn x(recording: &Recording, column: usize) -> f64 {
    LEFT + INNER * recording.middle(column)
}

/// Columns with values, broken where values are missing for long.
fn runs(columns: &[(usize, f64, f64)]) -> impl Iterator<Item = &[(usize, f64, f64)]> {
    let mut gaps: Vec<usize> = columns.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    gaps.sort_unstable();
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(1);
    columns.chunk_by(move |a, b| b.0 - a.0 <= BREAK * usual)
}
