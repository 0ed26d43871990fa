//! What is known of metrics by their names alone.

use larnax_core::schema::{Bounds, Direction};

/// What a process takes, as Prometheus' client libraries call it (*Writing client libraries*, "Process metrics"). After each start it is
/// less than usual for a while, and less was never anybody's fault: what a service that takes too little does is seen elsewhere.
const TAKEN: [&str; 5] = [
    "process_heap_bytes",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// What can be said of a series before any value was seen. A person's rules go before it.
pub(super) fn bounds(name: &str) -> Bounds {
    let family = name.split('{').next().unwrap_or_default();
    let direction = if TAKEN.contains(&family) { Direction::Above } else { Direction::Both };
    Bounds { direction, ..Bounds::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_of_what_a_process_takes_is_told() {
        assert_eq!(bounds("process_open_fds").direction, Direction::Above);
        assert_eq!(bounds("process_threads{pool=\"a\"}").direction, Direction::Above);
        assert_eq!(bounds("process_start_time_seconds"), Bounds::NONE);
        assert_eq!(bounds("process_open_fds_limit"), Bounds::NONE);
    }
}
