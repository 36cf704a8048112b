//! `/admin/v1/organizations`: the organizations and their limits.
//!
//! Invariants:
//!
//! - D1 holds the record and decides uniqueness. Each change raises the version
//!   and is conditional on the one it was made from, so no update is lost.
//! - An object holds a copy of the limits, of the highest version that reached
//!   it. A change is answered once both objects have it. If one can't be reached
//!   the answer is 503 and the record is already changed; repeating the request,
//!   or issuing a key, delivers it.

use crate::directory::cursor::{self, Binding};
use crate::directory::end_user::Revision;
use crate::directory::identifiers::{Mode, OrganizationId, Tenant};
use crate::directory::names::Name;
use crate::directory::organization::{BURST_MAX, Limits, Organization, QUOTA_MAX, REQUESTS_PER_SECOND_MAX, Slug};
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Operator, unexpected};
use crate::edge::http::body::Body;
use crate::edge::http::conditional::{entity_tag, if_match, none_match_names};
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::operator::ask_both;
use crate::edge::runtime::Door;
use crate::edge::step::{Continuation, Next, Step};
use crate::fault::Fault;
use crate::fault::internal;
use crate::input::{both, integer, string};
use crate::json::{self, Raw};
use crate::organization::protocol::{Command, Outcome, Precondition, Settings};
use crate::projection::Bound;

/// Attempts to change a record that others are changing at the same time.
const UPDATE_ATTEMPTS: u32 = 5;
const OVERTAKEN: &str = "The organization is being changed by others; read it and try again.";

/// `POST /admin/v1/organizations`.
pub fn create<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let mut changes = read_changes(&input.body, true)?;
    let now = input.received_at;
    let id = OrganizationId::new(now, input.random);
    let name = changes.name.take().ok_or_else(|| internal("a required field is missing without a fault"))?;
    let slug = match changes.slug.take() {
        Some(slug) => slug,
        None => derive_slug(&name, id).map_err(internal)?,
    };
    let limits = changes.limits.applied_to(Limits::default());
    let clerk_org_id = changes.clerk_org_id.flatten();
    let organization =
        Organization { id, name, slug, clerk_org_id, limits, version: 1, created_at: now, updated_at: now };
    Ok(Step::query(statement(INSERT, &organization)?, move |stored| {
        if stored.rows.is_empty() {
            let nothing = || Err(internal("an organization was not stored, and nothing was in its way"));
            return Ok(refuse_taken(&organization, nothing));
        }
        let location = format!("/admin/v1/organizations/{id}");
        respond(201, &organization).map(|response| Step::Respond(response.with("Location", location)))
    }))
}

/// `GET /admin/v1/organizations`: in the order of their making.
pub fn list<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let ring = &input.configuration.key_ring;
    let binding = Binding::new(&["admin", "organizations"]);
    let limit = pages::limit(&mut input.query);
    let cursor = input.query.text("cursor");
    input.query.finish()?;
    let after = input.cursor(cursor, &binding)?.unwrap_or_default();
    let select = Bound {
        sql: "SELECT document AS text FROM organizations WHERE id > ?1 ORDER BY id LIMIT ?2".into(),
        values: vec![after.into(), i64::from(limit).saturating_add(1).into()],
    };
    Ok(Step::query(select, move |texts| {
        let mut documents = texts.rows;
        let has_more = pages::cut(&mut documents, limit);
        let last = documents.last().filter(|_| has_more);
        let next_cursor = last.map(|document| Ok(cursor::encode(&read(document)?.id.to_string(), &binding, ring)));
        Ok(Step::Respond(pages::render(&documents, next_cursor.transpose()?.as_deref())))
    }))
}

/// `GET /admin/v1/organizations/{organization_id}`.
pub fn get<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let none_match = input.if_none_match.take();
    find(input, move |organization| {
        let revision = revision(&organization);
        if none_match.is_some_and(|header| none_match_names(&header, revision)) {
            return Ok(Step::Respond(Response::new(304).with("ETag", entity_tag(revision))));
        }
        respond(200, &organization).map(Step::Respond)
    })
}

/// `PATCH /admin/v1/organizations/{organization_id}`: changes what is named and
/// leaves the rest.
pub fn update<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let (id, changes) = both(id(input), read_changes(&input.body, false))?;
    let if_match = input.if_match.as_deref().map(if_match);
    let update = Update { operator: input.caller, now: input.received_at, id, changes, if_match };
    Ok(update.attempt(UPDATE_ATTEMPTS))
}

