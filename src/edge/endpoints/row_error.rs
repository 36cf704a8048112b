//! Why one row of a request about many records failed.

use serde::Serialize;

use crate::directory::identifiers::DeletionId;
use crate::fault::Fault;

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchRowError")]
pub struct RowError {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RowErrorDetails")]
    details: Option<RowErrorDetails>,
}

/// The erasure of the row's user.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct RowErrorDetails {
    deletion_id: DeletionId,
}

impl RowError {
    pub fn new(fault: &Fault) -> Self {
        let details = match fault {
            Fault::DeletionPending { deletion_id } => Some(RowErrorDetails { deletion_id: *deletion_id }),
            _ => None,
        };
        Self { code: fault.code(), message: fault.message(), details }
    }
}
