//! ANALYZE, many components: from what each of them did to where it began. Pure: no clock, no I/O; the same question gets the same
//! answer.
//!
//! - [`case`] is the question: metrics, and as far as they are known the onset, the graph, who alerted, what was changed.
//! - `sides` tells normal from incident; [`deviation`] says how far a metric left what it did before, [`onset`] and `since`
//!   when; `signals` is all of that for every component.
//! - `graph` is who depends on whom, `walk` the order along it; [`rank()`] puts it all together, `confidence` judges it, `reasons` says why.

pub mod case;
mod confidence;
pub mod deviation;
mod graph;
pub mod incidents;
pub mod onset;
mod rank;
mod reasons;
mod sides;
mod signals;
mod since;
pub mod topology;
mod walk;

pub use case::{CallLatency, Case, Change, ChangeKind, Observed, Series, When};
pub use incidents::Incidents;
pub use rank::rank;
pub use signals::UP;
pub use topology::Topology;
