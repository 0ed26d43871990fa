//! What was seen earlier, to be learnt again: a reservoir of windows without a flagged row.
//!
//! Only for a network that doesn't learn each row anyway: there it makes forecasts better; one that learns each row forecast all
//! of seven machines of the Server Machine Dataset worse with it, at twice the cost. Every window that is offered replaces a random one, at first so
//! that each window ever offered is kept with the same probability (reservoir sampling, Vitter 1985), then with at least
//! [`RENEWAL`], so that what is long gone does fade.

use super::cell::{Carry, STEPS};
use super::math::{below, random};

/// Windows that are kept (specification 4.2).
const WINDOWS: usize = 64;
/// Bytes of them, at most: a component with very many metrics keeps fewer.
const BYTES: usize = 192 << 10;
/// One in so many offered windows is taken, at least. Windows don't overlap, so that all are renewed in about
/// 64·64·16 rows: four days at a row every 5 s.
const RENEWAL: u64 = 64;

/// The reservoir.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Replay {
    /// Inputs, D.
    width: usize,
    /// How the cell stood before each window. When it is learnt again the weights have changed; the window is long enough.
    pub(super) starts: Vec<Carry>,
    /// STEPS·D inputs for each window.
    pub(super) inputs: Vec<f32>,
    /// By how much each metric changed after the window, D each; NaN where it wasn't seen.
    pub(super) changes: Vec<f32>,
    /// Windows offered so far.
    pub(super) offered: u64,
}

impl Replay {
    pub(super) fn new(width: usize) -> Self {
        let room = Self::room(width);
        Self {
            width,
            starts: Vec::with_capacity(room),
            inputs: Vec::with_capacity(room * STEPS * width),
            changes: Vec::with_capacity(room * width),
            offered: 0,
        }
    }

    /// Windows of so many inputs that it has room for.
    pub(super) fn room(width: usize) -> usize {
        let window = size_of::<Carry>() + (STEPS + 1) * width * size_of::<f32>();
        if width == 0 { 0 } else { (BYTES / window).clamp(1, WINDOWS) }
    }

    /// A place for the next window, if it is to be kept: how the cell stood, the inputs step after step, the changes after it.
    /// Hot: no allocation.
    pub(super) fn offer(&mut self, seed: &mut u64) -> Option<(&mut Carry, &mut [f32], &mut [f32])> {
        let room = Self::room(self.width);
        if room == 0 {
            return None;
        }
        self.offered += 1;
        let at = if self.starts.len() < room {
            self.starts.push(Carry::default());
            self.inputs.resize(self.starts.len() * STEPS * self.width, 0.0);
            self.changes.resize(self.starts.len() * self.width, 0.0);
            self.starts.len() - 1
        } else {
            let odds = (self.offered / room as u64).clamp(1, RENEWAL);
            if !random(seed).is_multiple_of(odds) {
                return None;
            }
            below(seed, room as u64) as usize
        };
        let (span, width) = (STEPS * self.width, self.width);
        Some((
            self.starts.get_mut(at)?,
            self.inputs.get_mut(at * span..(at + 1) * span)?,
            self.changes.get_mut(at * width..(at + 1) * width)?,
        ))
    }

    /// One of them, each as likely. Hot: no allocation.
    pub(super) fn draw(&self, seed: &mut u64) -> Option<(Carry, &[f32], &[f32])> {
        if self.starts.is_empty() {
            return None;
        }
        let at = below(seed, self.starts.len() as u64) as usize;
        let (span, width) = (STEPS * self.width, self.width);
        Some((
            *self.starts.get(at)?,
            self.inputs.get(at * span..(at + 1) * span)?,
            self.changes.get(at * width..(at + 1) * width)?,
        ))
    }

    /// The same windows for other inputs: new ones stood at their mean, and how they changed is unknown.
    pub(super) fn rearranged(&self, from: &[Option<usize>]) -> Self {
        let mut other = Self::new(from.len());
        let keep = self.starts.len().min(Self::room(from.len()));
        if keep == 0 {
            return other;
        }
        other.starts.extend_from_slice(&self.starts[..keep]);
        other.offered = self.offered;
        for row in self.inputs.chunks_exact(self.width).take(keep * STEPS) {
            other.inputs.extend(from.iter().map(|from| from.map_or(0.0, |at| row[at])));
        }
        for row in self.changes.chunks_exact(self.width).take(keep) {
            other.changes.extend(from.iter().map(|from| from.map_or(f32::NAN, |at| row[at])));
        }
        other
    }

    pub(super) fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<Carry>()
            + (self.inputs.capacity() + self.changes.capacity()) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_up_and_then_replaces_ever_more_rarely_but_never_stops() {
        let (mut replay, mut seed) = (Replay::new(3), 1);
        let taken =
            |replay: &mut Replay, seed: &mut u64, n| (0..n).filter(|_| replay.offer(seed).is_some()).count();
        assert_eq!(taken(&mut replay, &mut seed, WINDOWS), WINDOWS);
        let first = taken(&mut replay, &mut seed, 1000);
        taken(&mut replay, &mut seed, 10_000);
        let later = taken(&mut replay, &mut seed, 1000);
        assert!(first > 3 * later && later > 0, "{first} {later}");
        assert_eq!(replay.starts.len(), WINDOWS);
    }

    #[test]
    fn wide_rows_leave_room_for_fewer_windows() {
        assert_eq!(Replay::room(0), 0);
        assert_eq!(Replay::room(28), WINDOWS);
        assert!((1..WINDOWS).contains(&Replay::room(128)));
    }
}
