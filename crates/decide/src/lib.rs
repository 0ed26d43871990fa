//! PLAN: what to do about an incident. Pure: time is an argument, and the same question gets the same answer.

mod bandit;
mod choose;
mod density;
mod gate;
mod likeness;
mod patterns;
mod plans;
mod signature;

pub use bandit::{Arm, Expected};
pub use choose::{Experience, GIVEN_UP, Ranked, Remedy, Situation, reward};
pub use gate::{Answer, Deed, Question, allows};
pub use patterns::{Look, Pattern, Patterns, Recognised};
pub use plans::{Frozen, Knowledge, Offered, Order, Plans, Silence};
pub use signature::{Feature, Place, Signature, Track};
