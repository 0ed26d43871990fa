//! The outbox file: appended to, read at places, rewritten without what nobody needs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files;
use crate::outbox::record::{self, HEADER_BYTES};

const FILE: &str = "outbox.log";
const LOCK: &str = "outbox.lock";
const DAMAGED: &str = "outbox.log.damaged";
/// More than a file can have that this program wrote; what stands beyond is not read.
const MAX_READ_BYTES: u64 = 256 << 20;

/// The file in its folder. It may be missing or not writable for a while; [`Log::rewrite`] brings it back.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    lock: Option<FolderLock>,
    file: Option<File>,
    writable: bool,
    len: u64,
}

/// The folder is this process's while this lives. It is given back explicitly: a child that another thread is just
/// starting holds a copy of every descriptor until it becomes its own program, and with it the lock.
#[derive(Debug)]
struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Where it fails, closing the file gives the lock back as well.
        let _ = self.0.unlock();
    }
}

/// Why the file of another process is not touched.
#[derive(Debug)]
pub(crate) struct InUse(pub(crate) PathBuf);

impl Log {
    /// Opens what is there and returns its bytes. When that isn't possible the log says why and starts unwritable.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<u8>, Option<io::Error>), InUse> {
        let mut log = Self { folder: folder.to_owned(), lock: None, file: None, writable: false, len: 0 };
        let created = fs::create_dir_all(folder);
        log.take_lock()?;
        let (bytes, read) = match log.read_all() {
            Ok(bytes) => (bytes, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let problem = created.err().or(read);
        Ok((log, bytes, problem))
    }

    fn take_lock(&mut self) -> Result<(), InUse> {
        if self.lock.is_none() {
            let path = self.folder.join(LOCK);
            if let Ok(file) = File::options().create(true).truncate(false).write(true).open(&path) {
                match file.try_lock() {
                    Err(fs::TryLockError::WouldBlock) => return Err(InUse(path)),
                    // A file system without locks: the agent still works there.
                    Ok(()) | Err(fs::TryLockError::Error(_)) => self.lock = Some(FolderLock(file)),
                }
            }
        }
        Ok(())
    }

    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let path = self.folder.join(FILE);
        let opened = File::options().read(true).write(true).open(&path);
        let (file, writable) = match opened {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(_) => (File::open(&path)?, false),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        (&file).take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
        self.len = bytes.len() as u64;
        self.writable = writable;
        self.file = Some(file);
        Ok(bytes)
    }

    /// Where the file stands.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether records can be appended. If not, it must be rewritten.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Makes the next write a rewrite: the end of the file can't be trusted.
    pub(crate) fn distrust(&mut self) {
        self.writable = false;
    }

    /// Keeps a copy of the file for a person to look at.
    pub(crate) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.folder.join(DAMAGED);
        fs::copy(self.path(), &aside).map(|_| aside)
    }

    /// Writes at the end and returns where that was. With `sync` it is durable afterwards. After an error the file
    /// ends where it ended before.
    pub(crate) fn append(&mut self, records: &[u8], sync: bool) -> io::Result<u64> {
        let Some(file) = self.file.as_ref().filter(|_| self.writable) else {
            return Err(io::Error::other("the file is not open for writing"));
        };
        let offset = self.len;
        let written = file.write_all_at(records, offset);
        let done = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        match done {
            Ok(()) => {
                self.len += records.len() as u64;
                Ok(offset)
            }
            Err(error) => {
                if file.set_len(offset).is_err() {
                    self.writable = false;
                }
                Err(error)
            }
        }
    }

    /// The payload of the record at `offset`, checked.
    pub(crate) fn read(&self, offset: u64, payload_bytes: u32) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else { return Err(io::Error::other("the file is not open")) };
        let mut bytes = vec![0; HEADER_BYTES + payload_bytes as usize];
        file.read_exact_at(&mut bytes, offset)?;
        match record::scan(&bytes).records.as_slice() {
            [only] if only.payload.len() == payload_bytes as usize => Ok(bytes.split_off(HEADER_BYTES)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the record's checksum is wrong")),
        }
    }

    /// Replaces the file by what `fill` writes, atomically, and creates the folder if it went missing. `fill` may read
    /// from the old file. Inside, whether the new name is durable; if not, the file must be rewritten again.
    pub(crate) fn rewrite(
        &mut self,
        fill: impl FnOnce(&Self, &mut Counted<'_, '_>) -> io::Result<()>,
    ) -> io::Result<io::Result<()>> {
        fs::create_dir_all(&self.folder)?;
        self.take_lock().map_err(|InUse(_)| io::Error::other("another process uses this folder by now"))?;
        if self.file.is_none() && self.path().exists() {
            // It could not be read when the outbox was opened; that is no reason to destroy it.
            fs::rename(self.path(), self.folder.join(DAMAGED))?;
        }
        let mut len = 0;
        let (file, synced) = files::replace(&self.path(), |writer| {
            let mut counted = Counted { writer, written: 0 };
            fill(self, &mut counted)?;
            len = counted.written;
            Ok(())
        })?;
        (self.file, self.writable, self.len) = (Some(file), synced.is_ok(), len);
        Ok(synced)
    }
}

/// A writer that knows how far it is.
pub(crate) struct Counted<'a, 'f> {
    writer: &'a mut BufWriter<&'f File>,
    written: u64,
}

impl Counted<'_, '_> {
    /// Writes records and returns where they start.
    pub(crate) fn write(&mut self, records: &[u8]) -> io::Result<u64> {
        let offset = self.written;
        self.writer.write_all(records)?;
        self.written += records.len() as u64;
        Ok(offset)
    }
}
