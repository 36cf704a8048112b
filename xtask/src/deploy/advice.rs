//! What the operator does after a failure.

use crate::Error;

/// The failure of a step that the next run repeats.
pub fn again(error: Error) -> Error {
    format!("{error}\nRun cargo deploy again when that is put right: it goes on from where it stopped.").into()
}
