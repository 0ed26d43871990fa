//! Decompression with a limit.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

/// Why a compressed body has no plain one.
#[derive(Debug)]
pub(super) enum InflateError {
    /// It is larger than the limit when decompressed.
    TooLarge,
    /// It is no gzip, or was cut off.
    Broken(std::io::Error),
}

/// Decompresses into `plain`, which is cleared first and keeps its room (unless that was absurdly large), and never
/// takes more than twice `limit` bytes, whatever the ratio.
pub(super) fn inflate(compressed: &[u8], limit: usize, plain: &mut Vec<u8>) -> Result<(), InflateError> {
    /// A buffer above this size is shrunk when it is more than four times what was last in it.
    const KEPT_BUFFER: usize = 1 << 20;
    if plain.capacity() > KEPT_BUFFER && plain.capacity() / 4 > plain.len() {
        plain.shrink_to(KEPT_BUFFER.max(2 * plain.len()));
    }
    plain.clear();
    // One byte more than allowed tells "just as large" from "larger".
    let mut decoder = MultiGzDecoder::new(compressed).take(limit as u64 + 1);
    decoder.read_to_end(plain).map_err(InflateError::Broken)?;
    if plain.len() > limit {
        plain.truncate(limit);
        return Err(InflateError::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_compressed_comes_back_members_one_after_the_other() {
        let mut plain = b"old".to_vec();
        inflate(&[gzip(b"first "), gzip(b"second")].concat(), 12, &mut plain).unwrap();
        assert_eq!(plain, b"first second");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_its_room_given_back() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let mut plain = Vec::new();
        assert!(matches!(inflate(&bomb, 4 << 20, &mut plain), Err(InflateError::TooLarge)));
        assert!(plain.capacity() <= 9 << 20, "{}", plain.capacity());
        inflate(&gzip(b"small"), 4 << 20, &mut plain).unwrap();
        inflate(&gzip(b"small"), 4 << 20, &mut plain).unwrap();
        assert!(plain.capacity() <= 1 << 20, "{}", plain.capacity());
    }

    #[test]
    fn what_is_no_gzip_or_was_cut_off_is_broken() {
        let whole = gzip(b"some text that is long enough to be cut");
        for bad in [&b"plain text"[..], whole.get(..whole.len() - 9).unwrap()] {
            let result = inflate(bad, 1000, &mut Vec::new());
            assert!(matches!(result, Err(InflateError::Broken(_))), "{bad:?}");
        }
    }
}
