//! The worst requests that a search has found. They are kept, so that a search that was interrupted goes on.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use xtask::{Result, root};

use crate::contender::Artefact;
use crate::isolate::Taken;
use crate::sizes::Sizes;

/// The worst request of an operation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Worst {
    pub sizes: Sizes,
    pub taken: Taken,
    pub status: u16,
}

impl Worst {
    /// This one, unless the other one takes more.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.taken.sum() >= other.taken.sum() { self } else { other }
    }
}

/// What the search of one operation has found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found {
    pub operation: String,
    pub worst: Worst,
    pub tries: usize,
    /// Tries that lost the runtime each time.
    pub left_out: usize,
}

/// What searches of one module, with one seed and one number of tries, have found: a line of JSON for each operation.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    found: Vec<Found>,
}

impl Kept {
    pub fn read(artefact: &Artefact, seed: u64, tries: usize) -> Result<Self> {
        // The name of the bundled module begins with its digest.
        let wasm = artefact.wasm.as_ref().and_then(|wasm| wasm.file_stem()).unwrap_or_default().to_string_lossy();
        let path = root().join(format!("target/bench/memory-{wasm}-{seed}-{tries}.jsonl"));
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        // The last line may be cut.
        let found = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { path, found })
    }

    pub fn of(&self, operation: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.operation == operation)
    }

    pub fn keep(&self, found: &Found) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        Ok(writeln!(file, "{}", serde_json::to_string(found)?)?)
    }
}
