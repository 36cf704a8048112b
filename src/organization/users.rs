//! The users of a tenant.
//!
//! Invariants:
//!
//! - A user id has at most one row, and none while it is an agent's external id.
//! - Every change of a row writes a row of the change log in the same transaction.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::change_log::{Affected, Subject};
use super::failure::Failure;
use super::protocol::{
    CreatedEndUser, Creation, EndUserChange, EndUserRecord, EndUserView, NewEndUser, Rejection, Resource, UpdateEndUser,
};
use super::relationships;
use super::sql::{Sql, SqlError, json_list};
use super::user_row::{self, UserRow};
use super::writer::Writer;
use crate::directory::end_user::{EndUser, Status};
use crate::directory::event::EventType;
use crate::directory::identifiers::{DeletionId, RequestId};
use crate::directory::names::{Name, UserId};
use crate::directory::principal::PrincipalId;
use crate::guards::{self, Guard};
use crate::refusal::Refusal;

/// Creates a user, or finds the existing one and ignores the supplied fields.
///
/// The row remembers the request that created it. So a call that the edge repeats, because it lost the reply, is
/// answered again that it created the user. Among racing requests exactly one is answered so.
pub fn create(
    writer: &mut Writer<'_, impl Sql>,
    request_id: RequestId,
    new: NewEndUser,
) -> Result<CreatedEndUser, Failure> {
    let Writer { sql, now, .. } = *writer;
    let digest = new.user_id.digest();
    let principal_id = PrincipalId::of_human(now, request_id, &digest);
    let request_id = request_id.to_string();
    if !guards::is_on(Guard::UniqueId) {
        sql.execute("DELETE FROM users WHERE digest = ?", &[digest.as_str().into()])?;
    }
    let select = format!("SELECT {}, u.created_by FROM users u WHERE u.digest = ?", user_row::COLUMNS);
    let found = sql.find(&select, &[digest.as_str().into()], |row| Ok((UserRow::read(row)?, row.text()?)))?;
    if let Some((found, created_by)) = found {
        found.check_takes_writes(sql)?;
        let created = found.is_untouched() && created_by == request_id;
        return Ok(CreatedEndUser { created, user: found.user });
    }
    let NewEndUser { user_id, display_name, metadata } = new;
    let (created_at, updated_at, last_interaction_at) = (now, now, None);
    let record =
        EndUserRecord { user_id, principal_id, display_name, metadata, created_at, updated_at, last_interaction_at };
    Ok(CreatedEndUser { created: true, user: insert(writer, &request_id, record)? })
}

/// Stores a user whose id has no row.
fn insert(writer: &mut Writer<'_, impl Sql>, created_by: &str, new: EndUserRecord) -> Result<EndUser, Failure> {
    writer.check_room_for_user()?;
    let number = writer.log.next_sequence();
    let is_inserted = writer.sql.exists(
        "INSERT INTO users (number, digest, principal_id, user_id, version, state, display_name, metadata,
         created_at, updated_at, created_by, last_interaction_at)
         SELECT ?2, ?8, ?9, ?1, ?2, ?3, ?4, ?5, ?6, ?10, ?7, ?11
         WHERE NOT EXISTS (SELECT 1 FROM agents WHERE external_id_digest = ?8)
         RETURNING number",
        &[
            new.user_id.as_str().into(),
            number.into(),
            Status::Active.into_str().into(),
            new.display_name.as_ref().map(Name::as_str).into(),
            new.metadata.as_str().into(),
            new.created_at.into(),
            created_by.into(),
            new.user_id.digest().into(),
            new.principal_id.to_string().into(),
            new.updated_at.into(),
            new.last_interaction_at.into(),
        ],
    )?;
    if !is_inserted {
        return Err(Rejection::OtherType.into());
    }
    let subject = Subject::new(number, new.principal_id);
    let version = writer.append(EventType::EndUserCreated, &subject, Affected::User(number))?;
    Ok(EndUser {
        user_id: new.user_id,
        display_name: new.display_name,
        metadata: new.metadata,
        status: Status::Active,
        version,
        created_at: new.created_at,
        updated_at: new.updated_at,
        last_interaction_at: new.last_interaction_at,
    })
}

