//! Why a component is a candidate, in sentences.

use larnax_core::ComponentId;

use crate::case::Change;
use crate::rank::Ranking;
use crate::signals::{Kind, Signal};
use crate::since::Since;

/// Where a metric deviates so many times as far as in all other components, it is its component's own.
const ALONE: f64 = 2.0;
/// Names in a sentence; more are counted.
const NAMED: usize = 3;

/// The sentences for one component.
pub(crate) fn reasons(ranking: &Ranking<'_>, of: usize, path: &[usize]) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(first(ranking, of));
    reasons.extend(own(ranking, of));
    reasons.extend(blamed(ranking, of));
    reasons.extend(changes(ranking, of));
    reasons.extend(network(ranking, of));
    reasons.extend(way(ranking, of, path));
    reasons.extend(depends(ranking, of));
    reasons
}

/// "`cpu/busy` left its band 14 s before anything else".
fn first(ranking: &Ranking<'_>, of: usize) -> Option<String> {
    let since = ranking.since.get(&of)?;
    let metric = since.metric;
    let others = || ranking.since.iter().filter(|(other, _)| **other != of).map(|(_, since)| since);
    if others().count() == 0 {
        return Some(format!("`{metric}` left its band, and no other component did the like"));
    }
    if !others().all(|other| since.before(other)) {
        return None;
    }
    let next = others().map(|other: &Since<'_>| other.time.since(since.time)).fold(f64::INFINITY, f64::min);
    Some(format!("`{metric}` left its band {} before anything else", seconds(next)))
}

/// What moved here and hardly anywhere else; else what moved most.
fn own(ranking: &Ranking<'_>, of: usize) -> Option<String> {
    let signal = ranking.told(of).find(|signal| signal.moved.is_some())?;
    let moved = signal.moved?;
    let side = if moved.z() > 0.0 { "above" } else { "below" };
    let z = moved.z().abs();
    let elsewhere = ranking.elsewhere(of, signal.kind).filter(|most| z >= ALONE * most);
    let elsewhere = elsewhere.map_or_else(String::new, |most| format!(", elsewhere at most {most:.0}"));
    Some(format!("`{}` was up to {z:.0} deviations {side} its mean before{elsewhere}", moved.metric))
}

fn changes(ranking: &Ranking<'_>, of: usize) -> Vec<String> {
    let sentence = |change: &&Change| {
        let ago = ranking.onset.since(change.time);
        let when =
            if ago >= 0.0 { format!("{} before the onset", seconds(ago)) } else { "at the onset".to_owned() };
        let text = if change.text.is_empty() { String::new() } else { format!(" ({})", change.text) };
        format!("{}{text} {when}", change.kind.as_str())
    };
    ranking.changes_of(of).map(|change| sentence(&change)).collect()
}

/// What others measure of it.
fn blamed(ranking: &Ranking<'_>, of: usize) -> Option<String> {
    ranking
        .is_blamed(of)
        .then(|| "all that call it measure that their calls to it are not as usual".to_owned())
}

/// Where the calls' latencies say that the way is slow, not the ends.
fn network(ranking: &Ranking<'_>, of: usize) -> Option<String> {
    let signal: &Signal<'_> = ranking.strongest(of).next()?;
    (signal.kind == Kind::Transport)
        .then(|| "calls from or to it take longer on the way than they do at their end".to_owned())
}

/// How it reaches what was noticed.
fn way(ranking: &Ranking<'_>, of: usize, path: &[usize]) -> Option<String> {
    let names: Vec<String> =
        path.iter().filter(|place| **place != of).map(|place| quoted(ranking, *place)).collect();
    match names.as_slice() {
        [] => None,
        [only] => Some(format!("{only} depends on it")),
        [first, .., last] => Some(format!("{first} depends on it, and so does {last} in the end")),
    }
}

/// What it depends on itself: well, or not.
fn depends(ranking: &Ranking<'_>, of: usize) -> Option<String> {
    let all = ranking.graph.dependencies(of);
    let sick: Vec<usize> = all.iter().copied().filter(|place| ranking.is_hot(*place)).collect();
    if all.is_empty() {
        return None;
    }
    if sick.is_empty() {
        return Some("what it depends on is as usual".to_owned());
    }
    let mut names: Vec<String> = sick.iter().take(NAMED).map(|place| quoted(ranking, *place)).collect();
    if sick.len() > NAMED {
        names.push(format!("{} more", sick.len() - NAMED));
    }
    Some(format!("but it depends on {}, which left what is usual too", names.join(", ")))
}

fn quoted(ranking: &Ranking<'_>, place: usize) -> String {
    ranking.components.get(place).map_or_else(String::new, |id: &&ComponentId| format!("`{}`", id.name()))
}

fn seconds(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 7_200.0 => format!("{:.0} h", seconds / 3_600.0),
        _ if seconds >= 180.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds >= 2.0 => format!("{seconds:.0} s"),
        _ => format!("{seconds:.1} s"),
    }
}
