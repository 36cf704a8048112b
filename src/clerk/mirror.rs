//! The mirror of Clerk's users, organizations and memberships in D1: the statements
//! of one event, which run in one transaction.
//!
//! Invariants:
//!
//! - **Order does not matter.** Of two states of one thing the one with the later
//!   `updated_at` stands; of two with the same, the one that is greater by its content. What is
//!   deleted leaves a tombstone and never comes back, as Clerk gives no id twice. So any
//!   order of events, and any number of repetitions, ends in the same rows.
//! - **`member_count` is exact**: in every transaction that touches memberships, what they
//!   count for is taken out of their organizations before and put back in after, whatever has
//!   become of them in between. An organization whose memberships came first counts them once,
//!   when its row is made. A person nobody has told us about counts; one who is gone does not.
//! - **A membership's tombstone belongs to nobody**: it names neither person nor organization, so that
//!   what is found by them is live.
//! - **One live membership for a person in an organization.** Who left and came back has a
//!   new one. It ends the older, whose deletion may be still on its way.
//! - **Bounded work.** An event costs some searches of an index, however large the
//!   organization is. Only a deletion costs more: what it ends.
//! - What is about a person is overwritten before it is deleted or replaced: see
//!   [`crate::organization::overwriting`].

use std::borrow::Cow;

use crate::organization::sql::Parameter;
use crate::projection::Statement;

/// A person, as far as they are mirrored. All times are in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    /// The primary address.
    pub email: Option<String>,
    pub updated_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    pub id: String,
    pub name: String,
    pub slug: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Which person belongs to which organization never changes for one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub id: String,
    pub organization_id: String,
    pub person_id: String,
    pub role: String,
    pub created_at: i64,
    pub updated_at: i64,
}

/// What has happened at Clerk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Made or changed; which of the two does not matter.
    Person(Person),
    PersonDeleted {
        id: String,
    },
    Organization(Organization),
    OrganizationDeleted {
        id: String,
    },
    /// With the organization as it was then, where the event has it.
    Membership(Membership, Option<Organization>),
    MembershipDeleted {
        id: String,
    },
}

/// The person's address is replaced only if this is newer: the row is overwritten, and
/// made older than anything.
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

/// The count of all the organizations that the person belongs to.
const UNCOUNT_PERSON: &str = "
    UPDATE clerk_organizations SET member_count = member_count - (
      SELECT count(*) FROM memberships WHERE person_id = ?1 AND organization_id = clerk_organizations.id)
    WHERE id IN (SELECT organization_id FROM memberships WHERE person_id = ?1)";

const REMOVE_MEMBERSHIPS_OF_PERSON: &str = "DELETE FROM memberships WHERE person_id = ?1";

/// Memberships are counted here only when the row is made; from then on, as they come and go.
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

/// Takes out of the count what the person's memberships there count for.
const UNCOUNT_PAIR: &str = "
    UPDATE clerk_organizations SET member_count = member_count - (
      SELECT count(*) FROM memberships WHERE person_id = ?2 AND organization_id = ?1)
    WHERE id = ?1";

/// Puts it back in.
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

/// Ends all of a person's memberships in an organization but the latest.
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
    /// What brings the event into the mirror, to be run in one transaction.
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

fn save_organization<'a>(statements: &mut Vec<Statement<'a>>, organization: &'a Organization) {
    let row = [
        (&*organization.id).into(),
        (&*organization.name).into(),
        organization.slug.as_deref().into(),
        organization.created_at.into(),
        organization.updated_at.into(),
    ];
    push(statements, &[SAVE_ORGANIZATION], &row);
}

/// Statements that share their parameters.
fn push<'a>(statements: &mut Vec<Statement<'a>>, sqls: &[&'static str], parameters: &[Parameter<'a>]) {
    for sql in sqls {
        statements.push(Statement { sql: Cow::Borrowed(sql), parameters: parameters.to_vec() });
    }
}
