//! Development secrets: made on first run, kept in a file that git ignores.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use crate::{Result, root, step, webhooks};

/// What the Worker needs to be told and nobody else should know.
#[derive(Debug, Clone)]
pub struct Secrets {
    pub key_secret: String,
    pub admin_token: String,
    /// What events must be signed with that claim to come from Clerk.
    pub clerk_webhook_secret: String,
}

/// Wrangler reads this file by itself.
fn file() -> PathBuf {
    root().join(".dev.vars")
}

/// 256 random bits.
pub fn random_bytes() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("no entropy: {error}"))?;
    Ok(bytes)
}

/// 256 random bits in hexadecimal.
pub fn random_secret() -> Result<String> {
    let bytes = random_bytes()?;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Reads the secrets; makes those that are missing and leaves the rest of the
/// file as it is.
pub fn ensure() -> Result<Secrets> {
    let mut text = fs::read_to_string(file()).unwrap_or_default();
    let key_secret = ensure_one(&mut text, "KEY_SECRET", random_secret)?;
    let admin_token = ensure_one(&mut text, "ADMIN_TOKEN", random_secret)?;
    let clerk_webhook_secret = ensure_one(&mut text, "CLERK_WEBHOOK_SECRET", webhooks::random_secret)?;
    Ok(Secrets { key_secret, admin_token, clerk_webhook_secret })
}

fn ensure_one(text: &mut String, name: &str, make: fn() -> Result<String>) -> Result<String> {
    let held = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    });
    if let Some(value) = held.filter(|value| !value.is_empty()) {
        return Ok(value);
    }
    step(format!("Making a development {name} in .dev.vars"));
    let value = make()?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    writeln!(text, "{name}=\"{value}\"")?;
    write_private(&file(), text)?;
    Ok(value)
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &std::path::Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(text.as_bytes())?)
}
