//! The feed of events: the change log, as callers follow it.
//!
//! Invariants:
//!
//! - A walk meets every event that matches its filter once, in the order of the sequence, however long it lasts. A row
//!   gets its number in the transaction that commits it, and one transaction follows the other, so no event comes to
//!   stand before a place that a reader has reached.
//! - A place names a row by its number and its mark. The log knows it as long as it has the row, or if it is the last
//!   event that went ([`super::retention`]). Otherwise the reader would miss events, or follows a history that an object
//!   has lost which was restored: the answer is then the oldest place.
//! - A place is at a row that is kept, the last event that the reader is past. The rows that only the listing needs go
//!   at any time. Where as many of them follow as a page looks at, the place names the last of them too. The reader goes
//!   on behind it, or behind the event if that row has gone, with all such rows before it.
//! - A page looks at no more than [`LOOKED_AT_MAX`] rows, and has no more bytes than any other page.
//! - An event shows its subject as it is when the event is read. So an erased person is in no event.

use std::collections::{BTreeSet, HashMap};

use strum::VariantArray;

use super::agents;
use super::change_log::Subject;
use super::keys;
use super::log_row::{self, LogRow};
use super::page;
use super::protocol::{
    EventPage, EventPlace, EventRecord, EventSubject, EventsRead, LogPlace, ReadEvents, Settings, Usage,
};
use super::quotas;
use super::relationships;
use super::retention;
use super::sql::{self, Sql, SqlError, json_list};
use super::user_row::UserRow;
use crate::directory::event::{EventType, SubjectType};
use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;

/// Most rows of the log that one page looks at.
pub const LOOKED_AT_MAX: i64 = 1_000;

/// A bound of the bytes of an event without metadata: a user has an id and a name, and an event the id once more, each
/// with up to 1,020 bytes.
const EVENT_BYTES_MAX: i64 = 5_000;

/// Reads a page of events.
pub fn read(sql: &impl Sql, settings: Option<&Settings>, read: &ReadEvents) -> Result<EventsRead, SqlError> {
    let swept = retention::last_swept_event(sql)?;
    let oldest = EventPlace { event: swept, beyond: None };
    let after = read.after.unwrap_or(oldest);
    if after.event != swept && !is_known(sql, after.event)? {
        return Ok(EventsRead::Expired { oldest });
    }
    let beyond = match after.beyond {
        Some(beyond) if is_known(sql, beyond)? => Some(beyond),
        _ => None,
    };
    let after = EventPlace { beyond, ..after };
    let begin = beyond.unwrap_or(after.event).sequence;
    let looked_at = LookedAt::read(sql, begin)?;
    let (rows, is_cut) = matching(sql, begin, looked_at.last, read)?;
    let next = match rows.last() {
        Some(last) if is_cut => EventPlace { event: last.place(), beyond: None },
        _ => looked_at.end(sql, after)?,
    };
    let subjects = subjects(sql, settings, &rows)?;
    let events = rows.into_iter().map(|row| event(row, &subjects)).collect::<Result<_, _>>()?;
    Ok(EventsRead::Page(EventPage { events, next, has_more: is_cut || looked_at.is_full() }))
}

/// Whether the log has this row.
fn is_known(sql: &impl Sql, place: LogPlace) -> Result<bool, SqlError> {
    Ok(LogRow::find(sql, place.sequence)?.is_some_and(|row| row.place() == place))
}

/// The rows that a page looks at.
struct LookedAt {
    count: i64,
    /// The number of the last of them; 0 if there is none.
    last: i64,
    last_event: Option<i64>,
}

impl LookedAt {
    fn read(sql: &impl Sql, after: i64) -> Result<Self, SqlError> {
        let select = format!(
            "SELECT count(*), coalesce(max(sequence), 0), max(iif({}, sequence, NULL)) FROM
             (SELECT sequence, kind FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?)",
            log_row::is_event()
        );
        let looked_at = sql.find(&select, &[after.into(), LOOKED_AT_MAX.into()], |row| {
            Ok(Self { count: row.integer()?, last: row.integer()?, last_event: row.optional_integer()? })
        })?;
        looked_at.ok_or_else(|| SqlError("nothing was counted".to_owned()))
    }

    fn is_full(&self) -> bool {
        self.count >= LOOKED_AT_MAX
    }

