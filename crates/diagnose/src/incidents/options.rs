//! When anomalies belong together, and how many are kept.

use std::time::Duration;

/// When anomalies belong together, and how many are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How far the onsets of two anomalies of near components may lie apart: W of ZerOps4E's time-based rule.
    pub window: Duration,
    /// How many edges apart components may be to be near.
    pub hops: usize,
    /// How far onsets may lie apart where the topology can't say whether components are near, and how long "at once" is
    /// for [`Options::everywhere`].
    pub moment: Duration,
    /// So many components with an onset in the same moment have one cause, near or not: the network, the power, a clock.
    pub everywhere: usize,
    /// The same as a share of the components that the topology knows; the larger number counts, so that what happens by
    /// chance in a large fleet is not taken for one thing.
    pub everywhere_share: f64,
    /// How long an incident stays open after its last anomaly closed. What comes back within that time is the same incident.
    pub hold: Duration,
    /// How long a closed incident is remembered for news that come late.
    pub remember: Duration,
    /// How long nothing may be heard of an open incident. Then it is closed: an agent that is gone for ever never says that
    /// its anomalies have ended. Longer than a change takes to be adopted as normal (12 h unless configured).
    pub lost_after: Duration,
    /// How far an event may lie in the future before its clock is taken to be wrong.
    pub future: Duration,
    /// Anomalies that an incident lists; those with the latest onsets are left out.
    pub max_anomalies: usize,
    /// Incidents in memory, open and remembered.
    pub max_incidents: usize,
    /// Anomalies in memory.
    pub max_tracked: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // Both from ALGORITHMS 6.2 of the design, after ZerOps4E (2020).
            window: Duration::from_secs(120),
            hops: 3,
            // Three collections at the default interval of 5 s: the error of an onset, on both sides.
            moment: Duration::from_secs(15),
            everywhere: 10,
            everywhere_share: 0.02,
            hold: Duration::from_secs(120),
            remember: Duration::from_secs(3600),
            lost_after: Duration::from_secs(48 * 3600),
            future: Duration::from_secs(5),
            max_anomalies: 1_000,
            max_incidents: 5_000,
            max_tracked: 50_000,
        }
    }
}
