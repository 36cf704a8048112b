//! Runs futures on the promises of the platform.

mod shared;
mod task;

pub use shared::SharedWork;
pub use task::{Unsettled, fulfilled, pause, promise, settle};
