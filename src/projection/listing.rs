//! The ordered listing in D1: how a batch is applied and how a page is read.
//!
//! Invariants:
//!
//! - **The fence.** A batch moves its tenant's row in `projections` from the
//!   sequence number it starts at, and every other statement of it holds only if
//!   that very attempt did. A batch that comes late, twice or out of order
//!   therefore changes nothing.
//! - **Bounded pages.** A page of `n` reads `n + 1` rows of one index range,
//!   however deep it lies in the list. Each order has its own index and each
//!   direction its own statement, as a condition that can be switched off by a
//!   parameter makes SQLite scan.

use std::borrow::Cow;

use serde::Serialize;

use super::{Bound, Database, Statement, StoreError};
use crate::directory::agent::AgentId;
use crate::directory::cursor::Binding;
use crate::directory::end_user::Revision;
use crate::directory::identifiers::Tenant;
use crate::directory::names::{UserId, UserIdPrefix};
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};
use crate::json::{self, Raw, Unreadable, Value};
use crate::organization::outbox::Batch;
use crate::organization::sql::Parameter;

const FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch)
    SELECT ?1, ?2, ?3 WHERE ?4 = 0 OR EXISTS (SELECT 1 FROM projections WHERE tenant = ?1)
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch
    WHERE projections.sequence = ?4";
/// What the fence itself is.
const FENCED: &str = "WHERE projections.sequence = ?4";

const UPSERT: &str = "
    INSERT INTO end_users (tenant, user_id, incarnation, version, created_at, document)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?2)
    WHERE EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)
    ON CONFLICT (tenant, user_id) DO UPDATE SET incarnation = excluded.incarnation, version = excluded.version,
      created_at = excluded.created_at, document = excluded.document";

/// What is about to be replaced or removed is overwritten where it lies, with as many blanks: see
/// [`crate::organization::erasure`].
const OVERWRITE: &str = "
    UPDATE end_users SET document = printf('%*s', octet_length(document), '')
    WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

const REMOVE: &str = "
    DELETE FROM end_users WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

/// By the index, or all of the tenant's are read: left to itself the planner sees that the primary key
/// begins with the tenant, and looks each of its rows up in the list.
const UNRELATE: &str = "
    DELETE FROM agent_users INDEXED BY agent_users_by_user WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

const RELATE: &str = "
    INSERT OR REPLACE INTO agent_users (tenant, agent_id, user_id, entry)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2)
    WHERE EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

/// Characters, each of one byte, that follow the metadata in the shortest record.
pub const TAIL_LENGTH: usize = 138;

/// `char(30)`: JSON has no such character, so that both are found in it as they were written.
const BETWEEN: char = '\u{1e}';

const RESET_FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch) VALUES (?1, ?2, 'reset')
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch
    WHERE projections.sequence = ?3 AND projections.batch <> 'closed'";

const FIND: &str = "
    SELECT json_array(user_id, incarnation, version, document) AS text FROM end_users
    WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))";

const BY_CREATION: &str = "
    SELECT json_array(user_id, created_at) AS text FROM end_users
    WHERE tenant = ?1 AND created_at >= ?2 AND (created_at, user_id) >= (?2, ?3)
    ORDER BY created_at, user_id LIMIT ?4";

const OVERWRITE_FOREIGN: &str = "
    UPDATE end_users SET document = printf('%*s', octet_length(document), '')
    WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND sequence = ?3)";

const REMOVE_FOREIGN: &str = "
    DELETE FROM end_users WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND sequence = ?3)";

const POSITION: &str = "SELECT CAST(sequence AS TEXT) AS text FROM projections WHERE tenant = ?1";

/// Asks for at most `limit` users of an agent in byte order, after one if it is given.
pub fn agent_users(tenant: Tenant, agent_id: AgentId, after: Option<&str>, limit: u32) -> Bound {
    let lower = after.map_or(String::new(), just_after);
    let values = vec![tenant.to_string().into(), agent_id.to_string().into(), lower.into(), i64::from(limit).into()];
    // The join is one search of the primary key each. Without what this list does not show of a record, D1
    // sends two thirds.
    let sql = format!(
        "SELECT a.entry || char(30) || substr(e.document, 1, length(e.document) - {TAIL_LENGTH}) AS text
              FROM agent_users a CROSS JOIN end_users e ON e.tenant = a.tenant AND e.user_id = a.user_id
             WHERE a.tenant = ?1 AND a.agent_id = ?2 AND a.user_id >= ?3 ORDER BY a.user_id LIMIT ?4"
    );
    Bound { sql: Cow::Owned(sql), values }
}

