//! `/admin/v1/organizations`: the organizations and their limits.
//!
//! Invariants:
//!
//! - D1 holds the record and decides uniqueness. Each change raises the version and is conditional on the one it
//!   was made from, so no update is lost.
//! - An object holds a copy of the limits: the highest version that reached it. The edge answers a change when both
//!   objects have it. If one cannot be reached, the edge answers 503 and the record is changed all the same. A
//!   repetition of the request, or the issue of a key, delivers the change.

use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{Mode, OrganizationId};
use crate::directory::names::Name;
use crate::directory::organization::{
    BURST_MAX, EDGE_STALE_S_MAX, Limits, Organization, QUOTA_MAX, REQUESTS_PER_SECOND_MAX, Slug,
};
use crate::directory::placement::LocationHint;
use crate::directory::timestamp::Timestamp;
use crate::edge::closing;
use crate::edge::endpoint::AdminInput;
use crate::edge::exchange::{Exchange, Operator};
use crate::edge::http::body::Body;
use crate::edge::http::conditional::entity_tag;
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::organizations;
use crate::edge::runtime::{ObjectMethod, Runtime};
use crate::fault::{Fault, internal};
use crate::input::{both, choice, integer, string};
use crate::json::RawValue;
use crate::organization::protocol::Precondition;
use crate::projection::Statement;

/// Most attempts to change a record that other requests change at the same time.
const UPDATE_ATTEMPTS: u32 = 5;
const OVERTAKEN: &str = "The organization is being changed by others; read it and try again.";

/// `POST /admin/v1/organizations`.
pub async fn create(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let changes = read_changes(&input.body, true);
    let mut changes = input.complete(changes)?;
    let now = input.received_at;
    let id = OrganizationId::new(now, input.random);
    let name = changes.name.take().ok_or_else(|| internal("a required field is missing without a fault"))?;
    let slug = match changes.slug.take() {
        Some(slug) => slug,
        None => Slug::derived(&name, id).map_err(internal)?,
    };
    let limits = changes.limits.applied_to(Limits::default());
    let (clerk_org_id, location) = (changes.clerk_org_id.flatten(), changes.location);
    let organization =
        Organization { id, name, slug, clerk_org_id, location, limits, version: 1, created_at: now, updated_at: now };
    let stored = exchange.query(&with_document(INSERT, &organization)?).await?;
    if stored.rows.is_empty() {
        refuse_taken(exchange, &organization).await?;
        return Err(internal("an organization was not stored, and nothing was in its way"));
    }
    let settings = Mode::ALL.map(|mode| organizations::settings(&organization, mode));
    // An object is made where its first call says. If a call fails, a later one that brings settings makes the object.
    drop(exchange.call_both_as(input.caller, id, ObjectMethod::Handle, settings).await);
    Ok(respond(201, &organization)?.with("Location", format!("/admin/v1/organizations/{id}")))
}

/// `GET /admin/v1/organizations`: in the order of creation. An organization whose row does not read is left out.
pub async fn list(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let binding = Binding::new(&["admin", "organizations"]);
    let limit = pages::limit(&mut input.query);
    let cursor = input.query.text("cursor");
    input.complete(Ok(()))?;
    let after = input.cursor(cursor, &binding)?.unwrap_or_default();
    let select = "SELECT json_array(id, document) AS text FROM organizations WHERE id > ?1 ORDER BY id LIMIT ?2";
    let select = Statement::new(select, [after.into(), i64::from(limit).saturating_add(1).into()]);
    let rows = exchange.query(&select).await?.rows;
    let rows = rows.iter().map(|row| serde_json::from_str(row).map_err(internal));
    let mut rows: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
    let has_more = pages::cut(&mut rows, limit);
    let last = rows.last().filter(|_| has_more);
    let next_cursor = last.map(|(id, _)| cursor::encode(id, &binding, &input.configuration.key_ring));
    let read = |(id, document): &(String, String)| organizations::read_one(exchange.runtime, id, document);
    let organizations: Vec<Organization> = rows.iter().filter_map(read).collect();
    pages::respond(organizations, next_cursor)
}

