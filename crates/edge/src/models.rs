//! The model store of the edge: one folder of files, each write atomic, the previous version kept.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use larnax_core::model_store::{Envelope, MAX_PAYLOAD_BYTES, ModelStore, StoreError, Stored};

/// Suffix of the newest version.
const CURRENT: &str = "model";
/// Suffix of the version before it.
const PREVIOUS: &str = "model.previous";
/// Eight bytes of version stand before the envelope.
const VERSION_BYTES: usize = 8;

/// Models as files `NAME.model` and `NAME.model.previous` in one folder; a damaged one becomes `NAME.model.damaged`.
///
/// A file is the version as eight bytes, little endian, and then the model in its envelope (magic, kind, version,
/// length, checksum), which is how damage is found.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    damaged: RefCell<Vec<String>>,
}

impl FileStore {
    /// Uses `folder`, making it where it is missing.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), damaged: RefCell::default() })
    }

    /// `/` and `:` become `~` and `+` in file names, which no model name holds.
    fn path(&self, name: &str, suffix: &str) -> Result<PathBuf, StoreError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(allowed) {
            return Err(StoreError::BadName(name.chars().take(80).collect()));
        }
        Ok(self.folder.join(format!("{}.{suffix}", name.replace('/', "~").replace(':', "+"))))
    }

    /// One file, checked. A damaged one is renamed and noted, and counts as absent.
    fn read(&self, name: &str, suffix: &str) -> Result<Option<Stored>, StoreError> {
        let path = self.path(name, suffix)?;
        let failed = |error: io::Error| io_error(name, &path, &error);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(meta) if meta.len() > (MAX_PAYLOAD_BYTES as u64) + 4096 => {
                self.set_aside(&path, &format!("{} bytes are more than a model has", meta.len()));
                return Ok(None);
            }
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let (head, body) = bytes.split_at(bytes.len().min(VERSION_BYTES));
        let Ok(version) = <[u8; VERSION_BYTES]>::try_from(head) else {
            self.set_aside(&path, &format!("{} bytes are fewer than a model has", bytes.len()));
            return Ok(None);
        };
        if let Err(error) = Envelope::decode(body) {
            self.set_aside(&path, &error.to_string());
            return Ok(None);
        }
        Ok(Some(Stored { version: u64::from_le_bytes(version), bytes: body.to_vec() }))
    }

    fn set_aside(&self, path: &Path, reason: &str) {
        let aside = path.with_extension("damaged");
        let moved = match fs::rename(path, &aside) {
            Ok(()) => format!("set aside as {}", aside.display()),
            Err(error) => format!("left where it is, since it can't be renamed ({error})"),
        };
        self.damaged.borrow_mut().push(format!("{}: {reason}; {moved}", path.display()));
    }
}

fn io_error(name: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io { name: name.to_owned(), reason: format!("{}: {error}", path.display()) }
}

impl ModelStore for FileStore {
    fn get(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        match self.read(name, CURRENT)? {
            Some(stored) => Ok(Some(stored)),
            None => self.read(name, PREVIOUS),
        }
    }

    fn previous(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        self.read(name, PREVIOUS)
    }

    fn put(&self, name: &str, expected: u64, bytes: &[u8]) -> Result<u64, StoreError> {
        let found = self.get(name)?.map_or(0, |stored| stored.version);
        if found != expected {
            return Err(StoreError::Conflict { name: name.to_owned(), expected, found });
        }
        let (current, previous) = (self.path(name, CURRENT)?, self.path(name, PREVIOUS)?);
        let fresh = self.path(name, "model.writing")?;
        let write = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(&(found + 1).to_le_bytes())?;
            file.write_all(bytes)?;
            file.sync_all()?;
            if current.exists() {
                fs::rename(&current, &previous)?;
            }
            fs::rename(&fresh, &current)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| {
            // What was half written must not fill a disk that is already full.
            let _ = fs::remove_file(&fresh);
            io_error(name, &current, &error)
        })?;
        Ok(found + 1)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let failed = |error: io::Error| io_error(prefix, &self.folder, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let Some(stem) = file.to_str().and_then(|f| f.strip_suffix(".model")) else { continue };
            let name = stem.replace('~', "/").replace('+', ":");
            if name.starts_with(prefix) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn damaged(&self) -> Vec<String> {
        self.damaged.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(payload: &[u8]) -> Vec<u8> {
        Envelope { kind: "test", version: 1, payload }.encode()
    }

    #[test]
    fn what_was_put_is_got_back_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        assert_eq!(store.get("node/local/a:1").unwrap(), None);
        assert_eq!(store.put("node/local/a:1", 0, &model(b"one")).unwrap(), 1);
        assert_eq!(store.put("node/local/a:1", 1, &model(b"two")).unwrap(), 2);
        let stored = store.get("node/local/a:1").unwrap().unwrap();
        assert_eq!((stored.version, stored.bytes), (2, model(b"two")));
        let before = store.previous("node/local/a:1").unwrap().unwrap();
        assert_eq!((before.version, before.bytes), (1, model(b"one")));
        assert_eq!(store.list("node/").unwrap(), ["node/local/a:1"]);
    }

    #[test]
    fn a_writer_that_missed_a_version_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        store.put("a", 0, &model(b"one")).unwrap();
        assert!(matches!(store.put("a", 0, &model(b"two")), Err(StoreError::Conflict { found: 1, .. })));
    }

    #[test]
    fn a_damaged_file_is_set_aside_with_a_message_and_the_previous_version_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        store.put("a", 0, &model(b"one")).unwrap();
        store.put("a", 1, &model(b"two")).unwrap();
        let path = folder.path().join("a.model");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(store.get("a").unwrap().unwrap().bytes, model(b"one"));
        let message = store.damaged().join("");
        assert!(message.contains("checksum") && message.contains("a.damaged"), "{message}");
        assert!(folder.path().join("a.damaged").exists());
    }

    #[test]
    fn any_bytes_in_a_model_file_are_read_without_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        for bytes in [&b""[..], b"1234567", b"12345678", b"12345678LRNX", &[0xff; 300]] {
            fs::write(folder.path().join("a.model"), bytes).unwrap();
            assert_eq!(store.get("a").unwrap(), None);
        }
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        for name in ["", "..", "../x", "a b", "a\0"] {
            assert!(matches!(store.get(name), Err(StoreError::BadName(_))), "{name:?}");
        }
    }
}
