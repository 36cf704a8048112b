//! Development secrets: created on the first run and kept in a file that git ignores.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use crate::{Result, root, step, webhooks};

/// The Worker's secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    pub key_secret: String,
    pub admin_token: String,
    /// The key that signs Clerk's events.
    pub webhook_secret: String,
}

/// Wrangler reads this file by default, unless it is given others.
pub fn file() -> PathBuf {
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

/// Reads the secrets. Creates the missing ones and leaves the rest of the file unchanged.
pub fn ensure_all() -> Result<Secrets> {
    Ok(Secrets {
        key_secret: ensure("KEY_SECRET", random_secret)?,
        admin_token: ensure("ADMIN_TOKEN", random_secret)?,
        webhook_secret: ensure("CLERK_WEBHOOK_SECRET", webhooks::random_secret)?,
    })
}

/// The value of a variable. Creates it if there is none.
pub fn ensure(name: &str, make: impl FnOnce() -> Result<String>) -> Result<String> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    if let Some(value) = text.lines().find_map(|line| value_of(line, name)).filter(|value| !value.is_empty()) {
        return Ok(value.to_owned());
    }
    step(format!("Making a development {name} in .dev.vars"));
    let value = make()?;
    set(name, &value)?;
    Ok(value)
}

fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == name).then(|| value.trim().trim_matches('"'))
}

/// Sets a variable to a value of one line, and leaves the rest of the file unchanged. Writes the file only if its
/// text changes, because wrangler reloads on every write.
pub fn set(name: &str, value: &str) -> Result<()> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    if text.lines().any(|line| value_of(line, name) == Some(value)) {
        return Ok(());
    }
    let others = text.lines().filter(|line| value_of(line, name).is_none());
    let line = format!("{name}=\"{value}\"");
    let lines: Vec<&str> = others.chain([line.as_str(), ""]).collect();
    write_private(&file(), &lines.join("\n"))
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &std::path::Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(text.as_bytes())?)
}
