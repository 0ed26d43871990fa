//! Group commit: those who write at the same time share one transaction, and so one wait for the disk.
//!
//! A write that finds others waiting behind it leaves its transaction open for the next one; the last one commits for all,
//! and each returns when that is done. Alone, a write begins and commits its own. Without it, a hub whose edges send one
//! event each could take only as many events a second as the disk can flush.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;

/// The most writes in one transaction, and how long one may stay open for the next: bounds on how long the first waits.
/// PostgreSQL keeps 64 marks of a transaction at hand; more of them slow down everybody who reads.
const MAX_MEMBERS: usize = 64;
const MAX_OPEN: Duration = Duration::from_millis(50);

/// A connection that can write in transactions.
pub(crate) trait Transactions {
    /// Begins a transaction; connects first where that is needed.
    fn begin(&mut self) -> Result<(), Error>;
    /// Makes it durable.
    fn commit(&mut self) -> Result<(), Error>;
    /// Undoes all of it. Afterwards [`Transactions::begin`] must work if it can.
    fn rollback(&mut self);
    /// Marks a place inside the transaction.
    fn mark(&mut self) -> Result<(), Error>;
    /// Undoes what was done since the mark. An error means that the whole transaction is lost.
    fn undo_to_mark(&mut self) -> Result<(), Error>;
}

/// One writing connection, for many threads.
pub(crate) struct Group<C> {
    writer: Mutex<Writer<C>>,
    /// Those who have come for the writer and don't have it yet.
    waiting: AtomicUsize,
}

struct Writer<C> {
    connection: C,
    open: Option<Open>,
}

/// A transaction that has been left open.
struct Open {
    fate: Arc<Fate>,
    members: usize,
    since: Instant,
}

/// What becomes of a transaction, for those who wait for it.
#[derive(Default)]
struct Fate {
    outcome: Mutex<Option<Result<(), Error>>>,
    known: Condvar,
}

impl Fate {
    fn set(&self, outcome: Result<(), Error>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.known.notify_all();
    }

    fn wait(&self) -> Result<(), Error> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*outcome {
                Some(outcome) => return outcome.clone(),
                None => outcome = self.known.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl<C: Transactions> Group<C> {
    /// For a connection that is not in a transaction.
    pub(crate) fn new(connection: C) -> Self {
        Self { writer: Mutex::new(Writer { connection, open: None }), waiting: AtomicUsize::new(0) }
    }

    /// Does `work` in a transaction, and returns when it is durable. All or nothing of `work`: what it did before it failed is
    /// undone, and what others did in the same transaction is not.
    pub(crate) fn write<R>(&self, work: impl FnOnce(&mut C) -> Result<R, Error>) -> Result<R, Error> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // What a panic left behind is cleared up before it goes on, below: a poisoned lock guards nothing broken.
        let mut guard = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let writer = &mut *guard;

        let mut open = match writer.open.take() {
            Some(open) => open,
            None => {
                writer.connection.begin()?;
                Open { fate: Arc::default(), members: 0, since: Instant::now() }
            }
        };
        let joined = open.members > 0;
        open.members += 1;
        let connection = &mut writer.connection;
        let result = catch_unwind(AssertUnwindSafe(|| {
            if joined {
                connection.mark()?;
            }
            work(connection)
        }));
        let result = match result {
            Ok(result) => result,
            Err(panic) => {
                writer.connection.rollback();
                open.fate.set(Err(Error::Invalid("a write beside this one failed in the middle".to_owned())));
                drop(guard);
                resume_unwind(panic)
            }
        };

        if let Err(error) = &result {
            let lost = if joined { writer.connection.undo_to_mark().err() } else { Some(error.clone()) };
            if let Some(lost) = lost {
                writer.connection.rollback();
                open.fate.set(Err(lost));
                return result;
            }
        }
        let others = self.waiting.load(Ordering::SeqCst) > 0;
        if others && open.members < MAX_MEMBERS && open.since.elapsed() < MAX_OPEN {
            let fate = Arc::clone(&open.fate);
            writer.open = Some(open);
            drop(guard);
            let value = result?;
            return fate.wait().map(|()| value);
        }
        let committed = writer.connection.commit();
        if committed.is_err() {
            writer.connection.rollback();
        }
        open.fate.set(committed.clone());
        drop(guard);
        result.and_then(|value| committed.map(|()| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are durable, numbers that are not yet, and how often the disk was waited for.
    #[derive(Default)]
    struct Numbers {
        durable: Arc<Mutex<Vec<u32>>>,
        pending: Vec<u32>,
        mark: usize,
        commits: Arc<AtomicUsize>,
        full: bool,
    }

    impl Transactions for Numbers {
        fn begin(&mut self) -> Result<(), Error> {
            assert!(self.pending.is_empty());
            Ok(())
        }

        fn commit(&mut self) -> Result<(), Error> {
            std::thread::sleep(Duration::from_millis(1));
            if self.full {
                return Err(Error::Unavailable { place: "here".to_owned(), reason: "full".to_owned() });
            }
            self.commits.fetch_add(1, Ordering::SeqCst);
            self.durable.lock().unwrap().append(&mut self.pending);
            Ok(())
        }

        fn rollback(&mut self) {
            self.pending.clear();
        }

        fn mark(&mut self) -> Result<(), Error> {
            self.mark = self.pending.len();
            Ok(())
        }

        fn undo_to_mark(&mut self) -> Result<(), Error> {
            self.pending.truncate(self.mark);
            Ok(())
        }
    }

    #[test]
    fn what_was_written_is_durable_when_it_returns_and_many_share_a_commit() {
        let numbers = Numbers::default();
        let (durable, commits) = (Arc::clone(&numbers.durable), Arc::clone(&numbers.commits));
        let group = Group::new(numbers);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (group, durable) = (&group, &durable);
                scope.spawn(move || {
                    for i in 0..20 {
                        let number = thread * 100 + i;
                        let result = group.write(|connection| {
                            connection.pending.push(number);
                            match i % 5 {
                                0 => Err(Error::Invalid("every fifth".to_owned())),
                                _ => Ok(()),
                            }
                        });
                        assert_eq!(result.is_err(), i % 5 == 0);
                        assert_eq!(durable.lock().unwrap().contains(&number), i % 5 != 0, "{number}");
                    }
                });
            }
        });
        assert_eq!(durable.lock().unwrap().len(), 16 * 16);
        assert!(commits.load(Ordering::SeqCst) < 16 * 16, "no commit was shared");
    }

    #[test]
    fn a_commit_that_fails_is_an_error_for_everybody_in_it() {
        let group = Group::new(Numbers { full: true, ..Numbers::default() });
        std::thread::scope(|scope| {
            for i in 0..8 {
                let group = &group;
                scope.spawn(move || {
                    let result = group.write(|connection| {
                        connection.pending.push(i);
                        Ok(())
                    });
                    assert!(result.unwrap_err().is_temporary());
                });
            }
        });
    }

    #[test]
    fn a_panic_in_one_write_leaves_the_group_usable() {
        let numbers = Numbers::default();
        let durable = Arc::clone(&numbers.durable);
        let group = Group::new(numbers);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            group.write::<()>(|connection| {
                connection.pending.push(1);
                panic!("in the middle")
            })
        }));
        assert!(panicked.is_err());
        group
            .write(|connection| {
                connection.pending.push(2);
                Ok(())
            })
            .unwrap();
        assert_eq!(*durable.lock().unwrap(), [2]);
    }
}
