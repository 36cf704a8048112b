//! `cargo xtask clients`: drives a fresh server with the published Python clients, which judge its answers by their own
//! models.

use std::process::Command;

use crate::dev::Served;
use crate::{Result, fresh, process, python, root, step};

/// Runs the tests in `tests/clients`.
pub fn run() -> Result<()> {
    let programs = python::ensure(&python::CLIENTS)?;
    fresh::serve("clients", |served, _| {
        let Served { url, demo, session_token, .. } = served;
        step("Running the tests of the published clients");
        let mut pytest = Command::new(programs.join("pytest"));
        // Without files in the checkout, and without a proxy in between.
        pytest.args(["-p", "no:cacheprovider", "--color=no", "--quiet"]).arg(root().join("tests/clients"));
        pytest.current_dir(root()).env("PYTHONDONTWRITEBYTECODE", "1");
        pytest.envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
        pytest.env("ROLLCALL_URL", url).env("ROLLCALL_ORGANIZATION", &demo.organization_id);
        pytest.env("ROLLCALL_API_KEY", &demo.api_key).env("ROLLCALL_READ_KEY", &demo.read_key);
        pytest.env("ROLLCALL_UNIQ_KEY", &demo.uniq_key).env("ROLLCALL_SERVICE_KEY", &demo.service_key);
        pytest.env("ROLLCALL_SESSION_TOKEN", session_token.as_deref().unwrap_or_default());
        process::run(&mut pytest, "Testing the published clients")
    })
}
