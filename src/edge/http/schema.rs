//! The bodies of dialect 2. Each names its JSON Schema, in the body and in a `Link` header.

use serde::Serialize;

use super::response::Response;
use crate::fault::Fault;

/// A JSON Schema of `www/api/v1/schemas`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Agent,
    AgentList,
    AgentUserList,
    Deletion,
    Me,
    Problem,
}

impl Schema {
    pub const fn path(self) -> &'static str {
        match self {
            Self::Agent => "/api/v1/schemas/Agent.json",
            Self::AgentList => "/api/v1/schemas/AgentList.json",
            Self::AgentUserList => "/api/v1/schemas/AgentUserList.json",
            Self::Deletion => "/api/v1/schemas/Deletion.json",
            Self::Me => "/api/v1/schemas/Me.json",
            Self::Problem => "/api/v1/schemas/Problem.json",
        }
    }
}

/// Adds the `Link` header that names the schema of the body (RFC 8288).
pub fn linked(response: Response, schema: Schema) -> Response {
    response.with("Link", format!("<{}>; rel=\"describedBy\"", schema.path()))
}

/// A body that names its schema.
#[derive(Serialize)]
pub struct Described<T> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(flatten)]
    body: T,
}

impl<T> Described<T> {
    pub const fn new(schema: Schema, body: T) -> Self {
        Self { schema: schema.path(), body }
    }
}

/// A response with a body that names its schema.
pub fn described(status: u16, schema: Schema, body: impl Serialize) -> Result<Response, Fault> {
    Ok(linked(Response::json(status, &Described::new(schema, body))?, schema))
}
