//! The server that a command talks to, and its credentials: those of the environment, or else those of a running
//! `cargo dev`.

use std::fs;

use console::Term;
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
        self.url.as_deref().map_or_else(|| of_dev("url"), checked_url)
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
        if self.url.is_some() {
            operators_token()
        } else {
            self.credential(ADMIN_TOKEN, "admin_token", "the operator's token")
        }
    }
}

/// An address to which a credential may be sent, without a slash at its end: one of HTTPS, or of this machine.
pub fn checked_url(url: &str) -> Result<String> {
    let is_local = ["http://127.0.0.1", "http://localhost"]
        .iter()
        .any(|local| url.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(|_| is_local));
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host)
            if !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte)) =>
        {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("{url} is no address of a Worker, such as https://rollcall.example.workers.dev").into()),
    }
}

/// The operator's token of a deployment: from the environment, else from whoever sits at the terminal, who does not see it.
pub fn operators_token() -> Result<String> {
    let set = std::env::var(ADMIN_TOKEN).ok();
    let token = match set.filter(|token| !token.is_empty()) {
        Some(token) => token,
        None if Term::stderr().is_term() => {
            eprint!("ADMIN_TOKEN of the deployment: ");
            Term::stderr().read_secure_line()?
        }
        None => String::new(),
    };
    let token = token.trim();
    // A header takes no others.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("set {ADMIN_TOKEN} to the deployment's ADMIN_TOKEN").into());
    }
    Ok(token.to_owned())
}

fn of_dev(name: &str) -> Result<String> {
    let text = fs::read_to_string(root().join("target/dev.json"));
    let text = text.map_err(|_| "say --url, or start cargo dev first")?;
    let dev: Value = serde_json::from_str(&text)?;
    let value = dev.get(name).and_then(Value::as_str).ok_or("target/dev.json is incomplete: start cargo dev again")?;
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_goes_to_an_address_of_https_or_of_this_machine() {
        for good in ["https://h", "https://h/", "http://127.0.0.1:8787", "http://localhost"] {
            assert_eq!(checked_url(good).expect(good), good.trim_end_matches('/'));
        }
        for bad in [
            "h",
            "ftp://h",
            "https://",
            "https://h/v1",
            "https://u:p@h",
            "https://h?q",
            "https://h h",
            "http://h",
            "http://localhost.h",
            "http://127.0.0.1@h",
        ] {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }
}
