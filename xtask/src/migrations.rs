//! Applies the listing database's migrations to a local state.

use std::path::Path;

use crate::tools::Tools;
use crate::{Result, fingerprint, process, root, step};

/// Applies the new migrations to the state in this folder.
pub fn apply(tools: &Tools, state: &Path) -> Result<()> {
    let fingerprint = fingerprint::of(&root(), &["migrations"], &[])?;
    fingerprint::unless_done(&state.join("migrations.fingerprint"), &fingerprint, || {
        step("Applying the migrations");
        let mut wrangler = tools.command(tools.binary("wrangler"));
        wrangler
            .args(["d1", "migrations", "apply", "LISTING", "--local", "--persist-to"])
            .arg(state)
            // Without `CI`, wrangler asks for confirmation.
            .env("CI", "true");
        process::run_quietly(&mut wrangler, "Applying the migrations").map(drop)
    })
}
