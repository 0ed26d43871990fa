//! What each fault does. A fault is a future that never ends: whoever drops it ends the fault, and everything it took is
//! given back by the drop of what holds it.
//!
//! Everything runs as tasks on the one thread that keeps the faults, which is there anyway: a thread for a fault would be
//! seen in the service's number of threads, and give every fault away.

use std::fs::{self, File, OpenOptions};
use std::future::{Future, pending};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::effects::{Effects, Presence, Switch};
use super::{Checked, Fault};
use crate::ShopError;
use crate::process::available_memory;

/// How often what grows is made to grow.
const TICK: Duration = Duration::from_millis(100);
/// In which time a share of cpu is burnt and the rest rested: short enough that the keeper answers in between.
const SLICE: Duration = Duration::from_millis(20);
/// What a memory leak or a full disk must leave to others, in bytes.
const LEFT_FOR_OTHERS: u64 = 512 << 20;
/// An allocation as large as this is always given back to the system when it is freed: glibc's largest mmap threshold
/// (mallopt(3), `DEFAULT_MMAP_THRESHOLD_MAX`) is half of it.
const LEAST_HOARD: usize = 64 << 20;
/// How long a child of the flood lives, in seconds, as sleep(1) reads it.
const CHILD_LIVES: &str = "0.4";
/// Descriptors that a leak leaves to the service.
const LEFT_FILES: u64 = 128;

const MIB: f64 = 1024.0 * 1024.0;

/// A fault that has begun once it is polled, and ends when it is dropped.
pub(super) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Makes a fault ready of which so much of its time is over.
///
/// # Errors
/// When the machine has no room for it.
pub(super) fn prepare(
    order: &Checked,
    over: Duration,
    folder: &Path,
    effects: Arc<Effects>,
) -> Result<Work, ShopError> {
    let (time, strength) = (order.time, order.strength);
    let switch = |switch| -> Work { Box::pin(turn(effects.clone(), switch, strength)) };
    Ok(match order.fault {
        Fault::CpuHog => Box::pin(burn(move |_| strength)),
        Fault::CpuLeak => {
            Box::pin(burn(move |since| strength * (since.as_secs_f64() / time.as_secs_f64()).min(1.0)))
        }
        Fault::MemoryLeak => {
            let bytes = (strength * MIB) as usize;
            room("memory-leak", "memory", available_memory(), bytes as u64)?;
            Box::pin(hoard(time, bytes))
        }
        Fault::ForkFlood => {
            let mut children = Children { all: Vec::new(), effects };
            children.start().map_err(|error| {
                ShopError::Order(format!(
                    "fork-flood: `sleep` can't be started: {error}; expected it in PATH"
                ))
            })?;
            Box::pin(flood(strength, children))
        }
        Fault::DiskFill => {
            let bytes = (strength * MIB) as u64;
            let fill = Fill::open(folder)?;
            let free = rustix::fs::statvfs(folder).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            room("disk-fill", "disk", free, bytes.saturating_sub(fill.written))?;
            Box::pin(grow_file(time, over, bytes, fill))
        }
        Fault::FileLeak => Box::pin(leak_files(time, (strength as usize).min(spare_files()))),
        Fault::Latency => switch(Switch::Latency),
        Fault::ErrorRate => switch(Switch::Errors),
        Fault::LinkDelay => switch(Switch::LinkDelay),
        Fault::LinkLoss => switch(Switch::LinkLoss),
        Fault::SlowDependency => match order.to {
            Some(callee) => switch(Switch::Slow(callee)),
            None => return Err(ShopError::Order("slow-dependency: expected --to".to_owned())),
        },
        Fault::Stop => Box::pin(be(effects, Presence::Stopped)),
        Fault::Freeze => Box::pin(be(effects, Presence::Frozen)),
    })
}

/// Refuses what would leave too little to others. Where the system doesn't say how much there is, the bound of the
/// fault's strength is what protects it.
fn room(fault: &str, what: &str, free: Option<u64>, wanted: u64) -> Result<(), ShopError> {
    match free {
        Some(free) if free < wanted.saturating_add(LEFT_FOR_OTHERS) => Err(ShopError::Order(format!(
            "{fault}: {} MiB of {what} are free, expected {} MiB and {} MiB to spare; give a smaller --strength",
            free >> 20,
            wanted >> 20,
            LEFT_FOR_OTHERS >> 20
        ))),
        _ => Ok(()),
    }
}

