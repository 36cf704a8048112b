//! A server with an empty state, for commands that drive it.

use std::env;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::Result;
use crate::admin::Admin;
use crate::dev::{self, Options, Served};

/// Serves on a free port until the action is done, and leaves nothing behind. The action gets the folder of the
/// server's state too. The demo organization has wide limits, so that only the requests decide the answers.
pub fn serve(name: &str, action: impl FnOnce(&Served, &Path) -> Result<()>) -> Result<()> {
    let state = env::temp_dir().join(format!("rollcall-{name}-{}", std::process::id()));
    let done = (|| {
        let (served, mut runtime) = dev::start(&Options { port: 0, state: Some(state.clone()) })?;
        let done = widen_limits(&served).and_then(|()| action(&served, &state));
        runtime.stop();
        done
    })();
    let _ = fs::remove_dir_all(state);
    done
}

fn widen_limits(served: &Served) -> Result<()> {
    let limits = json!({
        "requests_per_second": 1_000_000, "burst": 10_000_000, "turns_per_period": 1_000_000_000,
        "active_relationships": 1_000_000_000,
    });
    let admin = Admin::new(&served.url, &served.secrets.admin_token);
    admin.change_organization(&served.demo.organization_id, &json!({ "limits": limits }))
}
