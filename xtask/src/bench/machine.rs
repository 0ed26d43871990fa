//! On what machine a result was measured. Names no host.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cargo;

/// CPU, memory, kernel and compiler, and how busy the machine is before the bench adds to it.
pub(crate) fn describe() -> Result<Value> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory_kib: u64 = after(&memory, "MemTotal").trim_end_matches(" kB").parse()?;
    Ok(json!({
        "cpu": after(&cpu, "model name"),
        "cores": std::thread::available_parallelism()?.get(),
        "memory_mib": memory_kib / 1024,
        // Without what a vendor appends, which may name the place.
        "kernel": kernel.trim().split('-').next(),
        "load_1min": load.split(' ').next().and_then(|load| load.parse::<f64>().ok()),
        "rustc": cargo::output(Command::new("rustc").arg("--version"))?.trim(),
    }))
}

/// Today in UTC, as `2026-11-21`.
pub(crate) fn today() -> Result<String> {
    Ok(cargo::output(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned())
}