/// For each row the relationship's entry and the user's record up to its metadata at least.
pub fn read_agent_users(texts: &[String]) -> Result<Vec<(&str, &str)>, StoreError> {
    texts.iter().map(|text| text.split_once(BETWEEN).ok_or_else(|| unreadable(Unreadable))).collect()
}

/// A batch as text, ready to be bound.
#[derive(Debug)]
pub struct Application {
    tenant: String,
    id: String,
    from: i64,
    to: i64,
    rows: String,
    /// Ids whose row is replaced or removed; none is usual.
    overwritten: Option<String>,
    /// Ids to remove; none is usual.
    removed: Option<String>,
    /// Ids whose relationships are listed anew, and these.
    related: Option<String>,
    relations: Option<String>,
}

impl Application {
    pub fn new(batch: &Batch) -> Result<Self, json::Unwritable> {
        let mut rows = Vec::with_capacity(batch.changes.len());
        let (mut overwritten, mut removed, mut related) = (Vec::new(), Vec::new(), Vec::new());
        let mut relations: Vec<(&AgentId, &UserId, &str)> = Vec::new();
        for change in &batch.changes {
            let revision = change.revision;
            if revision.version > 1 {
                overwritten.push(&change.user_id);
            }
            if change.relationships.is_some() || change.document.is_none() {
                related.push(&change.user_id);
            }
            let entries = change.relationships.iter().flatten();
            relations.extend(entries.map(|(agent_id, entry)| (agent_id, &change.user_id, entry.as_str())));
            match &change.document {
                // The document travels as a string, so that SQLite passes it on untouched.
                Some(document) => rows.push((
                    &change.user_id,
                    revision.incarnation,
                    revision.version,
                    change.created_at.millis(),
                    document.as_str(),
                )),
                None => removed.push(&change.user_id),
            }
        }
        let some = |ids: Vec<&UserId>| (!ids.is_empty()).then(|| json::write(&ids)).transpose();
        Ok(Self {
            tenant: batch.tenant.to_string(),
            id: batch.id.to_string(),
            from: batch.from,
            to: batch.to,
            rows: json::write(&rows)?,
            overwritten: some(overwritten)?,
            removed: some(removed)?,
            related: some(related)?,
            relations: (!relations.is_empty()).then(|| json::write(&relations)).transpose()?,
        })
    }

    /// To be run in one transaction. The first one changes a row if and only if
    /// the batch was applied.
    pub fn statements(&self) -> Vec<Statement<'_>> {
        let (tenant, id) = (Parameter::Text(&self.tenant), Parameter::Text(&self.id));
        let statement = |sql: &'static str, parameters| Statement { sql: Cow::Borrowed(sql), parameters };
        let fence = if guards::is_on(Guard::Fence) { FENCE } else { FENCE.trim_end_matches(FENCED) };
        let mut statements = vec![statement(fence, vec![tenant, self.to.into(), id, self.from.into()])];
        if let Some(overwritten) = &self.overwritten {
            statements.push(statement(OVERWRITE, vec![tenant, Parameter::Text(overwritten), id]));
        }
        statements.push(statement(UPSERT, vec![tenant, Parameter::Text(&self.rows), id]));
        for (sql, list) in [(UNRELATE, &self.related), (RELATE, &self.relations)] {
            statements.extend(list.iter().map(|list| statement(sql, vec![tenant, Parameter::Text(list), id])));
        }
        if let Some(removed) = &self.removed {
            statements.push(statement(REMOVE, vec![tenant, Parameter::Text(removed), id]));
        }
        statements
    }

    /// Asks where the tenant's listing stands.
    pub fn position(&self) -> Statement<'_> {
        Statement { sql: Cow::Borrowed(POSITION), parameters: vec![Parameter::Text(&self.tenant)] }
    }
}

