//! Which metrics the network sees.

use super::MAX_INPUTS;

/// Which metrics are inputs: those that were, then others, spread evenly. Ascending.
pub(super) fn choose_inputs(from: &[Option<usize>], old: &[usize]) -> Vec<usize> {
    if from.len() <= MAX_INPUTS {
        return (0..from.len()).collect();
    }
    let was = |i: &usize| from[*i].is_some_and(|m| old.binary_search(&m).is_ok());
    let (mut inputs, others): (Vec<_>, Vec<_>) = (0..from.len()).partition(was);
    inputs.truncate(MAX_INPUTS);
    let free = MAX_INPUTS - inputs.len();
    // Where many were inputs already there may be fewer others than places.
    let free = free.min(others.len());
    inputs.extend((0..free).map(|k| others[k * others.len() / free]));
    inputs.sort_unstable();
    inputs
}

/// What stood at `from`, in a new order.
pub(super) fn take<T: Copy>(from: &[Option<usize>], old: &[T], new: T) -> Vec<T> {
    from.iter().map(|at| at.and_then(|at| old.get(at).copied()).unwrap_or(new)).collect()
}
