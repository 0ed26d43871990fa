//! The ways to change the world, one file each.

mod cgroup;
mod command;
mod record;
mod restart;
mod signal;
mod systemd;
mod virsh;
mod webhook;

pub use cgroup::Cgroup;
pub use command::Command;
pub use record::Record;
pub use restart::Restart;
pub use signal::Signal;
pub use systemd::Systemd;
pub use virsh::Virsh;
pub use webhook::Webhook;
