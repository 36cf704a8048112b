//! The mirror of Clerk's users, organizations and memberships in D1. The statements of one event run in one
//! transaction.
//!
//! Invariants:
//!
//! - **Order does not matter.** Of two states of one thing the one with the later `updated_at` stands. Of
//!   two states with the same `updated_at`, the one with the greater content stands. A deletion leaves a
//!   tombstone, and a deleted id never comes back, as Clerk gives no id twice. So any order of events, and
//!   any number of repetitions, ends in the same rows.
//! - **`member_count` is exact.** A transaction that touches memberships first takes their count out of
//!   their organizations and puts their new count back afterwards. An organization whose memberships came
//!   first counts them once, when its row is made. A member whose own event has not come yet counts. A
//!   deleted person does not.
//! - **A membership's tombstone names neither person nor organization**, so that a search by either finds
//!   live memberships only.
//! - **A person has one live membership in an organization.** A person who left and came back has a new
//!   membership. It ends the older one, whose deletion may still be on its way.
//! - **Work is bounded.** An event costs a few searches of an index, however large the organization is. A
//!   deletion also costs the rows that it ends.
//! - The mirror overwrites personal data before it deletes or replaces it: see
//!   [`crate::organization::overwriting`].

use crate::organization::sql::SqlValue;
use crate::projection::Statement;

/// The mirrored part of a person. All times in this file are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClerkPerson {
    pub id: String,
    /// The primary email address.
    pub email: Option<String>,
    pub updated_at: i64,
}

/// The mirrored part of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClerkOrganization {
    pub id: String,
    pub name: String,
    pub slug: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A membership. The person and the organization of one id never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClerkMembership {
    pub id: String,
    pub organization_id: String,
    pub person_id: String,
    pub role: String,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A change at Clerk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A person was made or changed. The mirror treats both alike.
    Person(ClerkPerson),
    PersonDeleted {
        id: String,
    },
    Organization(ClerkOrganization),
    OrganizationDeleted {
        id: String,
    },
    /// With the organization at that time, where the event has it.
    Membership(ClerkMembership, Option<ClerkOrganization>),
    MembershipDeleted {
        id: String,
    },
}

/// Overwrites the address of a row that is older than the event, and makes the row older than any event.
const OVERWRITE_PERSON: &str = "
    UPDATE people SET email = printf('%*s', octet_length(email), ''), updated_at = -1
    WHERE id = ?1 AND deleted = 0 AND (?3, coalesce(?2, '')) > (updated_at, coalesce(email, ''))";

const SAVE_PERSON: &str = "
    INSERT INTO people (id, email, updated_at, deleted) VALUES (?1, ?2, ?3, 0)
    ON CONFLICT (id) DO UPDATE SET email = excluded.email, updated_at = excluded.updated_at
    WHERE people.updated_at = -1";

const OVERWRITE_DELETED_PERSON: &str =
    "UPDATE people SET email = printf('%*s', octet_length(email), '') WHERE id = ?1 AND deleted = 0";

const DELETE_PERSON: &str = "
    INSERT INTO people (id, email, updated_at, deleted) VALUES (?1, NULL, 0, 1)
    ON CONFLICT (id) DO UPDATE SET email = NULL, updated_at = 0, deleted = 1";

/// Takes the person's memberships out of the count of every organization.
const UNCOUNT_PERSON: &str = "
    UPDATE clerk_organizations SET member_count = member_count - (
      SELECT count(*) FROM memberships WHERE person_id = ?1 AND organization_id = clerk_organizations.id)
    WHERE id IN (SELECT organization_id FROM memberships WHERE person_id = ?1)";

const REMOVE_MEMBERSHIPS_OF_PERSON: &str = "DELETE FROM memberships WHERE person_id = ?1";

/// Counts memberships only when it makes the row. Later events of memberships keep the count.
const SAVE_ORGANIZATION: &str = "
    INSERT INTO clerk_organizations (id, name, slug, created_at, updated_at, deleted, member_count)
    VALUES (?1, ?2, ?3, ?4, ?5, 0, CASE WHEN EXISTS (SELECT 1 FROM clerk_organizations WHERE id = ?1) THEN 0
      ELSE (SELECT count(*) FROM memberships WHERE organization_id = ?1) END)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, slug = excluded.slug, created_at = excluded.created_at,
      updated_at = excluded.updated_at
    WHERE clerk_organizations.deleted = 0
      AND (excluded.updated_at, excluded.name, coalesce(excluded.slug, ''), excluded.created_at)
        > (clerk_organizations.updated_at, clerk_organizations.name, coalesce(clerk_organizations.slug, ''),
           clerk_organizations.created_at)";

const DELETE_ORGANIZATION: &str = "
    INSERT INTO clerk_organizations (id, name, slug, created_at, updated_at, deleted, member_count)
    VALUES (?1, '', NULL, 0, 0, 1, 0)
    ON CONFLICT (id) DO UPDATE SET name = '', slug = NULL, created_at = 0, updated_at = 0, deleted = 1,
      member_count = 0";