/// A change of a record that others may be changing at the same time.
struct Update {
    operator: Operator,
    now: Timestamp,
    id: OrganizationId,
    changes: Changes,
    if_match: Option<Precondition>,
}

impl Update {
    /// Replaces the record if it is still the one that was read. If it is not, either someone
    /// was faster, which is worth another try, or a name is taken, which is not.
    fn attempt<'a>(self, attempts: u32) -> Step<'a> {
        let id = self.id;
        let then = move |found: Organization| {
            if self.if_match.as_ref().is_some_and(|condition| !condition.holds(revision(&found))) {
                return Err(Fault::PreconditionFailed);
            }
            let from_version = found.version;
            let updated = self.changes.applied_to(found, self.now);
            let mut replace = statement(REPLACE, &updated)?;
            replace.values.push(from_version.into());
            Ok(Step::query(replace, move |stored| {
                if !stored.rows.is_empty() {
                    return Ok(deliver(self.operator, updated));
                }
                Ok(refuse_taken(&updated, move || match attempts.checked_sub(1) {
                    Some(left) if left > 0 => Ok(self.attempt(left)),
                    _ => Err(Fault::Conflict(OVERTAKEN.to_owned())),
                }))
            }))
        };
        with(id, Box::new(then))
    }
}

/// Brings the settings to both objects, then answers.
fn deliver<'a>(operator: Operator, organization: Organization) -> Step<'a> {
    let id = organization.id;
    let commands = Mode::ALL.map(|mode| Command::Configure(settings(&organization, mode)));
    let then = move |outcomes: [Outcome; 2]| match outcomes {
        [Outcome::Configured, Outcome::Configured] => respond(200, &organization).map(Step::Respond),
        [Outcome::Configured, other] | [other, _] => Err(unexpected(&other)),
    };
    ask_both(operator, id, Door::Handle, commands, Box::new(then))
}

const INSERT: &str = "
    INSERT INTO organizations (id, slug, clerk_org_id, version, document) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO NOTHING RETURNING id AS text";

const REPLACE: &str = "
    UPDATE OR IGNORE organizations SET slug = ?2, clerk_org_id = ?3, version = ?4, document = ?5
    WHERE id = ?1 AND version = ?6 RETURNING id AS text";

/// Names what is unique of one organization and another has.
const TAKEN: &str = "
    SELECT CASE WHEN slug = ?2 THEN 'slug' ELSE 'clerk_org_id' END AS text FROM organizations
    WHERE id <> ?1 AND (slug = ?2 OR clerk_org_id = ?3) LIMIT 1";

/// A statement with an organization's columns.
fn statement(sql: &'static str, organization: &Organization) -> Result<Bound, Fault> {
    let mut statement = names(sql, organization);
    let document = json::write(organization).map_err(internal)?;
    statement.values.extend([organization.version.into(), document.into()]);
    Ok(statement)
}

/// A statement with what is unique of an organization.
fn names(sql: &'static str, organization: &Organization) -> Bound {
    let slug = organization.slug.as_str().to_owned();
    let values = vec![organization.id.to_string().into(), slug.into(), organization.clerk_org_id.clone().into()];
    Bound { sql: sql.into(), values }
}

/// Refuses what another organization has already; goes on if it has nothing.
fn refuse_taken<'a>(organization: &Organization, then: impl FnOnce() -> Next<'a> + 'a) -> Step<'a> {
    Step::query(names(TAKEN, organization), |texts| match texts.rows.first() {
        Some(field) => Err(Fault::Conflict(format!("Another organization has this {field}."))),
        None => then(),
    })
}

pub fn settings(organization: &Organization, mode: Mode) -> Settings {
    Settings {
        tenant: Tenant { organization: organization.id, mode },
        version: organization.version,
        limits: organization.limits,
        anchor: organization.created_at,
    }
}

/// Which organization the path names.
pub fn id(input: &Input<'_, Operator>) -> Result<OrganizationId, Fault> {
    input.path("organization_id", |text| text.parse())
}

/// Goes on with the organization that the path names.
pub fn find<'a>(input: &Input<'a, Operator>, then: impl FnOnce(Organization) -> Next<'a> + 'a) -> Next<'a> {
    Ok(with(id(input)?, Box::new(then)))
}

