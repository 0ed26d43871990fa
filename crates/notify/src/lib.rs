//! Who is told: from the config's words to sinks that run. Shared by the roles that tell somebody something.

pub mod client;
pub mod sinks;

pub use sinks::{Identity, Running, Sinks, Speaker};
