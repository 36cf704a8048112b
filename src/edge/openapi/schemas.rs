//! Every schema of the document, by name.

use serde_json::{Map, Value};

use super::composed_schemas::compose;
use super::derived_schemas::derived;

/// The derived schemas, and the schemas composed from them.
pub fn all() -> Map<String, Value> {
    let mut schemas = derived();
    compose(&mut schemas);
    schemas
}