/// Creates a user with the ids and instants of another deployment, unless the id has one. Returns whether it did.
pub fn import(
    writer: &mut Writer<'_, impl Sql>,
    request_id: RequestId,
    record: EndUserRecord,
) -> Result<bool, Failure> {
    if let Some(row) = UserRow::find(writer.sql, &record.user_id)? {
        row.check_takes_writes(writer.sql)?;
        return Ok(false);
    }
    let principal_id = record.principal_id.to_string();
    if writer.sql.exists("SELECT 1 FROM users WHERE principal_id = ?", &[principal_id.into()])? {
        return Err(Rejection::taken("principal_id").into());
    }
    insert(writer, &request_id.to_string(), record)?;
    Ok(true)
}

/// At most `limit` users after a row number, as they are exported. Whoever is being erased is not among them.
pub fn records(sql: &impl Sql, after: i64, limit: u32) -> Result<Vec<(i64, EndUserRecord)>, SqlError> {
    let select = format!(
        "SELECT {} FROM users u WHERE u.number > ? AND u.state = 'active' ORDER BY u.number LIMIT ?",
        user_row::COLUMNS
    );
    sql.list(&select, &[after.into(), i64::from(limit).into()], |row| {
        let UserRow { number, principal_id, user, .. } = UserRow::read(row)?;
        let EndUser { user_id, display_name, metadata, created_at, updated_at, last_interaction_at, .. } = user;
        let record = EndUserRecord {
            user_id,
            principal_id,
            display_name,
            metadata,
            created_at,
            updated_at,
            last_interaction_at,
        };
        Ok((number, record))
    })
}

/// Whether a user has this id.
pub fn exists(sql: &impl Sql, user_id: &UserId) -> Result<bool, SqlError> {
    sql.exists("SELECT 1 FROM users WHERE digest = ?", &[user_id.digest().into()])
}

/// Creates each user as [`create`] does, in the given order. A second row with the same id finds the user that
/// the first one created.
pub fn create_many(
    writer: &mut Writer<'_, impl Sql>,
    request_id: RequestId,
    users: Vec<NewEndUser>,
) -> Result<Vec<Creation>, Failure> {
    let mut seen = HashSet::with_capacity(users.len());
    let mut creations = Vec::with_capacity(users.len());
    for new in users {
        let is_first = seen.insert(new.user_id.clone());
        creations.push(match create(writer, request_id, new) {
            Ok(CreatedEndUser { created, .. }) if created && is_first => Creation::Created,
            Ok(_) => Creation::Existing,
            Err(Failure::Rejected(Rejection::DeletionPending { deletion_id })) => {
                Creation::DeletionPending { deletion_id }
            }
            Err(Failure::Rejected(Rejection::OtherType)) => Creation::OtherType,
            Err(Failure::Rejected(Rejection::OverCapacity(capacity))) => Creation::OverCapacity(capacity),
            Err(failure) => return Err(failure),
        });
    }
    Ok(creations)
}

/// What became of one user of a batch, as the object keeps it for repetitions. [`creations_now`] says who is being
/// erased by then, or has been erased.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum KeptCreation {
    Created,
    Existing,
    DeletionPending,
    OtherType,
}

impl KeptCreation {
    /// `None` for a row that the caller may repeat when there is room.
    pub const fn of(creation: Creation) -> Option<Self> {
        match creation {
            Creation::Created => Some(Self::Created),
            Creation::Existing => Some(Self::Existing),
            Creation::DeletionPending { .. } | Creation::Erased => Some(Self::DeletionPending),
            Creation::OtherType => Some(Self::OtherType),
            Creation::OverCapacity(_) => None,
        }
    }
}

