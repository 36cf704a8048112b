//! The precondition of a conditional request.

use super::rejection::Rejection;
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
    /// Whether a request may act on a version. Without a precondition every version is right.
    pub fn permits(condition: Option<&Self>, version: Version) -> bool {
        condition.is_none_or(|condition| condition.holds(version))
    }

    /// Rejects a version on which a request may not act.
    pub fn check(condition: Option<&Self>, version: Version) -> Result<(), Rejection> {
        if Self::permits(condition, version) { Ok(()) } else { Err(Rejection::PreconditionFailed) }
    }

    pub fn holds(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}
