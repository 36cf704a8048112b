//! The libraries of the pages, from npm packages: the viewer of the reference at `/docs`, and the parser of streams on the
//! demo page. Their files are copied beside ours, so the pages load nothing from other hosts.

use std::fs;

use crate::tools::Tools;
use crate::{Result, root};

/// The package, the file in it, and where it is served.
const FILES: &[(&str, &str, &str)] = &[
    ("swagger-ui-dist", "swagger-ui.css", "www/docs/swagger-ui.css"),
    ("swagger-ui-dist", "swagger-ui-bundle.js", "www/docs/swagger-ui-bundle.js"),
    ("eventsource-parser", "dist/index.js", "www/demo/eventsource-parser.js"),
];

/// Copies the files that are missing or of another version.
pub fn place(tools: &Tools) -> Result<()> {
    for (package, file, served) in FILES {
        let (from, to) = (tools.package(package).join(file), root().join(served));
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
