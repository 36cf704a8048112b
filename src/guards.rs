//! The guards that a simulation proves one by one. A test can switch off each guard and then shows that the
//! simulation notices.
//!
//! Invariant: no guard can be switched off outside of tests. Only the feature `guards-off` allows it, and only
//! the project's own dev-dependency on itself turns the feature on. Without it every guard is a constant. The
//! Worker does not compile with it.

/// Whether guards can be switched off. The Worker does not compile if they can.
pub const CAN_BE_SWITCHED_OFF: bool = cfg!(feature = "guards-off");

/// A single condition or write on which an invariant depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A batch changes the listing only if the listing is at the position where the batch starts.
    Fence,
    /// The position of the listing has a mark, by which the object knows its own history.
    ListingMark,
    /// The newest row of the change log is never deleted.
    NewestChange,
    /// An erasure puts a tombstone over the copy.
    Tombstone,
    /// A lease names the users who have changed since KV confirmed their copy.
    ListedChange,
    /// A write that KV did not answer may still arrive.
    UnansweredWrite,
    /// The edge looks at a lease again after KV has answered.
    LeaseAfterRead,
    /// Tokens of leases count as out, and become debt when they lapse.
    LeasedTokens,
    /// An object that starts counts as out what was out.
    LeasesAfterStart,
    /// A copy is written only after the listing has confirmed its change.
    CopyAfterListing,
    /// An object that may have been restored draws a new epoch.
    NewEpoch,
    /// A user that is being erased takes no writes.
    ErasureState,
    /// A bucket starts from its high-water mark.
    HighWaterMark,
    /// A creation does not change a user that exists.
    UniqueId,
}

#[cfg(not(feature = "guards-off"))]
pub const fn is_on(_guard: Guard) -> bool {
    true
}

#[cfg(feature = "guards-off")]
pub use switch::{is_on, without};

#[cfg(feature = "guards-off")]
mod switch {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static OFF: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    pub fn is_on(guard: Guard) -> bool {
        OFF.get() != Some(guard)
    }

    /// Runs a body on this thread with one guard switched off.
    pub fn without<T>(guard: Guard, body: impl FnOnce() -> T) -> T {
        /// Switches the guard on again, also if the body panics.
        struct Restore(Option<Guard>);
        impl Drop for Restore {
            fn drop(&mut self) {
                OFF.set(self.0);
            }
        }
        let _restore = Restore(OFF.replace(Some(guard)));
        body()
    }
}
