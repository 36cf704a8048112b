//! The credentials of a deployment that was begun: made before they are deployed, and kept until they were shown.
//!
//! Invariants:
//!
//! - A secret is in the file before it leaves this machine, and the file goes after its content was printed. So a run
//!   that is cut off anywhere locks nobody out: the next run, or the operator, reads the file.
//! - What is in the file is never made anew.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Result, secrets, step};

const ADMIN_TOKEN: &str = "ADMIN_TOKEN";
pub const KEY_SECRET: &str = "KEY_SECRET";

/// The file and what it holds.
#[derive(Debug)]
pub struct Credentials {
    path: PathBuf,
    kept: Kept,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    key_secret: Option<String>,
    admin_token: Option<String>,
    /// The organization that the keys belong to.
    organization_id: Option<String>,
    #[serde(default)]
    keys: Vec<IssuedKey>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuedKey {
    /// The key's name in the admin API.
    pub name: String,
    pub key: String,
}

impl Credentials {
    /// Makes and keeps the secrets that the Worker lacks. `None` if it has all of them, and nothing is left of an
    /// earlier run.
    pub fn ensure(folder: &Path, worker: &str, held: &[String]) -> Result<Option<Self>> {
        let path = folder.join(format!("{worker}.json"));
        let is_complete = [KEY_SECRET, ADMIN_TOKEN].iter().all(|name| held.iter().any(|held| held == name));
        if is_complete && !path.is_file() {
            return Ok(None);
        }
        let kept = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                let path = path.display();
                format!("{path}: {error}. Secrets of a deployment may be in it: look at it, then move it away.")
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        let mut credentials = Self { path, kept };
        let lacks = |name: &str| !held.iter().any(|held| held == name);
        if lacks(KEY_SECRET) && credentials.kept.key_secret.is_none() {
            credentials.kept.key_secret = Some(secrets::random_secret()?);
        }
        if lacks(ADMIN_TOKEN) && credentials.kept.admin_token.is_none() {
            credentials.kept.admin_token = Some(secrets::random_secret()?);
        }
        credentials.save()?;
        step(format!("Keeping the new secrets in {} until they are shown", credentials.path.display()));
        Ok(Some(credentials))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn admin_token(&self) -> Option<&str> {
        self.kept.admin_token.as_deref()
    }

    /// Whether the deployment's keys are certified by a secret that was made here, so that there were none before.
    pub fn are_of_a_first_deployment(&self) -> bool {
        self.kept.key_secret.is_some()
    }

    /// The secrets with their names in the Worker.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = [(ADMIN_TOKEN, &self.kept.admin_token), (KEY_SECRET, &self.kept.key_secret)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    pub fn keys(&self) -> &[IssuedKey] {
        &self.kept.keys
    }

    /// Keys of another organization, which a run made elsewhere, are forgotten.
    pub fn set_organization(&mut self, id: &str) -> Result<()> {
        if self.kept.organization_id.as_deref() != Some(id) {
            self.kept.organization_id = Some(id.to_owned());
            self.kept.keys.clear();
        }
        self.save()
    }

    pub fn add_key(&mut self, key: IssuedKey) -> Result<()> {
        self.kept.keys.push(key);
        self.save()
    }

    /// Replaces the file in one step.
    fn save(&self) -> Result<()> {
        let written = self.path.with_extension("new");
        secrets::write_private(&written, &serde_json::to_string_pretty(&self.kept)?)?;
        fs::File::open(&written)?.sync_all()?;
        Ok(fs::rename(written, &self.path)?)
    }

    /// After everything was shown.
    pub fn forget(self) -> Result<()> {
        Ok(fs::remove_file(self.path)?)
    }
}
