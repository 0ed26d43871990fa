//! The platform port: how a change is made to the world, in steps that can each be interrupted.

use std::future::{Future, ready};
use std::pin::Pin;

use larnax_core::{ComponentId, Effect, PlanId, Wanted};
use tokio::time::Instant;

use crate::ActError;

/// A future of the agent's one thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What an actuator needs to remember between its steps, and to take the change back: the state before. It is written to the journal,
/// so it holds no secrets.
pub type Held = serde_json::Value;

/// One change to one component.
#[derive(Clone, Debug)]
pub struct Task {
    /// Names the change. Steps with the same key are steps of the same change.
    pub key: String,
    /// The plan that it is of.
    pub plan: PlanId,
    /// What is wanted.
    pub wanted: Wanted,
    /// The action's name.
    pub action: String,
    /// To what it is done.
    pub component: ComponentId,
    /// When it must be over.
    pub deadline: Instant,
    /// Whether the command has not expired: what was interrupted may then be finished as it was meant.
    pub fresh: bool,
}

/// A change that failed, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whether something was changed: [`Effect::NotDone`] only where that is certain.
    pub effect: Effect,
    /// Why, in a sentence.
    pub message: String,
}

impl Failed {
    /// Nothing was changed.
    pub fn not_done(message: impl Into<String>) -> Self {
        Self { effect: Effect::NotDone, message: message.into() }
    }

    /// Something may have been changed.
    pub fn unsure(message: impl Into<String>) -> Self {
        Self { effect: Effect::Unsure, message: message.into() }
    }
}

impl From<ActError> for Failed {
    fn from(error: ActError) -> Self {
        Self::not_done(error.to_string())
    }
}

/// On which side of a change the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As if it had not been made, or as it was before it was made.
    Before,
    /// It is made.
    After,
    /// Nobody can tell.
    Unknown,
}

/// What was found after an interruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Where the world is now.
    pub side: Side,
    /// What was seen, in a sentence.
    pub message: String,
}

impl Settled {
    /// The change is not made.
    pub fn before(message: impl Into<String>) -> Self {
        Self { side: Side::Before, message: message.into() }
    }

    /// The change is made.
    pub fn after(message: impl Into<String>) -> Self {
        Self { side: Side::After, message: message.into() }
    }

    /// Nobody can tell.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { side: Side::Unknown, message: message.into() }
    }
}

/// A way to change the world. The order is [`reserve`](Self::reserve), [`ready`](Self::ready), then either
/// [`switch`](Self::switch) and [`release`](Self::release), or [`release`](Self::release) alone; later perhaps
/// [`undo`](Self::undo). The [executor](crate::Executor) keeps that order, and writes each step down before the next one.
///
/// Implementers must not change anything that a user of the component could notice outside of `switch`, `undo` and `settle`; must not
/// do more in `settle` than finish what was begun; must not leave anything running when a future is dropped; must not read a clock for
/// anything but the deadline; and must not put secrets into messages or into [`Held`]. `switch` and `undo` end by
/// [`Task::deadline`]: the executor drops them soon after it.
pub trait Actuator {
    /// Whether a change can be taken back.
    fn can_undo(&self) -> bool {
        false
    }

    /// What `switch` would do, in a sentence without a full stop, as in `sends HUP to process 812`.
    fn describe(&self, task: &Task, held: &Held) -> String;

    /// Looks at the world, checks that it can be done, and gets hold of what is needed.
    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>>;

    /// Waits until what was reserved can take over.
    fn ready<'a>(&'a self, _task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<(), ActError>> {
        Box::pin(ready(Ok(())))
    }

    /// The one change. Says what was done.
    fn switch<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Result<String, Failed>>;

    /// Gives back what is no longer needed. Must bear being called without a `switch`, and twice.
    fn release<'a>(&'a self, _task: &'a Task, _held: &'a Held) -> LocalFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// Takes the change back, with what was held when it was made. Says what was done. Only called where
    /// [`can_undo`](Self::can_undo) says so.
    fn undo<'a>(&'a self, _task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(ready(Err(Failed::not_done("it can't be taken back"))))
    }

    /// After `switch` or `undo` was interrupted: finishes what can't be left half done, and says on which side of the change the world
    /// is now. [`Task::wanted`] says which of the two was interrupted.
    fn settle<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Settled>;
}
