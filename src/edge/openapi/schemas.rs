//! Every schema of the document, by name.

use serde_json::{Map, Value};

use super::composed_schemas::composed;
use super::derived_schemas::derived;
use super::error_schemas::errors;

/// The derived schemas, the schemas composed from them, and the schemas of errors.
pub fn all() -> Map<String, Value> {
    let mut schemas = derived();
    let composed = composed(&schemas);
    schemas.extend(composed);
    // `PrincipalResult`, which adds `created`, stands in its place.
    schemas.remove("Principal");
    schemas.extend(errors());
    schemas
}
