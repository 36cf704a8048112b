//! End users, as calls and replies carry them.

use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::json;
use serde::{Deserialize, Serialize};

/// A user to be made, unless there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEndUser {
    pub user_id: UserId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
}

/// What to make of a user's record.
#[derive(Debug, Serialize, Deserialize)]
pub enum EndUserChange {
    /// What is given replaces what is held; what is not given stays.
    Replace { display_name: Option<Option<Name>>, metadata: Option<Metadata> },
    /// RFC 7396. The display name is read already; the metadata patch can only
    /// be applied where the metadata is.
    Merge { display_name: Option<Option<Name>>, metadata: Option<json::Text> },
}

/// What became of one user of [`Command::CreateEndUsers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Creation {
    Created,
    Existing,
    /// The one that is there is being erased.
    DeletionPending,
    /// The id is an agent's.
    OtherType,
}

impl Creation {
    /// How it is stored with a kept answer.
    pub const fn letter(self) -> char {
        match self {
            Self::Created => 'c',
            Self::Existing => 'e',
            Self::DeletionPending => 'd',
            Self::OtherType => 'o',
        }
    }

    pub const fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'c' => Some(Self::Created),
            'e' => Some(Self::Existing),
            'd' => Some(Self::DeletionPending),
            'o' => Some(Self::OtherType),
            _ => None,
        }
    }
}
