//! The session between an edge and its hub.
//!
//! Edge sites sit behind NAT: the edge opens a WebSocket to the hub and keeps it. Signs of life, events, what it sees of the
//! topology and answers go one way; acknowledgements and questions the other. Each message is one JSON object; a long one is
//! compressed and sent as a binary frame. Nothing is taken that is longer than [`MAX_MESSAGE_BYTES`].
//!
//! | file | what is in it |
//! |---|---|
//! | [`messages`] | what is said |
//! | [`wire`] | how it is sent: frames, compression, limits |
//! | [`packed`] | how samples are sent: what is usual, and how far from that |
//! | [`open`] | how an edge opens a session |
//!
//! Rejected: HTTP/2 streams (no proxy in front of edge sites lets a server ask), and a binary encoding of messages (evidence
//! compresses to the same size either way, and a session can be read with any WebSocket client).

pub mod messages;
pub mod open;
pub mod packed;
pub mod wire;

pub use messages::{
    Acknowledged, Delivery, EvidencePart, FromEdge, FromHub, Gap, Heartbeat, Hello, Learnt, Model, Pull,
    Welcome,
};
pub use open::{OpenOptions, Opener};
pub use packed::Packed;
pub use wire::{MAX_MESSAGE_BYTES, Receiver, Sender, SessionError, split};

/// The path of a hub at which sessions are opened.
pub const PATH: &str = "/api/v1/session";
/// The version of the messages. A hub and an edge of different versions end the session with a clear sentence.
pub const PROTOCOL: u32 = 1;
