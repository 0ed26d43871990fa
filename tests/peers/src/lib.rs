//! Real peers for tests: Debian's Prometheus, Alertmanager, node_exporter, PostgreSQL, RabbitMQ, systemd, virsh, stress-ng and what runs the
//! containers of a Kubernetes node, and Larnax's own programs.
//!
//! `cargo xtask test` fetches the peers ([`fetch()`]) into `target/peers`, without installing anything and
//! without root. A test asks for what it needs with [`Peers::for_test`] and starts it: every peer runs on a
//! free port of 127.0.0.1, writes only into a temporary folder, is ready when `start` returns, and is gone
//! when its value is dropped, also when the test panics or is killed.
//!
//! This crate is for tests, so what can't go on panics, with the last words of the peer in the message. Only
//! [`fetch()`] returns errors, because a machine that can't provide a peer is not a failed test.

#![allow(clippy::panic, reason = "test support: a panic is how a test fails")]

mod agent;
mod alertmanager;
mod debian;
mod fetch;
mod http;
mod node_exporter;
mod peers;
mod postgres;
mod process;
mod prometheus;
mod rabbitmq;
mod relay;
mod relocate;
mod stress_ng;
mod systemd;
mod tools;
mod wait;

pub use agent::Agent;
pub use alertmanager::Alertmanager;
pub use fetch::fetch;
pub use http::{Response, get, get_as, percent_encoded, post, post_as_owner, post_event};
pub use node_exporter::NodeExporter;
pub use peers::{Peer, Peers, in_ci};
pub use postgres::Postgres;
pub use process::Process;
pub use prometheus::Prometheus;
pub use rabbitmq::RabbitMq;
pub use relay::Relay;
pub use stress_ng::StressNg;
pub use systemd::Systemd;
pub use tools::fetch_tools;
pub use wait::eventually;
