//! The ways to change the world, one file each.

mod command;
mod record;

pub use command::Command;
pub use record::Record;
