//! What is known of an incident when its cause is asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use larnax_core::{ComponentId, Edge, MetricName, Timestamp};

/// Everything that may help to find where an incident began. All of it but the metrics may be missing.
///
/// Nothing is expected to be complete or consistent: graphs with cycles, components without metrics, changes to unknown
/// components, gaps and rows out of order are all taken as they are.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The components that were watched, with what they did. A component that comes twice is one.
    pub components: Vec<Observed>,
    /// Which part of it is the incident.
    pub when: When,
    /// Who depends on whom; empty when that is not known.
    pub edges: Vec<Edge>,
    /// The component whose alert made somebody ask, if there was one.
    pub alerting: Option<ComponentId>,
    /// The metrics that made detectors tell of their components. They are what is told of a candidate first: what stood still and
    /// moved a little since, as a count of connections, is any number of deviations out, and may be a consequence.
    pub noticed: Vec<(ComponentId, MetricName)>,
    /// What people or programs changed lately.
    pub changes: Vec<Change>,
    /// How long calls took, where both ends of a call are measured.
    pub calls: Vec<CallLatency>,
    /// What labels of others may call a component beside the last part of its id: a pod's workload, its service.
    pub also_called: BTreeMap<ComponentId, Vec<String>>,
}

impl Case {
    /// What labels may call a component.
    pub fn names_of<'a>(&'a self, id: &'a ComponentId) -> impl Iterator<Item = &'a str> {
        let others = self.also_called.get(id).into_iter().flatten();
        std::iter::once(id.name()).chain(others.map(String::as_str))
    }
}

/// A component and its metrics.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which.
    pub component: ComponentId,
    /// Its metrics. What two components call by the same name is taken to be of the same kind.
    pub series: Vec<Series>,
}

/// One metric over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// Which metric, without the component's name.
    pub metric: MetricName,
    /// When each value was taken. Metrics of one scrape share them.
    pub times: Arc<[Timestamp]>,
    /// One value for each time; not finite where there is none. If the lengths differ, the longer one's end is left out.
    pub values: Vec<f64>,
}

/// Which part of the metrics is the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Not known: it is found.
    #[default]
    Unknown,
    /// About since then, until the end. What came before is normal. Detection is late, so an earlier beginning is looked
    /// for within [`LATE`](crate::onset::LATE), and in no more than half of what came before.
    Since(Timestamp),
    /// Exactly these; the rest is not used.
    Windows {
        /// What is normal. May lie before or after the incident.
        normal: Range<Timestamp>,
        /// The incident.
        incident: Range<Timestamp>,
    },
}

/// Something that was changed on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub time: Timestamp,
    /// Where.
    pub component: ComponentId,
    /// What sort of change.
    pub kind: ChangeKind,
    /// What it was, in a few words: a version, a replica count.
    pub text: String,
}

/// Sorts of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Another version was rolled out.
    Deploy,
    /// Its settings were changed.
    Config,
    /// More or fewer of it, or more or less for it.
    Scale,
}

impl ChangeKind {
    /// As it stands in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Config => "config change",
            Self::Scale => "scaling",
        }
    }
}

/// How long the calls between two components took, seen from both ends.
#[derive(Clone, Debug)]
pub struct CallLatency {
    /// Who calls.
    pub caller: ComponentId,
    /// Who is called.
    pub callee: ComponentId,
    /// As the caller sees it: with the way there and back.
    pub caller_view: Option<Series>,
    /// As the callee sees it: without.
    pub callee_view: Option<Series>,
}
