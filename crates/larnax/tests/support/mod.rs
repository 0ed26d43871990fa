//! The built program, and small files for it.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

pub mod shop;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, knowing nothing of the machine that it runs on.
pub fn larnax() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larnax"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs it in `folder` to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    larnax().current_dir(folder).args(arguments).output().unwrap()
}

/// What it prints when all goes well.
pub fn print(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub fn stderr(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Values of `load`, `latency` and `errors`, one row per second: noise, and from row 300 to 340 a latency twice as high.
pub fn rows(count: usize) -> Vec<[f64; 3]> {
    let mut state = 1u64;
    let mut noise = || {
        // Knuth's MMIX generator: the test must see the same numbers everywhere.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1.0 + 0.02 * ((state >> 40) as f64 / (1u64 << 24) as f64 - 0.5)
    };
    let row = |i: usize| {
        let shift = if (300..340).contains(&i) { 30.0 } else { 0.0 };
        [2.0 * noise(), 30.0 * noise() + shift, 5.0 * noise()]
    };
    (0..count).map(row).collect()
}

/// The time of a row, as it is written.
pub fn time(row: usize) -> String {
    (1_700_000_000 + row).to_string()
}

/// `time,load,latency,errors` and the rows.
pub fn csv(count: usize) -> String {
    let lines =
        rows(count).into_iter().enumerate().map(|(i, [a, b, c])| format!("{},{a},{b},{c}\n", time(i)));
    std::iter::once("time,load,latency,errors\n".to_owned()).chain(lines).collect()
}
