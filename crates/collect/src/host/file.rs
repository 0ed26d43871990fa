//! Files that stay open and the one buffer that they are read into.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The kernel's `seq_file` ends a read early only where the next record does not fit into its buffer, which is at least
/// one page. The records of the files read here are far below half a page, so a shorter read than this is the end
/// of the file; asking once more would cost as much as a small file.
const SURELY_THE_END: usize = 2048;

/// What a file may hold at most; the rest is not read. `/proc/stat` of a machine with 64 CPUs has about 30 kB.
const MAX_FILE: usize = 1 << 20;

/// A buffer that files are read into one after the other.
pub struct Buffer {
    bytes: Vec<u8>,
    read: u64,
    most: usize,
}

impl Default for Buffer {
    /// An empty buffer of 16 KiB that grows to at most 1 MiB.
    fn default() -> Self {
        Self::up_to(MAX_FILE)
    }
}

impl Buffer {
    /// An empty buffer of 16 KiB that grows to at most `most` bytes.
    pub fn up_to(most: usize) -> Self {
        Self { bytes: vec![0; most.min(16 << 10)], read: 0, most }
    }

    /// Bytes read into it since it was made.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The content of an open file from its start; `None` when it can't be read.
    pub fn fill(&mut self, file: &File) -> Option<&[u8]> {
        let mut len = 0;
        loop {
            let count = match file.read_at(self.bytes.get_mut(len..)?, len as u64) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            len += count;
            if count == 0 || (count < SURELY_THE_END && len < self.bytes.len()) {
                break;
            }
            if len == self.bytes.len() {
                if len >= self.most {
                    break;
                }
                self.bytes.resize((len * 2).min(self.most), 0);
            }
        }
        self.read += len as u64;
        self.bytes.get(..len)
    }
}

/// A file that is opened once and read again and again, which costs half of opening it each time.
pub struct KeptFile {
    path: PathBuf,
    file: Option<File>,
}

impl KeptFile {
    /// Opens nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// The content now; `None` when it can't be read or is empty.
    pub fn read<'b>(&mut self, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
        self.read_even_empty(buffer).filter(|bytes| !bytes.is_empty())
    }

    /// The content now; `None` when it can't be read. A descriptor that fails is dropped, and the file is opened anew at
    /// the next read.
    pub fn read_even_empty<'b>(&mut self, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path).ok()?,
        };
        let bytes = buffer.fill(&file)?;
        self.file = Some(file);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_larger_than_the_buffer_are_read_whole_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        for (size, kept) in [(100, 100), (70_000, 70_000), (MAX_FILE + 5, MAX_FILE)] {
            let path = dir.path().join(size.to_string());
            std::fs::write(&path, vec![b'x'; size]).unwrap();
            let mut buffer = Buffer::default();
            assert_eq!(KeptFile::new(path).read(&mut buffer).unwrap().len(), kept);
            assert_eq!(buffer.bytes_read(), kept as u64);
        }
    }

    #[test]
    fn a_missing_file_and_a_directory_give_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut buffer = Buffer::default();
        assert!(KeptFile::new(dir.path().join("none")).read(&mut buffer).is_none());
        assert!(KeptFile::new(dir.path().to_owned()).read(&mut buffer).is_none());
    }
}
