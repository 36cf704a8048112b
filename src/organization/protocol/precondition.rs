//! The precondition of a conditional request.

use crate::directory::end_user::Revision;
use serde::{Deserialize, Serialize};

/// The revisions that a conditional request names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    /// `*`: any that exists.
    Any,
    Revisions(Vec<Revision>),
}

impl Precondition {
    pub fn holds(&self, revision: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::Revisions(revisions) => revisions.contains(&revision),
        }
    }
}