    /// The place of a reader who is past all of them.
    fn end(&self, sql: &impl Sql, after: EventPlace) -> Result<EventPlace, SqlError> {
        let place = |sequence| -> Result<LogPlace, SqlError> {
            let row = LogRow::find(sql, sequence)?;
            Ok(row.ok_or_else(|| SqlError("a row of the log is gone".to_owned()))?.place())
        };
        Ok(match self.last_event {
            Some(last_event) => EventPlace { event: place(last_event)?, beyond: None },
            None if self.is_full() => EventPlace { beyond: Some(place(self.last)?), ..after },
            None => after,
        })
    }
}

/// The events between two rows that match the filter: at most the limit, and fewer where they are long. Says whether there
/// are more.
fn matching(sql: &impl Sql, after: i64, last: i64, read: &ReadEvents) -> Result<(Vec<LogRow>, bool), SqlError> {
    let types = if read.types.is_empty() { EventType::VARIANTS } else { &read.types };
    let select = format!(
        "SELECT {}, {EVENT_BYTES_MAX} + coalesce((SELECT octet_length(metadata) FROM users WHERE number = subject),
           (SELECT octet_length(metadata) FROM agents WHERE number = subject), 0) AS weight
         FROM changes WHERE sequence > ?1 AND sequence <= ?2 AND kind IN (SELECT value FROM json_each(?3))
         ORDER BY sequence LIMIT ?4 + 1",
        log_row::COLUMNS
    );
    let types = json_list(types)?;
    let parameters = [after.into(), last.into(), types.as_str().into(), i64::from(read.limit).into()];
    let mut rows = sql.list(&page::bounded(&select, "weight"), &parameters, |row| {
        let (event, _weight, bytes) = (LogRow::read(row)?, row.integer()?, row.integer()?);
        Ok((event, bytes))
    })?;
    let is_cut = page::cut(&mut rows, read.limit);
    Ok((rows.into_iter().map(|(row, _)| row).collect(), is_cut))
}

/// The type of an event. A page reads no other rows.
fn type_of(row: &LogRow) -> Result<EventType, SqlError> {
    sql::parse(row.kind.clone(), "event")
}

/// The subjects of some events that are there.
fn subjects(
    sql: &impl Sql,
    settings: Option<&Settings>,
    rows: &[LogRow],
) -> Result<HashMap<Subject, EventSubject>, SqlError> {
    let of =
        |wanted: SubjectType| rows.iter().filter(move |row| type_of(row).is_ok_and(|found| found.subject() == wanted));
    let numbers = |wanted| -> Vec<i64> {
        of(wanted).map(|row| row.subject.number).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let mut subjects = HashMap::with_capacity(rows.len());
    for row in UserRow::of_numbers(sql, &numbers(SubjectType::EndUser))? {
        subjects.insert(row.subject(), EventSubject::EndUser(row.user));
    }
    for row in agents::of_numbers(sql, &numbers(SubjectType::Agent))? {
        subjects.insert(row.subject(), EventSubject::Agent(row.view()));
    }
    for (number, relationship) in relationships::of_numbers(sql, &numbers(SubjectType::Relationship))? {
        subjects.insert(Subject::new(number, relationship.id), EventSubject::Relationship(relationship));
    }
    let key_ids: BTreeSet<&str> = of(SubjectType::Key).map(|row| row.subject.reference.as_str()).collect();
    for key in keys::with_ids(sql, &key_ids.into_iter().collect::<Vec<_>>())? {
        subjects.insert(Subject::new(0, key.key_id), EventSubject::Key(key));
    }
    if let Some(settings) = settings {
        let Settings { tenant, version, limits, .. } = settings;
        let organization = EventSubject::Organization { limits: *limits, version: *version };
        subjects.insert(Subject::new(0, tenant.organization), organization);
        for row in of(SubjectType::Quota) {
            subjects.insert(row.subject.clone(), quota(sql, settings, &row.subject)?);
        }
    }
    Ok(subjects)
}

/// A quota as it is, of the period that the subject names.
fn quota(sql: &impl Sql, settings: &Settings, subject: &Subject) -> Result<EventSubject, SqlError> {
    let component: Component = sql::parse(subject.reference.clone(), "quota")?;
    let Usage { quota, period_start } = quotas::of_period(sql, settings, Timestamp::from_millis(subject.number))?;
    let (used, limit) = quota.of(component);
    Ok(EventSubject::Quota { component, used, limit, period_start, resets_at: quota.resets_at })
}

fn event(row: LogRow, subjects: &HashMap<Subject, EventSubject>) -> Result<EventRecord, SqlError> {
    Ok(EventRecord {
        id: row.event_id(),
        place: row.place(),
        r#type: type_of(&row)?,
        created_at: row.at,
        request_id: row.request_id,
        actor: row.actor()?,
        subject: subjects.get(&row.subject).cloned(),
        reference: row.subject.reference,
    })
}
