//! End users in calls and replies.

use super::precondition::Precondition;
use crate::directory::agent::AgentId;
use crate::directory::end_user::EndUser;
use crate::directory::identifiers::DeletionId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::organization::Capacity;
use crate::directory::relationship::Relationship;
use crate::directory::timestamp::Timestamp;
use crate::json;
use serde::{Deserialize, Serialize};

/// A user to create, unless it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEndUser {
    pub user_id: UserId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedEndUser {
    /// Whether this request created the user. If not, the user is the stored one.
    pub created: bool,
    pub user: EndUser,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CreateEndUsers {
    pub users: Vec<NewEndUser>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateEndUser {
    pub user_id: UserId,
    pub change: EndUserChange,
    /// `If-Match`: the object changes only these versions.
    pub if_match: Option<Precondition>,
}

/// Users to read.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadEndUsers {
    pub user_ids: Vec<UserId>,
}

/// Which part of an export to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportPart {
    First {
        user_id: UserId,
    },
    /// The part that follows another one.
    Next(ExportPlace),
}

/// The place at which an export goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPlace {
    /// The row number of the user. No other user ever has it, so the export ends when the user is erased, also if
    /// another one is made under the id.
    pub user: i64,
    /// When the export began. It shows no answer that had expired by then.
    pub exported_at: Timestamp,
    /// The newest kept answer about the user when the export began. Later ones are not shown.
    pub last_answer: i64,
    /// The newest change when the export began. Relationships that were made later are not shown.
    pub last_change: i64,
    pub list: ExportList,
}

/// The list in which an export goes on, and the last entry that it has shown. Row numbers are positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportList {
    KeptAnswers { after: i64 },
    Relationships { after: i64 },
    OwnedAgents { after: Option<AgentId> },
    Deletions { after: Option<DeletionId> },
}

/// A part of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedPart {
    /// A piece of the document. All pieces in a row are the document.
    pub text: String,
    /// `None` after the last part.
    pub next: Option<ExportPlace>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReadEndUser {
    pub user_id: UserId,
}

/// A user with the relationships that the record shows, the newest interaction first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndUserView {
    pub user: EndUser,
    pub relationships: Vec<Relationship>,
    /// Whether the user has more relationships than these.
    pub has_more: bool,
}

/// A change of a user's record.
#[derive(Debug, Serialize, Deserialize)]
pub enum EndUserChange {
    /// A field that is `Some` replaces the stored one. A field that is `None` stays.
    Replace { display_name: Option<Option<Name>>, metadata: Option<Metadata> },
    /// A merge patch (RFC 7396). The edge has read the display name. The object applies the patch of the
    /// metadata, because the metadata is there.
    Merge { display_name: Option<Option<Name>>, metadata: Option<json::Text> },
}

/// The result for one user of [`CreateEndUsers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Creation {
    Created,
    Existing,
    /// The existing user is being erased.
    DeletionPending {
        deletion_id: DeletionId,
    },
    /// The id is an agent's external id.
    OtherType,
    /// The user has been erased since the batch was answered first.
    Erased,
    /// The organization holds as much as it may.
    OverCapacity(Capacity),
}
