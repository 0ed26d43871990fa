//! What both logs have in common.

/// How far above the last known sequence (and lease number) a log goes on that may have lost its newest entries. Far above
/// what one hub gives out between a backup and its restoring, so that nothing is numbered twice and a consumer that was
/// further than the backup skips nothing, even if it never compares epochs. 2⁵³ (what JavaScript counts exactly) allows for
/// two million restorings.
pub(crate) const EPOCH_GAP: i64 = 1 << 32;

/// The bounds of a log: where nothing is left, the oldest is the one that comes next.
pub(crate) fn bounds(oldest: Option<i64>, last: u64) -> (u64, u64) {
    match oldest {
        Some(oldest) => (oldest as u64, last),
        None if last == 0 => (0, 0),
        None => (last + 1, last),
    }
}
