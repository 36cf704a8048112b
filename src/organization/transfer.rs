//! A tenant's records on their way into another deployment: exported as lines of JSON, part by part, and created there
//! with the ids and instants that they had.
//!
//! Invariants:
//!
//! - A part has at most [`ROWS_MAX`] records and, unless it is one, at most [`BYTES_MAX`] bytes. It begins after a row
//!   number, so nothing that stays is missing or comes twice, however long the export lasts and wherever it was cut off.
//!   What is made meanwhile may come; what is erased meanwhile may be missing.
//! - Whoever is being erased is not exported.
//! - An import never changes a record that is there. So it can be repeated, as a whole or from any line on.
//! - A record that an import creates is a change as any other one: the log has a row of it, and the limits hold.

use serde::Serialize;

use super::agents;
use super::failure::Failure;
use super::protocol::{ExportRecords, ExportedRecords, ImportRecords, Record, RecordList, Rejection};
use super::relationships;
use super::sql::{Sql, SqlError};
use super::users;
use super::writer::Writer;
use crate::directory::identifiers::RequestId;

/// Most records of a part.
const ROWS_MAX: usize = 500;
/// Most bytes of a part, unless it has one record.
const BYTES_MAX: usize = 1024 * 1024;
/// Records that the object reads at once: with the longest metadata they make one part.
const ROWS_AT_ONCE: u32 = 64;

/// A record as a line of an export.
#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

/// Makes a part of an export.
pub fn export(sql: &impl Sql, from: ExportRecords) -> Result<ExportedRecords, SqlError> {
    let ExportRecords { list, after } = from;
    match list {
        RecordList::EndUsers => {
            part(from, "end_user", after, |after, limit| users::records(sql, after, limit), Some(RecordList::Agents))
        }
        RecordList::Agents => part(
            from,
            "agent",
            after,
            |after, limit| agents::records(sql, after, limit),
            Some(RecordList::Relationships),
        ),
        RecordList::Relationships => {
            part(from, "relationship", after, |after, limit| relationships::records(sql, after, limit), None)
        }
    }
}

/// Writes the records of one list. `following` is the list after it.
fn part<T: Serialize>(
    from: ExportRecords,
    r#type: &'static str,
    mut after: i64,
    read: impl Fn(i64, u32) -> Result<Vec<(i64, T)>, SqlError>,
    following: Option<RecordList>,
) -> Result<ExportedRecords, SqlError> {
    let (mut lines, mut rows) = (String::new(), 0_usize);
    loop {
        let records = read(after, ROWS_AT_ONCE)?;
        if records.is_empty() {
            let next = following.map(|list| ExportRecords { list, after: 0 });
            return Ok(ExportedRecords { lines, next });
        }
        for (number, record) in records {
            let line = serde_json::to_string(&Line { r#type, record: &record })
                .map_err(|error| SqlError(format!("a record cannot be written: {error}")))?;
            if rows == ROWS_MAX || (rows > 0 && lines.len().saturating_add(line.len()) >= BYTES_MAX) {
                return Ok(ExportedRecords { lines, next: Some(ExportRecords { after, ..from }) });
            }
            lines.push_str(&line);
            lines.push('\n');
            rows = rows.saturating_add(1);
            after = number;
        }
    }
}

/// Creates each record that is not there, in the given order. Says of each whether it was created; a record that cannot be
/// created does not affect the others.
pub fn import(
    writer: &mut Writer<'_, impl Sql>,
    request_id: RequestId,
    import: ImportRecords,
) -> Result<Vec<Result<bool, Rejection>>, Failure> {
    let create = |record| {
        let created = match record {
            Record::EndUser(record) => users::import(writer, request_id, record),
            Record::Agent(record) => agents::import(writer, record),
            Record::Relationship(record) => relationships::import(writer, record),
        };
        match created {
            Ok(created) => Ok(Ok(created)),
            Err(Failure::Rejected(rejection)) => Ok(Err(rejection)),
            Err(failure) => Err(failure),
        }
    };
    import.records.into_iter().map(create).collect()
}