/// What may be acknowledged after an attempt that the fence turned away.
///
/// The listing is then where an earlier attempt brought it, one whose answer was
/// lost: anywhere after `from` and up to the newest change. Anywhere else it is
/// not ours.
pub fn acknowledge_position(position: Option<i64>, from: i64, last_sequence: i64) -> Result<i64, StoreError> {
    match position {
        Some(position) if is_ours(Some(position), from, last_sequence) => Ok(position),
        other => Err(StoreError(format!(
            "the listing stands at {other:?}, which is not between {from} and {last_sequence}: it was lost or restored"
        ))),
    }
}

/// Whether the listing stands where its object may have brought it: at or after what
/// it has acknowledged, at or before the newest change.
pub fn is_ours(position: Option<i64>, acknowledged: i64, last_sequence: i64) -> bool {
    (acknowledged..=last_sequence).contains(&position.unwrap_or_default())
}

/// What became of a batch.
#[derive(Debug)]
pub enum Applied {
    /// The sequence number to acknowledge.
    UpTo(i64),
    /// The listing is not where this object ever brought it.
    Diverged(StoreError),
}

/// Applies one batch.
pub async fn apply<D: Database>(database: &D, batch: &Batch, last_sequence: i64) -> Result<Applied, StoreError> {
    let application = Application::new(batch).map_err(|error| StoreError(error.to_string()))?;
    let changed = database.batch(&application.statements()).await?;
    if changed.first().is_some_and(|rows| *rows > 0) {
        return Ok(Applied::UpTo(batch.to));
    }
    let position = position(database, &application.tenant).await?;
    Ok(acknowledge_position(position, batch.from, last_sequence).map_or_else(Applied::Diverged, Applied::UpTo))
}

/// Where a tenant's listing stands; `None` when it was never brought anywhere.
pub async fn position<D: Database>(database: &D, tenant: &str) -> Result<Option<i64>, StoreError> {
    let position = Statement { sql: Cow::Borrowed(POSITION), parameters: vec![Parameter::Text(tenant)] };
    let texts = database.query(&position).await?;
    Ok(texts.rows.first().and_then(|text| text.parse().ok()))
}

/// Moves the fence from where it was found to where its object is.
pub fn reset_fence(tenant: &str, found: Option<i64>, acknowledged: i64) -> Statement<'_> {
    let parameters = vec![Parameter::Text(tenant), acknowledged.into(), found.unwrap_or(-1).into()];
    Statement { sql: Cow::Borrowed(RESET_FENCE), parameters }
}

/// A row as it is found, to be compared with what the object has.
#[derive(Debug)]
pub struct Found {
    pub user_id: String,
    revision: Revision,
    document: String,
}

impl Found {
    pub fn is(&self, revision: Revision, document: &str) -> bool {
        self.revision == revision && self.document == document
    }
}

/// The rows of some users, in no order.
pub async fn find<D: Database>(database: &D, tenant: Tenant, ids: &[&UserId]) -> Result<Vec<Found>, StoreError> {
    let (tenant, ids) = (tenant.to_string(), write(&ids)?);
    let parameters = vec![Parameter::Text(&tenant), Parameter::Text(&ids)];
    let texts = database.query(&Statement { sql: Cow::Borrowed(FIND), parameters }).await?;
    let read = |text: &String| {
        let [user_id, incarnation, version, document] = Value::row(text).ok()?;
        let revision = Revision { incarnation: incarnation.as_i64()?, version: version.as_i64()? };
        Some(Found { user_id: user_id.into_string()?, revision, document: document.into_string()? })
    };
    texts.rows.iter().map(|text| read(text).ok_or_else(|| unreadable(Unreadable))).collect()
}

/// Where a row lies in the order of creation. Its id is taken as it is found: it may
/// be nobody's, and no id at all.
#[derive(Debug)]
pub struct Place {
    pub user_id: String,
    pub created_at_ms: i64,
}

