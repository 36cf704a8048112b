//! Ctrl-C and SIGTERM, noticed wherever a command waits.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal is noted instead of ending the process at once, so that
/// its children can be ended first.
pub fn watch() -> Result<()> {
    Ok(ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))?)
}

pub fn happened() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
