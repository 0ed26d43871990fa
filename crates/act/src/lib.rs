//! EXECUTE: changes to the world, each made at most once.
//!
//! An [`Actuator`] is one way to change the world, in steps that can each be interrupted ([`port`]). The [`Executor`] gets commands from
//! a hub, checks them, and takes an actuator through its steps; the [`Journal`] holds each step before the next one begins, so that a
//! process which is killed at any moment leaves the world changed once or not at all, and its successor can say which.

pub mod actuators;
pub mod journal;
pub mod port;

mod catalogue;
mod error;
mod executor;
mod processes;
mod program;
mod text;

pub use catalogue::{Offered, catalogue};
pub use error::ActError;
pub use executor::{Executor, Watch};
pub use journal::Journal;
pub use port::{Actuator, Failed, Held, LocalFuture, Settled, Side, Task};
