//! KNOWLEDGE: the hub's history. One trait, [`Store`], and two implementations in their own SQL: [`SqliteStore`] in one file,
//! and `PostgresStore` (feature `postgres`) for hubs that share their work. Both pass one conformance suite.
//!
//! A store is also the durable log of events ([`larnax_core::EventLog`]). What a call has acknowledged survives a crash of
//! the program and of the machine. Calls block: the hub makes them from threads that may.
//!
//! | table | what | when it goes |
//! |---|---|---|
//! | log | events in their order | by [`Retention::log`]; while a consumer has not read them, by [`Retention::unread`] |
//! | components, topology | what was last seen, by whom | [`Retention::seen`] after that |
//! | anomalies, incidents, plans | the latest state of each | [`Retention::history`] after they closed; open ones never |
//! | knowledge | what was learnt from them | never: there are few |
//! | audit | who did what | [`Retention::audit`] |
//! | cursors, leases | how far consumers are, who acts | never: there are few |
//! | hubs, letters | which hubs there are, what they say to each other ([`Letters`]); PostgreSQL only | a minute later |

mod document;
mod error;
mod group;
mod history;
mod letters;
mod location;
mod log;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod retention;
mod sqlite;
mod store;

pub use error::Error;
pub use history::{
    AnomalyQuery, AnomalyRecord, AuditEntry, AuditQuery, Document, IncidentQuery, PlanQuery, Sighting,
};
pub use letters::Letters;
pub use location::Location;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
pub use retention::{Keep, Retention, Swept};
pub use sqlite::files::{Existing, backup, check, restore};
pub use sqlite::{OnDamage, SqliteStore};
pub use store::{Fence, Store};

use std::sync::Arc;

/// Opens the store at `location`, and creates or migrates what is not there yet.
///
/// # Errors
/// When it can't be reached, is in use by another hub, is damaged, or was written by a newer program.
pub fn open(location: &Location, damage: OnDamage) -> Result<Arc<dyn Store>, Error> {
    match location {
        Location::File(path) => Ok(Arc::new(SqliteStore::open(path, damage)?)),
        #[cfg(feature = "postgres")]
        Location::Postgres(url) => Ok(Arc::new(PostgresStore::open(url)?)),
        #[cfg(not(feature = "postgres"))]
        Location::Postgres(_) => {
            Err(Error::Location("this program is built without PostgreSQL: give a file's path".to_owned()))
        }
    }
}
