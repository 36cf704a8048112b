//! The server that a command talks to, and its credentials: those of the environment, or else those of a running
//! `cargo dev`.

use std::fs;

use serde_json::Value;

use crate::{Result, root};

/// The variable of an organization's key.
pub const API_KEY: &str = "ROLLCALL_API_KEY";
/// The variable of the operator's token.
pub const ADMIN_TOKEN: &str = "ROLLCALL_ADMIN_TOKEN";

#[derive(Debug, Clone)]
pub struct Server {
    /// `None` for a running `cargo dev`.
    pub url: Option<String>,
}

impl Server {
    /// The address, without a slash at its end.
    pub fn url(&self) -> Result<String> {
        let url = self.url.clone().map_or_else(|| of_dev("url"), Ok)?;
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// A credential from a variable of the environment, or as `cargo dev` names it. `what` says what to set.
    pub fn credential(&self, variable: &str, of: &str, what: &str) -> Result<String> {
        match std::env::var(variable).ok().filter(|value| !value.is_empty()) {
            Some(credential) => Ok(credential),
            None if self.url.is_some() => Err(format!("set {variable} to {what}").into()),
            None => of_dev(of),
        }
    }

    pub fn operator(&self) -> Result<String> {
        self.credential(ADMIN_TOKEN, "admin_token", "the operator's token, ADMIN_TOKEN of the deployment")
    }
}

fn of_dev(name: &str) -> Result<String> {
    let text = fs::read_to_string(root().join("target/dev.json"));
    let text = text.map_err(|_| "say --url, or start cargo dev first")?;
    let dev: Value = serde_json::from_str(&text)?;
    let value = dev.get(name).and_then(Value::as_str).ok_or("target/dev.json is incomplete: start cargo dev again")?;
    Ok(value.to_owned())
}