/// `GET /admin/v1/organizations/{organization_id}`. 404 for an organization that was deleted and is in D1 again, if its
/// objects can be asked: it is deleted once more.
pub async fn get(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let conditions = input.conditions();
    let organization = organizations::find_named(exchange, &mut input).await?;
    if let Ok(true) = closing::close_again(exchange.runtime, exchange.request_id, organization.id).await {
        return Err(Fault::NotFound("organization"));
    }
    let version = organizations::version(&organization);
    conditions.judge(version, true)?.map_or_else(|| respond(200, &organization), Ok)
}

/// `PATCH /admin/v1/organizations/{organization_id}`: changes what is named and leaves the rest.
pub async fn update(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let if_match = input.if_match.take();
    let read = both(organizations::id(&input), read_changes(&input.body, false));
    let (id, changes) = input.complete(read)?;
    for _ in 0..UPDATE_ATTEMPTS {
        let found = organizations::find(exchange, id).await?;
        if !Precondition::permits(if_match.as_ref(), organizations::version(&found)) {
            return Err(Fault::PreconditionFailed);
        }
        let from_version = found.version;
        let updated = changes.applied_to(found, input.received_at);
        let mut replace = with_document(REPLACE, &updated)?;
        replace.parameters.push(from_version.into());
        if !exchange.query(&replace).await?.rows.is_empty() {
            return deliver(exchange, input.caller, &updated).await;
        }
        // Nothing was replaced: a name is taken, or another request has changed the record. Only the latter is
        // worth another attempt.
        refuse_taken(exchange, &updated).await?;
    }
    Err(Fault::Conflict(OVERTAKEN.to_owned()))
}

/// Brings the settings to both objects, then answers.
async fn deliver(
    exchange: &mut Exchange<'_, impl Runtime>,
    operator: Operator,
    organization: &Organization,
) -> Result<Response, Fault> {
    let settings = Mode::ALL.map(|mode| organizations::settings(organization, mode));
    exchange.call_both_as(operator, organization.id, ObjectMethod::Handle, settings).await?;
    respond(200, organization)
}

const INSERT: &str = "
    INSERT INTO organizations (id, slug, clerk_org_id, version, document) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO NOTHING RETURNING id AS text";

const REPLACE: &str = "
    UPDATE OR IGNORE organizations SET slug = ?2, clerk_org_id = ?3, version = ?4, document = ?5
    WHERE id = ?1 AND version = ?6 RETURNING id AS text";

/// Selects the name of the unique field that another organization holds already.
const TAKEN: &str = "
    SELECT CASE WHEN slug = ?2 THEN 'slug' ELSE 'clerk_org_id' END AS text FROM organizations
    WHERE id <> ?1 AND (slug = ?2 OR clerk_org_id = ?3) LIMIT 1";

/// A statement that is bound to an organization's columns.
fn with_document<'a>(sql: &'static str, organization: &'a Organization) -> Result<Statement<'a>, Fault> {
    let mut statement = with_names(sql, organization);
    let document = serde_json::to_string(organization).map_err(internal)?;
    statement.parameters.extend([organization.version.into(), document.into()]);
    Ok(statement)
}

/// A statement that is bound to an organization's unique fields.
fn with_names<'a>(sql: &'static str, organization: &'a Organization) -> Statement<'a> {
    let (slug, clerk_org_id) = (organization.slug.as_str(), organization.clerk_org_id.as_deref());
    Statement::new(sql, [organization.id.to_string().into(), slug.into(), clerk_org_id.into()])
}

/// Fails if another organization holds one of this one's unique fields.
async fn refuse_taken(exchange: &mut Exchange<'_, impl Runtime>, organization: &Organization) -> Result<(), Fault> {
    let taken = exchange.query(&with_names(TAKEN, organization)).await?;
    match taken.rows.first() {
        Some(field) => Err(Fault::Conflict(format!("Another organization has this {field}."))),
        None => Ok(()),
    }
}

fn respond(status: u16, organization: &Organization) -> Result<Response, Fault> {
    Ok(Response::json(status, organization)?.with("ETag", entity_tag(organizations::version(organization))))
}

