//! Organizations, as D1 holds them.

use serde::Serialize;

use super::endpoint::AdminInput;
use super::exchange::Exchange;
use super::runtime::Runtime;
use crate::directory::end_user::Version;
use crate::directory::identifiers::{Mode, OrganizationId, Tenant};
use crate::directory::organization::Organization;
use crate::fault::{Fault, internal};
use crate::json;
use crate::organization::protocol::Settings;
use crate::projection::Statement;

/// The organization that the path names.
pub fn id(input: &AdminInput<'_>) -> Result<OrganizationId, Fault> {
    input.path("organization_id", |text| text.parse())
}

/// Finds the organization that the path names, for a request that has nothing else to read.
pub async fn find_named(
    exchange: &mut Exchange<'_, impl Runtime>,
    input: &mut AdminInput<'_>,
) -> Result<Organization, Fault> {
    let id = id(input);
    let id = input.complete(id)?;
    find(exchange, id).await
}

/// Finds an organization; 404 when there is none.
pub async fn find(exchange: &mut Exchange<'_, impl Runtime>, id: OrganizationId) -> Result<Organization, Fault> {
    let select = "SELECT document AS text FROM organizations WHERE id = ?1";
    let texts = exchange.query(&Statement::new(select, [id.to_string().into()])).await?;
    read(texts.rows.first().ok_or(Fault::NotFound("organization"))?)
}

pub fn read(document: &str) -> Result<Organization, Fault> {
    serde_json::from_str(document).map_err(internal)
}

/// Reads one of several organizations. The others do not wait for one that does not read: the log says which it is.
pub fn read_one(runtime: &impl Runtime, id: &str, document: &str) -> Option<Organization> {
    let fault = match read(document) {
        Ok(organization) => return Some(organization),
        Err(fault) => fault,
    };
    let line = UnreadableLine { unreadable: "organization", id, reason: fault.log_reason() };
    if let Ok(line) = serde_json::to_string(&line) {
        runtime.log(&line);
    }
    None
}

/// The log line of a row that does not read.
#[derive(Serialize)]
struct UnreadableLine<'a> {
    unreadable: &'static str,
    id: &'a str,
    reason: Option<&'a str>,
}

/// What the object of one mode has to know of its organization.
pub fn settings(organization: &Organization, mode: Mode) -> Settings {
    Settings {
        tenant: Tenant { organization: organization.id, mode },
        version: organization.version,
        limits: organization.limits,
        anchor: organization.created_at,
        // An organization is always written: its parts are texts and numbers.
        record: json::Text::of(organization).ok(),
    }
}

/// An organization counts its own changes, because it is no record of a tenant.
pub const fn version(organization: &Organization) -> Version {
    Version::of_sequence(organization.version)
}
