//! The epoch of a tenant's copies in KV.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::identifiers::RequestId;

/// Copies of two epochs have nothing to do with each other, even if they name the same user and version. An object
/// draws a new one when it or its listing may have been restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(i64);

impl Epoch {
    /// Draws an epoch: 48 random bits, as numbers of SQL travel as doubles.
    pub fn draw(random: [u8; 6]) -> Self {
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(&random);
        Self(i64::from_be_bytes(bytes))
    }

    /// The epoch that a request begins. The same request, repeated, begins the same one.
    pub fn of(request_id: RequestId) -> Self {
        Self::draw(Sha256::digest(request_id.to_string()).first_chunk().copied().unwrap_or_default())
    }

    pub const fn of_number(number: i64) -> Self {
        Self(number)
    }

    pub const fn number(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}
