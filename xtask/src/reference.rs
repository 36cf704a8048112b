//! The viewer of the reference at `/docs`, from an npm package. Its files are copied beside ours, so the page loads
//! nothing from other hosts.

use std::fs;

use crate::tools::Tools;
use crate::{Result, root};

const FILES: &[&str] = &["swagger-ui.css", "swagger-ui-bundle.js"];

/// Copies the files that are missing or of another version.
pub fn place(tools: &Tools) -> Result<()> {
    let package = tools.package("swagger-ui-dist");
    let folder = root().join("www/docs");
    for name in FILES {
        let (from, to) = (package.join(name), folder.join(name));
        let content = fs::read(&from).map_err(|error| {
            format!("{}: {error}\nRemove node_modules and run the same command again.", from.display())
        })?;
        if fs::read(&to).is_ok_and(|held| held == content) {
            continue;
        }
        fs::write(&to, content)?;
    }
    Ok(())
}
