//! The bodies of dialect 2. Each names its JSON Schema, in the body and in a `Link` header.

use super::response::Response;

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

    const fn link(self) -> &'static str {
        match self {
            Self::Agent => "</api/v1/schemas/Agent.json>; rel=\"describedBy\"",
            Self::AgentList => "</api/v1/schemas/AgentList.json>; rel=\"describedBy\"",
            Self::AgentUserList => "</api/v1/schemas/AgentUserList.json>; rel=\"describedBy\"",
            Self::Deletion => "</api/v1/schemas/Deletion.json>; rel=\"describedBy\"",
            Self::Me => "</api/v1/schemas/Me.json>; rel=\"describedBy\"",
            Self::Problem => "</api/v1/schemas/Problem.json>; rel=\"describedBy\"",
        }
    }
}

/// Adds the `Link` header that names the schema of the body (RFC 8288).
pub fn linked(response: Response, schema: Schema) -> Response {
    response.with("Link", schema.link())
}

/// A response whose body has `$schema` and then `members`, which are the inside of a JSON object.
pub fn described(status: u16, schema: Schema, members: &str) -> Response {
    let body = format!("{{\"$schema\":\"{}\",{members}}}", schema.path());
    linked(Response::json(status, body), schema)
}
