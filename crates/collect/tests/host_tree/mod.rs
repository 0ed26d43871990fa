//! A copy of a recorded tree of files that a test may change, and a host source on it with a clock that stands.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use larnax_collect::host::{HostOptions, HostSource};
use larnax_collect::{Collected, SourceError};
use larnax_core::{Batch, Clock, ManualClock, Schema, Timestamp};

/// The wall clock's start.
const START: f64 = 1_700_000_000.0;

pub(crate) fn clock() -> Rc<dyn Clock> {
    Rc::new(ManualClock::at(Timestamp::from_seconds(START)))
}

pub(crate) struct Tree {
    dir: tempfile::TempDir,
    from: PathBuf,
}

impl Tree {
    /// A copy of `tests/fixtures/host/<name>`.
    pub(crate) fn of(name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host").join(name);
        let dir = tempfile::tempdir().unwrap();
        copy(&from, dir.path());
        Self { dir, from }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, content: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), content).unwrap();
    }

    pub(crate) fn append(&self, file: &str, more: &str) {
        let content = fs::read_to_string(self.path(file)).unwrap();
        self.write(file, &(content + more));
    }

    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let content = fs::read_to_string(self.path(file)).unwrap();
        assert!(content.contains(from), "{file} has no `{from}`");
        self.write(file, &content.replace(from, to));
    }

    /// The file as it was recorded.
    pub(crate) fn restore(&self, file: &str) {
        fs::copy(self.from.join(file), self.path(file)).unwrap();
    }

    pub(crate) fn remove(&self, dir: &str) {
        fs::remove_dir_all(self.path(dir)).unwrap();
    }

    /// A process with two threads and three open files that has used some ticks of CPU.
    pub(crate) fn process(&self, pid: u32, comm: &str, cmdline: &str, ticks: u64) {
        let stat = format!(
            "{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194304 100 0 0 0 {ticks} 0 0 0 20 0 2 0 {pid}00 3133440 10 0\n"
        );
        self.write(&format!("proc/{pid}/stat"), &stat);
        self.write(&format!("proc/{pid}/cmdline"), cmdline);
        for fd in 0..3 {
            self.write(&format!("proc/{pid}/fd/{fd}"), "");
        }
    }

    /// All files, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { dirs.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }

    /// Options that read this tree instead of the machine.
    pub(crate) fn options(&self) -> HostOptions {
        HostOptions {
            proc: self.path("proc"),
            sys: self.path("sys"),
            rootfs: self.path("rootfs"),
            ..HostOptions::default()
        }
    }

    pub(crate) fn host(self) -> Host {
        self.host_with(|_| ())
    }

    pub(crate) fn host_with(self, set: impl FnOnce(&mut HostOptions)) -> Host {
        let mut options = self.options();
        set(&mut options);
        let clock = Rc::new(ManualClock::at(Timestamp::from_seconds(START)));
        let source = HostSource::new(options, clock.clone()).unwrap();
        let batch = Batch::new(source.schema().clone());
        Host { source, batch, tree: self, clock, now: 0.0 }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub(crate) struct Host {
    pub(crate) source: HostSource,
    pub(crate) batch: Batch,
    pub(crate) tree: Tree,
    clock: Rc<ManualClock>,
    now: f64,
}

impl Host {
    /// Collects at a time in seconds.
    pub(crate) fn collect(&mut self, now: f64) {
        self.try_collect(now).unwrap();
    }

    pub(crate) fn try_collect(&mut self, now: f64) -> Result<(), SourceError> {
        self.clock.advance(Duration::from_secs_f64(now - self.now));
        self.now = now;
        let end = self.source.collect_at(Duration::from_secs_f64(now), &mut self.batch)?;
        assert_eq!((end, self.batch.len()), (Collected::Rows, 1));
        Ok(())
    }

    pub(crate) fn schema(&self) -> Arc<Schema> {
        self.batch.schema().clone()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.batch.schema().position(name).is_some()
    }

    pub(crate) fn values(&self) -> &[f64] {
        self.batch.rows().next().unwrap().values
    }

    pub(crate) fn value(&self, name: &str) -> f64 {
        let at = self.batch.schema().position(name).unwrap_or_else(|| panic!("no metric {name}"));
        self.values()[at]
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.batch.rows().next().unwrap().time
    }
}
