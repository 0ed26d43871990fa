//! Files of single processes in procfs, without allocating.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, RawDir, openat};

use super::file::Buffer;
use super::parse::{fields, number};

/// What `/proc/<pid>/stat` says (proc(5)).
pub struct Stat<'a> {
    /// The name of its program, at most 15 bytes.
    pub comm: &'a [u8],
    /// The process that started it, or has it since that one ended.
    pub parent: u64,
    /// CPU that it has used, user and system, in clock ticks.
    pub ticks: u64,
    /// How many threads it has.
    pub threads: u64,
    /// When it was started, in clock ticks since the machine was.
    pub start: u64,
    /// Pages of its resident memory.
    pub pages: u64,
}

impl<'a> Stat<'a> {
    /// Reads the file's one line.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        // The name stands in parentheses, and may hold blanks and parentheses itself.
        let (open, close) = (memchr::memchr(b'(', bytes)?, memchr::memrchr(b')', bytes)?);
        let comm = bytes.get(open + 1..close)?;
        let mut rest = fields(bytes.get(close + 1..)?);
        let parent = number(rest.nth(1)?)?;
        let user = number(rest.nth(9)?)?;
        let system = rest.number()?;
        let threads = number(rest.nth(4)?)?;
        let start = number(rest.nth(1)?)?;
        let pages = number(rest.nth(1)?)?;
        Some(Self { comm, parent, ticks: user.saturating_add(system), threads, start, pages })
    }
}

/// `<pid>/<file>` as a path, without allocating.
pub fn with_path<T>(pid: u32, file: &str, then: impl FnOnce(&CStr) -> T) -> Option<T> {
    let mut path = [0u8; 32];
    write!(&mut path[..], "{pid}/{file}\0").ok()?;
    CStr::from_bytes_until_nul(&path).ok().map(then)
}

/// The content of `<pid>/<file>`; `None` when it can't be read.
pub fn open<'b>(proc: &OwnedFd, pid: u32, file: &str, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = with_path(pid, file, |path| openat(proc, path, flags, Mode::empty()))?.ok()?;
    buffer.fill(&File::from(fd))
}

/// Whether a folder is the kernel's, and not one that looks like it.
pub fn is_procfs(dir: &OwnedFd) -> bool {
    rustix::fs::fstatfs(dir).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// Hands out the names in a directory until there are no more or `each` says false.
pub fn list(dir: &OwnedFd, mut each: impl FnMut(&[u8]) -> bool) {
    let mut space = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut space);
    while let Some(Ok(entry)) = entries.next() {
        if !each(entry.file_name().to_bytes()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let line = b"7 (a) (b c) S 1 7 7 0 -1 64 0 0 0 0 30 12 0 0 20 0 5 0 4242 100 55 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.comm, stat.parent), (&b"a) (b c"[..], 1));
        assert_eq!((stat.ticks, stat.threads, stat.start, stat.pages), (42, 5, 4242, 55));
    }

    proptest! {
        #[test]
        fn any_stat_is_read_or_refused(bytes: Vec<u8>, near in "[0-9]{1,3} \\([a-z) (]{0,9}\\) S( [0-9-]{1,22}){0,30}") {
            let _ = Stat::parse(&bytes);
            let _ = Stat::parse(near.as_bytes());
        }
    }
}
