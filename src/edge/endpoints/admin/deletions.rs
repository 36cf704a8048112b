//! `DELETE /admin/v1/organizations/{organization_id}` and the receipt of it.

use serde::Serialize;

use crate::directory::deletion::{Cascade, ReceiptStatus};
use crate::directory::identifiers::DeletionId;
use crate::edge::closing;
use crate::edge::endpoint::AdminInput;
use crate::edge::endpoints::deletion_request::read_options;
use crate::edge::exchange::Exchange;
use crate::edge::http::response::Response;
use crate::edge::organizations;
use crate::edge::runtime::Runtime;
use crate::fault::Fault;
use crate::input::both;

#[derive(Serialize, schemars::JsonSchema)]
pub struct OrganizationDeletionAccepted {
    deletion_id: DeletionId,
    status: ReceiptStatus,
}

/// `DELETE …/organizations/{organization_id}`: 202 with the receipt's id. Every repetition gets the same answer,
/// also after completion: an organization's id is never used again.
pub async fn request(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let if_match = input.if_match.take();
    let read = both(organizations::id(&input), read_options(&input.body, &[Cascade::All]));
    let (id, (_, reason)) = input.complete(read)?;
    let deletion_id = DeletionId::new(input.received_at, input.random);
    let receipt = closing::close(exchange, id, deletion_id, reason, if_match.as_ref()).await?;
    let accepted = OrganizationDeletionAccepted { deletion_id: receipt.deletion_id, status: receipt.status };
    let location = format!("/admin/v1/deletions/{}", receipt.deletion_id);
    Ok(Response::json(202, &accepted)?.with("Location", location))
}

/// `GET /admin/v1/deletions/{deletion_id}`.
pub async fn get(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let id = input.path("deletion_id", |text| text.parse());
    let id = input.complete(id)?;
    let receipt = closing::find(exchange, id).await?;
    Response::json(200, &receipt)
}
