//! A small shop to watch and to break.
//!
//! Four services call each other over HTTP on loopback, each a process of its own with Prometheus metrics:
//!
//! ```text
//!            ┌────────┐      ┌────────┐      ┌───────┐
//!   load ──▶ │  web   │ ───▶ │ orders │ ───▶ │  pay  │
//!            └───┬────┘      └───┬────┘      └───────┘
//!                │               ▼
//!                │           ┌───────┐
//!                └─────────▶ │ stock │
//!                            └───────┘
//! ```
//!
//! A load generator sends requests that arrive at random. [`Shop::start`] starts all of them; [`Shop::inject`] orders one of
//! the [`Fault`]s, which the service that has it ends by itself at its deadline, whatever becomes of whoever ordered it;
//! [`Shop::mend`] ends those before their time that a [`Remedy`] would end in the real world.
//!
//! Processes, not threads: a fault in one must be seen in that one's cpu, memory and files, and in the others only through
//! their calls. Each is the same program started as `PROGRAM serve FILE` (see [`serve`]); it needs nothing installed.

mod admin;
mod config;
mod decoy;
mod error;
mod faults;
mod graph;
mod http;
mod load;
mod mend;
mod options;
mod pool;
mod process;
mod random;
mod serve;
mod service;
mod shop;
mod state;

pub use admin::{Report, Sent};
pub use config::agent_config;
pub use decoy::Decoy;
pub use error::ShopError;
pub use faults::{Active, Fault, Order, Strength};
pub use graph::{Role, Service};
pub use mend::{Mended, Remedy};
pub use serve::serve;
pub use shop::{Shop, ShopOptions};
pub use state::Process;
