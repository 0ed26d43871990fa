//! A window as it is sent: by columns, each number by how far it is from what is usual in its column.
//!
//! Sample by sample in JSON, ten minutes of a component took some 50 KB on their way, compressed. What a cause is found by is how far
//! values are from what is usual, in units of how far they usually are: so three digits of that, and no step finer than a hundredth
//! of it, say as much in a fifth of the bytes. The edge keeps what it measured.

use larnax_core::{MetricName, Timestamp, Window};
use serde::{Deserialize, Serialize};

/// The least step of a column: this part of how far values usually are from the usual one.
const STEPS: f64 = 100.0;
/// Larger distances, in steps, have three digits.
const EXACT: u64 = 1_000;
/// Columns and rows of a window at most: a session must not be made to hold more than a message of its largest size could say.
const MAX_CELLS: usize = 16 << 20;

/// A window by columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Packed {
    /// When the first row was taken, in nanoseconds since 1970, and then how much later each of the others than the one before.
    pub times: Vec<i64>,
    /// The columns.
    pub columns: Vec<Column>,
}

/// What one metric was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Which metric.
    pub metric: MetricName,
    /// What is usual.
    pub center: f64,
    /// The unit of [`Self::steps`].
    pub unit: f64,
    /// How far each row is from what is usual; none where it was missing, and nothing at all where none ever is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Option<i64>>,
}

impl Packed {
    /// Packs a window.
    pub fn of(window: &Window) -> Self {
        let nanos = || window.times.iter().map(|time| time.nanos());
        let before = std::iter::once(0).chain(nanos());
        let times = nanos().zip(before).map(|(time, before)| time.wrapping_sub(before)).collect();
        let column = |(at, metric): (usize, &MetricName)| {
            let values = window.rows.iter().map(|row| row.get(at).copied().flatten());
            Column::of(metric.clone(), values.collect())
        };
        Self { times, columns: window.metrics.iter().enumerate().map(column).collect() }
    }

    /// The window again.
    ///
    /// # Errors
    /// A sentence, where a column has another number of rows than there are times, or there are too many.
    pub fn unpack(self) -> Result<Window, String> {
        let rows = self.times.len();
        if rows.saturating_mul(self.columns.len()) > MAX_CELLS {
            let columns = self.columns.len();
            return Err(format!("{rows} rows of {columns} metrics: expected at most {MAX_CELLS} numbers"));
        }
        let mut nanos = 0i64;
        let later = self.times.into_iter().map(|by| {
            nanos = nanos.wrapping_add(by);
            Timestamp::from_nanos(nanos)
        });
        let times = later.collect();
        let mut all = vec![Vec::with_capacity(self.columns.len()); rows];
        for column in &self.columns {
            if !column.steps.is_empty() && column.steps.len() != rows {
                let found = column.steps.len();
                return Err(format!("{found} rows of {}: expected {rows} as there are times", column.metric));
            }
            for (at, row) in all.iter_mut().enumerate() {
                row.push(column.value(at));
            }
        }
        Ok(Window { times, metrics: self.columns.into_iter().map(|one| one.metric).collect(), rows: all })
    }
}

impl Column {
    fn of(metric: MetricName, values: Vec<Option<f64>>) -> Self {
        let finite = |value: &Option<f64>| value.filter(|value| value.is_finite());
        let mut known: Vec<f64> = values.iter().filter_map(finite).collect();
        let center = median(&mut known).unwrap_or(0.0);
        let mut distances: Vec<f64> =
            known.iter().map(|value| (value - center).abs()).filter(|distance| *distance > 0.0).collect();
        let unit = median(&mut distances).map_or(0.0, |usual| usual / STEPS);
        let step = |value: Option<f64>| finite(&value).map(|value| rounded((value - center) / unit));
        let steps: Vec<Option<i64>> = match unit.is_normal() && (1.0 / unit).is_finite() {
            true => values.iter().map(|value| step(*value)).collect(),
            false => values.iter().map(|value| finite(value).map(|_| 0)).collect(),
        };
        let all_usual = steps.iter().all(|step| *step == Some(0));
        Self { metric, center, unit, steps: if all_usual { Vec::new() } else { steps } }
    }

    fn value(&self, row: usize) -> Option<f64> {
        let step = if self.steps.is_empty() { 0 } else { self.steps.get(row).copied().flatten()? };
        // No distance is no distance, whatever the unit.
        let value = if step == 0 { self.center } else { (step as f64).mul_add(self.unit, self.center) };
        value.is_finite().then_some(value)
    }
}

