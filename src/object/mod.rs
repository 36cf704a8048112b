//! The object around the core: when it flushes, wakes, audits itself, purges and clears itself. It knows no platform:
//! [`platform`] is what it needs of one. Each file keeps its own part of the work on [`state`].

mod alarm;
mod auditing;
mod calls;
mod clearing;
mod flushes;
mod flushing;
mod methods;
pub mod platform;
mod shared_work;
mod state;

pub use state::ObjectState;
