//! `DELETE /v1/end-users/{user_id}` and `GET /v1/deletions/{deletion_id}`.

use serde::Serialize;

use super::exchange::{Exchange, KeyHolder, PatchBody, internal, unexpected};
use super::fault::Fault;
use super::fields::{BODY_BYTES_MAX, Fields, QueryFields, both, choice, path_parameter, string};
use super::http::{Incoming, Response};
use super::runtime::{Door, Runtime};
use crate::directory::deletion::{self, Cascade};
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use crate::organization::protocol::{Command, Outcome};

/// `DELETE /v1/end-users/{user_id}`: 202 with the receipt's id. Asked again while
/// the erasure lasts, it answers the same.
pub async fn request<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    #[derive(Serialize)]
    struct Accepted {
        deletion_id: DeletionId,
        status: &'static str,
    }
    let body = exchange.patch_body(BODY_BYTES_MAX).await;
    let path = path_parameter("user_id", parameters.first(), UserId::new);
    let options = body.and_then(|body| read_options(&body));
    let deletion_id = DeletionId::new(exchange.received_at, exchange.random()?);
    let command = both(both(path, QueryFields::none(exchange.target.query)), options)
        .map(|((user_id, ()), (cascade, reason))| Command::DeleteEndUser { user_id, deletion_id, cascade, reason });
    match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Deletion(receipt) => {
            let status = receipt.cascade.requested_status();
            let accepted = Accepted { deletion_id: receipt.deletion_id, status };
            serde_json::to_string(&accepted).map(|body| Response::json(202, body)).map_err(internal)
        }
        Outcome::NotFound => Err(Fault::NotFound("end user")),
        other => Err(unexpected(&other)),
    }
}

fn read_options(body: &PatchBody) -> Result<(Cascade, Option<String>), Fault> {
    let body = match body {
        PatchBody::Empty => return Ok((Cascade::All, None)),
        PatchBody::Replace(body) => body,
        PatchBody::Merge(_) => return Err(Fault::UnsupportedMediaType),
    };
    let mut fields = Fields::of_body(body)?;
    let cascade = fields
        .optional("cascade", |value| choice(&string(value)?, &Cascade::ALL.map(|cascade| (cascade.as_str(), cascade))));
    let reason = fields.nullable("reason", |value| deletion::reason(string(value)?));
    fields.finish()?;
    Ok((cascade.unwrap_or(Cascade::All), reason.flatten()))
}

/// `GET /v1/deletions/{deletion_id}`: the receipt, which outlives what was erased.
pub async fn get<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let path = path_parameter("deletion_id", parameters.first(), |text| text.parse());
    let command = both(path, QueryFields::none(exchange.target.query))
        .map(|(deletion_id, ())| Command::ReadDeletion { deletion_id });
    match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Deletion(receipt) => {
            serde_json::to_string(&receipt).map(|body| Response::json(200, body)).map_err(internal)
        }
        Outcome::NotFound => Err(Fault::NotFound("deletion")),
        other => Err(unexpected(&other)),
    }
}
