//! What requests for a deletion have in common in every dialect: the options and the answer.

use serde::Serialize;

use crate::directory::deletion::{self, Cascade, Receipt};
use crate::directory::identifiers::DeletionId;
use crate::edge::http::body::Body;
use crate::fault::Fault;
use crate::input::{choice_of, string};

/// The answer to a request: the receipt's id.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DeletionAccepted")]
pub struct Accepted {
    deletion_id: DeletionId,
    status: &'static str,
}

impl Accepted {
    pub const fn of(receipt: &Receipt) -> Self {
        Self { deletion_id: receipt.deletion_id, status: receipt.cascade.requested_status() }
    }
}

pub fn read_options(body: &Body, cascades: &[Cascade]) -> Result<(Cascade, Option<String>), Fault> {
    match body {
        Body::Empty => return Ok((Cascade::All, None)),
        Body::Json(_) => {}
        Body::MergePatch(_) => return Err(Fault::UnsupportedMediaType),
    }
    let mut fields = body.fields()?;
    let cascade = fields.optional("cascade", |value| choice_of(&string(value)?, cascades));
    let reason = fields.nullable("reason", |value| deletion::reason(string(value)?));
    fields.finish()?;
    Ok((cascade.unwrap_or(Cascade::All), reason.flatten()))
}
