//! A few connections for those who read at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The most connections that are open. The hub has more threads than that; the rest wait their turn.
const MAX_OPEN: usize = 4;

/// Connections, opened when needed and kept.
pub(crate) struct Pool<C> {
    state: Mutex<State<C>>,
    returned: Condvar,
}

struct State<C> {
    idle: Vec<C>,
    out: usize,
}

impl<C> Pool<C> {
    /// None open yet.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { idle: Vec::new(), out: 0 }), returned: Condvar::new() }
    }

    /// Does `work` with a connection: `get` is given one that was open before, if there is one, and opens another if that is
    /// of no use. One with which it failed is closed, unless `survives` says that the error is not the connection's.
    pub(crate) fn with<R, E>(
        &self,
        get: impl FnOnce(Option<C>) -> Result<C, E>,
        survives: impl Fn(&E) -> bool,
        work: impl FnOnce(&mut C) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut state = self.lock();
        while state.out >= MAX_OPEN {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.out += 1;
        let idle = state.idle.pop();
        drop(state);
        // Gives the place back also when `work` panics.
        let mut place = Place { pool: self, connection: None };
        let connection = place.connection.insert(get(idle)?);
        let result = work(connection);
        if result.as_ref().is_err_and(|error| !survives(error)) {
            place.connection = None;
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places, with its connection.
struct Place<'a, C> {
    pool: &'a Pool<C>,
    connection: Option<C>,
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.out -= 1;
        // In the middle of a panic it is not known what the connection is in the middle of.
        if let Some(connection) = self.connection.take().filter(|_| !std::thread::panicking()) {
            state.idle.push(connection);
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn connections_are_kept_and_those_that_failed_are_not() {
        let (pool, opened) = (Pool::new(), AtomicUsize::new(0));
        let open = |idle: Option<usize>| {
            Ok::<_, &str>(idle.unwrap_or_else(|| opened.fetch_add(1, Ordering::Relaxed)))
        };
        assert_eq!(pool.with(open, |_| false, |c| Ok(*c)), Ok(0));
        assert_eq!(pool.with(open, |_| false, |_| Err::<(), _>("gone")), Err("gone"));
        assert_eq!(pool.with(open, |_| true, |_| Err::<(), _>("a bad question")), Err("a bad question"));
        assert_eq!(pool.with(open, |_| true, |c| Ok(*c)), Ok(1));
    }

    #[test]
    fn never_more_than_a_few_are_open_and_everybody_gets_a_turn() {
        let (pool, inside, most) = (Pool::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let work = |(): &mut ()| {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    };
                    pool.with(|_| Ok::<_, ()>(()), |()| true, work).unwrap();
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= MAX_OPEN);
    }
}
