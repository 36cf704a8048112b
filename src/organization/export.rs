//! Everything that the object holds about one user, as one JSON document, in parts.
//!
//! Invariants:
//!
//! - The export reads every table that names a user. So it shows exactly what an erasure removes.
//! - The pieces of all parts in a row are the document, and no part but the last ends it. So what has lost a part is no
//!   JSON.
//! - A part is bounded in rows and in bytes, whatever the object holds. No part follows once the user is erased.
//! - The lists have no gap and show nothing twice. What is stored after the export began is not shown, and what was
//!   removed since may be missing.

use serde::Serialize;

use super::agents;
use super::erasure;
use super::failure::Failure;
use super::idempotency::{self, KeptAnswer};
use super::protocol::{ExportList, ExportPart, ExportPlace, ExportedPart, NumberedRelationship, Rejection, Resource};
use super::relationships;
use super::sql::{Sql, SqlError, json_text};
use super::user_row::UserRow;
use super::user_turns::PeriodTurns;
use crate::directory::agent::AgentId;
use crate::directory::deletion::Receipt;
use crate::directory::end_user::EndUser;
use crate::directory::identifiers::DeletionId;
use crate::directory::mood::Decay;
use crate::directory::names::UserId;
use crate::directory::relationship::RelationshipView;
use crate::directory::timestamp::Timestamp;
use crate::json;

/// The document that the parts make.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Export<'a> {
    exported_at: Timestamp,
    end_user: EndUser,
    /// The turns of the two latest billing periods in which the user took one.
    #[schemars(length(max = 2))]
    turns: Vec<PeriodTurns>,
    /// Answers kept for retries, each with the record as it was then.
    kept_answers: Vec<KeptAnswer>,
    relationships: Vec<RelationshipView<'a>>,
    /// The agents that belong to the user.
    owned_agents: Vec<AgentId>,
    /// Erasures that are in progress.
    deletions: Vec<Receipt>,
}

/// The bounds of a part.
#[derive(Debug, Clone, Copy)]
pub struct PartBounds {
    /// Most rows. Other callers of the object wait while it makes a part.
    pub rows_max: u32,
    /// Most bytes, unless one row has more. The longest row is a turn: its answer has at most 256 KiB, which are 1.5 MiB
    /// if every byte is escaped. The edge and the object have 128 MB each for everything.
    pub bytes_max: usize,
}

impl PartBounds {
    pub const DEFAULT: Self = Self { rows_max: 1_000, bytes_max: 1024 * 1024 };
}

/// Makes a part of an export. `last_change` is the number of the newest change.
pub fn part(
    sql: &impl Sql,
    part: ExportPart,
    bounds: PartBounds,
    last_change: i64,
    decay: Decay,
) -> Result<ExportedPart, Failure> {
    let (row, text, place) = match part {
        ExportPart::First { user_id } => {
            let row = UserRow::find(sql, &user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
            let place = ExportPlace {
                user: row.number,
                exported_at: decay.now,
                last_answer: idempotency::last_about(sql, &user_id)?,
                last_change,
                list: ExportList::KeptAnswers { after: 0 },
            };
            let (exported_at, end_user) = (json_text("an instant", &decay.now)?, json_text("a user", &row.user)?);
            let turns = json_text("turns", &row.turns.periods().collect::<Vec<_>>())?;
            let text =
                format!("{{\"exported_at\":{exported_at},\"end_user\":{end_user},\"turns\":{turns},\"kept_answers\":[");
            (row, text, place)
        }
        ExportPart::Next(place) => {
            let row = UserRow::of_number(sql, place.user)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
            (row, String::new(), place)
        }
    };
    let lists = Lists { sql, user_id: &row.user.user_id, place: &place, decay };
    let mut writer = PartWriter { text, rows: 0, bounds };
    let next = lists.write(&mut writer)?;
    Ok(ExportedPart { text: writer.text, next: next.map(|list| ExportPlace { list, ..place }) })
}

/// The lists of an export.
struct Lists<'a, S> {
    sql: &'a S,
    user_id: &'a UserId,
    place: &'a ExportPlace,
    decay: Decay,
}

