//! Ctrl-C and SIGTERM, which every waiting command checks.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Records signals from now on. A signal no longer ends the process at once, so the process can end its children
/// first.
pub fn watch() -> Result<()> {
    Ok(ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))?)
}

pub fn happened() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
