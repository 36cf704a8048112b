//! The users of a tenant.
//!
//! Invariants:
//!
//! - A user id has at most one row, and none while it is an agent's external id.
//! - Every change of a row writes an outbox row in the same transaction.

use std::collections::HashSet;

use super::outbox::Outbox;
use super::protocol::{Creation, EndUserChange, NewEndUser, Outcome, Precondition, Shown};
use super::relationships;
use super::schema;
use super::sql::{Sql, SqlError};
use super::user_row::{self, UserRow};
use crate::directory::end_user::{EndUser, Revision, Status};
use crate::directory::identifiers::RequestId;
use crate::directory::mood::Decay;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::PrincipalId;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};
use crate::refusal::Refusal;

/// Creates a user, or finds the existing one and ignores the supplied fields.
///
/// The row remembers the request that created it. So a call that the edge repeats, because it lost
/// the reply, is answered again that it created the user. Among racing requests exactly one is
/// answered so.
pub fn create<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    request_id: RequestId,
    new: NewEndUser,
    now: Timestamp,
) -> Result<Outcome, SqlError> {
    let digest = new.user_id.digest();
    let principal_id = PrincipalId::of_human(now, request_id, &digest).to_string();
    let request_id = request_id.to_string();
    if !guards::is_on(Guard::UniqueId) {
        sql.run("DELETE FROM users WHERE digest = ?", &[digest.as_str().into()])?;
    }
    let inserted = sql.first(
        "INSERT INTO users (digest, principal_id, user_id, incarnation, version, state, display_name, metadata,
         created_at, updated_at, created_by)
         SELECT ?8, ?9, ?1, 1 + coalesce((SELECT value FROM state WHERE name = ?2), 0), 1, ?3, ?4, ?5, ?6, ?6, ?7
         WHERE NOT EXISTS (SELECT 1 FROM agents WHERE external_id = ?1)
         ON CONFLICT (digest) DO NOTHING RETURNING number, incarnation",
        &[
            new.user_id.as_str().into(),
            schema::ERASURES.into(),
            Status::Active.as_str().into(),
            new.display_name.as_ref().map(Name::as_str).into(),
            new.metadata.as_str().into(),
            now.millis().into(),
            request_id.as_str().into(),
            digest.as_str().into(),
            principal_id.as_str().into(),
        ],
    )?;
    if let Some(mut row) = inserted {
        let number = row.integer()?;
        let revision = Revision { incarnation: row.integer()?, version: 1 };
        outbox.append(sql, number)?;
        let user = EndUser {
            user_id: new.user_id,
            display_name: new.display_name,
            metadata: new.metadata,
            status: Status::Active,
            version: revision.version,
            created_at: now,
            updated_at: now,
            last_interaction_at: None,
        };
        return Ok(Outcome::EndUserCreated { revision, document: user_row::document(&user)? });
    }
    let found = sql.first(
        &format!("SELECT {}, u.created_by FROM users u WHERE u.digest = ?", user_row::COLUMNS),
        &[digest.as_str().into()],
    )?;
    let Some(mut row) = found else { return Ok(Outcome::OtherType) };
    let found = UserRow::read(&mut row)?;
    if found.takes_no_write() {
        return Ok(Outcome::DeletionPending);
    }
    let (revision, document) = (found.revision, found.document()?);
    let untouched = revision.version == 1 && row.text()? == request_id;
    Ok(if untouched { Outcome::EndUserCreated { revision, document } } else { Outcome::EndUser { revision, document } })
}

/// Creates each user as [`create`] does, in the given order. A second row with the same id finds
/// the user that the first one created.
pub fn create_many<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    request_id: RequestId,
    users: Vec<NewEndUser>,
    now: Timestamp,
) -> Result<Outcome, SqlError> {
    let mut seen = HashSet::with_capacity(users.len());
    let mut creations = Vec::with_capacity(users.len());
    for new in users {
        let is_first = seen.insert(new.user_id.clone());
        creations.push(match create(sql, outbox, request_id, new, now)? {
            Outcome::EndUserCreated { .. } if is_first => Creation::Created,
            Outcome::DeletionPending => Creation::DeletionPending,
            Outcome::OtherType => Creation::OtherType,
            _ => Creation::Existing,
        });
    }
    Ok(Outcome::EndUsersCreated(creations))
}

/// Changes a user's record. A change that changes nothing makes no new version.
pub fn update<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    user_id: &UserId,
    change: EndUserChange,
    if_match: Option<&Precondition>,
    now: Timestamp,
) -> Result<Outcome, SqlError> {
    let Some(mut row) = UserRow::find(sql, user_id)? else { return Ok(Outcome::NotFound) };
    if row.takes_no_write() {
        return Ok(Outcome::DeletionPending);
    }
    if if_match.is_some_and(|condition| !condition.holds(row.revision)) {
        return Ok(Outcome::PreconditionFailed);
    }
    let held = row.user.clone();
    if let Err(refusal) = apply(&mut row.user, change) {
        return Ok(Outcome::Refused { field: "metadata".to_owned(), reason: refusal.0 });
    }
    if row.user != held {
        row.touch(now);
        row.store(sql)?;
        outbox.append(sql, row.number)?;
    }
    Ok(Outcome::EndUser { revision: row.revision, document: row.document()? })
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

/// Returns the current revision, for a reader that may hold the record already.
pub fn locate<S: Sql>(sql: &S, outbox: &mut Outbox, user_id: &UserId, decay: Decay) -> Result<Outcome, SqlError> {
    if let Some(revision) = outbox.located(user_id) {
        return Ok(Outcome::EndUserLocated { revision, shown: Shown::none() });
    }
    let found = sql.first(
        "SELECT u.number, u.incarnation, u.version, u.state = ?2,
         EXISTS (SELECT 1 FROM relationships r WHERE r.user = u.number) FROM users u WHERE u.digest = ?1",
        &[user_id.digest().as_str().into(), Status::Active.as_str().into()],
    )?;
    let Some(mut row) = found else { return Ok(Outcome::NotFound) };
    let number = row.integer()?;
    let revision = Revision { incarnation: row.integer()?, version: row.integer()? };
    let is_active = row.integer()? != 0;
    // Most users have no relationships, and need no second query.
    if row.integer()? != 0 {
        return Ok(Outcome::EndUserLocated { revision, shown: relationships::shown_with(sql, number, decay)? });
    }
    if is_active {
        outbox.remember(user_id, number, revision);
    }
    Ok(Outcome::EndUserLocated { revision, shown: Shown::none() })
}

/// Returns the whole record.
pub fn read<S: Sql>(sql: &S, user_id: &UserId) -> Result<Outcome, SqlError> {
    let Some(found) = UserRow::find(sql, user_id)? else { return Ok(Outcome::NotFound) };
    Ok(Outcome::EndUser { revision: found.revision, document: found.document()? })
}