/// The changes that a body asks for; `None` leaves a field as it is.
struct Changes {
    name: Option<Name>,
    slug: Option<Slug>,
    clerk_org_id: Option<Option<String>>,
    /// Only at the creation.
    location: Option<LocationHint>,
    limits: LimitChanges,
}

impl Changes {
    fn applied_to(&self, found: Organization, now: Timestamp) -> Organization {
        Organization {
            id: found.id,
            name: self.name.clone().unwrap_or(found.name),
            slug: self.slug.clone().unwrap_or(found.slug),
            clerk_org_id: self.clerk_org_id.clone().unwrap_or(found.clerk_org_id),
            location: found.location,
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
    edge_stale_s: Option<u32>,
    end_users: Option<u64>,
    storage_bytes: Option<u64>,
    turns_per_user: Option<u64>,
}

impl LimitChanges {
    fn applied_to(&self, limits: Limits) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second.unwrap_or(limits.requests_per_second),
            burst: self.burst.unwrap_or(limits.burst),
            turns_per_period: self.turns_per_period.unwrap_or(limits.turns_per_period),
            active_relationships: self.active_relationships.unwrap_or(limits.active_relationships),
            edge_stale_s: self.edge_stale_s.unwrap_or(limits.edge_stale_s),
            end_users: self.end_users.unwrap_or(limits.end_users),
            storage_bytes: self.storage_bytes.unwrap_or(limits.storage_bytes),
            turns_per_user: self.turns_per_user.unwrap_or(limits.turns_per_user),
        }
    }
}

fn read_changes(body: &Body, new: bool) -> Result<Changes, Fault> {
    let mut fields = body.fields()?;
    let name = |value: &RawValue| Name::new(string(value)?);
    let name = if new { fields.required("name", name) } else { fields.optional("name", name) };
    let slug = fields.optional("slug", |value| Slug::new(string(value)?));
    let clerk_org_id =
        fields.nullable("clerk_org_id", |value| Name::new(string(value)?).map(|name| name.as_str().to_owned()));
    let location = if new { fields.nullable("location", |value| choice(&string(value)?)).flatten() } else { None };
    let mut limits = LimitChanges::default();
    if let Some(mut nested) = fields.object("limits") {
        let mut small = |name: &str, min: u64, max: u32| {
            let read = nested.optional(name, |value| integer(value, min, u64::from(max)));
            read.and_then(|number| u32::try_from(number).ok())
        };
        limits.requests_per_second = small("requests_per_second", 1, REQUESTS_PER_SECOND_MAX);
        limits.burst = small("burst", 1, BURST_MAX);
        limits.edge_stale_s = small("edge_stale_s", 0, EDGE_STALE_S_MAX);
        let mut large = |name: &str| nested.optional(name, |value| integer(value, 0, QUOTA_MAX));
        limits.turns_per_period = large("turns_per_period");
        limits.active_relationships = large("active_relationships");
        limits.end_users = large("end_users");
        limits.storage_bytes = large("storage_bytes");
        limits.turns_per_user = large("turns_per_user");
        fields.absorb(nested);
    }
    fields.finish()?;
    Ok(Changes { name, slug, clerk_org_id, location, limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_range() {
        let quota = i64::try_from(QUOTA_MAX).unwrap();
        for (name, least, most) in [
            ("requests_per_second", 1, i64::from(REQUESTS_PER_SECOND_MAX)),
            ("burst", 1, i64::from(BURST_MAX)),
            ("edge_stale_s", 0, i64::from(EDGE_STALE_S_MAX)),
            ("turns_per_period", 0, quota),
            ("active_relationships", 0, quota),
            ("end_users", 0, quota),
            ("storage_bytes", 0, quota),
            ("turns_per_user", 0, quota),
        ] {
            let is_taken = |number: i64| {
                let body = format!("{{\"limits\":{{\"{name}\":{number}}}}}");
                read_changes(&Body::Json(body.into_bytes()), false).is_ok()
            };
            assert_eq!([least - 1, least, most, most + 1].map(is_taken), [false, true, true, false], "{name}");
        }
    }
}
