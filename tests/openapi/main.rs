//! The published `OpenAPI` document and JSON Schemas are those that the code makes.
//!
//! `cargo xtask openapi` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use rollcall::edge::openapi;
use rollcall::edge::routes::ROUTES;
use serde_json::Value;

fn www() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("www")
}

fn text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a document");
    text.push('\n');
    text
}

fn made() -> Vec<(PathBuf, String)> {
    let document = openapi::document().expect("a document");
    let mut files = vec![(www().join("openapi.json"), text(&document))];
    for (path, schema) in openapi::schema_files() {
        files.push((www().join(path.trim_start_matches('/')), text(&schema)));
    }
    files
}

#[test]
fn what_is_published_is_what_the_code_says() {
    for (path, made) in made() {
        if std::env::var_os("ROLLCALL_UPDATE").is_some() {
            fs::write(&path, &made).expect("a file that can be written");
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(published, made, "{} is stale: run cargo xtask openapi", path.display());
    }
}

/// Everything that a reference leads to is there.
#[test]
fn no_reference_leads_nowhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = openapi::document().expect("a document");
    for document in std::iter::once(document).chain(openapi::schema_files().into_iter().map(|(_, schema)| schema)) {
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

/// Every example is what its schema says.
#[test]
fn every_example_is_valid() {
    let document = openapi::document().expect("a document");
    let mut checked = 0;
    let mut check = |holder: &Value, place: &str| {
        let (Some(schema), Some(example)) = (holder.get("schema"), holder.get("example")) else { return };
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        let faults: Vec<String> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{place}: {faults:#?}");
        checked += 1;
    };
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                check(parameter, &place);
            }
            let request = operation["requestBody"]["content"].as_object();
            let responses = operation["responses"].as_object();
            let answers = responses.into_iter().flat_map(|responses| responses.values());
            let contents = answers.filter_map(|answer| answer["content"].as_object()).chain(request);
            for holder in contents.flat_map(serde_json::Map::values) {
                check(holder, &place);
            }
        }
    }
    for (name, answer) in document["components"]["responses"].as_object().expect("shared answers") {
        for holder in answer["content"].as_object().into_iter().flat_map(serde_json::Map::values) {
            check(holder, name);
        }
    }
    for (name, header) in document["components"]["headers"].as_object().expect("headers") {
        check(header, name);
    }
    assert!(checked > 3 * ROUTES.len(), "{checked}");
    println!("{} routes, {checked} examples", ROUTES.len());
}