/// Rows from an instant of creation on, after a row if one is given; see
/// [`super::audit::LISTING_ROWS_MAX`].
pub async fn by_creation<D: Database>(
    database: &D,
    tenant: Tenant,
    from_ms: i64,
    after: Option<&Place>,
) -> Result<Vec<Place>, StoreError> {
    let tenant = tenant.to_string();
    let (millis, lower) = match after {
        Some(place) => (place.created_at_ms, just_after(&place.user_id)),
        None => (from_ms, String::new()),
    };
    let limit = i64::from(super::audit::LISTING_ROWS_MAX);
    let parameters = vec![Parameter::Text(&tenant), millis.into(), Parameter::Text(&lower), limit.into()];
    let texts = database.query(&Statement { sql: Cow::Borrowed(BY_CREATION), parameters }).await?;
    let read = |text: &String| {
        let [user_id, created_at_ms] = Value::row(text).ok()?;
        Some(Place { user_id: user_id.into_string()?, created_at_ms: created_at_ms.as_i64()? })
    };
    texts.rows.iter().map(|text| read(text).ok_or_else(|| unreadable(Unreadable))).collect()
}

/// Removes rows of nobody, unless the listing has moved on since it was known that
/// they are nobody's; says how many.
pub async fn remove_foreign<D: Database>(
    database: &D,
    tenant: Tenant,
    ids: &[&str],
    sequence: i64,
) -> Result<u64, StoreError> {
    let (tenant, ids) = (tenant.to_string(), write(&ids)?);
    let statement = |sql| Statement {
        sql: Cow::Borrowed(sql),
        parameters: vec![Parameter::Text(&tenant), Parameter::Text(&ids), sequence.into()],
    };
    let changed = database.batch(&[statement(OVERWRITE_FOREIGN), statement(REMOVE_FOREIGN)]).await?;
    Ok(changed.get(1).copied().unwrap_or_default())
}

fn write(ids: &impl Serialize) -> Result<String, StoreError> {
    json::write(ids).map_err(|error| StoreError(error.to_string()))
}

fn unreadable(error: Unreadable) -> StoreError {
    StoreError(format!("the listing does not read: {error}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// Which end users, in which order, from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub direction: Direction,
    pub range: Range,
}

/// The order, with the filters that its index can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    UserId {
        prefix: Option<UserIdPrefix>,
    },
    /// Both ends exclusive.
    CreatedAt {
        after: Option<Timestamp>,
        before: Option<Timestamp>,
    },
}

/// The place of a row in a list: what a cursor holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    pub user_id: UserId,
    pub created_at: Timestamp,
}

impl Position {
    /// Reads what a cursor holds, or the place of a row from its record.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let read = |members: json::Members<'_>| {
            let text = |name: &str| members.get(name)?.string();
            let (user_id, created_at) = (UserId::new(text("user_id")?), Timestamp::parse(&text("created_at")?));
            Some(Self { user_id: user_id.ok()?, created_at: created_at.ok()? })
        };
        Raw::parse(text).ok().and_then(Raw::members).and_then(read).ok_or(Unreadable)
    }
}

impl Query {
    /// Everything that a cursor of this list is bound to.
    pub fn binding(&self, tenant: Tenant) -> Binding {
        let tenant = tenant.to_string();
        let direction = match self.direction {
            Direction::Ascending => "asc",
            Direction::Descending => "desc",
        };
        let instant = |instant: &Option<Timestamp>| instant.map_or(String::new(), |instant| instant.to_string());
        match &self.range {
            Range::UserId { prefix } => {
                let prefix = prefix.as_ref().map_or("", UserIdPrefix::as_str);
                Binding::new(&[&tenant, "end-users", direction, "user_id", prefix])
            }
            Range::CreatedAt { after, before } => {
                let (after, before) = (instant(after), instant(before));
                Binding::new(&[&tenant, "end-users", direction, "created_at", &after, &before])
            }
        }
    }

    /// The statement for the page after a row. Reads at most `limit + 1` rows of
    /// the range, and one more of the table for each when ordered by creation.
    pub fn page(&self, tenant: Tenant, after: Option<&Position>, limit: u32) -> Page {
        let bounds = match &self.range {
            Range::UserId { prefix } => self.user_id_bounds(prefix.as_ref(), after),
            Range::CreatedAt { after: from, before: to } => self.created_at_bounds(*from, *to, after),
        };
        Page { tenant: tenant.to_string(), direction: self.direction, bounds, limit }
    }

