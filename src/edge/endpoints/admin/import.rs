//! `POST /admin/v1/organizations/{organization_id}/import`: records of an [export](super::export), created with the ids
//! and instants that they have there.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::directory::identifiers::{Mode, Tenant};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::fault_of;
use crate::edge::endpoint::AdminInput;
use crate::edge::endpoints::row_error::RowError;
use crate::edge::exchange::Exchange;
use crate::edge::http::body::Body;
use crate::edge::http::response::Response;
use crate::edge::organizations;
use crate::edge::runtime::{ObjectMethod, Runtime};
use crate::fault::{Fault, internal};
use crate::input::{Fields, both, choice, integer, string};
use crate::json::{RawValue, list_of};
use crate::organization::protocol::{AgentRecord, EndUserRecord, ImportRecords, Record, RelationshipRecord};
use crate::refusal::Refusal;

/// Most records of one request.
const RECORDS_MAX: usize = 500;
/// The most turns of a relationship: a number that every JSON reader keeps.
const TURNS_MAX: u64 = 1 << 53;

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ImportResult")]
pub struct ImportBody {
    results: Vec<RecordResult>,
    created: usize,
    existing: usize,
    failed: usize,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ImportRow")]
struct RecordResult {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RowError")]
    error: Option<RowError>,
}

/// A faulty record does not affect the others. A record that is there stays as it is.
pub async fn post(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let read = both(organizations::id(&input), read(&input.body));
    let (id, (mode, rows)) = input.complete(read)?;
    let organization = organizations::find(exchange, id).await?;
    let tenant = Tenant { organization: organization.id, mode };
    let mut records = Vec::with_capacity(rows.len());
    let mut faults = Vec::with_capacity(rows.len());
    for row in rows {
        match row {
            Ok(record) => {
                records.push(record);
                faults.push(None);
            }
            Err(fault) => faults.push(Some(fault)),
        }
    }
    let command = ImportRecords { records };
    let mut imported = exchange.call_as(input.caller, tenant, ObjectMethod::Handle, command).await?.into_iter();
    let mut answer = ImportBody { results: Vec::with_capacity(faults.len()), created: 0, existing: 0, failed: 0 };
    for fault in faults {
        let outcome = if let Some(fault) = fault {
            Err(fault)
        } else {
            let created = imported.next().ok_or_else(|| internal("a record has no outcome"))?;
            created.map_err(|rejection| fault_of(rejection, input.received_at))
        };
        let (count, status) = match &outcome {
            Ok(true) => (&mut answer.created, 201),
            Ok(false) => (&mut answer.existing, 200),
            Err(fault) => (&mut answer.failed, fault.status()),
        };
        *count = count.saturating_add(1);
        answer.results.push(RecordResult { status, error: outcome.err().as_ref().map(RowError::new) });
    }
    Response::json(200, &answer)
}

fn read(body: &Body) -> Result<(Mode, Vec<Result<Record, Fault>>), Fault> {
    let mut fields = body.fields()?;
    let mode = fields.optional("mode", |value| choice(&string(value)?)).unwrap_or(Mode::Live);
    let records = fields.required("records", |value| list_of(value, RECORDS_MAX, "records"));
    fields.finish()?;
    let records = records.ok_or_else(|| internal("a required field is missing without a fault"))?;
    Ok((mode, records.into_iter().map(read_record).collect()))
}

fn read_record(value: &RawValue) -> Result<Record, Fault> {
    let mut fields = Fields::of_element(value)?;
    let r#type = fields.required("type", string);
    let record = match r#type.as_deref() {
        Some("end_user") => read_user(&mut fields).map(Record::EndUser),
        Some("agent") => read_agent(&mut fields).map(Record::Agent),
        Some("relationship") => read_relationship(&mut fields).map(Record::Relationship),
        Some(_) => {
            let refusal = Refusal::new("must be one of \"end_user\", \"agent\", \"relationship\"");
            fields.refuse("type", refusal, None);
            return Err(fields.finish_known().err().unwrap_or_else(|| internal("a fault is missing")));
        }
        None => None,
    };
    fields.finish()?;
    record.ok_or_else(|| internal("a required field is missing without a fault"))
}

fn read_user(fields: &mut Fields<'_>) -> Option<EndUserRecord> {
    let user_id = fields.required("user_id", user_id);
    let principal_id = fields.required("principal_id", parsed);
    let display_name = fields.nullable("display_name", name);
    let metadata = fields.required("metadata", Metadata::new);
    let created_at = fields.required("created_at", instant);
    let updated_at = fields.required("updated_at", instant);
    let last_interaction_at = fields.nullable("last_interaction_at", instant);
    Some(EndUserRecord {
        user_id: user_id?,
        principal_id: principal_id?,
        display_name: display_name.flatten(),
        metadata: metadata?,
        created_at: created_at?,
        updated_at: updated_at?,
        last_interaction_at: last_interaction_at.flatten(),
    })
}

fn read_agent(fields: &mut Fields<'_>) -> Option<AgentRecord> {
    let agent_id = fields.required("agent_id", parsed);
    let external_id = fields.nullable("external_id", user_id);
    let name = fields.required("name", name);
    let metadata = fields.required("metadata", Metadata::new);
    let created_at = fields.required("created_at", instant);
    let updated_at = fields.required("updated_at", instant);
    let owner = fields.nullable("owner", user_id);
    Some(AgentRecord {
        agent_id: agent_id?,
        external_id: external_id.flatten(),
        name: name?,
        metadata: metadata?,
        created_at: created_at?,
        updated_at: updated_at?,
        owner: owner.flatten(),
    })
}

fn read_relationship(fields: &mut Fields<'_>) -> Option<RelationshipRecord> {
    let id = fields.required("id", parsed);
    let user_id = fields.required("user_id", user_id);
    let agent_id = fields.required("agent_id", parsed);
    let turns = fields.required("turns", |value| integer(value, 0, TURNS_MAX));
    let mood = fields.nullable("mood", parsed);
    let created_at = fields.required("created_at", instant);
    let last_interaction_at = fields.nullable("last_interaction_at", instant);
    Some(RelationshipRecord {
        id: id?,
        user_id: user_id?,
        agent_id: agent_id?,
        turns: i64::try_from(turns?).ok()?,
        mood: mood.flatten(),
        created_at: created_at?,
        last_interaction_at: last_interaction_at.flatten(),
    })
}

fn user_id(value: &RawValue) -> Result<UserId, Refusal> {
    UserId::new(string(value)?)
}

fn name(value: &RawValue) -> Result<Name, Refusal> {
    Name::new(string(value)?)
}

fn instant(value: &RawValue) -> Result<Timestamp, Refusal> {
    Timestamp::parse(&string(value)?)
}

/// A value in the form in which an export writes it.
fn parsed<T: DeserializeOwned>(value: &RawValue) -> Result<T, Refusal> {
    serde_json::from_str(value.get()).map_err(|error| Refusal::new(format!("must be as an export has it: {error}")))
}
