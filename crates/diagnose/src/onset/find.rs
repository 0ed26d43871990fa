//! When an incident began, from all metrics together.

use larnax_core::Timestamp;

use crate::deviation::median;
use crate::sides::Sorted;

/// Two windows are compared at each time, of this many seconds or a tenth of everything, whichever is less, but of no fewer
/// samples than `FEWEST`.
const WINDOW: f64 = 60.0;
const FEWEST: usize = 3;
/// At most this many times are tried; of more than `FEW` series, those that jump most at one of `COARSE` times.
const MOST_TIMES: usize = 2_000;
const COARSE: usize = 100;
pub(crate) const FEW: usize = 256;
/// A jump counts from five usual jumps of its metric on: the threshold of the PetShop authors' graph traversal for a deviation.
const JUMP: f64 = 5.0;
/// So many periods without a row are a gap: as edges count them.
const GAP: f64 = 3.0;
/// Steps smaller than this share of the level are no jumps.
const LEVEL_SHARE: f64 = 1e-3;

/// The time at which most metrics jumped most, compared with how much each of them usually jumps; only times in `within` are
/// tried. None if nothing jumped.
///
/// Compared with a likelihood of one change in the mean, this does not mistake the wandering of a slow metric for a change: a
/// metric that always wanders has large jumps all the time.
pub(crate) fn find(series: &[&Sorted<'_>], within: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
    let few;
    let series = if series.len() > FEW {
        few = jumpiest(series)?;
        &few
    } else {
        series
    };
    let grid = grid(series, MOST_TIMES)?;
    let mut total = vec![0.0; grid.len()];
    let mut scratch = Scratch::default();
    for series in series {
        for (total, excess) in total.iter_mut().zip(scratch.excess(series, &grid)) {
            *total += excess;
        }
    }
    let tried = grid.iter().zip(&total).filter(|(time, _)| within(**time));
    // The first of equals: `max_by` would take the last.
    let best = tried.fold(None, |best: Option<(Timestamp, f64)>, (&time, &total)| match best {
        Some((_, most)) if most >= total => best,
        _ if total > 0.0 => Some((time, total)),
        _ => best,
    });
    best.map(|(time, _)| time)
}

/// The few series with the largest jumps.
fn jumpiest<'a, 'b>(series: &[&'a Sorted<'b>]) -> Option<Vec<&'a Sorted<'b>>> {
    let grid = grid(series, COARSE)?;
    let mut scratch = Scratch::default();
    let mut jumps: Vec<(f64, &Sorted<'_>)> =
        series.iter().map(|series| (scratch.excess(series, &grid).fold(0.0, f64::max), *series)).collect();
    jumps.sort_by(|a, b| b.0.total_cmp(&a.0));
    Some(jumps.into_iter().take(FEW).map(|(_, series)| series).collect())
}

/// At most so many of the times of the longest series, evenly.
fn grid(series: &[&Sorted<'_>], most: usize) -> Option<Vec<Timestamp>> {
    let longest = series.iter().max_by_key(|series| series.times().len())?;
    let times = longest.times();
    let step = times.len().div_ceil(most).max(1);
    let mut grid: Vec<Timestamp> = times.iter().copied().step_by(step).collect();
    grid.dedup();
    (grid.len() >= 2 * FEWEST).then_some(grid)
}

/// Buffers that are used for one series after the other.
#[derive(Default)]
struct Scratch {
    /// Of the times of the grid, the rows of the series from which on it has later ones; and which series' they are: those of one
    /// scrape share their times.
    rows: Vec<usize>,
    /// Of each of these rows, the stretch without a gap that it is in: from where to where.
    stretches: Vec<(usize, usize)>,
    of: Option<(*const Timestamp, usize)>,
    sums: Vec<f64>,
    jumps: Vec<f64>,
    sorted: Vec<f64>,
}

impl Scratch {
    /// For each time of the grid, how much farther than [`JUMP`] usual jumps a series jumped there, as a logarithm. The grid is the
    /// same each time.
    fn excess<'s>(&'s mut self, series: &Sorted<'_>, grid: &[Timestamp]) -> impl Iterator<Item = f64> + 's {
        let level = self.jump(series, grid);
        self.sorted.clear();
        self.sorted.extend(self.jumps.iter().copied().filter(|jump| jump.is_finite()));
        let usual = if self.sorted.len() < 2 * FEWEST { f64::INFINITY } else { median(&mut self.sorted) };
        let least = JUMP * usual.max(LEVEL_SHARE * level).max(f64::MIN_POSITIVE);
        self.jumps.iter().map(move |jump| if *jump > least { (jump / least).ln() } else { 0.0 })
    }

    /// For each time of the grid, the distance between the means of the window before and the window from then on; not a number
    /// where one of them has too few values. Gives back the mean size of the values.
    fn jump(&mut self, series: &Sorted<'_>, grid: &[Timestamp]) -> f64 {
        let (times, values) = (series.times(), series.values());
        self.place(series, grid);
        let (mut sum, mut size) = (0.0, 0.0);
        self.sums.clear();
        self.sums.push(0.0);
        self.sums.extend(values.iter().map(|value| {
            sum += value;
            size += value.abs();
            sum
        }));
        let window = (WINDOW / series.period()).min(times.len() as f64 / 10.0).max(FEWEST as f64) as usize;
        let total = |from: usize, to: usize| Some(self.sums.get(to)? - self.sums.get(from)?);
        let jump = |(at, (start, end)): (usize, (usize, usize))| {
            // Not across a gap: what changed while nobody watched did not change then.
            let (from, to) = (at.saturating_sub(window).max(start), (at + window).min(end));
            let (before, since) = (at.saturating_sub(from), to.saturating_sub(at));
            if before < FEWEST || since < FEWEST {
                return None;
            }
            let means = (total(from, at)? / before as f64, total(at, to)? / since as f64);
            // As much less as a mean of few values is worse than one of a whole window: else the largest jumps are at both ends.
            let counted = (before * since) as f64 / (before + since) as f64;
            Some((means.1 - means.0).abs() * (2.0 * counted / window as f64).sqrt())
        };
        let places = self.rows.iter().copied().zip(self.stretches.iter().copied());
        self.jumps.clear();
        self.jumps.extend(places.map(|place| jump(place).unwrap_or(f64::NAN)));
        size / values.len().max(1) as f64
    }

    fn place(&mut self, series: &Sorted<'_>, grid: &[Timestamp]) {
        let times = series.times();
        let of = Some((times.as_ptr(), times.len()));
        if self.of == of {
            return;
        }
        self.of = of;
        self.rows.clear();
        let mut at = 0;
        self.rows.extend(grid.iter().map(|time| {
            while times.get(at).is_some_and(|earlier| earlier < time) {
                at += 1;
            }
            at
        }));
        let mut ends = series.begins_again(GAP);
        let (mut start, mut end) = (0, ends.next().unwrap_or(times.len()));
        self.stretches.clear();
        self.stretches.extend(self.rows.iter().map(|row| {
            while *row >= end && end < times.len() {
                (start, end) = (end, ends.next().unwrap_or(times.len()));
            }
            (start, end)
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use larnax_core::MetricName;

    use super::*;
    use crate::case::Series;

    fn series(count: usize, value: impl Fn(usize, usize) -> f64) -> Vec<Series> {
        let times: Arc<[Timestamp]> =
            (0..300).map(|second| Timestamp::from_seconds(f64::from(second))).collect();
        let one = |i: usize| Series {
            metric: MetricName::new("m").unwrap(),
            times: Arc::clone(&times),
            values: (0..300).map(|row| value(i, row)).collect(),
        };
        (0..count).map(one).collect()
    }

    fn found(series: &[Series]) -> Option<f64> {
        let sorted: Vec<Sorted<'_>> = series.iter().map(Sorted::new).collect();
        find(&sorted.iter().collect::<Vec<_>>(), |_| true).map(Timestamp::seconds)
    }

    fn noise(i: usize, row: usize) -> f64 {
        ((row * 7919 + i * 104_729) % 1_000) as f64 / 1_000.0
    }

    #[test]
    fn one_of_many_metrics_that_jumps_is_enough() {
        let jump = |i: usize, row: usize| noise(i, row) + if i == 7 && row >= 200 { 10.0 } else { 0.0 };
        for count in [20, 2 * FEW] {
            assert_eq!(found(&series(count, jump)), Some(200.0), "{count}");
        }
    }

    #[test]
    fn what_changed_while_nobody_watched_is_not_found_there() {
        let jumps = |i: usize, row: usize| {
            noise(i, row) + if row >= 100 { 50.0 } else { 0.0 } + if row >= 200 { 10.0 } else { 0.0 }
        };
        let mut series = series(20, jumps);
        assert_eq!(found(&series), Some(100.0));
        for series in &mut series {
            series.times = series.times.iter().map(|time| time.plus(gap(*time))).collect();
        }
        assert_eq!(found(&series), Some(500.0));
    }

    /// Nobody watched for five minutes from second 100 on.
    fn gap(time: Timestamp) -> Duration {
        Duration::from_secs(if time < Timestamp::from_seconds(100.0) { 0 } else { 300 })
    }

    #[test]
    fn where_nothing_jumps_and_where_metrics_wander_nothing_is_found() {
        assert_eq!(found(&series(20, noise)), None);
        assert_eq!(found(&series(20, |i, row| noise(i, row) + (row as f64 / 20.0).sin() * 10.0)), None);
        assert_eq!(found(&series(3, |_, _| 5.0)), None);
        assert_eq!(found(&[]), None);
    }
}
