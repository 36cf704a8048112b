//! The bodies of dialect 2. Each names its JSON Schema, in the body and in a `Link` header.

use std::borrow::Cow;

use serde::Serialize;

use super::reader::Reader;
use super::response::Response;
use crate::fault::Fault;

/// A JSON Schema of `www/api/v1/schemas`. The text is its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(prefix = "/api/v1/schemas/", suffix = ".json", const_into_str)]
pub enum Schema {
    Agent,
    AgentList,
    AgentUserList,
    Deletion,
    Diagnostics,
    Me,
    Problem,
}

/// Adds the `Link` header that names the schema of the body (RFC 8288).
pub fn linked(response: Response, schema: Schema) -> Response {
    response.with("Link", format!("<{}>; rel=\"describedBy\"", schema.into_str()))
}

/// A body that names its schema.
#[derive(Serialize)]
pub struct Described<T> {
    #[serde(rename = "$schema")]
    schema: Cow<'static, str>,
    #[serde(flatten)]
    body: T,
}

impl<T> Described<T> {
    pub fn new(schema: Schema, reader: Reader<'_>, body: T) -> Self {
        Self { schema: reader.schema_url(schema.into_str()), body }
    }
}

/// A response with a body that names its schema.
pub fn described(status: u16, schema: Schema, reader: Reader<'_>, body: impl Serialize) -> Result<Response, Fault> {
    Ok(linked(Response::json(status, &Described::new(schema, reader, body))?, schema))
}