/// To a whole number, and to three digits where it has more; what is farther out than any whole number is as far out as the largest.
fn rounded(steps: f64) -> i64 {
    let whole = steps.round() as i64;
    let mut scale = 1i64;
    while (whole / scale).unsigned_abs() >= EXACT && scale < i64::MAX / 10 {
        scale *= 10;
    }
    whole / scale * scale
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (middle < values.len()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(rows: &[&[Option<f64>]]) -> Window {
        let metrics = (0..rows.first().map_or(0, |row| row.len())).map(|at| format!("m/{at}"));
        Window {
            times: (0..rows.len())
                .map(|at| Timestamp::from_nanos(1_800_000_000_123_456_789 + at as i64 * 999))
                .collect(),
            metrics: metrics.map(|name| MetricName::new(&name).unwrap()).collect(),
            rows: rows.iter().map(|row| row.to_vec()).collect(),
        }
    }

    fn there_and_back(window: &Window) -> Window {
        let json = serde_json::to_string(&Packed::of(window)).unwrap();
        serde_json::from_str::<Packed>(&json).unwrap().unpack().unwrap()
    }

    #[test]
    fn times_gaps_and_what_never_changes_come_as_they_were() {
        let sent = window(&[&[Some(7.25), None], &[Some(7.25), Some(1e300)], &[Some(7.25), Some(1e300)]]);
        assert_eq!(there_and_back(&sent), sent);
        assert_eq!(there_and_back(&Window::default()), Window::default());
        let packed = Packed::of(&sent);
        assert!(packed.columns[0].steps.is_empty() && packed.columns[1].steps.len() == 3);
    }

    #[test]
    fn what_is_usual_keeps_a_hundredth_of_its_spread_and_what_is_not_three_digits() {
        let usual = |at: usize| 1e9 + (at * 37 % 11) as f64;
        let values: Vec<f64> = (0..200).map(|at| if at == 150 { 8.765_432e15 } else { usual(at) }).collect();
        let rows: Vec<[Option<f64>; 1]> = values.iter().map(|value| [Some(*value)]).collect();
        let rows: Vec<&[Option<f64>]> = rows.iter().map(|row| &row[..]).collect();
        let back = there_and_back(&window(&rows));
        for (row, value) in back.rows.iter().zip(&values) {
            let off = (row[0].unwrap() - value).abs();
            let distance = (value - 1e9).abs();
            assert!(off <= 0.02 || off <= distance * 0.005, "{value}: {off}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_no_window() {
        let mut packed = Packed::of(&window(&[&[Some(1.0)], &[Some(2.0)]]));
        packed.columns[0].steps.pop();
        assert!(packed.unpack().unwrap_err().contains("1 rows of m/0: expected 2"));
        let many =
            Column { metric: MetricName::new("m").unwrap(), center: 0.0, unit: 0.0, steps: Vec::new() };
        let packed = Packed { times: vec![0; 100_000], columns: vec![many; 1_000] };
        assert!(packed.unpack().unwrap_err().contains("expected at most"));
    }

    #[test]
    fn ten_minutes_of_a_component_take_less_than_a_quarter_of_the_bytes() {
        use crate::wire::Encoded;
        use crate::{EvidencePart, FromEdge};

        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        // As a service has them: what never changes, counts, and rates and durations.
        let row = |at: usize| -> Vec<Option<f64>> {
            let metrics = (0..40).map(|metric| match metric {
                0..10 => f64::from(metric) * 1024.0,
                10..20 => (noise() * 12.0).floor(),
                20..30 => 0.3 + noise() / 7.0,
                _ => 1e-3 * noise() * (1.0 + f64::from(at as u32 % 60)),
            });
            metrics.map(Some).collect()
        };
        let rows: Vec<_> = (0..600).map(row).collect();
        let rows: Vec<&[Option<f64>]> = rows.iter().map(|row| &row[..]).collect();
        let part = EvidencePart { window: window(&rows), ..EvidencePart::default() };
        let bytes = |part: EvidencePart| Encoded::of(&FromEdge::Evidence(part)).unwrap().bytes();
        let (plain, packed) = (bytes(part.clone()), bytes(part.packed()));
        println!("{plain} bytes plain, {packed} packed");
        assert!(packed * 4 < plain, "{packed} of {plain}");
    }

    proptest::proptest! {
        #[test]
        fn any_window_comes_back_with_its_times_and_gaps(
            rows in proptest::collection::vec(proptest::collection::vec(proptest::option::of(proptest::num::f64::ANY), 3), 0..20),
        ) {
            let rows: Vec<&[Option<f64>]> = rows.iter().map(|row| &row[..]).collect();
            let sent = window(&rows);
            let back = there_and_back(&sent);
            proptest::prop_assert_eq!(&back.times, &sent.times);
            for (back, sent) in back.rows.iter().zip(&sent.rows) {
                for (back, sent) in back.iter().zip(sent) {
                    if sent.is_none_or(|sent| !sent.is_finite()) {
                        proptest::prop_assert_eq!(*back, None);
                    }
                }
            }
        }
    }
}
