//! Keeps a build in the repository. The end-to-end tests roll the present build out over it, and back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, process, root, step, wasm};

/// The folder of the database's migrations, in a checkout and beside the modules of the kept build.
pub const MIGRATIONS: &str = "migrations";
/// What runs of a built Worker.
const MODULES: &[&str] = &[wasm::ENTRY, "index.js", "index_bg.wasm"];
/// Says of which commit the kept build is.
const TEXT: &str = "README.md";

/// Where the kept build is.
pub fn folder() -> PathBuf {
    root().join("tests/upgrade/former")
}

/// Builds what a checkout of the repository has committed, and keeps it in the place of the build that was kept before.
pub fn keep(checkout: &Path) -> Result<()> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        process::run_quietly(git.arg("-C").arg(checkout).args(arguments), "Asking git about the checkout")
    };
    if !git(&["status", "--porcelain"])?.trim().is_empty() {
        return Err(format!("commit the changes in {} first", checkout.display()).into());
    }
    let commit = git(&["log", "-1", "--format=`%H` of %cs"])?;
    let mut build = Command::new("cargo");
    process::run(build.args(["xtask", "build"]).current_dir(checkout), "Building the Worker")?;
    copy(checkout, &folder(), commit.trim())?;
    step(format!("The build of {} is kept in {}", commit.trim(), folder().display()));
    Ok(())
}

/// Copies a build out of a checkout.
fn copy(checkout: &Path, to: &Path, commit: &str) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to.join(MIGRATIONS))?;
    for name in MODULES {
        fs::copy(checkout.join("build").join(name), to.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    for entry in fs::read_dir(checkout.join(MIGRATIONS))? {
        let path = entry?.path();
        fs::copy(&path, to.join(MIGRATIONS).join(path.file_name().ok_or("a migration without a name")?))?;
    }
    let text = format!(
        "# A former build\n\nOf commit {commit}. `cargo xtask keep-build` makes this folder, and `tests/e2e/upgrade.rs` serves \
         it.\n"
    );
    Ok(fs::write(to.join(TEXT), text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_build_is_all_that_runs_and_nothing_of_the_build_before() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let (checkout, kept) = (scratch.path().join("checkout"), scratch.path().join("kept"));
        fs::create_dir_all(checkout.join("build"))?;
        fs::create_dir_all(checkout.join(MIGRATIONS))?;
        fs::create_dir_all(kept.join(MIGRATIONS))?;
        fs::write(kept.join("migrations/0009_of_the_build_before.sql"), "")?;
        fs::write(checkout.join("migrations/0001.sql"), "SELECT 1;")?;
        assert!(copy(&checkout, &kept, "`abc`").is_err(), "nothing is built");
        for name in MODULES {
            fs::write(checkout.join("build").join(name), name)?;
        }
        copy(&checkout, &kept, "`abc`")?;
        for name in MODULES {
            assert_eq!(fs::read_to_string(kept.join(name))?, *name);
        }
        let migrations: Vec<_> = fs::read_dir(kept.join(MIGRATIONS))?.collect::<std::io::Result<_>>()?;
        assert_eq!(migrations.iter().map(fs::DirEntry::file_name).collect::<Vec<_>>(), ["0001.sql"]);
        assert!(fs::read_to_string(kept.join(TEXT))?.contains("Of commit `abc`."));
        Ok(())
    }
}
