//! What the shop's folder knows of it: which processes there are, so that any later command finds exactly those.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::options::{read_json, write_json};
use crate::{Role, ShopError, process};

/// A process of the shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// What it is.
    pub role: Role,
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did: with it, the number is this process' and no other's.
    pub started: u64,
    /// Where it serves; for the load generator, where it takes orders.
    pub listen: SocketAddr,
    /// Where it takes orders.
    pub admin: SocketAddr,
}

impl Process {
    /// Whether it is there.
    pub fn lives(&self) -> bool {
        process::started(self.pid) == Some(self.started)
    }
}

/// The whole shop, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// This start of the machine.
    pub(crate) boot: String,
    pub(crate) processes: Vec<Process>,
}

/// Where everything lies in the shop's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("shop.json")
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("larnax.yaml")
    }

    pub(crate) fn options(&self, role: Role) -> PathBuf {
        self.0.join(format!("{role}.json"))
    }

    pub(crate) fn log(&self, role: Role) -> PathBuf {
        self.0.join(format!("{role}.log"))
    }

    pub(crate) fn data(&self, role: Role) -> PathBuf {
        self.0.join("data").join(role.name())
    }

    /// Beside the folder, because that is removed.
    fn lock_file(&self) -> PathBuf {
        let mut name = self.0.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        self.0.with_file_name(name)
    }

    /// Keeps other commands from starting or ending the shop until the file is dropped.
    pub(crate) fn lock(&self) -> Result<Lock, ShopError> {
        let path = self.lock_file();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ShopError::file(parent))?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(ShopError::file(&path))?;
        match file.try_lock() {
            // Whoever had it before has removed the file since: then this lock keeps nobody out.
            Ok(()) if !is_at(&file, &path) => Err(ShopError::Busy(self.0.clone())),
            Ok(()) => Ok(Lock { _file: file, path }),
            Err(fs::TryLockError::WouldBlock) => Err(ShopError::Busy(self.0.clone())),
            Err(fs::TryLockError::Error(reason)) => Err(ShopError::File { path, reason }),
        }
    }

    /// The shop as it was kept; none where there is none.
    pub(crate) fn read(&self) -> Result<Option<State>, ShopError> {
        match read_json::<State>(&self.state()) {
            Ok(state) if state.boot == process::boot() => Ok(Some(state)),
            // Of an earlier start of the machine: nothing of it lives.
            Ok(_) => Ok(Some(State::default())),
            Err(ShopError::File { reason, .. }) if reason.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder with an empty shop and a token.
    ///
    /// # Errors
    /// [`ShopError::Foreign`] when something else is there.
    pub(crate) fn make(&self) -> Result<State, ShopError> {
        let strange = fs::read_dir(&self.0).is_ok_and(|mut files| files.next().is_some());
        if strange && !self.state().is_file() {
            return Err(ShopError::Foreign(self.0.clone()));
        }
        fs::create_dir_all(&self.0).map_err(ShopError::file(&self.0))?;
        let state = State { boot: process::boot(), processes: Vec::new() };
        self.keep(&state)?;
        let path = self.token();
        let mut bytes = [0; 24];
        let random = Path::new("/dev/urandom");
        File::open(random)
            .and_then(|mut file| file.read_exact(&mut bytes))
            .map_err(ShopError::file(random))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = fs::remove_file(&path);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, token.as_bytes()))
            .map_err(ShopError::file(&path))?;
        Ok(state)
    }

    pub(crate) fn keep(&self, state: &State) -> Result<(), ShopError> {
        write_json(&self.state(), state)
    }

    /// Removes the folder with everything in it, if it is the shop's.
    pub(crate) fn remove(&self) -> Result<(), ShopError> {
        if !self.state().is_file() {
            return Ok(());
        }
        fs::remove_dir_all(&self.0).map_err(ShopError::file(&self.0))
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let number = |found: std::io::Result<fs::Metadata>| found.ok().map(|found| found.ino());
    number(file.metadata()).is_some_and(|own| number(fs::metadata(path)) == Some(own))
}

/// Held while the shop is started or ended.
pub(crate) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still held, so that nobody else is inside; who waits opens a file of its own.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_kept_read_and_removed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder(place.path().join("shop"));
        assert_eq!(folder.read().unwrap(), None);
        let mut state = folder.make().unwrap();
        let here: SocketAddr = "127.0.0.1:1".parse().unwrap();
        state.processes.push(Process { role: Role::Load, pid: 7, started: 9, listen: here, admin: here });
        folder.keep(&state).unwrap();
        assert_eq!(folder.read().unwrap(), Some(state));
        let token = fs::metadata(folder.token()).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&token.permissions()) & 0o777, 0o600);
        folder.remove().unwrap();
        assert!(fs::read_dir(place.path()).unwrap().next().is_none());
    }

    #[test]
    fn what_is_not_the_shop_s_is_neither_used_nor_removed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder(place.path().join("shop"));
        fs::create_dir(&folder.0).unwrap();
        fs::write(folder.0.join("letter"), "dear").unwrap();
        assert!(matches!(folder.make(), Err(ShopError::Foreign(_))));
        folder.remove().unwrap();
        assert!(folder.0.join("letter").is_file());
    }

    #[test]
    fn one_command_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder(place.path().join("shop"));
        let lock = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(ShopError::Busy(_))));
        drop(lock);
        drop(folder.lock().unwrap());
        assert!(fs::read_dir(place.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_shop_of_an_earlier_start_of_the_machine_has_no_processes() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder(place.path().join("shop"));
        folder.make().unwrap();
        let here: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let own = process::started(std::process::id()).unwrap();
        let own =
            Process { role: Role::Load, pid: std::process::id(), started: own, listen: here, admin: here };
        assert!(own.lives());
        folder.keep(&State { boot: "another".to_owned(), processes: vec![own] }).unwrap();
        assert_eq!(folder.read().unwrap().unwrap().processes, []);
    }
}
