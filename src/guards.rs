//! The guards that the simulation proves one by one: each can be switched off by
//! a test, which then shows that the simulation notices.
//!
//! Invariant: outside of tests nothing can be switched off. Without the feature
//! `guards-off`, which only the project's own dev-dependency on itself turns on,
//! every guard is a constant and costs nothing; the Worker does not compile with it.

/// Whether guards can be switched off. The Worker refuses to compile when they can.
pub const CAN_BE_SWITCHED_OFF: bool = cfg!(feature = "guards-off");

/// A single condition or write that an invariant hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A batch changes the listing only from the position that it starts at.
    Fence,
    /// A cached record is used only in the revision that the object names.
    CachedRevision,
    /// An erasure puts a tombstone into the cache.
    Tombstone,
    /// A user who is being erased takes no writes.
    ErasureState,
    /// A bucket starts from its high-water mark.
    HighWaterMark,
    /// A creation leaves a user alone who is there already.
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
        /// Switches it on again, also when the body panics.
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
