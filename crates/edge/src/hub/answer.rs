//! Answers to the hub's questions, from the evidence rings.

use larnax_core::Timestamp;
use larnax_session::wire::Encoded;
use larnax_session::{EvidencePart, FromEdge, Gap, Pull, SessionError};

use crate::agent::Agent;

/// The most rows that are read, whatever is asked for.
const MAX_ROWS: usize = 20_000;
/// The most bytes of an answer, whatever is asked for.
const MAX_BYTES: usize = 4 << 20;

/// What `pull` asks for, within its budget of bytes.
pub(super) fn answer(agent: &Agent, pull: &Pull, now: Timestamp) -> Result<Encoded, SessionError> {
    let max_bytes = pull.max_bytes.min(MAX_BYTES);
    let mut max_rows = pull.max_rows.min(MAX_ROWS);
    let Some(watched) = agent.component(&pull.component) else {
        return part(
            pull,
            EvidencePart { problem: Some("it is not watched here".to_owned()), ..empty(pull) },
        );
    };
    let until = pull.until.min(now);
    let period = watched.interval.as_secs_f64();
    let whole = watched.past(pull.from, until, MAX_ROWS, &pull.metrics);
    let gaps = Gap::among(&whole.times, pull.from, until, period);
    let rows = whole.times.len();
    let mut window = match max_rows < rows {
        true => watched.past(pull.from, until, max_rows, &pull.metrics),
        false => whole,
    };
    loop {
        let kept = window.times.len();
        let thinned = kept < rows;
        let encoded = part(
            pull,
            EvidencePart {
                window,
                gaps: gaps.clone(),
                rows,
                problem: thinned.then(|| format!("{kept} of {rows} rows, to keep to {max_bytes} bytes")),
                ..empty(pull)
            },
        )?;
        if encoded.bytes() <= max_bytes {
            return Ok(encoded);
        }
        // A little less than what would fit if all rows were as long as these.
        max_rows = (kept as f64 * 0.9 * max_bytes as f64 / encoded.bytes() as f64) as usize;
        if max_rows == 0 {
            let problem = Some(format!("not one row fits into {max_bytes} bytes"));
            return part(pull, EvidencePart { gaps, rows, problem, ..empty(pull) });
        }
        window = watched.past(pull.from, until, max_rows, &pull.metrics);
    }
}

fn empty(pull: &Pull) -> EvidencePart {
    EvidencePart { id: pull.id, ..EvidencePart::default() }
}

fn part(pull: &Pull, part: EvidencePart) -> Result<Encoded, SessionError> {
    Encoded::of(&FromEdge::Evidence(if pull.packed { part.packed() } else { part }))
}
