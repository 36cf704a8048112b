//! Admission: the object checks a caller's key and scope and takes the tokens from the bucket.
//!
//! Invariants:
//!
//! - The checks have one order: key (401), scope (403), bucket (429). Only the last one takes a token.
//! - A repeated call whose first attempt was committed takes no token.

use super::keys::KeyCheck;
use super::memory::Memory;
use super::protocol::{Admission, Command, CreateEndUsers, Denial};
use super::quotas;
use super::sql::{Sql, SqlError};
use super::turns;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::{KeyId, RequestId};
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

/// What a call presents to be admitted.
#[derive(Debug)]
pub struct Credentials {
    pub digest: KeyDigest,
    pub kind: KeyKind,
    /// What the route needs.
    pub scope: Scope,
    /// Tokens that the route takes.
    pub cost: u32,
}

/// A refusal, with the state of the bucket if the bucket was asked.
#[derive(Debug)]
pub struct Refused {
    pub denial: Denial,
    pub admission: Option<Admission>,
}

/// A caller that the object lets in.
#[derive(Debug)]
pub struct Admitted {
    pub key_id: KeyId,
    pub expires_at: Option<Timestamp>,
    pub admission: Admission,
}

/// Admits a caller or refuses it.
pub fn admit(
    memory: &mut Memory,
    sql: &impl Sql,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<Result<Admitted, Refused>, SqlError> {
    let refused = |denial| Ok(Err(Refused { denial, admission: None }));
    let (Some(settings), Some(limiter)) = (&memory.settings, &mut memory.limiter) else {
        return refused(Denial::InvalidKey);
    };
    let (key_id, expires_at) = match memory.keys.check(sql, &credentials.digest, credentials.kind, now)? {
        KeyCheck::Unknown => return refused(Denial::InvalidKey),
        KeyCheck::Expired => return refused(Denial::ExpiredKey),
        KeyCheck::Valid { scope, .. } if scope < credentials.scope => {
            return refused(Denial::ScopeTooSmall { quota: quotas::read(sql, settings, now)? });
        }
        KeyCheck::Valid { key_id, expires_at, .. } => (key_id, expires_at),
    };
    let decision = limiter.take(sql, now, credentials.cost)?;
    let admission = Admission::new(limiter.rate(), &decision, now);
    if decision.allowed {
        return Ok(Ok(Admitted { key_id, expires_at, admission }));
    }
    let quota = quotas::read(sql, settings, now)?;
    let denial = Denial::RateLimited { retry_after_ms: decision.retry_after_ms(), quota };
    Ok(Err(Refused { denial, admission: Some(admission) }))
}

/// Whether an earlier attempt of this request was committed: it made a user or reserved a turn.
pub fn is_committed(sql: &impl Sql, request_id: RequestId, command: &Command) -> Result<bool, SqlError> {
    let user_ids: Vec<&UserId> = match command {
        Command::CreateEndUser(new) => vec![&new.user_id],
        Command::CreateEndUsers(CreateEndUsers { users }) => users.iter().map(|new| &new.user_id).collect(),
        Command::CreatePrincipal(new) => vec![&new.external_id],
        Command::ReserveTurn(_) => return turns::was_reserved(sql, request_id),
        _ => Vec::new(),
    };
    let request_id = request_id.to_string();
    for user_id in user_ids {
        let made = "SELECT 1 FROM users WHERE digest = ? AND created_by = ?";
        if sql.exists(made, &[user_id.digest().into(), request_id.as_str().into()])? {
            return Ok(true);
        }
    }
    Ok(false)
}
