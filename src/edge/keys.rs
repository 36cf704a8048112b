//! `/admin/v1/organizations/{organization_id}/keys`.

use serde::Serialize;

use super::exchange::{Exchange, internal, unexpected};
use super::fault::Fault;
use super::fields::{BODY_BYTES_MAX, Fields, QueryFields, both, choice, path_parameter, string};
use super::http::{Incoming, Response};
use super::runtime::{Door, Runtime};
use super::{organizations, pages};
use crate::directory::Refusal;
use crate::directory::api_key::{ApiKey, KeyKind, KeyPrefix, Scope};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{KeyId, Mode, OrganizationId, Tenant};
use crate::directory::names::Name;
use crate::directory::timestamp::Timestamp;
use crate::organization::keys::{KeyRecord, NewKey};
use crate::organization::protocol::{Command, Outcome};

/// A key as the admin API shows it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "Key"))]
pub struct KeyView<'a> {
    id: KeyId,
    /// The key itself: only in the answer to its issue.
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
    /// A date, as that is all that is kept.
    last_used_on: Option<String>,
}

/// `POST …/keys`.
pub async fn issue<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.json_body(BODY_BYTES_MAX).await;
    let request = body.and_then(|body| read_issue(&body, exchange.received_at));
    let ((), request) = both(QueryFields::none(exchange.target.query), request)?;
    let organization = organizations::find(exchange, parameters).await?;
    let settings = organizations::settings(&organization, request.mode);
    let tenant = settings.tenant;
    let configuration = exchange.configuration()?;
    let secret = &configuration.key_ring.current;
    let key = ApiKey::mint(&request.prefix, tenant, exchange.random()?, secret);
    let new = NewKey {
        digest: key.digest(),
        key_id: KeyId::new(exchange.received_at, exchange.random()?),
        kind: request.kind,
        scope: request.scope,
        prefix: request.prefix,
        name: request.name,
        created_at: exchange.received_at,
        expires_at: request.expires_at,
    };
    match exchange.ask_as_operator(tenant, Door::Handle, Command::IssueKey { settings, key: new.clone() }).await? {
        Outcome::KeyIssued => {}
        other => return Err(unexpected(&other)),
    }
    let view = KeyView {
        id: new.key_id,
        key: Some(key.reveal()),
        kind: new.kind,
        mode: request.mode,
        scope: new.scope,
        prefix: &new.prefix,
        name: &new.name,
        created_at: new.created_at,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_on: None,
    };
    let body = serde_json::to_string(&view).map_err(internal)?;
    let location = format!("/admin/v1/organizations/{}/keys/{}", organization.id, new.key_id);
    Ok(Response::json(201, body).with("Location", location))
}

struct Issue {
    kind: KeyKind,
    mode: Mode,
    scope: Scope,
    prefix: KeyPrefix,
    name: Name,
    expires_at: Option<Timestamp>,
}

fn read_issue(body: &[u8], now: Timestamp) -> Result<Issue, Fault> {
    let mut fields = Fields::of_body(body)?;
    let kind =
        fields.required("kind", |value| choice(&string(value)?, &KeyKind::ALL.map(|kind| (kind.as_str(), kind))));
    let mode = fields.required("mode", |value| string(value)?.parse::<Mode>());
    let scope =
        fields.optional("scope", |value| choice(&string(value)?, &Scope::ALL.map(|scope| (scope.as_str(), scope))));
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
    Ok(Issue {
        kind,
        mode,
        scope: scope.unwrap_or(Scope::ReadWrite),
        prefix: prefix.unwrap_or_default(),
        name,
        expires_at: expires_at.flatten(),
    })
}

/// `GET …/keys`: the keys of both modes in the order of their issue.
pub async fn list<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let mut query = QueryFields::parse(exchange.target.query)?;
    let limit = pages::limit(&mut query);
    let cursor = query.optional("cursor", |text| Ok(text.to_owned()));
    query.finish()?;
    let configuration = exchange.configuration()?;
    let organization_id: OrganizationId = path_parameter("organization_id", parameters.first(), |text| text.parse())?;
    let binding = Binding::new(&["admin", "keys", &organization_id.to_string()]);
    let after: Option<KeyId> = cursor
        .map(|text| {
            let key = cursor::decode(&text, &binding, &configuration.key_ring).map_err(Fault::Malformed)?;
            key.parse().map_err(internal)
        })
        .transpose()?;
    let organization = organizations::find(exchange, parameters).await?;
    let mut records: Vec<(Mode, KeyRecord)> = Vec::new();
    for mode in Mode::ALL {
        let tenant = Tenant { organization: organization.id, mode };
        let command = Command::ListKeys { after, limit: limit.saturating_add(1) };
        match exchange.ask_as_operator(tenant, Door::Handle, command).await? {
            Outcome::Keys(keys) => records.extend(keys.into_iter().map(|key| (mode, key))),
            other => return Err(unexpected(&other)),
        }
    }
    records.sort_unstable_by_key(|(_, record)| record.key_id);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = records.len() > limit;
    records.truncate(limit);
    let views = records
        .iter()
        .map(|(mode, record)| serde_json::to_string(&view(*mode, record)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(internal)?;
    let next_cursor = records
        .last()
        .filter(|_| has_more)
        .map(|(_, record)| cursor::encode(&record.key_id.to_string(), &binding, &configuration.key_ring));
    Ok(pages::render(&views, next_cursor.as_deref()))
}

fn view(mode: Mode, record: &KeyRecord) -> KeyView<'_> {
    KeyView {
        id: record.key_id,
        key: None,
        kind: record.kind,
        mode,
        scope: record.scope,
        prefix: &record.prefix,
        name: &record.name,
        created_at: record.created_at,
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
        last_used_on: record.last_used_on.map(|day| day.to_string().chars().take(10).collect()),
    }
}

/// `DELETE …/keys/{key_id}`: the key is refused from the next request on.
/// Revoking it again is 204 too.
pub async fn revoke<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    QueryFields::none(exchange.target.query)?;
    let key_id: KeyId = path_parameter("key_id", parameters.get(1), |text| text.parse())?;
    let organization = organizations::find(exchange, parameters).await?;
    for mode in Mode::ALL {
        let tenant = Tenant { organization: organization.id, mode };
        match exchange.ask_as_operator(tenant, Door::Handle, Command::RevokeKey { key_id }).await? {
            Outcome::KeyRevoked => return Ok(Response::new(204)),
            Outcome::NotFound => {}
            other => return Err(unexpected(&other)),
        }
    }
    Err(Fault::NotFound("key"))
}
