//! The hub role: takes what edges tell, builds incidents, asks for evidence, and says where they began.
//!
//! | file | what is in it |
//! |---|---|
//! | [`hub`] | what the parts share, and what edges tell |
//! | `sessions` | the edges that are connected, and what they are asked |
//! | `act` | from events to incidents; only the hub that holds the lease does it |
//! | `others` | the other hubs of the same store, through which their edges are asked |
//! | `load` | edges are held back where incidents are behind |
//! | `people` | which incidents people are told of |
//! | `evidence` | what is pulled from edges for an incident, and its diagnosis |
//! | `looks` | what an incident looks like, to be known again |
//! | `plans` | what is done about incidents, and what people want of that |
//! | `region` | what a hub of a region hands up to another one |
//! | `up` | silence as evidence |
//! | `changes` | deploys and the like, told by others |
//! | `calls` | durations of calls that both ends measured |
//! | [`api`] | who answers what |
//! | [`report`] | what is answered, as types |
//! | `metrics` | what the hub says of itself to Prometheus |
//! | `openapi` (feature) | the document that describes the API |
//!
//! Everything runs on one thread, but for the store's calls, which block, and the ranking, which computes: those go to threads
//! for that. State is borrowed for the length of a function and never across an await.

pub mod api;
pub mod hub;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod report;

mod act;
mod addresses;
mod calls;
mod changes;
mod evidence;
mod learnt;
mod load;
mod looks;
mod metrics;
mod others;
mod people;
mod plans;
mod region;
mod sessions;
mod up;

pub use hub::{Duty, Hub, HubError, HubOptions};
pub use looks::signature_of;
pub use report::{AgentReport, HubReport, TopologyReport};
