//! A real Kubernetes cluster for tests, on one machine: etcd, API server, controllers and scheduler, and nodes with a real
//! kubelet, containerd and runc. No container engine and no image registry is needed; it is up in a quarter of a minute and
//! leaves nothing behind but an empty file in the temporary folder, by which clusters with nodes wait for each other.
//!
//! Kubernetes is built once from its own Go modules into one program ([`build`], `cluster/`), containerd and runc come from
//! Debian's packages like other peers. The control plane alone needs no root, and several can stand side by side. Nodes need
//! root, and a machine has one set of them: a second one waits for the first.
//!
//! Everything listens on 127.0.0.1 or on addresses of a bridge without a physical port. Each node runs in mount and process
//! namespaces of its own, so that it ends as a whole and mounts nothing that others see.
//!
//! This crate is for tests, so what can't go on panics, with the last words of what failed. Only [`build`] returns errors: a
//! machine that can't build Kubernetes is not a failed test.

#![allow(clippy::panic, reason = "test support: a panic is how a test fails")]

mod cluster;
mod control_plane;
mod network;
mod node;
mod peer_image;
mod pki;
mod programs;
mod shop;

pub use cluster::Cluster;
pub use network::{BRIDGE, CGROUP, node_of};
pub use peer_image::import_peer;
pub use programs::{Programs, build, lacks};
pub use shop::Shop;
