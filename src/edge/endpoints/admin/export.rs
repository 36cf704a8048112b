//! `GET /admin/v1/organizations/{organization_id}/export`: the people, agents and relationships of an organization, on
//! their way into another deployment.
//!
//! Invariant: after each part stands the place at which the next one begins. So whoever has a part of an export can go on
//! from its last place, and an export that does not end with `end` is not whole.

use serde::Serialize;

use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{Mode, OrganizationId, RequestId, Tenant};
use crate::directory::names::Name;
use crate::directory::organization::{Limits, Organization, Slug};
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::{ask_as_operator, fault_of};
use crate::edge::endpoint::AdminInput;
use crate::edge::exchange::Exchange;
use crate::edge::http::parts::parts;
use crate::edge::http::response::Response;
use crate::edge::log;
use crate::edge::organizations;
use crate::edge::runtime::{ObjectMethod, Runtime};
use crate::fault::{Fault, internal};
use crate::input::choice;
use crate::organization::protocol::{ExportRecords, ExportedRecords};

/// Most parts of one answer, because an invocation is limited in the calls that it makes (50 on the free plan).
const PARTS_MAX: u32 = 40;

/// A line of an export that is no record.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    /// The first line.
    Organization {
        format: u32,
        organization_id: OrganizationId,
        name: &'a Name,
        slug: &'a Slug,
        mode: Mode,
        limits: Limits,
        exported_at: Timestamp,
    },
    /// Where the export goes on, after each part but the last.
    Place { cursor: String },
    /// The last line.
    End,
}

impl Frame<'_> {
    fn text(&self) -> Result<String, Fault> {
        let mut text = serde_json::to_string(self).map_err(internal)?;
        text.push('\n');
        Ok(text)
    }
}

/// Lines of JSON. A long export takes several answers.
pub async fn get(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let mode = input.query.optional("mode", choice).unwrap_or(Mode::Live);
    let cursor = input.query.text("cursor");
    let id = organizations::id(&input);
    let id = input.complete(id)?;
    let tenant = Tenant { organization: id, mode };
    let key = input.cursor(cursor, &binding(tenant))?;
    let from: Option<ExportRecords> = key.map(|key| serde_json::from_str(&key)).transpose().map_err(internal)?;
    let organization = organizations::find(exchange, id).await?;
    let mut text = if from.is_none() { heading(&organization, mode, input.received_at).text()? } else { String::new() };
    // The first part is asked for before the head is sent, so that every refusal has its status.
    let command = from.unwrap_or_default();
    let first = exchange.call_as(input.caller, tenant, ObjectMethod::Handle, command).await?;
    let (request_id, received_at) = (exchange.request_id, exchange.received_at);
    let rest = OrganizationExport { runtime: exchange.runtime.clone(), tenant, request_id, received_at };
    let (part, next) = rest.close(first, 1)?;
    text.push_str(&part);
    let make = move |next| {
        let rest = rest.clone();
        async move { rest.part(next).await }
    };
    Ok(Response::new(200).with("Content-Type", "application/x-ndjson").with_parts(parts(text, next, make)))
}

fn heading(organization: &Organization, mode: Mode, exported_at: Timestamp) -> Frame<'_> {
    let Organization { id, name, slug, limits, .. } = organization;
    Frame::Organization { format: 1, organization_id: *id, name, slug, mode, limits: *limits, exported_at }
}

/// What the places of an export are bound to.
fn binding(Tenant { organization, mode }: Tenant) -> Binding {
    Binding::new(&["admin", "export", &organization.to_string(), mode.into_str()])
}

/// The next part, and how many parts the answer has before it.
#[derive(Clone, Copy)]
struct Next {
    from: ExportRecords,
    parts: u32,
}

/// Makes the parts after the first one.
#[derive(Clone)]
struct OrganizationExport<R> {
    runtime: R,
    tenant: Tenant,
    request_id: RequestId,
    received_at: Timestamp,
}

impl<R: Runtime> OrganizationExport<R> {
    async fn part(&self, Next { from, parts }: Next) -> (Result<String, Fault>, Option<Next>) {
        let made = ask_as_operator(&self.runtime, self.request_id, self.tenant, from).await;
        let made = made.and_then(|made| made.map_err(|rejection| fault_of(rejection, self.runtime.now())));
        match made.and_then(|made| self.close(made, parts.saturating_add(1))) {
            Ok((text, next)) => (Ok(text), next),
            Err(fault) => {
                self.log(fault.code(), fault.log_reason());
                (Err(fault), None)
            }
        }
    }

    /// Ends a part with the place of the next one, or the export with its last line. Returns what the answer goes on with.
    fn close(&self, made: ExportedRecords, parts: u32) -> Result<(String, Option<Next>), Fault> {
        let ExportedRecords { mut lines, next } = made;
        let Some(from) = next else {
            lines.push_str(&Frame::End.text()?);
            self.log("ok", None);
            return Ok((lines, None));
        };
        let key = serde_json::to_string(&from).map_err(internal)?;
        let configuration = self.runtime.configuration().map_err(internal)?;
        let cursor = cursor::encode(&key, &binding(self.tenant), &configuration.key_ring);
        lines.push_str(&Frame::Place { cursor }.text()?);
        if parts < PARTS_MAX {
            return Ok((lines, Some(Next { from, parts })));
        }
        self.log("ok", None);
        Ok((lines, None))
    }

    fn log(&self, outcome: &'static str, reason: Option<&str>) {
        log::end_of_stream(&self.runtime, self.request_id, self.received_at, outcome, reason);
    }
}
