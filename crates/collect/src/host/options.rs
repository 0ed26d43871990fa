//! What to read, and where.

use std::path::PathBuf;

use super::pattern::CgroupPattern;
use super::process::ProcessGroup;

/// What the host source reads. The default is this machine, without control groups and process groups.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The root of procfs. An agent in a container that watches its host has the host's mounted elsewhere.
    pub proc: PathBuf,
    /// The root of sysfs.
    pub sys: PathBuf,
    /// The machine's root directory: mount points are looked for below it.
    pub rootfs: PathBuf,
    /// CPUs with metrics of their own, beside the whole; 64.
    pub max_cpus: usize,
    /// Disks with metrics; 32.
    pub max_disks: usize,
    /// Network interfaces with metrics, those with hardware first; 16.
    pub max_nics: usize,
    /// File systems with metrics; 32.
    pub max_mounts: usize,
    /// Control groups with metrics; 64. Each keeps up to six files open.
    pub max_cgroups: usize,
    /// Which control groups to watch; none.
    pub cgroups: Vec<CgroupPattern>,
    /// Which processes to watch together, at most 64 groups; none. A process may belong to several.
    pub processes: Vec<ProcessGroup>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            rootfs: "/".into(),
            max_cpus: 64,
            max_disks: 32,
            max_nics: 16,
            max_mounts: 32,
            max_cgroups: 64,
            cgroups: Vec::new(),
            processes: Vec::new(),
        }
    }
}
