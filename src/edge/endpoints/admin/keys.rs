//! `/admin/v1/organizations/{organization_id}/keys`.

use serde::Serialize;

use super::organizations;
use crate::directory::api_key::{ApiKey, KeyKind, KeyPrefix, Scope};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{KeyId, Mode, OrganizationId, Tenant};
use crate::directory::names::Name;
use crate::directory::organization::Organization;
use crate::directory::secret::KeyRing;
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Operator, unexpected};
use crate::edge::http::body::Body;
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::operator::{ask, ask_both};
use crate::edge::runtime::Door;
use crate::edge::step::{Next, Step};
use crate::fault::Fault;
use crate::fault::internal;
use crate::input::{both, choice, path_parameter, string};
use crate::json;
use crate::organization::protocol::{Command, KeyRecord, NewKey, Outcome};
use crate::refusal::Refusal;

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
pub fn issue<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let now = input.received_at;
    let (id, request) = both(organizations::id(input), read_issue(&input.body, now))?;
    let (operator, random, secret, ring) = (input.caller, input.random, input.secret, &input.configuration.key_ring);
    let then = move |organization: Organization| {
        let settings = organizations::settings(&organization, request.mode);
        let tenant = settings.tenant;
        let key = ApiKey::mint(&request.prefix, tenant, secret, &ring.current);
        let new = NewKey {
            digest: key.digest(),
            key_id: KeyId::new(now, random),
            kind: request.kind,
            scope: request.scope,
            prefix: request.prefix,
            name: request.name,
            created_at: now,
            expires_at: request.expires_at,
        };
        let command = Command::IssueKey { settings, key: new.clone() };
        Ok(ask(operator, tenant, Door::Handle, command, move |outcome| match outcome {
            Outcome::KeyIssued => issued(tenant, &new, &key).map(Step::Respond),
            other => Err(unexpected(&other)),
        }))
    };
    Ok(organizations::with(id, Box::new(then)))
}

fn issued(tenant: Tenant, new: &NewKey, key: &ApiKey) -> Result<Response, Fault> {
    let view = KeyView {
        id: new.key_id,
        key: Some(key.reveal()),
        kind: new.kind,
        mode: tenant.mode,
        scope: new.scope,
        prefix: &new.prefix,
        name: &new.name,
        created_at: new.created_at,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_on: None,
    };
    let body = json::write(&view).map_err(internal)?;
    let location = format!("/admin/v1/organizations/{}/keys/{}", tenant.organization, new.key_id);
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

fn read_issue(body: &Body, now: Timestamp) -> Result<Issue, Fault> {
    let mut fields = body.fields()?;
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
pub fn list<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let limit = pages::limit(&mut input.query);
    let cursor = input.query.text("cursor");
    let (id, ()) = both(organizations::id(input), input.query.finish())?;
    let (operator, ring) = (input.caller, &input.configuration.key_ring);
    let binding = Binding::new(&["admin", "keys", &id.to_string()]);
    let after: Option<KeyId> = input.cursor(cursor, &binding)?.map(|key| key.parse()).transpose().map_err(internal)?;
    let then = move |organization: Organization| {
        let commands = Mode::ALL.map(|_| Command::ListKeys { after, limit: limit.saturating_add(1) });
        let then = move |outcomes: [Outcome; 2]| {
            let mut records = Vec::new();
            for (mode, outcome) in Mode::ALL.into_iter().zip(outcomes) {
                let Outcome::Keys(keys) = outcome else { return Err(unexpected(&outcome)) };
                for key in keys {
                    let place = records.partition_point(|(_, other): &(Mode, KeyRecord)| other.key_id < key.key_id);
                    records.insert(place, (mode, key));
                }
            }
            page(records, limit, &binding, ring).map(Step::Respond)
        };
        Ok(ask_both(operator, organization.id, Door::Handle, commands, Box::new(then)))
    };
    Ok(organizations::with(id, Box::new(then)))
}

fn page(mut records: Vec<(Mode, KeyRecord)>, limit: u32, binding: &Binding, ring: &KeyRing) -> Result<Response, Fault> {
    let has_more = pages::cut(&mut records, limit);
    let views = records.iter().map(|(mode, record)| json::write(&view(*mode, record)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(internal)?;
    let last = records.last().filter(|_| has_more);
    let next_cursor = last.map(|(_, record)| cursor::encode(&record.key_id.to_string(), binding, ring));
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
pub fn revoke<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let key_id = path_parameter("key_id", input.parameters.get(1), |text| text.parse());
    let (id, key_id) = both(organizations::id(input), key_id)?;
    let operator = input.caller;
    Ok(organizations::with(id, Box::new(move |_| revoke_in(operator, id, key_id, &Mode::ALL))))
}

/// Revokes a key in the first of these modes that it is of.
fn revoke_in<'a>(operator: Operator, organization: OrganizationId, key_id: KeyId, modes: &'static [Mode]) -> Next<'a> {
    let Some((mode, others)) = modes.split_first() else { return Err(Fault::NotFound("key")) };
    let tenant = Tenant { organization, mode: *mode };
    Ok(ask(operator, tenant, Door::Handle, Command::RevokeKey { key_id }, move |outcome| match outcome {
        Outcome::KeyRevoked => Ok(Step::Respond(Response::new(204))),
        Outcome::NotFound => revoke_in(operator, organization, key_id, others),
        other => Err(unexpected(&other)),
    }))
}
