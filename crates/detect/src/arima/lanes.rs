//! Numbers per metric, four metrics side by side, so that a loop over four is one or two vector instructions.

/// Metrics side by side.
pub(crate) const LANES: usize = 4;
/// One number of each of four metrics.
pub(crate) type Lane = [f64; LANES];

/// `rows` numbers for each of `width` metrics. Metrics stand in blocks of four; the last block is filled up with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    width: usize,
    rows: usize,
    data: Vec<Lane>,
}

impl Lanes {
    /// All zero.
    pub(crate) fn new(width: usize, rows: usize) -> Self {
        Self { width, rows, data: vec![[0.0; LANES]; width.div_ceil(LANES) * rows] }
    }

    /// The same numbers for all metrics.
    pub(crate) fn filled(width: usize, numbers: &[f64]) -> Self {
        let mut lanes = Self::new(width, numbers.len());
        for metric in 0..width {
            lanes.put(metric, numbers);
        }
        lanes
    }

    /// How many metrics.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Rows of a block of four metrics.
    pub(crate) fn block(&self, block: usize) -> &[Lane] {
        &self.data[block * self.rows..(block + 1) * self.rows]
    }

    /// The same, to be changed.
    pub(crate) fn block_mut(&mut self, block: usize) -> &mut [Lane] {
        &mut self.data[block * self.rows..(block + 1) * self.rows]
    }

    /// One metric's number.
    pub(crate) fn get(&self, metric: usize, row: usize) -> f64 {
        self.block(metric / LANES)[row][metric % LANES]
    }

    /// Sets it.
    pub(crate) fn set(&mut self, metric: usize, row: usize, x: f64) {
        self.block_mut(metric / LANES)[row][metric % LANES] = x;
    }

    /// One metric's numbers into a buffer of `rows`.
    pub(crate) fn copy(&self, metric: usize, into: &mut [f64]) {
        for (row, x) in into.iter_mut().enumerate() {
            *x = self.get(metric, row);
        }
    }

    /// One metric's numbers from a buffer of `rows`.
    pub(crate) fn put(&mut self, metric: usize, from: &[f64]) {
        for (row, &x) in from.iter().enumerate() {
            self.set(metric, row, x);
        }
    }

    /// Metrics in a new order; `new` are the numbers of a new one.
    pub(crate) fn rearranged(&self, from: &[Option<usize>], new: &[f64]) -> Self {
        let mut lanes = Self::filled(from.len(), new);
        for (metric, at) in from.iter().enumerate() {
            if let Some(at) = at.filter(|&at| at < self.width) {
                for row in 0..self.rows {
                    lanes.set(metric, row, self.get(at, row));
                }
            }
        }
        lanes
    }

    /// The numbers, metric after metric.
    pub(crate) fn save(&self) -> Vec<f64> {
        (0..self.width).flat_map(|metric| (0..self.rows).map(move |row| self.get(metric, row))).collect()
    }

    /// From numbers, metric after metric; none where their number is wrong or one is above `most`.
    pub(crate) fn restore(width: usize, rows: usize, saved: &[f64], most: f64) -> Option<Self> {
        if saved.len() != width.checked_mul(rows)? || !saved.iter().all(|x| x.abs() <= most) {
            return None;
        }
        let mut lanes = Self::new(width, rows);
        for (metric, numbers) in saved.chunks_exact(rows.max(1)).enumerate() {
            lanes.put(metric, numbers);
        }
        Some(lanes)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.data.capacity() * size_of::<Lane>()
    }
}

/// The four values of a row that belong to a block; NaN beyond the row's end.
pub(crate) fn take(row: &[f64], block: usize) -> Lane {
    let rest = row.get(block * LANES..).unwrap_or_default();
    match rest.first_chunk() {
        Some(lane) => *lane,
        None => {
            let mut lane = [f64::NAN; LANES];
            lane.iter_mut().zip(rest).for_each(|(slot, &x)| *slot = x);
            lane
        }
    }
}

/// The reverse.
pub(crate) fn give(lane: &Lane, row: &mut [f64], block: usize) {
    let rest = row.get_mut(block * LANES..).unwrap_or_default();
    rest.iter_mut().zip(lane).for_each(|(slot, &x)| *slot = x);
}
