//! `/admin/v1/organizations/{organization_id}/keys`.

use serde::Serialize;

use crate::directory::api_key::{ApiKey, KeyKind, KeyPrefix, Scope};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{KeyId, Mode, Tenant};
use crate::directory::names::Name;
use crate::directory::secret::KeyRing;
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::AdminInput;
use crate::edge::exchange::Exchange;
use crate::edge::http::body::Body;
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::organizations;
use crate::edge::runtime::{ObjectMethod, Runtime};
use crate::fault::{Fault, internal};
use crate::input::{both, choice, path_parameter, string};
use crate::organization::protocol::{IssueKey, KeyRecord, ListKeys, Resource, RevokeKey};
use crate::refusal::Refusal;

const KEY: &str = Resource::Key.into_str();

/// A key as the admin API shows it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Key")]
pub struct KeyView<'a> {
    id: KeyId,
    /// The secret. Only the answer to the issue of the key has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    kind: KeyKind,
    mode: Mode,
    scope: Scope,
    prefix: &'a KeyPrefix,
    name: &'a Name,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    /// A date: the object keeps no time of day.
    last_used_on: Option<String>,
}

impl<'a> KeyView<'a> {
    pub fn new(mode: Mode, record: &'a KeyRecord, key: Option<&'a str>) -> Self {
        Self {
            id: record.key_id,
            key,
            kind: record.kind,
            mode,
            scope: record.scope,
            prefix: &record.prefix,
            name: &record.name,
            created_at: record.created_at,
            expires_at: record.expires_at,
            revoked_at: record.revoked_at,
            last_used_on: record.last_used_on.map(Timestamp::date),
        }
    }
}

/// `POST …/keys`.
pub async fn issue(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let key_id = KeyId::new(input.received_at, input.random);
    let read = both(organizations::id(&input), read_issue(&input.body, key_id, input.received_at));
    let (id, (mode, record)) = input.complete(read)?;
    let organization = organizations::find(exchange, id).await?;
    let settings = organizations::settings(&organization, mode);
    let tenant = settings.tenant;
    let key = ApiKey::mint(&record.prefix, tenant, input.secret, &input.configuration.key_ring.current);
    let command = IssueKey { settings, digest: key.digest(), key: record.clone() };
    exchange.call_as(input.caller, tenant, ObjectMethod::Handle, command).await?;
    let location = format!("/admin/v1/organizations/{id}/keys/{key_id}");
    Ok(Response::json(201, &KeyView::new(mode, &record, Some(key.reveal())))?.with("Location", location))
}

/// Reads the mode of a new key, and the rest of it.
fn read_issue(body: &Body, key_id: KeyId, now: Timestamp) -> Result<(Mode, KeyRecord), Fault> {
    let mut fields = body.fields()?;
    let kind = fields.required("kind", |value| choice(&string(value)?));
    let mode = fields.required("mode", |value| choice(&string(value)?));
    let scope = fields.optional("scope", |value| choice(&string(value)?));
    let prefix = fields.optional("prefix", |value| KeyPrefix::new(string(value)?));
    let name = fields.required("name", |value| Name::new(string(value)?));
    let expires_at = fields.nullable("expires_at", |value| {
        let expiry = Timestamp::parse(&string(value)?)?;
        if expiry > now { Ok(expiry) } else { Err(Refusal::new("must be in the future")) }
    });
    fields.finish()?;
    let (Some(kind), Some(mode), Some(name)) = (kind, mode, name) else {
        return Err(internal("a required field is missing without a fault"));
    };
    let record = KeyRecord {
        key_id,
        kind,
        scope: scope.unwrap_or(Scope::ReadWrite),
        prefix: prefix.unwrap_or_default(),
        name,
        created_at: now,
        expires_at: expires_at.flatten(),
        revoked_at: None,
        last_used_on: None,
    };
    Ok((mode, record))
}

/// `GET …/keys`: the keys of both modes, in the order of issue.
pub async fn list(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let limit = pages::limit(&mut input.query);
    let cursor = input.query.text("cursor");
    let id = organizations::id(&input);
    let id = input.complete(id)?;
    let binding = Binding::new(&["admin", "keys", &id.to_string()]);
    let after: Option<KeyId> = input.cursor(cursor, &binding)?.map(|key| key.parse()).transpose().map_err(internal)?;
    organizations::find(exchange, id).await?;
    let commands = Mode::ALL.map(|_| ListKeys { after, limit: limit.saturating_add(1) });
    let keys = exchange.call_both_as(input.caller, id, ObjectMethod::Handle, commands).await?;
    let mut records = Vec::new();
    for (mode, keys) in Mode::ALL.into_iter().zip(keys) {
        records.extend(keys.into_iter().map(|key| (mode, key)));
    }
    records.sort_by_key(|(_, record)| record.key_id);
    page(records, limit, &binding, &input.configuration.key_ring)
}

fn page(mut records: Vec<(Mode, KeyRecord)>, limit: u32, binding: &Binding, ring: &KeyRing) -> Result<Response, Fault> {
    let has_more = pages::cut(&mut records, limit);
    let last = records.last().filter(|_| has_more);
    let next_cursor = last.map(|(_, record)| cursor::encode(&record.key_id.to_string(), binding, ring));
    pages::respond(records.iter().map(|(mode, record)| KeyView::new(*mode, record, None)).collect(), next_cursor)
}

/// `DELETE …/keys/{key_id}`: the object refuses the key from the next request on. A repetition is answered 204 too.
pub async fn revoke(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let key_id = path_parameter("key_id", input.parameters.get(1), |text| text.parse());
    let read = both(organizations::id(&input), key_id);
    let (id, key_id) = input.complete(read)?;
    organizations::find(exchange, id).await?;
    for mode in Mode::ALL {
        let tenant = Tenant { organization: id, mode };
        match exchange.call_as(input.caller, tenant, ObjectMethod::Handle, RevokeKey { key_id }).await {
            Ok(()) => return Ok(Response::new(204)),
            // The key may belong to the other mode.
            Err(Fault::NotFound(KEY)) => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(Fault::NotFound(KEY))
}
