//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "test support: a panic is how a test fails"
)]
#![allow(unreachable_pub, reason = "shared by files that are crates of their own")]

pub mod events;
pub mod file_log;
pub mod http;
pub mod suite;
