//! People and the organizations they belong to, as mirrored from Clerk: who is signed in.

use crate::projection::{Database, Statement, StoreError};

/// What the mirror knows of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// Nothing, or nothing yet.
    Unknown,
    /// That they are gone.
    Gone,
    /// `"user_id":…,"email":…,"orgs":[…]`, the inside of a JSON object.
    Known(String),
}

/// Organizations in the order of their ids, at most 500: one search of an index for each.
/// Of two memberships in one organization, the one that changed last holds.
const SIGNED_IN: &str = "
    SELECT CASE p.deleted WHEN 0 THEN
      '\"user_id\":' || json_quote(p.id) || ',\"email\":' || json_quote(p.email) || ',\"orgs\":' || (
        SELECT json_group_array(json_object('id', id, 'name', name, 'slug', slug, 'role', role,
          'member_count', member_count, 'created_at',
          strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000, 'unixepoch') || printf('.%03dZ', created_at % 1000)))
        FROM (
          SELECT o.id, o.name, o.slug, m.role, o.member_count, o.created_at, max(m.updated_at) FROM memberships m
          CROSS JOIN clerk_organizations o ON o.id = m.organization_id AND o.deleted = 0
          WHERE m.person_id = p.id AND m.deleted = 0 GROUP BY m.organization_id ORDER BY m.organization_id LIMIT 500))
    ELSE '' END AS text
    FROM people p WHERE p.id = ?1";

/// What the mirror knows of the person who is signed in, and how many rows it read.
pub async fn signed_in<D: Database>(database: &D, person_id: &str) -> Result<(Person, u64), StoreError> {
    let statement = Statement { sql: SIGNED_IN.into(), parameters: vec![person_id.into()] };
    let texts = database.query(&statement).await?;
    let person = match texts.rows.into_iter().next() {
        None => Person::Unknown,
        Some(members) if members.is_empty() => Person::Gone,
        Some(members) => Person::Known(members),
    };
    Ok((person, texts.rows_read))
}