/// Turns a switch, and back.
pub(super) async fn turn(effects: Arc<Effects>, switch: Switch, strength: f64) {
    let back = effects.clone();
    let _back = OnDrop(move || back.set(switch, 0.0));
    effects.set(switch, strength);
    pending().await
}

async fn be(effects: Arc<Effects>, presence: Presence) {
    let back = effects.clone();
    let _back = OnDrop(move || back.set_presence(Presence::Serving));
    effects.set_presence(presence);
    pending().await
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Burns a share of one core, by the time since it began.
async fn burn(share: impl Fn(Duration) -> f64) {
    let began = Instant::now();
    loop {
        let slice = Instant::now();
        let busy = SLICE.mul_f64(share(began.elapsed()).clamp(0.0, 1.0));
        let mut sum = 0_u64;
        while slice.elapsed() < busy {
            sum = std::hint::black_box((0..1_000).fold(sum, |sum, i| sum.wrapping_mul(31).wrapping_add(i)));
        }
        match SLICE.checked_sub(slice.elapsed()) {
            Some(rest) if rest > Duration::from_millis(1) => tokio::time::sleep(rest).await,
            _ => tokio::task::yield_now().await,
        }
    }
}

/// Calls `grow` with the share of the time that is over, again and again until that is 1; then waits. `over` of it is over at first.
async fn growing(time: Duration, over: Duration, mut grow: impl FnMut(f64)) {
    let began = Instant::now();
    loop {
        let share = ((over + began.elapsed()).as_secs_f64() / time.as_secs_f64()).min(1.0);
        grow(share);
        if share >= 1.0 {
            pending::<()>().await;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// One allocation, written to bit by bit: the system gives pages when they are written.
async fn hoard(time: Duration, bytes: usize) {
    let mut hoard: Vec<u8> = Vec::with_capacity(bytes.max(LEAST_HOARD));
    growing(time, Duration::ZERO, |share| {
        hoard.resize((bytes as f64 * share) as usize, 1);
        std::hint::black_box(&hoard);
    })
    .await;
}

/// A file that is removed when this is dropped.
struct Fill {
    file: File,
    path: PathBuf,
    written: u64,
}

impl Fill {
    /// Goes on with the one that is there: what fills a disk is there when a service is started again.
    fn open(folder: &Path) -> Result<Self, ShopError> {
        let path = folder.join("fill");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(ShopError::file(&path))?;
        let written = file.metadata().map_err(ShopError::file(&path))?.len();
        Ok(Self { file, path, written })
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn grow_file(time: Duration, over: Duration, bytes: u64, mut fill: Fill) {
    let block = vec![0x5a_u8; 64 << 10];
    growing(time, over, |share| {
        let wanted = (bytes as f64 * share) as u64;
        while fill.written < wanted {
            let length = (wanted - fill.written).min(block.len() as u64) as usize;
            // A disk that is full is what was wanted.
            match fill.file.write(&block[..length]) {
                Ok(written) if written > 0 => fill.written += written as u64,
                _ => break,
            }
        }
    })
    .await;
}

fn spare_files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| limit.saturating_sub(LEFT_FILES) as usize)
}

async fn leak_files(time: Duration, most: usize) {
    let mut files = Vec::new();
    growing(time, Duration::ZERO, |share| {
        while files.len() < (most as f64 * share) as usize {
            match File::open("/dev/null") {
                Ok(file) => files.push(file),
                Err(_) => break,
            }
        }
    })
    .await;
}

/// Children that are ended and waited for when this is dropped.
struct Children {
    all: Vec<Child>,
    effects: Arc<Effects>,
}

impl Children {
    /// Takes leave of those that have ended.
    fn reap(&mut self) {
        self.all.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        self.effects.children.store(self.all.len() as u64, Relaxed);
    }

    fn start(&mut self) -> std::io::Result<()> {
        let mut sleep = Command::new("sleep");
        sleep.arg(CHILD_LIVES).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.all.push(sleep.spawn()?);
        self.effects.children_started.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.all {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.effects.children.store(0, Relaxed);
    }
}

async fn flood(per_second: f64, mut children: Children) {
    let mut due = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        children.reap();
        // One that can't be started now is one that others can't start either: the flood has reached its aim.
        let _ = children.start();
    }
}
