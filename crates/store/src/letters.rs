//! What hubs that share a store say to each other.

use crate::Error;

/// Short-lived messages between the hubs of one store. They need nothing but the store that they share anyway: no address of
/// their own, no token, no certificate. A letter that nobody collects is gone after a minute; a crash may lose some.
///
/// Calls block. Times are the store's own: hubs' clocks differ.
pub trait Letters: Send + Sync {
    /// The other hubs that are there: that collected their letters in the last seconds.
    ///
    /// # Errors
    /// When the store can't be used now.
    fn others(&self, hub: &str) -> Result<Vec<String>, Error>;

    /// Leaves a letter for a hub.
    ///
    /// # Errors
    /// When the store can't be used now.
    fn post(&self, to: &str, letter: &str) -> Result<(), Error>;

    /// Takes the letters for a hub, oldest first, and notes that it is there. Each is given once.
    ///
    /// # Errors
    /// When the store can't be used now.
    fn collect(&self, hub: &str) -> Result<Vec<String>, Error>;
}