impl<S: Sql> Lists<'_, S> {
    /// Writes the lists from the place on, and what stands between them. Returns where the next part goes on.
    fn write(&self, writer: &mut PartWriter) -> Result<Option<ExportList>, SqlError> {
        let mut list = self.place.list;
        loop {
            let (following, between) = match list {
                ExportList::KeptAnswers { after } => {
                    if let Some(after) = writer.write(after, after > 0, |after, room| self.kept_answers(after, room))? {
                        return Ok(Some(ExportList::KeptAnswers { after }));
                    }
                    (ExportList::Relationships { after: 0 }, "],\"relationships\":[")
                }
                ExportList::Relationships { after } => {
                    if let Some(after) =
                        writer.write(after, after > 0, |after, room| self.relationships(after, room))?
                    {
                        return Ok(Some(ExportList::Relationships { after }));
                    }
                    (ExportList::OwnedAgents { after: None }, "],\"owned_agents\":[")
                }
                ExportList::OwnedAgents { after } => {
                    let is_begun = after.is_some();
                    if let Some(after) = writer.write(after, is_begun, |after, room| self.owned_agents(after, room))? {
                        return Ok(Some(ExportList::OwnedAgents { after }));
                    }
                    (ExportList::Deletions { after: None }, "],\"deletions\":[")
                }
                ExportList::Deletions { after } => {
                    let is_begun = after.is_some();
                    if let Some(after) = writer.write(after, is_begun, |after, room| self.deletions(after, room))? {
                        return Ok(Some(ExportList::Deletions { after }));
                    }
                    writer.text.push_str("]}");
                    return Ok(None);
                }
            };
            writer.text.push_str(between);
            list = following;
        }
    }

    fn kept_answers(&self, after: i64, room: PartBounds) -> Result<Vec<Entry<i64>>, SqlError> {
        let PartBounds { rows_max, bytes_max } = room;
        let kept = idempotency::kept_about(self.sql, self.user_id, self.place, after, rows_max, bytes_max)?;
        kept.iter().map(|(number, kept)| Ok((*number, json_text("a kept answer", kept)?))).collect()
    }

    fn relationships(&self, after: i64, room: PartBounds) -> Result<Vec<Entry<i64>>, SqlError> {
        let ExportPlace { user, last_change, .. } = *self.place;
        let rows = relationships::of_user(self.sql, user, after, last_change, room.rows_max)?;
        let entry = |(number, relationship): &NumberedRelationship| {
            Ok((*number, json_text("a relationship", &relationship.view(self.decay))?))
        };
        rows.iter().map(entry).collect()
    }

    fn owned_agents(&self, after: Option<AgentId>, room: PartBounds) -> Result<Vec<Entry<Option<AgentId>>>, SqlError> {
        let owned = agents::owned_by(self.sql, self.place.user, after, room.rows_max)?;
        owned.iter().map(|agent_id| Ok((Some(*agent_id), json_text("an agent id", agent_id)?))).collect()
    }

    fn deletions(
        &self,
        after: Option<DeletionId>,
        room: PartBounds,
    ) -> Result<Vec<Entry<Option<DeletionId>>>, SqlError> {
        let pending = erasure::pending_for(self.sql, self.place.user, after, room.rows_max)?;
        pending.iter().map(|receipt| Ok((Some(receipt.deletion_id), json_text("a receipt", receipt)?))).collect()
    }
}

/// An entry of a list, and what names its place.
type Entry<K> = (K, json::Text);

/// Writes a part.
struct PartWriter {
    text: String,
    /// How many rows the text holds.
    rows: u32,
    bounds: PartBounds,
}

impl PartWriter {
    /// Writes the rest of a list after an entry, as far as there is room, and returns the last entry that is written;
    /// `None` when the list is written to its end. `read` returns entries after one, as many as there is room for or a few
    /// more, and none at the end of the list.
    fn write<K: Copy>(
        &mut self,
        mut after: K,
        mut is_begun: bool,
        read: impl Fn(K, PartBounds) -> Result<Vec<Entry<K>>, SqlError>,
    ) -> Result<Option<K>, SqlError> {
        loop {
            if !self.has_room_for(0) {
                return Ok(Some(after));
            }
            let room = PartBounds {
                rows_max: self.bounds.rows_max.saturating_sub(self.rows).max(1),
                bytes_max: self.bounds.bytes_max.saturating_sub(self.text.len()),
            };
            let entries = read(after, room)?;
            if entries.is_empty() {
                return Ok(None);
            }
            for (key, entry) in entries {
                if !self.has_room_for(entry.as_str().len()) {
                    return Ok(Some(after));
                }
                if is_begun {
                    self.text.push(',');
                }
                self.text.push_str(entry.as_str());
                self.rows = self.rows.saturating_add(1);
                (after, is_begun) = (key, true);
            }
        }
    }

    /// Every part has room for one row, so that the export comes to its end.
    const fn has_room_for(&self, bytes: usize) -> bool {
        let PartBounds { rows_max, bytes_max } = self.bounds;
        self.rows == 0 || (self.rows < rows_max && self.text.len().saturating_add(bytes) < bytes_max)
    }
}
