//! End users in calls and replies.

use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::json;
use serde::{Deserialize, Serialize};

/// A user to create, unless it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEndUser {
    pub user_id: UserId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
}

/// A change of a user's record.
#[derive(Debug, Serialize, Deserialize)]
pub enum EndUserChange {
    /// A field that is `Some` replaces the stored one. A field that is `None` stays.
    Replace { display_name: Option<Option<Name>>, metadata: Option<Metadata> },
    /// A merge patch (RFC 7396). The edge has read the display name. The object applies the patch
    /// of the metadata, because the metadata is there.
    Merge { display_name: Option<Option<Name>>, metadata: Option<json::Text> },
}

/// The result for one user of `Command::CreateEndUsers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Creation {
    Created,
    Existing,
    /// The existing user is being erased.
    DeletionPending,
    /// The id is an agent's external id.
    OtherType,
}