/// What a repeated batch is answered: the creations of then, but for users who are being erased, or were erased since
/// `sequence`, the newest change of then.
pub fn creations_now(
    sql: &impl Sql,
    users: &[NewEndUser],
    kept: Vec<KeptCreation>,
    sequence: i64,
) -> Result<Vec<Creation>, SqlError> {
    let digests: Vec<String> = users.iter().map(|new| new.user_id.digest()).collect();
    let select = "SELECT u.digest, d.deletion_id FROM users u
                  LEFT JOIN deletions d ON d.user = u.number AND d.cascade = 'all'
                  WHERE u.number <= ? AND u.digest IN (SELECT value FROM json_each(?))";
    let listed = json_list(&digests)?;
    let parameters = [sequence.into(), listed.as_str().into()];
    let held = sql.list(select, &parameters, |row| Ok((row.text()?, row.optional_parsed("deletion id")?)))?;
    let held: HashMap<String, Option<DeletionId>> = held.into_iter().collect();
    let creations = kept.into_iter().zip(&digests).map(|(kept, digest)| match (kept, held.get(digest)) {
        (KeptCreation::OtherType, _) => Creation::OtherType,
        (_, None) => Creation::Erased,
        (_, Some(Some(deletion_id))) => Creation::DeletionPending { deletion_id: *deletion_id },
        (KeptCreation::Created, Some(None)) => Creation::Created,
        (KeptCreation::Existing | KeptCreation::DeletionPending, Some(None)) => Creation::Existing,
    });
    Ok(creations.collect())
}

/// Changes a user's record. A change that changes nothing makes no new version.
pub fn update(writer: &mut Writer<'_, impl Sql>, update: UpdateEndUser) -> Result<EndUser, Failure> {
    let UpdateEndUser { user_id, change, if_match } = update;
    let mut row = UserRow::find(writer.sql, &user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
    row.check_takes_writes(writer.sql)?;
    writer.check_version(if_match.as_ref(), row.user.version)?;
    let held = row.user.clone();
    apply(&mut row.user, change)
        .map_err(|refusal| Rejection::Invalid { field: "metadata".to_owned(), reason: refusal.0 })?;
    if row.user != held {
        if length(&row.user) > length(&held) {
            writer.check_storage()?;
        } else {
            writer.check_storage_for_change()?;
        }
        row.touch(writer.now);
        let affected = Affected::User(row.number);
        row.store_changed(writer, EventType::EndUserUpdated, affected)?;
    }
    Ok(row.user)
}

/// The length of what a caller can change, in bytes.
fn length(user: &EndUser) -> usize {
    user.metadata.as_str().len().saturating_add(user.display_name.as_ref().map_or(0, |name| name.as_str().len()))
}

/// Fails only when the metadata would be too large, too deep or not an object.
fn apply(user: &mut EndUser, change: EndUserChange) -> Result<(), Refusal> {
    let display_name = match change {
        EndUserChange::Replace { display_name, metadata } => {
            if let Some(metadata) = metadata {
                user.metadata = metadata;
            }
            display_name
        }
        EndUserChange::Merge { display_name, metadata } => {
            if let Some(patch) = metadata {
                user.metadata = user.metadata.merged(&patch)?;
            }
            display_name
        }
    };
    if let Some(display_name) = display_name {
        user.display_name = display_name;
    }
    Ok(())
}

/// Returns the whole record, with the relationships that it shows.
pub fn read(sql: &impl Sql, user_id: &UserId) -> Result<EndUserView, Failure> {
    // One statement: each costs as much as a tenth of the whole read.
    let select = format!("SELECT {}, {} FROM users u WHERE u.digest = ?", user_row::COLUMNS, relationships::shown());
    let found = sql.find(&select, &[user_id.digest().into()], |row| {
        let user = UserRow::read(row)?.user;
        let (relationships, has_more) = relationships::read_shown(&row.text()?)?;
        Ok(EndUserView { user, relationships, has_more })
    })?;
    Ok(found.ok_or(Rejection::NotFound(Resource::EndUser))?)
}

/// Returns the records of some users, each once, in the order of their first mention; none for a user who is not there.
pub fn read_many(sql: &impl Sql, user_ids: &[UserId]) -> Result<Vec<EndUser>, SqlError> {
    let digests: Vec<String> = user_ids.iter().map(UserId::digest).collect();
    let select = format!(
        "SELECT {} FROM (SELECT value, min(key) AS place FROM json_each(?) GROUP BY value) asked
         JOIN users u ON u.digest = asked.value ORDER BY asked.place",
        user_row::COLUMNS
    );
    sql.list(&select, &[json_list(&digests)?.as_str().into()], |row| Ok(UserRow::read(row)?.user))
}
