//! What tests of this folder share.

pub(crate) mod amqp;
pub(crate) mod webhook;
