//! Metrics of this machine, from procfs, sysfs, cgroups and statvfs.
//!
//! [`HostSource`] asks one small reader after the other; each knows one kind of files. All files are optional: what a
//! container, an old kernel or a small board doesn't have gives no metric.
//!
//! | metrics | unit | read at most every |
//! |---|---|---|
//! | `cpu/{user,nice,system,idle,iowait,irq,softirq,steal,busy}`, `cpu/<n>/{user,system,iowait,softirq,steal,busy}` | fraction of time | collection |
//! | `procs/{context_switches,interrupts,forks,softirqs}` | per second | collection |
//! | `procs/{running,blocked}` | number | collection |
//! | `load/{1,5,15}`, `procs/threads` | number | 1 s |
//! | `mem/…` | bytes, `percent` | 0.5 s |
//! | `vm/…` (faults, swapping, reclaim, kills) | per second | 1 s |
//! | `psi/{cpu,memory,io}/{some,full}` | fraction of time | 0.5 s |
//! | `disk-io/<disk or all>/{read,write}_{bytes,ops}` | per second | collection |
//! | `disk-io/<disk or all>/{io_time,read_time,write_time,queue}` | fraction of time; requests under way | collection |
//! | `disk-usage<mount point>/{used,free,percent,inodes_percent}` | bytes, percent | 5 s |
//! | `net/<interface or all>/{rx,tx}_{bytes,packets,errors,dropped}` | per second | collection |
//! | `tcp/…`, `udp/…` | per second; `tcp/established` number | 1 s; what netstat gives 2 s |
//! | `sockets/…` | number | 1 s |
//! | `files/{open,percent}` | number, percent | 1 s |
//! | `cgroup<path>/{cpu,throttled}` | seconds per second | 1 s |
//! | `cgroup<path>/{memory,memory_max,memory_percent,pids,read_bytes,write_bytes}` | bytes, percent, number, per second | 1 s |
//! | `proc/<group>/{count,threads,fds,rss,cpu,read_bytes,write_bytes,ctx_switches}` | number, bytes, seconds per second, per second | 1.5 s |
//!
//! What it costs is what the kernel takes to write the files: our own part is a tenth. Measured with 100 ms between reads
//! on a busy two-core virtual machine (Linux 6.18, caches cold), in µs per read: `stat` 42, `vmstat` 38, `diskstats` 31
//! (`/sys/block/<disk>/stat` 10), `snmp` 30, `meminfo` 24, `file-nr` 20, `net/dev` 18, `pressure` 17 (three files),
//! `statvfs` 13, `sockstat` 8, `loadavg` 5; `netstat` 51. In a tight loop each is two to four times faster.

mod cgroup;
mod cpu;
mod disk;
pub mod file;
mod filesystem;
mod least;
mod load;
mod memory;
mod network;
mod options;
pub mod parse;
mod pattern;
mod pressure;
mod process;
pub mod procfs;
mod reader;
mod sockets;
mod source;

pub use options::HostOptions;
pub use pattern::CgroupPattern;
pub use process::ProcessGroup;
pub use source::HostSource;
