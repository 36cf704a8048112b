//! The precondition of a conditional request.

use crate::directory::end_user::Version;
use serde::{Deserialize, Serialize};

/// The versions that a conditional request names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    /// `*`: any that exists.
    Any,
    Versions(Vec<Version>),
}

impl Precondition {
    pub fn holds(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}
