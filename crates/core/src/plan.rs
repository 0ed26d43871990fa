//! Plans: what is to be done about an incident, whether it was done, and what came of it.

use serde::{Deserialize, Serialize};

use crate::action::{Effect, Glob, Mode, Risk};
use crate::id::{stable_hash, stable_id};
use crate::{ComponentId, IncidentId, Timestamp};

stable_id! {
    /// A stable name: sixteen hexadecimal digits of a hash of the incident and of which attempt at it this is.
    PlanId, PlanIdError, "a plan"
}

impl PlanId {
    /// Of an attempt at an incident, from 1.
    pub fn of(incident: IncidentId, attempt: u32) -> Self {
        Self(stable_hash(&["plan", &incident.to_string(), &attempt.to_string()]))
    }
}

/// How far a plan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PlanState {
    /// It would be done, were it allowed: nobody is asked.
    Shadow,
    /// A person is asked.
    Proposed,
    /// It is being done.
    Acting,
    /// It was done; whether it helps is being watched.
    Verifying,
    /// It is being taken back.
    Undoing,
    /// All that is to be known of it is known.
    Ended,
}

impl PlanState {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Proposed => "proposed",
            Self::Acting => "acting",
            Self::Verifying => "verifying",
            Self::Undoing => "undoing",
            Self::Ended => "ended",
        }
    }
}

/// What is to be done about an incident, whether it was done, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "5b7d4c331f0c2a9e"))]
    pub id: PlanId,
    /// About which incident.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub incident: IncidentId,
    /// Which attempt at it this is, from 1.
    pub attempt: u32,
    /// Counts its changes, from 0.
    pub sequence: u32,
    /// How far it has come.
    pub state: PlanState,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub made: Timestamp,
    /// When the incident began: the earliest onset of its anomalies.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub onset: Timestamp,
    /// When all was known of it; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ended: Option<Timestamp>,
    /// To what it is to be done: where the incident began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "service/shop/orders"))]
    pub component: ComponentId,
    /// How sure that is, from 0 to 1; 0 where the cause is unknown.
    pub confidence: f64,
    /// What the incident looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Seen>,
    /// Who decides.
    pub mode: Mode,
    /// What can be done, the best first. The first is what is proposed, and what is done unless a person chooses another one.
    pub proposals: Vec<Proposal>,
    /// Why it is not done, or not without being asked: a sentence for each reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Who said what is to be done, and what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// How it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Step>,
    /// How it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Step>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

impl Plan {
    /// The proposal that was decided for; before that, the best.
    pub fn chosen(&self) -> Option<&Proposal> {
        match &self.decision {
            Some(decision) => self.proposals.iter().find(|one| one.action == decision.action),
            None => self.proposals.first(),
        }
    }
}

/// What an incident looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Seen {
    /// The pattern that is most like it.
    pub pattern: String,
    /// Whether it is that one.
    pub known: bool,
    /// How alike they are, from 0 to 1.
    pub similarity: f64,
}

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proposal {
    /// Its name in the catalogue.
    pub action: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The agent that would do it.
    pub agent: String,
    /// How risky it is.
    pub risk: Risk,
    /// How long it disturbs, in seconds.
    #[serde(default)]
    pub cost_seconds: f64,
    /// How long it may take, in seconds.
    pub timeout_seconds: f64,
    /// Where nothing is better so many seconds after it was begun, it has not helped.
    #[serde(default = "crate::action::helps_within")]
    pub helps_within_seconds: f64,
    /// For so long afterwards it isn't done to the same component again, in seconds.
    #[serde(default)]
    pub cooldown_seconds: f64,
    /// Whether it can be taken back.
    #[serde(default)]
    pub can_undo: bool,
    /// What it is expected to bring, from -1 (it makes things worse) to 1 (all is well at once).
    pub expected: f64,
    /// How far that may be off: one deviation.
    pub error: f64,
    /// How often it was seen what comes of it, for this pattern.
    pub outcomes: u64,
    /// Whether the catalogue says that it is for this.
    pub recommended: bool,
    /// Why, in sentences for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// Who said what is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    /// Whether it is to be done.
    pub approved: bool,
    /// Which of the proposals.
    pub action: String,
    /// A person, or the policy.
    pub by: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// Something that was ordered, and what came of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Step {
    /// When it was ordered.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub ordered: Timestamp,
    /// After this it was not to be begun.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires: Timestamp,
    /// Who ordered it: a person, or the policy.
    pub by: String,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub began: Option<Timestamp>,
    /// When that was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ended: Option<Timestamp>,
    /// What came of it; none while that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Outcome {
    /// After how many seconds all was well again: since the action began, or since the plan was made where nothing was done. None
    /// if that did not come in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_seconds: Option<f64>,
    /// Whether things got worse after the action.
    pub worse: bool,
    /// What that is worth, from -1 to 1; none where nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// What was seen, in sentences for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What happened to a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanEvent {
    /// The plan as it stands.
    pub plan: Plan,
}

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "want")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Want {
    /// That a plan is carried out.
    Approve {
        /// Which.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        plan: PlanId,
        /// Another one of its proposals than the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<String>,
        /// The plan's `sequence`, as it was seen: if it has changed since, nothing is done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sequence: Option<u32>,
    },
    /// That it isn't.
    Reject {
        /// Which.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        plan: PlanId,
    },
    /// That what was done is taken back.
    Undo {
        /// Which.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        plan: PlanId,
    },
    /// That what an incident's components do is taken for normal, at once.
    Normal {
        /// Which.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        incident: IncidentId,
    },
    /// That nobody is told of incidents of some components and nothing is done about them, for a time.
    Silence {
        /// Which components; `*` stands for anything.
        #[cfg_attr(feature = "openapi", schema(value_type = String, example = "service/shop/*"))]
        on: Glob,
        /// For how long, in seconds; 0 ends it.
        seconds: f64,
    },
    /// That nothing more is done, anywhere, until it is said otherwise.
    Freeze,
    /// That it is allowed again.
    Thaw,
    /// That a plan's pattern has another name. If it was taken for the wrong one, that it is learnt as this one.
    Name {
        /// Which.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        plan: PlanId,
        /// The name.
        name: String,
    },
}

impl Want {
    /// The plan that it is about.
    pub fn plan(&self) -> Option<PlanId> {
        match self {
            Self::Approve { plan, .. }
            | Self::Reject { plan }
            | Self::Undo { plan }
            | Self::Name { plan, .. } => Some(*plan),
            Self::Freeze | Self::Thaw | Self::Normal { .. } | Self::Silence { .. } => None,
        }
    }

    /// As the audit calls it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Undo { .. } => "undo",
            Self::Normal { .. } => "normal",
            Self::Silence { .. } => "silence",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Name { .. } => "name",
        }
    }
}

/// That a person wants something. It goes through the log of events, so that of two people at once one is first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Names it, for the answer.
    pub id: String,
    /// Who.
    pub by: String,
    /// What.
    #[serde(flatten)]
    pub want: Want,
}
