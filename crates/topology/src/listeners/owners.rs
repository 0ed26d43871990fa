//! Which process a socket belongs to: the links in `/proc/<pid>/fd`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use larnax_collect::host::parse::number;

/// Bounds of the work: processes looked at, and descriptors of each.
const MAX_PROCESSES: usize = 4096;
const MAX_DESCRIPTORS: usize = 4096;

/// Process number and short name for each socket whose owner can be seen; of several (a parent and the workers that
/// inherited it), the lowest number.
pub(super) fn of(proc: &Path, sockets: impl Iterator<Item = u64>) -> HashMap<u64, (u32, String)> {
    let mut wanted: HashSet<u64> = sockets.collect();
    let mut owners = HashMap::new();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids.into_iter().take(MAX_PROCESSES) {
        if wanted.is_empty() {
            break;
        }
        let dir = proc.join(pid.to_string());
        let links = fs::read_dir(dir.join("fd")).into_iter().flatten().flatten().take(MAX_DESCRIPTORS);
        for link in links {
            let Ok(target) = fs::read_link(link.path()) else { continue };
            let Some(socket) = inode(target.as_os_str().as_encoded_bytes()) else { continue };
            if wanted.remove(&socket) {
                owners.insert(socket, (pid, comm(&dir)));
            }
        }
    }
    owners
}

/// The number in `socket:[637]`.
pub(crate) fn inode(link: &[u8]) -> Option<u64> {
    number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// The process' short name, or `?` when it has just ended.
fn comm(dir: &Path) -> String {
    let name = fs::read_to_string(dir.join("comm")).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(64).collect();
    if name.is_empty() { "?".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_several_processes_belongs_to_the_first() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, socket, name) in [(20, 7, "worker\n"), (3, 7, "parent\n"), (4, 8, "")] {
            let dir = proc.path().join(pid.to_string());
            fs::create_dir_all(dir.join("fd")).unwrap();
            std::os::unix::fs::symlink(format!("socket:[{socket}]"), dir.join("fd/5")).unwrap();
            std::os::unix::fs::symlink("/dev/null", dir.join("fd/0")).unwrap();
            fs::write(dir.join("comm"), name).unwrap();
        }
        let owners = of(proc.path(), [7, 8, 9].into_iter());
        assert_eq!(owners.get(&7), Some(&(3, "parent".to_owned())));
        assert_eq!(owners.get(&8), Some(&(4, "?".to_owned())));
        assert_eq!(owners.get(&9), None);
    }

    #[test]
    fn links_that_are_no_sockets_are_left_out() {
        assert_eq!(inode(b"socket:[637]"), Some(637));
        for other in ["pipe:[637]", "socket:[]", "socket:[6", "socket:[-1]", "/dev/null"] {
            assert_eq!(inode(other.as_bytes()), None, "{other}");
        }
    }
}
