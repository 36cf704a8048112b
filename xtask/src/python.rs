//! Programs in Python, each in an environment of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, fingerprint, process, root, step, tools};

/// What an environment holds.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// The name of the environment's folder.
    folder: &'static str,
    /// The packages in words.
    name: &'static str,
    /// The file with the packages and all of their dependencies, with versions and hashes.
    requirements: &'static str,
    /// The oldest Python 3 on which all of them work.
    minor_min: u8,
}

pub const SCHEMATHESIS: Packages = Packages {
    folder: "schemathesis",
    name: "Schemathesis",
    requirements: "tests/schemathesis/requirements.txt",
    minor_min: 11,
};

// sonzai 1.8.0 says that it works on Python 3.11, and does not compile there.
pub const CLIENTS: Packages = Packages {
    folder: "clients",
    name: "the published clients",
    requirements: "tests/clients/requirements.txt",
    minor_min: 12,
};

/// Names under which Python is installed.
const PYTHONS: [&str; 4] = ["python3", "python3.14", "python3.13", "python3.12"];

/// Returns the folder of the environment's programs. Installs the environment if it is not there: with an installed
/// Python, or else with one that an installed uv downloads and verifies.
pub fn ensure(packages: &Packages) -> Result<PathBuf> {
    let Packages { folder, name, requirements, minor_min } = *packages;
    let fingerprint = fingerprint::of(&root(), &[requirements], &[])?;
    let environment = tools::cache()?.join(tools::folder_name(folder, &fingerprint));
    tools::install(&environment, &fingerprint, || {
        step(format!("Installing {name} from PyPI (once)"));
        let mut pip = if let Some(mut python) = installed(minor_min) {
            python.args(["-m", "venv"]).arg(&environment);
            process::run_quietly(&mut python, "Making a Python environment")?;
            let mut pip = Command::new(environment.join("bin/pip"));
            pip.args(["install", "--quiet", "--disable-pip-version-check"]);
            pip
        } else {
            let mut python = Command::new("uv");
            python.args(["venv", "--quiet", "--allow-existing", "--python", &format!(">=3.{minor_min}")]);
            process::run_quietly(python.arg(&environment), "Making a Python environment").map_err(|error| {
                format!(
                    "{error}\nInstall Python 3.{minor_min} or newer with venv (python3-venv where that is a package of its \
                     own), or uv, which downloads one: https://docs.astral.sh/uv"
                )
            })?;
            let mut pip = Command::new("uv");
            pip.args(["pip", "install", "--quiet", "--python"]).arg(environment.join("bin/python"));
            pip
        };
        // Building a package would need other packages, which have no hash here.
        pip.args(["--require-hashes", "--only-binary", ":all:", "--requirement"]).arg(root().join(requirements));
        process::run_quietly(&mut pip, &format!("Installing {name}")).map(drop)
    })?;
    Ok(environment.join("bin"))
}

/// A recent enough Python that can create environments, if one is installed.
fn installed(minor_min: u8) -> Option<Command> {
    let script = format!("import ensurepip, sys, venv; sys.exit(sys.version_info < (3, {minor_min}))");
    let is_one =
        |python: &dyn Fn() -> Command| process::run_quietly(python().args(["-c", &script]), "Trying Python").is_ok();
    let of_path = PYTHONS.into_iter().find(|name| is_one(&|| Command::new(name))).map(Command::new);
    of_path.or_else(|| {
        // pyenv runs one of its versions under the name of any other.
        let versions = process::run_quietly(Command::new("pyenv").args(["versions", "--bare"]), "Asking pyenv").ok()?;
        let python = |version: &str| {
            let mut python = Command::new("python3");
            python.env("PYENV_VERSION", version);
            python
        };
        versions.lines().find(|version| is_one(&|| python(version))).map(python)
    })
}