const REMOVE_MEMBERSHIPS_OF_ORGANIZATION: &str = "DELETE FROM memberships WHERE organization_id = ?1";

/// Takes the person's memberships in the organization out of its count.
const UNCOUNT_PAIR: &str = "
    UPDATE clerk_organizations SET member_count = member_count - (
      SELECT count(*) FROM memberships WHERE person_id = ?2 AND organization_id = ?1)
    WHERE id = ?1";

/// Puts the person's memberships in the organization back into its count.
const COUNT_PAIR: &str = "
    UPDATE clerk_organizations SET member_count = member_count + (
      SELECT count(*) FROM memberships WHERE person_id = ?2 AND organization_id = ?1)
    WHERE id = ?1";

const SAVE_MEMBERSHIP: &str = "
    INSERT INTO memberships (id, organization_id, person_id, role, created_at, updated_at, deleted)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, 0
    WHERE NOT EXISTS (SELECT 1 FROM people WHERE id = ?3 AND deleted = 1)
      AND NOT EXISTS (SELECT 1 FROM clerk_organizations WHERE id = ?2 AND deleted = 1)
    ON CONFLICT (id) DO UPDATE SET role = excluded.role, created_at = excluded.created_at,
      updated_at = excluded.updated_at
    WHERE memberships.deleted = 0 AND (excluded.updated_at, excluded.role, excluded.created_at)
      > (memberships.updated_at, memberships.role, memberships.created_at)";

/// Ends all of a person's memberships in an organization except the latest.
const END_EARLIER: &str = "
    UPDATE memberships
    SET organization_id = '', person_id = '', role = '', created_at = 0, updated_at = 0, deleted = 1
    WHERE person_id = ?2 AND organization_id = ?1 AND id <> (
      SELECT id FROM memberships WHERE person_id = ?2 AND organization_id = ?1
      ORDER BY created_at DESC, id DESC LIMIT 1)";

const UNCOUNT_MEMBERSHIP: &str = "
    UPDATE clerk_organizations SET member_count = member_count - 1
    WHERE id = (SELECT organization_id FROM memberships WHERE id = ?1)";

const DELETE_MEMBERSHIP: &str = "
    INSERT INTO memberships (id, organization_id, person_id, role, created_at, updated_at, deleted)
    VALUES (?1, '', '', '', 0, 0, 1)
    ON CONFLICT (id) DO UPDATE SET organization_id = '', person_id = '', role = '', created_at = 0, updated_at = 0,
      deleted = 1";

impl Event {
    /// The statements that bring the event into the mirror. They must run in one transaction.
    pub fn statements(&self) -> Vec<Statement<'_>> {
        let mut statements = Vec::with_capacity(5);
        match self {
            Self::Person(person) => {
                let row = [(&*person.id).into(), person.email.as_deref().into(), person.updated_at.into()];
                push(&mut statements, &[OVERWRITE_PERSON, SAVE_PERSON], &row);
            }
            Self::PersonDeleted { id } => {
                let sqls = [UNCOUNT_PERSON, REMOVE_MEMBERSHIPS_OF_PERSON, OVERWRITE_DELETED_PERSON, DELETE_PERSON];
                push(&mut statements, &sqls, &[(&**id).into()]);
            }
            Self::Organization(organization) => save_organization(&mut statements, organization),
            Self::OrganizationDeleted { id } => {
                let sqls = [DELETE_ORGANIZATION, REMOVE_MEMBERSHIPS_OF_ORGANIZATION];
                push(&mut statements, &sqls, &[(&**id).into()]);
            }
            Self::Membership(membership, organization) => {
                if let Some(organization) = organization {
                    save_organization(&mut statements, organization);
                }
                let pair = [(&*membership.organization_id).into(), (&*membership.person_id).into()];
                let row = [
                    (&*membership.id).into(),
                    (&*membership.organization_id).into(),
                    (&*membership.person_id).into(),
                    (&*membership.role).into(),
                    membership.created_at.into(),
                    membership.updated_at.into(),
                ];
                push(&mut statements, &[UNCOUNT_PAIR], &pair);
                push(&mut statements, &[SAVE_MEMBERSHIP], &row);
                push(&mut statements, &[END_EARLIER, COUNT_PAIR], &pair);
            }
            Self::MembershipDeleted { id } => {
                push(&mut statements, &[UNCOUNT_MEMBERSHIP, DELETE_MEMBERSHIP], &[(&**id).into()]);
            }
        }
        statements
    }
}

fn save_organization<'a>(statements: &mut Vec<Statement<'a>>, organization: &'a ClerkOrganization) {
    let row = [
        (&*organization.id).into(),
        (&*organization.name).into(),
        organization.slug.as_deref().into(),
        organization.created_at.into(),
        organization.updated_at.into(),
    ];
    push(statements, &[SAVE_ORGANIZATION], &row);
}

/// Appends statements that share their parameters.
fn push<'a>(statements: &mut Vec<Statement<'a>>, sqls: &[&'static str], parameters: &[SqlValue<'a>]) {
    statements.extend(sqls.iter().map(|sql| Statement::new(*sql, parameters)));
}
