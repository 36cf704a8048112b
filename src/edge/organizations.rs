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

use serde_json::value::RawValue;

use super::conditional::{entity_tag, if_match, none_match_names};
use super::exchange::{Exchange, internal, store_unavailable, unexpected};
use super::fault::Fault;
use super::fields::{BODY_BYTES_MAX, Fields, QueryFields, both, integer, path_parameter, string};
use super::http::{Incoming, Response};
use super::pages;
use super::runtime::{Door, Runtime};
use crate::directory::cursor::{self, Binding};
use crate::directory::end_user::Revision;
use crate::directory::identifiers::{Mode, OrganizationId, Tenant};
use crate::directory::names::Name;
use crate::directory::organization::{BURST_MAX, Limits, Organization, QUOTA_MAX, REQUESTS_PER_SECOND_MAX, Slug};
use crate::organization::protocol::{Command, Outcome};
use crate::organization::settings::Settings;
use crate::projection::{Database, Statement};

/// Attempts to change a record that others are changing at the same time.
const UPDATE_ATTEMPTS: usize = 5;

/// `POST /admin/v1/organizations`.
pub async fn create<R: Runtime, I: Incoming>(exchange: &mut Exchange<'_, R, I>) -> Result<Response, Fault> {
    let body = exchange.json_body(BODY_BYTES_MAX).await;
    let changes = body.and_then(|body| read_changes(&body, true));
    let ((), mut changes) = both(QueryFields::none(exchange.target.query), changes)?;
    let now = exchange.received_at;
    let id = OrganizationId::new(now, exchange.random()?);
    let name = changes.name.take().ok_or_else(|| internal("a required field is missing without a fault"))?;
    let slug = match changes.slug.take() {
        Some(slug) => slug,
        None => derive_slug(&name, id).map_err(internal)?,
    };
    let mut limits = Limits::default();
    changes.limits.apply(&mut limits);
    let clerk_org_id = changes.clerk_org_id.flatten();
    let organization =
        Organization { id, name, slug, clerk_org_id, limits, version: 1, created_at: now, updated_at: now };
    let document = serde_json::to_string(&organization).map_err(internal)?;
    let database = exchange.runtime.database().map_err(internal)?;
    let id = organization.id.to_string();
    let insert = Statement {
        sql: "INSERT INTO organizations (id, slug, clerk_org_id, version, document)
              VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT DO NOTHING"
            .into(),
        parameters: vec![
            id.as_str().into(),
            organization.slug.as_str().into(),
            organization.clerk_org_id.as_deref().into(),
            document.as_str().into(),
        ],
    };
    let rows = database.batch(&[insert]).await.map_err(store_unavailable)?;
    if rows.first().is_none_or(|rows| *rows == 0) {
        return Err(taken(&database, &organization).await?);
    }
    let location = format!("/admin/v1/organizations/{id}");
    Ok(Response::json(201, document).with("Location", location).with("ETag", "\"1\""))
}

/// `GET /admin/v1/organizations`: in the order of their making.
pub async fn list<R: Runtime, I: Incoming>(exchange: &mut Exchange<'_, R, I>) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let binding = Binding::new(&["admin", "organizations"]);
    let mut query = QueryFields::parse(exchange.target.query)?;
    let limit = pages::limit(&mut query);
    let cursor = query.optional("cursor", |text| Ok(text.to_owned()));
    query.finish()?;
    let after = cursor
        .map(|text| cursor::decode(&text, &binding, &configuration.key_ring).map_err(Fault::Malformed))
        .transpose()?
        .unwrap_or_default();
    let database = exchange.runtime.database().map_err(internal)?;
    let select = Statement {
        sql: "SELECT document AS text FROM organizations WHERE id > ?1 ORDER BY id LIMIT ?2".into(),
        parameters: vec![after.as_str().into(), i64::from(limit).saturating_add(1).into()],
    };
    let texts = database.query(&select).await.map_err(store_unavailable)?;
    exchange.rows_read = Some(texts.rows_read);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = texts.rows.len() > limit;
    let documents: Vec<String> = texts.rows.into_iter().take(limit).collect();
    let last = documents.last().filter(|_| has_more);
    let next_cursor = last
        .map(|document| {
            let last: Organization = serde_json::from_str(document).map_err(internal)?;
            Ok(cursor::encode(&last.id.to_string(), &binding, &configuration.key_ring))
        })
        .transpose()?;
    Ok(pages::render(&documents, next_cursor.as_deref()))
}

/// `GET /admin/v1/organizations/{organization_id}`.
pub async fn get<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    QueryFields::none(exchange.target.query)?;
    let organization = find(exchange, parameters).await?;
    let revision = revision(&organization);
    let none_match = exchange.incoming.header("If-None-Match");
    if none_match.is_some_and(|header| none_match_names(&header, revision)) {
        return Ok(Response::new(304).with("ETag", entity_tag(revision)));
    }
    respond(200, &organization)
}

/// `PATCH /admin/v1/organizations/{organization_id}`: changes what is named and
/// leaves the rest.
pub async fn update<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.json_body(BODY_BYTES_MAX).await;
    let changes = body.and_then(|body| read_changes(&body, false));
    let ((), changes) = both(QueryFields::none(exchange.target.query), changes)?;
    let if_match = exchange.incoming.header("If-Match").map(|header| if_match(&header));
    let database = exchange.runtime.database().map_err(internal)?;
    for _ in 0..UPDATE_ATTEMPTS {
        let found = find(exchange, parameters).await?;
        if if_match.as_ref().is_some_and(|condition| !condition.holds(revision(&found))) {
            return Err(Fault::PreconditionFailed);
        }
        let updated = Organization {
            id: found.id,
            name: changes.name.clone().unwrap_or(found.name),
            slug: changes.slug.clone().unwrap_or(found.slug),
            clerk_org_id: changes.clerk_org_id.clone().unwrap_or(found.clerk_org_id),
            limits: changes.limits.applied_to(found.limits),
            version: found.version.saturating_add(1),
            created_at: found.created_at,
            updated_at: exchange.received_at.max(found.updated_at),
        };
        if store(&database, &updated, found.version).await? {
            deliver(exchange, &updated).await?;
            return respond(200, &updated);
        }
    }
    Err(Fault::Conflict("The organization is being changed by others; read it and try again.".to_owned()))
}

