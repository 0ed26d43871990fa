//! YAML to typed values, with the place of everything that is wrong.
//!
//! The text becomes a small tree of located nodes ([`tree`]); serde reads types from that tree ([`de`]); what could not
//! be read is taken out and the rest is read again ([`read`]), so that one run reports every problem. Reading straight
//! from a YAML deserialiser was rejected: it stops at the first problem, turns `1.10` in a label into a number before
//! the label's type is known, and forgets positions inside `bool | map` values.

mod de;
mod read;
mod tree;

pub(crate) use read::{Document, Located};
pub(crate) use tree::{Content, MAX_TEXT_BYTES, Node, shorten};
