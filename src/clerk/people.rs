//! What the mirror of Clerk knows about a signed-in person and their organizations.

use serde::{Deserialize, Serialize};

use crate::directory::timestamp::Timestamp;
use crate::organization::page::{self, ROWS_BYTES_MAX};
use crate::projection::{Database, Statement, StoreError};

/// A signed-in person, as the agents API shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Person {
    pub user_id: String,
    pub email: Option<String>,
    #[schemars(length(max = 500))]
    pub orgs: Vec<PersonOrganization>,
}

/// An organization of a person, and their role in it. A token knows only a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(inline)]
pub struct PersonOrganization {
    pub id: String,
    pub name: Option<String>,
    pub slug: Option<String>,
    pub role: Option<String>,
    pub member_count: Option<i64>,
    pub created_at: Option<Timestamp>,
}

/// What the mirror knows about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonLookup {
    /// The mirror does not know the person, or not yet.
    Unknown,
    /// The person was deleted.
    Gone,
    Known(Person),
}

/// The person's organizations in the order of their ids, with one search of an index for each. Of two memberships in
/// one organization, the one that changed last counts.
const ORGANIZATIONS: &str = "
    SELECT json_object('id', id, 'name', name, 'slug', slug, 'role', role, 'member_count', member_count, 'created_at',
      strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000, 'unixepoch') || printf('.%03dZ', created_at % 1000)) AS text
    FROM (
      SELECT o.id, o.name, o.slug, m.role, o.member_count, o.created_at, max(m.updated_at) FROM memberships m
      CROSS JOIN clerk_organizations o ON o.id = m.organization_id AND o.deleted = 0
      WHERE m.person_id = ?1 AND m.deleted = 0 GROUP BY m.organization_id ORDER BY m.organization_id LIMIT 500)";

/// What an organization weighs in the bound of a page. Its names and the person's email may be as long as an event,
/// 256 KiB. The fourth that an organization weighs more than its bytes leaves room for the email.
const ORGANIZATION_BYTES: &str = "octet_length(text) * 5 / 4 + 1";

/// The person with their organizations, at most 500, and as many as a page has room for.
fn signed_in_query() -> String {
    let organizations = page::bounded(ORGANIZATIONS, ORGANIZATION_BYTES);
    format!(
        "SELECT CASE p.deleted WHEN 0 THEN
           json_object('user_id', p.id, 'email', p.email, 'orgs', json((
             SELECT json_group_array(json(text)) FROM ({organizations}) WHERE bytes <= {ROWS_BYTES_MAX})))
         ELSE 'null' END AS text
         FROM people p WHERE p.id = ?1"
    )
}

/// What the mirror knows about the signed-in person, and the number of rows that the query read.
pub async fn signed_in(database: &impl Database, person_id: &str) -> Result<(PersonLookup, u64), StoreError> {
    let texts = database.query(&Statement::new(signed_in_query(), [person_id.into()])).await?;
    let person = match texts.rows.first() {
        None => PersonLookup::Unknown,
        Some(text) => serde_json::from_str(text)
            .map(|person: Option<Person>| person.map_or(PersonLookup::Gone, PersonLookup::Known))
            .map_err(|error| StoreError(format!("the mirror does not read: {error}")))?,
    };
    Ok((person, texts.rows_read))
}