/// Replaces the record if it is still the one that was read.
async fn store<D: Database>(database: &D, organization: &Organization, from_version: i64) -> Result<bool, Fault> {
    let document = serde_json::to_string(organization).map_err(internal)?;
    let id = organization.id.to_string();
    let update = Statement {
        sql: "UPDATE OR IGNORE organizations SET slug = ?2, clerk_org_id = ?3, version = ?4, document = ?5
              WHERE id = ?1 AND version = ?6"
            .into(),
        parameters: vec![
            id.as_str().into(),
            organization.slug.as_str().into(),
            organization.clerk_org_id.as_deref().into(),
            organization.version.into(),
            document.as_str().into(),
            from_version.into(),
        ],
    };
    let changed = database.batch(&[update]).await.map_err(store_unavailable)?;
    if changed.first().is_some_and(|rows| *rows > 0) {
        return Ok(true);
    }
    // Either someone was faster, which is worth another try, or a name is taken, which is not.
    match taken(database, organization).await? {
        Fault::Internal { .. } => Ok(false),
        conflict => Err(conflict),
    }
}

/// Finds out which unique name was in the way.
async fn taken<D: Database>(database: &D, organization: &Organization) -> Result<Fault, Fault> {
    let id = organization.id.to_string();
    let select = Statement {
        sql: "SELECT CASE WHEN slug = ?2 THEN 'slug' ELSE 'clerk_org_id' END AS text FROM organizations
              WHERE id <> ?1 AND (slug = ?2 OR clerk_org_id = ?3) LIMIT 1"
            .into(),
        parameters: vec![
            id.as_str().into(),
            organization.slug.as_str().into(),
            organization.clerk_org_id.as_deref().into(),
        ],
    };
    let texts = database.query(&select).await.map_err(store_unavailable)?;
    Ok(match texts.rows.first() {
        Some(field) => Fault::Conflict(format!("Another organization has this {field}.")),
        None => internal("an organization was not stored, and nothing was in its way"),
    })
}

/// Brings the settings to both objects.
async fn deliver<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    organization: &Organization,
) -> Result<(), Fault> {
    for mode in Mode::ALL {
        let settings = settings(organization, mode);
        let tenant = settings.tenant;
        match exchange.ask_as_operator(tenant, Door::Handle, Command::Configure(settings)).await? {
            Outcome::Configured => {}
            other => return Err(unexpected(&other)),
        }
    }
    Ok(())
}

pub fn settings(organization: &Organization, mode: Mode) -> Settings {
    Settings {
        tenant: Tenant { organization: organization.id, mode },
        version: organization.version,
        limits: organization.limits,
        anchor: organization.created_at,
    }
}

/// The organization that the path names.
pub async fn find<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Organization, Fault> {
    let id: OrganizationId = path_parameter("organization_id", parameters.first(), |text| text.parse())?;
    exchange.organization_id = Some(id);
    let id = id.to_string();
    let database = exchange.runtime.database().map_err(internal)?;
    let select = Statement {
        sql: "SELECT document AS text FROM organizations WHERE id = ?1".into(),
        parameters: vec![id.as_str().into()],
    };
    let texts = database.query(&select).await.map_err(store_unavailable)?;
    let document = texts.rows.first().ok_or(Fault::NotFound("organization"))?;
    serde_json::from_str(document).map_err(internal)
}

/// An organization has one incarnation; its version is its revision.
const fn revision(organization: &Organization) -> Revision {
    Revision { incarnation: Revision::FIRST.incarnation, version: organization.version }
}

fn respond(status: u16, organization: &Organization) -> Result<Response, Fault> {
    let body = serde_json::to_string(organization).map_err(internal)?;
    Ok(Response::json(status, body).with("ETag", entity_tag(revision(organization))))
}

/// What a body asks to be set; `None` leaves a field as it is.
struct Changes {
    name: Option<Name>,
    slug: Option<Slug>,
    clerk_org_id: Option<Option<String>>,
    limits: LimitChanges,
}

#[derive(Default)]
struct LimitChanges {
    requests_per_second: Option<u32>,
    burst: Option<u32>,
    turns_per_period: Option<u64>,
    active_relationships: Option<u64>,
}

impl LimitChanges {
    fn apply(&self, limits: &mut Limits) {
        *limits = self.applied_to(*limits);
    }

    fn applied_to(&self, limits: Limits) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second.unwrap_or(limits.requests_per_second),
            burst: self.burst.unwrap_or(limits.burst),
            turns_per_period: self.turns_per_period.unwrap_or(limits.turns_per_period),
            active_relationships: self.active_relationships.unwrap_or(limits.active_relationships),
        }
    }
}

fn read_changes(body: &[u8], new: bool) -> Result<Changes, Fault> {
    let mut fields = Fields::of_body(body)?;
    let name = |value: &RawValue| Name::new(string(value)?);
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
fn derive_slug(name: &Name, id: OrganizationId) -> Result<Slug, crate::directory::Refusal> {
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
    use crate::directory::timestamp::Timestamp;

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
