//! How many answers the object keeps for idempotency keys.
//!
//! Invariants:
//!
//! - About one user or agent there are at most [`ABOUT_MAX`] answers, and no further one when they have
//!   [`ABOUT_BYTES_MAX`] bytes. In all there are at most [`KEPT_MAX`]; their bytes count as the organization's storage.
//! - The object never drops an answer to make room, because a repetition would then be executed again. It refuses the
//!   request beyond the bound instead. A repetition always gets its answer.
//! - A turn that is reserved has its room, as the responder has been asked. So the turns that are in progress may come on
//!   top of each bound.
//!
//! Counting costs a few searches in an index, whatever is kept: each answer knows how many about the same were stored up
//! to it, and their bytes. The newest and the oldest row then say what is between them. In all, the numbers of the rows
//! say as much. Answers expire in the order in which they were stored, unless the clock is set back; then too many are
//! counted, for a day.

use super::agents::{self, FoundAgent};
use super::failure::Failure;
use super::protocol::{Command, NewAgent, NewPrincipal, Rejection, Resource, Settings};
use super::quotas;
use super::sql::{Row, Sql, SqlError};
use crate::directory::names::UserId;
use crate::directory::principal::PrincipalType;
use crate::directory::timestamp::Timestamp;

/// Most answers about one user or agent: one in nine seconds, all day.
pub const ABOUT_MAX: i64 = 10_000;

/// The bytes of the answers about one user or agent at which the object keeps no further one: 4,000 creations of the
/// longest user. An erasure overwrites them in one transaction, and an export shows them.
pub const ABOUT_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// Most answers in all: 115 a second, all day. An answer takes 400 bytes and more with its indexes, so that most
/// organizations reach their limit of storage first.
pub const KEPT_MAX: i64 = 10_000_000;

/// What the first answer about somebody counts from. SQLite stores an integer from 2^23 to 2^31 in four bytes
/// (<https://www.sqlite.org/fileformat2.html#record_format>).
pub const FIRST_COUNT: i64 = 1 << 24;

/// What the bytes of the answers about somebody count from. SQLite stores an integer from 2^31 to 2^47 in six bytes.
pub const FIRST_BYTES: i64 = 1 << 40;

/// How long a caller waits for the sweep when the oldest answer has expired, in milliseconds.
const SWEEP_WAIT_MS: i64 = 1_000;

/// Refuses a request whose answer would be one too many.
pub fn check(sql: &impl Sql, settings: Option<&Settings>, command: &Command, now: Timestamp) -> Result<(), Failure> {
    let full_until = match about(sql, command)? {
        Some(about) => full_about_until(sql, &about, now)?,
        None => None,
    };
    let full_until = match full_until {
        Some(until) => Some(until),
        None => full_until_in_all(sql)?,
    };
    let Some(until) = full_until else { return Ok(()) };
    let settings = settings.ok_or(Rejection::NotFound(Resource::Organization))?;
    let quota = quotas::read(sql, settings, now)?;
    let retry_after_ms = until.millis().saturating_sub(now.millis()).max(SWEEP_WAIT_MS);
    Err(Rejection::TooManyKeptAnswers { quota, retry_after_ms }.into())
}

/// What the answer to a command will be about, as [`super::idempotency`] stores it. Nothing is kept yet about an agent
/// that the command makes.
fn about(sql: &impl Sql, command: &Command) -> Result<Option<String>, SqlError> {
    let agent = match command {
        Command::CreateEndUser(new) => return Ok(Some(new.user_id.digest())),
        Command::ReserveTurn(turn) => return Ok(turn.user_id.as_ref().map(UserId::digest)),
        Command::CreatePrincipal(NewPrincipal { r#type: PrincipalType::Human, external_id, .. }) => {
            return Ok(Some(external_id.digest()));
        }
        Command::CreatePrincipal(NewPrincipal { r#type: PrincipalType::Agent, external_id, name, .. }) => {
            agents::existing(sql, Some(external_id), name)?
        }
        Command::SaveAgent(NewAgent { external_id, name, .. }) => agents::existing(sql, external_id.as_ref(), name)?,
        _ => return Ok(None),
    };
    Ok(if let FoundAgent::One(row) = agent { Some(row.agent.agent_id.to_string()) } else { None })
}

/// When there is room for an answer about something again; `None` while there is room.
fn full_about_until(sql: &impl Sql, about: &str, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    const SELECT: &str = "SELECT about_count, about_bytes, octet_length(document), expires_at FROM idempotency";
    let read = |row: &mut Row| Ok((row.integer()?, row.integer()?, row.integer()?, row.timestamp()?));
    let newest = format!("{SELECT} WHERE about = ? ORDER BY number DESC LIMIT 1");
    let Some((count, bytes, length, _)) = sql.find(&newest, &[about.into()], read)? else { return Ok(None) };
    let is_full = |(first_count, first_bytes, ..): &(i64, i64, i64, Timestamp)| {
        let kept = count.saturating_sub(*first_count).saturating_add(1);
        let kept_bytes = bytes.saturating_add(length).saturating_sub(*first_bytes);
        kept >= ABOUT_MAX || kept_bytes >= ABOUT_BYTES_MAX
    };
    let oldest = format!("{SELECT} WHERE about = ? ORDER BY number LIMIT 1");
    if !sql.find(&oldest, &[about.into()], read)?.as_ref().is_some_and(is_full) {
        return Ok(None);
    }
    // Without those that have expired and are not swept yet. This walks over them, so it comes last.
    let oldest = format!("{SELECT} WHERE about = ? AND expires_at > ? ORDER BY number LIMIT 1");
    let oldest = sql.find(&oldest, &[about.into(), now.into()], read)?;
    Ok(oldest.filter(is_full).map(|(.., expires_at)| expires_at))
}

/// When there is room for an answer about anything again; `None` while there is room.
fn full_until_in_all(sql: &impl Sql) -> Result<Option<Timestamp>, SqlError> {
    let newest = sql.find("SELECT max(number) FROM idempotency", &[], Row::optional_integer)?.flatten();
    let oldest = sql.find(
        "SELECT number, expires_at FROM idempotency WHERE number = (SELECT min(number) FROM idempotency)",
        &[],
        |row| Ok((row.integer()?, row.timestamp()?)),
    )?;
    Ok(match (newest, oldest) {
        (Some(newest), Some((oldest, expires_at))) if newest.saturating_sub(oldest).saturating_add(1) >= KEPT_MAX => {
            Some(expires_at)
        }
        _ => None,
    })
}
