//! The contract between the host source and the readers of single kinds of files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larnax_core::{Bounds, Metric, MetricKind, MetricName};

use super::file::Buffer;
use super::least::least;

/// Reads some files and fills the metrics that come out of them.
///
/// Implementers must not panic on any content, allocate in [`Reader::read`] once warm, or keep time: the caller says
/// when to read and how long ago the last read was.
pub(super) trait Reader {
    /// How often it is worth reading at most. Between reads its metrics keep their values.
    fn period(&self) -> Duration {
        Duration::ZERO
    }

    /// Finds what there is now and names its metrics. A file that can't be read gives no metric.
    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names);

    /// Reads once. All slots are NaN before; what can't be read stays so.
    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>);

    /// Whether [`Reader::discover`] would find other metrics by now (a disk was plugged in). Asked seldom.
    fn changed(&mut self, _buffer: &mut Buffer) -> bool {
        false
    }
}

/// Where one metric's value belongs among its reader's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    /// No metric: what is set there is dropped.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// The names of one reader's metrics, in order.
#[derive(Default)]
pub(super) struct Names {
    metrics: Vec<Metric>,
    seen: HashSet<MetricName>,
    refused: u64,
}

impl Names {
    /// Adds a metric; [`Slot::NONE`] for a name that stands already or can't be one.
    pub(super) fn add(&mut self, name: &str) -> Slot {
        let Ok(name) = MetricName::new(name) else { return Slot::NONE };
        if !self.seen.insert(name.clone()) {
            return Slot::NONE;
        }
        let bounds = Bounds { least: least(name.as_str()), lowest: 0.0, ..Bounds::NONE };
        self.metrics.push(Metric { name, kind: MetricKind::Gauge, bounds });
        Slot(self.metrics.len() as u32 - 1)
    }

    /// Says that a metric is a share of `total`, of which a hundredth is the least that matters.
    pub(super) fn share(&mut self, slot: Slot, total: f64) {
        if let Some(metric) = self.metrics.get_mut(slot.0 as usize).filter(|_| total > 0.0) {
            metric.bounds.least = 0.01 * total;
        }
    }

    /// Counts metrics that a limit keeps out.
    pub(super) fn refuse(&mut self, metrics: usize) {
        self.refused += metrics as u64;
    }

    /// The metrics in order, and how many were refused.
    pub(super) fn into_metrics(self) -> (Vec<Metric>, u64) {
        (self.metrics, self.refused)
    }
}

/// The last total of a counter, and in which read of its reader it was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    value: u64,
    read: u64,
}

/// One reader's values, to be filled.
pub(super) struct Slots<'a> {
    /// One value per metric.
    pub(super) values: &'a mut [f64],
    /// One total per metric; unused for levels.
    pub(super) totals: &'a mut [Total],
    /// Seconds since the reader's last read; NaN at the first.
    pub(super) elapsed: f64,
    /// The number of this read, from 2 on, so that a fresh total (read 0) is never that of the read before.
    pub(super) read: u64,
}

impl Slots<'_> {
    /// Sets a level. What isn't finite is missing.
    #[inline]
    pub(super) fn set(&mut self, slot: Slot, value: f64) {
        if let Some(place) = self.values.get_mut(slot.0 as usize) {
            *place = if value.is_finite() { value } else { f64::NAN };
        }
    }

    /// The value as it stands.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> f64 {
        self.values.get(slot.0 as usize).copied().unwrap_or(f64::NAN)
    }

    /// How much a counter has grown since the read before. `None` the first time, after a read in which it was
    /// missing, and when it fell: that is a reset (or, on 32-bit kernels, a wrap, which can't be told from one).
    #[inline]
    pub(super) fn growth(&mut self, slot: Slot, total: u64) -> Option<u64> {
        let known = self.totals.get_mut(slot.0 as usize)?;
        let before = std::mem::replace(known, Total { value: total, read: self.read });
        if before.read + 1 != self.read {
            return None;
        }
        total.checked_sub(before.value)
    }

    /// Sets a counter's growth per second times `unit`; missing where [`Slots::growth`] gives none.
    #[inline]
    pub(super) fn rate(&mut self, slot: Slot, total: u64, unit: f64) {
        let elapsed = self.elapsed;
        if let Some(growth) = self.growth(slot, total) {
            self.set(slot, growth as f64 * unit / elapsed);
        }
    }

    /// Brings a value that is higher down to `most`; a missing one stays missing.
    #[inline]
    pub(super) fn cap(&mut self, slot: Slot, most: f64) {
        if self.get(slot) > most {
            self.set(slot, most);
        }
    }

    /// Adds the value of `part` to `sum`, both as they stand; a missing part adds nothing.
    #[inline]
    pub(super) fn add(&mut self, sum: Slot, part: Slot) {
        let value = self.get(part);
        if value.is_finite() {
            let before = self.get(sum);
            self.set(sum, if before.is_finite() { before + value } else { value });
        }
    }
}

/// Where the machine's files are.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    /// The root of procfs.
    pub(super) proc: PathBuf,
    /// The root of sysfs.
    pub(super) sys: PathBuf,
    /// The machine's root directory.
    pub(super) rootfs: PathBuf,
}

impl Roots {
    /// A file of the machine's network namespace: that of process 1, so that an agent in a container that sees its
    /// host's procfs reads the host's network; the reader's own where process 1 is hidden.
    pub(super) fn net(&self, file: &str) -> PathBuf {
        let first = self.proc.join("1/net").join(file);
        if readable(&first) { first } else { self.proc.join("net").join(file) }
    }

    /// The mount table, by the same rule.
    pub(super) fn mounts(&self) -> PathBuf {
        let first = self.proc.join("1/mounts");
        if readable(&first) { first } else { self.proc.join("mounts") }
    }
}

fn readable(path: &Path) -> bool {
    std::fs::File::open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(totals: &mut [Total], read: u64, total: u64) -> f64 {
        let mut values = [f64::NAN];
        let mut slots = Slots { values: &mut values, totals, elapsed: 2.0, read };
        slots.rate(Slot(0), total, 1.0);
        values[0]
    }

    #[test]
    fn a_counter_that_falls_is_a_reset_and_missing_once() {
        let mut totals = [Total::default()];
        assert!(rate(&mut totals, 2, 100).is_nan());
        assert_eq!(rate(&mut totals, 3, 110), 5.0);
        assert!(rate(&mut totals, 4, 4).is_nan());
        assert_eq!(rate(&mut totals, 5, 8), 2.0);
    }

    #[test]
    fn a_counter_that_was_away_for_a_read_starts_again() {
        let mut totals = [Total::default()];
        rate(&mut totals, 2, 100);
        assert!(rate(&mut totals, 4, 200).is_nan());
        assert_eq!(rate(&mut totals, 5, 204), 2.0);
    }

    #[test]
    fn a_name_that_stands_twice_or_is_none_has_no_slot() {
        let mut names = Names::default();
        assert_eq!(names.add("a"), Slot(0));
        assert_eq!(names.add("a"), Slot::NONE);
        assert_eq!(names.add(""), Slot::NONE);
        assert_eq!(names.add("b"), Slot(1));
    }
}
