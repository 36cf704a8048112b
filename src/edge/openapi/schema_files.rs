//! The schemas of dialect 2 as documents of their own.

use serde_json::{Map, Value, json};

use super::composed_schemas::DESCRIBED;
use super::parts::with;
use super::schemas;

/// The schemas that bodies of dialect 2 name, each by its path and with every schema that it refers to.
pub fn schema_files() -> Vec<(&'static str, Value)> {
    let schemas = schemas::all();
    let described = DESCRIBED.into_iter().map(|(file, _, name)| {
        let path = file.into_str();
        let title = path.trim_start_matches("/api/v1/schemas/").trim_end_matches(".json");
        let mut definitions = Map::new();
        let mut body = schemas.get(name).cloned().unwrap_or_default();
        localize(&mut body, &schemas, &mut definitions);
        body = with(body, "$schema", json!("https://json-schema.org/draft/2020-12/schema"));
        body = with(body, "$id", json!(path));
        body = with(body, "title", json!(title));
        if !definitions.is_empty() {
            body = with(body, "$defs", Value::Object(definitions));
        }
        (path, body)
    });
    described.collect()
}

/// Turns references into the document into references within the schema.
fn localize(value: &mut Value, schemas: &Map<String, Value>, definitions: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/components/schemas/").map(str::to_owned)
            {
                *reference = format!("#/$defs/{name}");
                if !definitions.contains_key(&name) {
                    definitions.insert(name.clone(), Value::Null);
                    let mut definition = schemas.get(&name).cloned().unwrap_or_default();
                    localize(&mut definition, schemas, definitions);
                    definitions.insert(name, definition);
                }
            }
            members.values_mut().for_each(|member| localize(member, schemas, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| localize(item, schemas, definitions)),
        _ => {}
    }
}
