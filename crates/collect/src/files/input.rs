//! Bytes of a file or of standard input, decompressed on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::FileError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b]; // RFC 1952, 2.3.1
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd]; // RFC 8878, 3.1.1
const BUFFER_BYTES: usize = 64 << 10;

/// A stream of text and how far its source has been read.
pub(super) struct Input {
    pub(super) reader: Box<dyn Read + Send>,
    /// Bytes read of the source, before decompression.
    pub(super) read: Arc<AtomicU64>,
    /// Bytes of the source, if it has an end that is known.
    pub(super) total: Option<u64>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, FileError> {
        let failed = |source| FileError::Open { name: name.to_owned(), source };
        if path.as_os_str() == "-" {
            return Self::new(io::stdin(), None).map_err(failed);
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(FileError::Directory { name: name.to_owned() });
        }
        Self::new(file, metadata.is_file().then_some(metadata.len())).map_err(failed)
    }

    /// Takes a stream of text, plain or compressed as its first bytes say.
    pub(super) fn new(source: impl Read + Send + 'static, total: Option<u64>) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut source = Counting { source, read: Arc::clone(&read) };
        let mut magic = Vec::with_capacity(4);
        (&mut source).take(4).read_to_end(&mut magic)?;
        let kind = magic.clone();
        let source = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(source));
        let reader: Box<dyn Read + Send> = if kind.starts_with(&GZIP_MAGIC) {
            Box::new(MultiGzDecoder::new(source))
        } else if kind.starts_with(&ZSTD_MAGIC) {
            Box::new(Zstd { source, decoder: FrameDecoder::new(), in_frame: false })
        } else {
            Box::new(source)
        };
        Ok(Self { reader, read, total })
    }
}

/// Counts the bytes that pass.
struct Counting<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// All frames of a zstd stream, one after the other; ruzstd's own reader ends after the first. Its window, and so its
/// memory, is at most 128 MiB.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Starts the next frame and says whether there is one. Skips those that hold no data.
    fn start_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        match self.decoder.get_checksum_from_data() {
            Some(written) if Some(written) != self.decoder.get_calculated_checksum() => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame does not match"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame && !self.start_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            self.end_frame()?;
        }
    }
}
