//! Leases: the object lets an edge answer reads from KV without asking, for some seconds.
//!
//! Invariants:
//!
//! - A lease lasts at most as long as the operator allows, and not beyond the expiry of its key. So a key that is
//!   revoked or expires, a limit that changes and a person who is erased are seen by the edge within that time.
//! - A lease names every user whose copy may be older than the user ([`super::copies`]), and takes its tokens out of
//!   the bucket ([`super::limiter`]).
//! - There is no lease before the object has seen, since it started, that the listing stands where it left it. An
//!   object that was restored has copies that it does not know.

use super::copying;
use super::limiter::Limiter;
use super::protocol::{EdgeCall, Lease};
use super::sql::{Sql, SqlError};
use super::writer::Writer;
use crate::directory::timestamp::Timestamp;

/// What an edge gets that has used next to nothing, in tokens.
const TOKENS_FIRST: u32 = 8;
/// A lease that ends sooner is of no use, in milliseconds.
const LASTS_MIN_MS: i64 = 100;

/// What bounds a lease, besides copies and bucket.
#[derive(Debug, Clone, Copy)]
pub struct LeaseLimits {
    /// How old an answer may be, in seconds; 0 forbids leases.
    pub edge_stale_s: u32,
    pub key_expires_at: Option<Timestamp>,
}

/// Serves what a call says besides its command: notes a user without a copy, and gives a lease.
pub fn serve(
    writer: &mut Writer<'_, impl Sql>,
    limiter: &mut Limiter,
    call: &EdgeCall,
    limits: LeaseLimits,
) -> Result<Option<Lease>, SqlError> {
    if limits.edge_stale_s == 0 {
        return Ok(None);
    }
    if let Some(user_id) = &call.missed {
        copying::miss(writer, user_id)?;
    }
    let Writer { sql, ref copies, now, .. } = *writer;
    let Some(used) = call.used.filter(|_| copies.are_trusted()) else { return Ok(None) };
    let lasts_ms = i64::from(limits.edge_stale_s).saturating_mul(1_000);
    let key_ends_in_ms = limits.key_expires_at.map_or(lasts_ms, |at| at.millis().saturating_sub(now.millis()));
    let lasts_ms = lasts_ms.min(key_ends_in_ms);
    if lasts_ms < LASTS_MIN_MS {
        return Ok(None);
    }
    let Some(changed) = copies.listed(sql, now)? else { return Ok(None) };
    // An edge asks again when half is used, or half the time has passed.
    let wanted = used.saturating_mul(2).max(TOKENS_FIRST);
    let tokens = limiter.lease(sql, now, wanted, lasts_ms)?;
    Ok((tokens > 0).then(|| Lease { epoch: copies.epoch(), lasts_ms, tokens, changed }))
}