/// Goes on with an organization, if it exists.
pub fn with(id: OrganizationId, then: Continuation<'_, Organization>) -> Step<'_> {
    let select = Bound {
        sql: "SELECT document AS text FROM organizations WHERE id = ?1".into(),
        values: vec![id.to_string().into()],
    };
    Step::query(select, |texts| then(read(texts.rows.first().ok_or(Fault::NotFound("organization"))?)?))
}

fn read(document: &str) -> Result<Organization, Fault> {
    Organization::read(document).map_err(internal)
}

/// An organization has one incarnation; its version is its revision.
const fn revision(organization: &Organization) -> Revision {
    Revision { incarnation: Revision::FIRST.incarnation, version: organization.version }
}

fn respond(status: u16, organization: &Organization) -> Result<Response, Fault> {
    let body = json::write(organization).map_err(internal)?;
    Ok(Response::json(status, body).with("ETag", entity_tag(revision(organization))))
}

/// What a body asks to be set; `None` leaves a field as it is.
struct Changes {
    name: Option<Name>,
    slug: Option<Slug>,
    clerk_org_id: Option<Option<String>>,
    limits: LimitChanges,
}

impl Changes {
    fn applied_to(&self, found: Organization, now: Timestamp) -> Organization {
        Organization {
            id: found.id,
            name: self.name.clone().unwrap_or(found.name),
            slug: self.slug.clone().unwrap_or(found.slug),
            clerk_org_id: self.clerk_org_id.clone().unwrap_or(found.clerk_org_id),
            limits: self.limits.applied_to(found.limits),
            version: found.version.saturating_add(1),
            created_at: found.created_at,
            updated_at: now.max(found.updated_at),
        }
    }
}

#[derive(Default)]
struct LimitChanges {
    requests_per_second: Option<u32>,
    burst: Option<u32>,
    turns_per_period: Option<u64>,
    active_relationships: Option<u64>,
}

impl LimitChanges {
    fn applied_to(&self, limits: Limits) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second.unwrap_or(limits.requests_per_second),
            burst: self.burst.unwrap_or(limits.burst),
            turns_per_period: self.turns_per_period.unwrap_or(limits.turns_per_period),
            active_relationships: self.active_relationships.unwrap_or(limits.active_relationships),
        }
    }
}

fn read_changes(body: &Body, new: bool) -> Result<Changes, Fault> {
    let mut fields = body.fields()?;
    let name = |value: Raw<'_>| Name::new(string(value)?);
    let name = if new { fields.required("name", name) } else { fields.optional("name", name) };
    let slug = fields.optional("slug", |value| Slug::new(string(value)?));
    let clerk_org_id =
        fields.nullable("clerk_org_id", |value| Name::new(string(value)?).map(|name| name.as_str().to_owned()));
    let mut limits = LimitChanges::default();
    if let Some(mut nested) = fields.object("limits") {
        let mut small = |name: &str, max: u32| {
            let read = nested.optional(name, |value| integer(value, 1, u64::from(max)));
            read.and_then(|number| u32::try_from(number).ok())
        };
        limits.requests_per_second = small("requests_per_second", REQUESTS_PER_SECOND_MAX);
        limits.burst = small("burst", BURST_MAX);
        limits.turns_per_period = nested.optional("turns_per_period", |value| integer(value, 0, QUOTA_MAX));
        limits.active_relationships = nested.optional("active_relationships", |value| integer(value, 0, QUOTA_MAX));
        fields.absorb(nested);
    }
    fields.finish()?;
    Ok(Changes { name, slug, clerk_org_id, limits })
}

/// A slug from a name, made unique by the end of the id.
fn derive_slug(name: &Name, id: OrganizationId) -> Result<Slug, crate::refusal::Refusal> {
    let mut slug = String::new();
    for character in name.as_str().chars().take(48) {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let id = id.to_string().to_ascii_lowercase();
    let end = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
    let separator = if slug.is_empty() || slug.ends_with('-') { "" } else { "-" };
    Slug::new(format!("{slug}{separator}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_slug() {
        let id = OrganizationId::new(Timestamp::from_millis(1_700_000_000_000), [9; 10]);
        for (name, slug) in
            [("Ada & Co.", "ada-co-144gj289"), ("日本", "144gj289"), ("--", "144gj289"), ("x", "x-144gj289")]
        {
            assert_eq!(derive_slug(&Name::new(name).unwrap(), id).unwrap().as_str(), slug);
        }
        assert!(derive_slug(&Name::new("a".repeat(255)).unwrap(), id).is_ok());
    }
}
