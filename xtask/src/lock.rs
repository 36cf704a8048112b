//! Locks between processes, for steps that two commands must not run at once.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::{Result, interrupt, step};

/// Waits for the lock on this file. The lock lasts as long as the returned value. `purpose` names the other
/// command's work.
pub fn wait(path: &Path, purpose: &str) -> Result<File> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut is_told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(format!("locking {}: {error}", path.display()).into()),
            Err(TryLockError::WouldBlock) => {}
        }
        if interrupt::happened() {
            return Err("interrupted".into());
        }
        if !is_told {
            step(format!("Waiting for another command that is {purpose}"));
            is_told = true;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_by_one_at_a_time() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("lock");
        let first = wait(&path, "trying this")?;
        let waiting = thread::spawn({
            let path = path.clone();
            move || wait(&path, "trying this").is_ok()
        });
        thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.join().is_ok_and(|locked| locked));
        Ok(())
    }
}
