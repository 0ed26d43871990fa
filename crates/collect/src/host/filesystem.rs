//! The mount table and statvfs: how full the file systems are.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Buffer, KeptFile};
use super::parse::{fields, lines, name};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// File systems on local disks. Those of a network or in user space are left out, because asking one that hangs would
/// hang the agent; read-only images (squashfs, iso9660) are always full.
const KINDS: [&str; 16] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "vfat", "exfat", "ntfs3", "jfs", "nilfs2",
    "reiserfs", "bcachefs", "ubifs", "jffs2",
];
/// A container's root lies on this; it shows the disk below.
const OVERLAY: &str = "overlay";

/// How many metrics a file system has.
const FACTS: usize = 4;

struct Mount {
    path: PathBuf,
    used: Slot,
    free: Slot,
    percent: Slot,
    inodes: Slot,
}

/// Asks each file system every 5 s how full it is.
pub(super) struct FilesystemReader {
    table: KeptFile,
    rootfs: PathBuf,
    max_mounts: usize,
    mounts: Vec<Mount>,
    hash: u64,
}

impl FilesystemReader {
    pub(super) fn new(roots: &Roots, max_mounts: usize) -> Self {
        Self {
            table: KeptFile::new(roots.mounts()),
            rootfs: roots.rootfs.clone(),
            max_mounts,
            mounts: Vec::new(),
            hash: 0,
        }
    }
}

impl Reader for FilesystemReader {
    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.mounts.clear();
        let Some(bytes) = self.table.read(buffer) else { return };
        self.hash = hash(bytes);
        for point in points(bytes) {
            let relative = Path::new(std::ffi::OsStr::from_bytes(point.get(1..).unwrap_or_default()));
            let path = self.rootfs.join(relative);
            // A file that is mounted over (a container's /etc/hosts) is part of somebody else's file system.
            if !path.is_dir() {
                continue;
            }
            if self.mounts.len() >= self.max_mounts {
                names.refuse(FACTS);
                continue;
            }
            let Ok(space) = rustix::fs::statvfs(&path) else { continue };
            if space.f_blocks == 0 {
                continue;
            }
            // As the mount point stands: `disk-usage/home/used`, and `disk-usage/used` for the root.
            let place = name(&point);
            let mut add = |fact| names.add(&format!("disk-usage{}/{fact}", place.trim_end_matches('/')));
            let (used, free, percent) = (add("used"), add("free"), add("percent"));
            let inodes = if space.f_files > 0 { add("inodes_percent") } else { Slot::NONE };
            self.mounts.push(Mount { path, used, free, percent, inodes });
        }
    }

    fn read(&mut self, _: &mut Buffer, slots: &mut Slots<'_>) {
        for mount in &self.mounts {
            let Ok(space) = rustix::fs::statvfs(&mount.path) else { continue };
            let unit = space.f_frsize as f64;
            let used = space.f_blocks.saturating_sub(space.f_bfree) as f64;
            let free = space.f_bavail as f64;
            slots.set(mount.used, used * unit);
            slots.set(mount.free, free * unit);
            // As df counts it: what is kept for root is neither used nor to be had.
            slots.set(mount.percent, 100.0 * used / (used + free));
            let inodes = space.f_files.saturating_sub(space.f_ffree) as f64;
            slots.set(mount.inodes, 100.0 * inodes / space.f_files as f64);
        }
    }

    fn changed(&mut self, buffer: &mut Buffer) -> bool {
        self.table.read(buffer).is_some_and(|bytes| hash(bytes) != self.hash)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Mount points of real file systems, one for each device (the shortest), in order.
fn points(table: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<(Vec<u8>, &[u8])> = Vec::new();
    for line in lines(table) {
        let mut line = fields(line);
        let (Some(device), Some(point), Some(kind)) = (line.next(), line.next(), line.next()) else {
            continue;
        };
        let point = unescape(point);
        let real = KINDS.iter().any(|known| known.as_bytes() == kind)
            || (kind == OVERLAY.as_bytes() && point == b"/");
        if real && point.first() == Some(&b'/') {
            found.push((point, device));
        }
    }
    found.sort_by(|a, b| (a.0.len(), &a.0).cmp(&(b.0.len(), &b.0)));
    let (mut devices, mut places) = (HashSet::new(), HashSet::new());
    found.retain(|(point, device)| devices.insert(device.to_vec()) && places.insert(point.clone()));
    found.sort();
    found.into_iter().map(|(point, _)| point).collect()
}

/// Blanks, tabs, line breaks and backslashes are written in octal, as in `/mnt/my\040disk` (getmntent(3)).
fn unescape(point: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(point.len());
    let mut rest = point;
    while let Some((&first, tail)) = rest.split_first() {
        let octal =
            |at: usize| tail.get(at).filter(|d| (b'0'..=b'7').contains(d)).map(|d| u32::from(d - b'0'));
        if first == b'\\'
            && let (Some(a), Some(b), Some(c)) = (octal(0), octal(1), octal(2))
            && let Ok(byte) = u8::try_from(a * 64 + b * 8 + c)
        {
            plain.push(byte);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            plain.push(first);
            rest = tail;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_device_counts_once_at_its_shortest_mount_point() {
        let table = b"/dev/sda1 /var/lib/docker/bind ext4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n\
            nas:/x /nas nfs4 rw 0 0\n/dev/sdb1 /mnt/my\\040disk xfs rw 0 0\n/dev/loop1 /snap/core squashfs ro 0 0\n\
            overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n";
        assert_eq!(points(table), [b"/".to_vec(), b"/mnt/my disk".to_vec()]);
    }

    #[test]
    fn half_an_escape_stays_as_it_is() {
        assert_eq!(unescape(b"/a\\04"), b"/a\\04");
        assert_eq!(unescape(b"/a\\777b\\134"), b"/a\\777b\\");
    }

    proptest! {
        #[test]
        fn any_mount_table_gives_distinct_absolute_points(table: Vec<u8>, real in "(/|\\\\|0|4|x| |ext4|\n){0,60}") {
            for table in [&table[..], real.as_bytes()] {
                let points = points(table);
                prop_assert!(points.iter().all(|point| point.starts_with(b"/")));
                prop_assert_eq!(points.iter().collect::<HashSet<_>>().len(), points.len());
            }
        }
    }
}
