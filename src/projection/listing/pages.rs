//! Pages of end users: which users, in which order, from which place.

use serde::{Deserialize, Serialize};

use super::keyset::just_after;
use super::page;
use crate::directory::cursor::Binding;
use crate::directory::identifiers::Tenant;
use crate::directory::names::{UserId, UserIdPrefix};
use crate::directory::timestamp::Timestamp;
use crate::json::RawValue;
use crate::organization::sql::SqlValue;
use crate::projection::stores::{Rows, Statement};

/// A page with this limit has room for the longest documents, which have 19 KB: 16 KiB of metadata, two texts of 255
/// characters of four bytes, and what is always there. To bound a page in bytes makes D1 count each row thrice.
const ROOMY_LIMIT: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(const_into_str)]
pub enum Direction {
    #[strum(serialize = "asc")]
    Ascending,
    #[strum(serialize = "desc")]
    Descending,
}

/// Which end users a list contains, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub direction: Direction,
    pub range: Range,
}

/// The order of a list, with the filters that the index of this order serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    UserId {
        prefix: Option<UserIdPrefix>,
    },
    /// Both ends are exclusive.
    CreatedAt {
        after: Option<Timestamp>,
        before: Option<Timestamp>,
    },
}

/// The place of a row in a list, which a cursor holds. It is read from a record too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub user_id: UserId,
    pub created_at: Timestamp,
}

impl Query {
    /// Everything to which a cursor of this list is bound.
    pub fn binding(&self, tenant: Tenant) -> Binding {
        let tenant = tenant.to_string();
        let direction = self.direction.into_str();
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

    /// The page after a row. It reads at most `limit + 1` rows of the index range, and in the order of
    /// creation as many rows of the table; fewer where they are long.
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
        // The default is beyond the last instant of a timestamp.
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

/// A half-open range of an index: the lower bound is included, the upper one excluded.
#[derive(Debug)]
enum Bounds {
    UserId { lower: String, upper: Option<String> },
    CreatedAt { lower: (i64, String), upper: (i64, String) },
}

/// A page to read.
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
        let mut parameters: Vec<SqlValue<'_>> = vec![self.tenant.as_str().into(), i64::from(self.limit).into()];
        let (condition, order) = match &self.bounds {
            Bounds::UserId { lower, upper } => {
                parameters.push(lower.as_str().into());
                let mut condition = "user_id >= ?3".to_owned();
                if let Some(upper) = upper {
                    parameters.push(upper.as_str().into());
                    condition.push_str(" AND user_id < ?4");
                }
                (condition, format!("user_id {direction}"))
            }
            Bounds::CreatedAt { lower, upper } => {
                parameters.extend([lower.0.into(), lower.1.as_str().into(), upper.0.into(), upper.1.as_str().into()]);
                // The first two conditions bound the index range. The row values order rows of the
                // same instant.
                let condition = "created_at >= ?3 AND created_at <= ?5 \
                                 AND (created_at, user_id) >= (?3, ?4) AND (created_at, user_id) < (?5, ?6)";
                (condition.to_owned(), format!("created_at {direction}, user_id {direction}"))
            }
        };
        // The row after the last one tells whether there is a next page.
        let select = format!(
            "SELECT document AS text FROM end_users WHERE tenant = ?1 AND {condition} ORDER BY {order} LIMIT ?2 + 1"
        );
        if self.limit <= ROOMY_LIMIT {
            return Statement::new(select, parameters);
        }
        // A comma follows a document.
        Statement::new(page::bounded(&select, "octet_length(text) + 1"), parameters)
    }

    /// The documents of the page, and the place of its last row if more rows follow.
    pub fn read<'a>(&self, rows: &'a Rows) -> serde_json::Result<(Vec<&'a RawValue>, Option<Position>)> {
        let (texts, has_more) = page::cut(rows, self.limit);
        let documents: Vec<&RawValue> = texts.into_iter().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let last = documents.last().filter(|_| has_more);
        let last = last.map(|document| serde_json::from_str(document.get())).transpose()?;
        Ok((documents, last))
    }
}