    fn user_id_bounds(&self, prefix: Option<&UserIdPrefix>, after: Option<&Position>) -> Bounds {
        let mut lower = prefix.map_or(String::new(), |prefix| prefix.as_str().to_owned());
        let mut upper = prefix.and_then(UserIdPrefix::successor);
        if let Some(position) = after {
            match self.direction {
                Direction::Ascending => lower = just_after(position.user_id.as_str()),
                Direction::Descending => upper = Some(position.user_id.as_str().to_owned()),
            }
        }
        Bounds::UserId { lower, upper }
    }

    fn created_at_bounds(&self, from: Option<Timestamp>, to: Option<Timestamp>, after: Option<&Position>) -> Bounds {
        let first = from.map_or(0, |from| from.millis().saturating_add(1));
        let mut lower = (first, String::new());
        // Beyond the last instant that a timestamp can hold.
        let mut upper = (to.map_or(i64::from(u32::MAX).saturating_mul(1_000_000), Timestamp::millis), String::new());
        if let Some(position) = after {
            let millis = position.created_at.millis();
            match self.direction {
                Direction::Ascending => lower = (millis, just_after(position.user_id.as_str())),
                Direction::Descending => upper = (millis, position.user_id.as_str().to_owned()),
            }
        }
        Bounds::CreatedAt { lower, upper }
    }
}

/// The least text above an id: ids have no control characters, so nothing that
/// begins with the id lies below its continuation with the lowest of them but NUL.
fn just_after(user_id: &str) -> String {
    format!("{user_id}\u{1}")
}

/// A half-open range of an index: lower bound included, upper excluded.
#[derive(Debug)]
enum Bounds {
    UserId { lower: String, upper: Option<String> },
    CreatedAt { lower: (i64, String), upper: (i64, String) },
}

/// A page to be read.
#[derive(Debug)]
pub struct Page {
    tenant: String,
    direction: Direction,
    bounds: Bounds,
    limit: u32,
}

impl Page {
    pub fn statement(&self) -> Statement<'_> {
        let direction = match self.direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        // One row more than asked for tells whether there is a next page.
        let limit = Parameter::Integer(i64::from(self.limit).saturating_add(1));
        let mut parameters = vec![Parameter::Text(&self.tenant), limit];
        let (condition, order) = match &self.bounds {
            Bounds::UserId { lower, upper } => {
                parameters.push(Parameter::Text(lower));
                let mut condition = "user_id >= ?3".to_owned();
                if let Some(upper) = upper {
                    parameters.push(Parameter::Text(upper));
                    condition.push_str(" AND user_id < ?4");
                }
                (condition, format!("user_id {direction}"))
            }
            Bounds::CreatedAt { lower, upper } => {
                parameters.extend::<[Parameter<'_>; 4]>([
                    lower.0.into(),
                    lower.1.as_str().into(),
                    upper.0.into(),
                    upper.1.as_str().into(),
                ]);
                // The first two bound the index range; the row values settle equal instants.
                let condition = "created_at >= ?3 AND created_at <= ?5 \
                                 AND (created_at, user_id) >= (?3, ?4) AND (created_at, user_id) < (?5, ?6)";
                (condition.to_owned(), format!("created_at {direction}, user_id {direction}"))
            }
        };
        let sql = format!(
            "SELECT document AS text FROM end_users WHERE tenant = ?1 AND {condition} ORDER BY {order} LIMIT ?2"
        );
        Statement { sql: Cow::Owned(sql), parameters }
    }

    /// The documents of the page, and where it ended if more follow.
    pub fn read(&self, texts: Vec<String>) -> Result<(Vec<String>, Option<Position>), Unreadable> {
        let mut documents = texts;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if documents.len() <= limit {
            return Ok((documents, None));
        }
        documents.truncate(limit);
        let last = documents.last().map(|document| Position::read(document)).transpose()?;
        Ok((documents, last))
    }
}
