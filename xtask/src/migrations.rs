//! The listing database's migrations, applied to a local state.

use std::path::Path;

use crate::tools::Tools;
use crate::{Result, fingerprint, process, root, step};

/// Applies what is new to the state in this folder.
pub fn apply(tools: &Tools, state: &Path) -> Result<()> {
    let fingerprint = fingerprint::of(&root(), &["migrations"], &[])?;
    fingerprint::unless_done(&state.join("migrations.fingerprint"), &fingerprint, || {
        step("Applying the migrations");
        let mut wrangler = tools.command(tools.binary("wrangler"));
        wrangler
            .args(["d1", "migrations", "apply", "LISTING", "--local", "--persist-to"])
            .arg(state)
            // Wrangler asks for confirmation unless it believes itself alone.
            .env("CI", "true");
        process::run_quietly(&mut wrangler, "Applying the migrations").map(drop)
    })
}
