//! Checks every body that any test receives against the schema that it names.
//!
//! Readers of these bodies refuse unknown members, so the check refuses them too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

const FOLDER: &str = "www/api/v1/schemas";
const PATH: &str = "/api/v1/schemas/";

/// The published schemas by the URL at which they are served.
fn published() -> &'static BTreeMap<String, (Value, Validator)> {
    static PUBLISHED: OnceLock<BTreeMap<String, (Value, Validator)>> = OnceLock::new();
    PUBLISHED.get_or_init(|| {
        let files = xtask::root().join(FOLDER).read_dir().expect("the schemas");
        let read = |path: std::path::PathBuf| {
            let url = format!("{PATH}{}", path.file_name().expect("a name").to_string_lossy());
            let schema: Value = serde_json::from_slice(&std::fs::read(path).expect("a schema")).expect("JSON");
            let options = jsonschema::draft202012::options().should_validate_formats(true);
            let validator = options.build(&schema).unwrap_or_else(|error| panic!("{url}: {error}"));
            (url, (schema, validator))
        };
        files.map(|file| read(file.expect("a file").path())).collect()
    })
}

fn faults(body: &Value) -> Vec<String> {
    let url = body["$schema"].as_str().unwrap_or_default();
    // One client gets the path behind the server's origin.
    let path = url.find(PATH).and_then(|at| url.get(at..)).unwrap_or(url);
    let Some((_, validator)) = published().get(path) else { return vec![format!("there is no schema {url:?}")] };
    validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Asserts that a body matches the schema that it names. A body without a schema passes.
pub fn assert_valid(body: &str) {
    // This test is cheaper than parsing every body.
    if !body.contains("\"$schema\"") {
        return;
    }
    let Ok(body) = serde_json::from_str::<Value>(body) else { return };
    if body.get("$schema").is_some() {
        assert_eq!(faults(&body), [] as [&str; 0], "{body}");
    }
}

/// Every object that a schema describes, with its place in the schema.
fn objects<'a>(schema: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    if schema["type"] == "object" {
        found.push((place.to_owned(), schema));
    }
    let members = schema.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value));
    let items = schema.as_array().into_iter().flatten().enumerate().map(|(index, value)| (index.to_string(), value));
    for (name, value) in members.chain(items) {
        objects(value, &format!("{place}/{name}"), found);
    }
}

/// The members that a schema allows in an object, and those that it requires.
fn members(object: &Value) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let known = object["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
    let required = object["required"].as_array().into_iter().flatten();
    (known, required.map(|name| name.as_str().expect("a name")).collect())
}

#[test]
fn no_schema_lets_an_unknown_member_pass() {
    let mut names = BTreeSet::new();
    for (url, (schema, _)) in published() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{url}");
        assert_eq!(schema["$id"], url.as_str());
        let pattern = format!("^(https?://[^/]+)?{}$", url.replace('.', "\\."));
        assert_eq!(schema["properties"]["$schema"], json!({ "type": "string", "pattern": pattern }), "{url}");
        let mut found = Vec::new();
        objects(schema, "", &mut found);
        assert_eq!(found[0].0, "", "{url} describes an object");
        for (place, object) in found {
            let expected = match place.rsplit('/').next() {
                // The caller chooses the members of metadata.
                Some("metadata") if !url.ends_with("/AgentUserList.json") => &Value::Null,
                Some("custom") => &json!({ "type": "string" }),
                _ => &Value::Bool(false),
            };
            assert_eq!(&object["additionalProperties"], expected, "{url} at {place}");
        }
        names.insert(url.rsplit('/').next().expect("a name").to_owned());
    }
    let expected = ["Agent.json", "AgentList.json", "AgentUserList.json", "Deletion.json", "Problem.json"];
    assert!(names.is_superset(&expected.map(str::to_owned).into()), "{names:?}");
}

#[test]
fn the_list_of_an_agents_users_is_described_as_it_is_promised() {
    let (schema, _) = &published()["/api/v1/schemas/AgentUserList.json"];
    assert_eq!(
        members(schema),
        (["$schema", "has_more", "next_cursor", "users"].into(), ["$schema", "has_more", "users"].into())
    );
    let entry = &schema["$defs"]["UserEntry"];
    assert_eq!(schema["properties"]["users"]["items"], json!({ "$ref": "#/$defs/UserEntry" }));
    let known = ["created_at", "display_name", "last_interaction_at", "metadata", "mood", "role", "user_id"];
    assert_eq!(members(entry), (known.into(), ["role", "user_id"].into()));
    assert_eq!(members(&entry["properties"]["metadata"]), (["custom", "email", "phone"].into(), [].into()));
    let moods = json!([{ "$ref": "#/$defs/Mood" }, { "$ref": "#/$defs/MoodWithUserBaselines" }]);
    assert_eq!(
        entry["properties"]["mood"],
        json!({ "anyOf": moods, "description": "A mood in the form that the reader knows." })
    );
    let mood: BTreeSet<&str> = [
        "agent_id",
        "user_id",
        "valence",
        "arousal",
        "tension",
        "affiliation",
        "baseline_valence",
        "baseline_arousal",
        "baseline_tension",
        "baseline_affiliation",
        "label",
        "created_at",
        "updated_at",
        "last_decay_at",
        "last_interaction_at",
    ]
    .into();
    assert_eq!(members(&schema["$defs"]["Mood"]), (mood.clone(), mood.clone()));
    let user_baselines =
        ["user_baseline_valence", "user_baseline_arousal", "user_baseline_tension", "user_baseline_affiliation"];
    let more: BTreeSet<&str> = mood.into_iter().chain(user_baselines).collect();
    assert_eq!(members(&schema["$defs"]["MoodWithUserBaselines"]), (more.clone(), more));
}

/// All other tests rely on this check. It finds what a strict reader would refuse.
#[test]
fn what_a_strict_reader_would_refuse_is_noticed() {
    let instant = "2026-11-22T00:00:00.000Z";
    let level = json!(0.5);
    let mood = json!({
        "agent_id": "07070707-0707-4707-8707-070707070707", "user_id": "ada", "label": "happy",
        "valence": level, "arousal": level, "tension": level, "affiliation": level, "baseline_valence": level,
        "baseline_arousal": level, "baseline_tension": level, "baseline_affiliation": level,
        "created_at": instant, "updated_at": instant, "last_decay_at": instant, "last_interaction_at": instant,
    });
    let entry = json!({
        "user_id": "ada", "role": "user", "created_at": instant, "display_name": "Ada", "last_interaction_at": instant,
        "metadata": { "email": "a@example.com", "phone": "1", "custom": { "plan": "pro" } }, "mood": mood,
    });
    let good = json!({
        "$schema": "/api/v1/schemas/AgentUserList.json", "has_more": true, "next_cursor": "x", "users": [entry],
    });
    assert_eq!(faults(&good), [] as [&str; 0]);
    for (place, value) in [
        ("/$schema", json!("/api/v1/schemas/Nothing.json")),
        ("/total", json!(1)),
        ("/has_more", json!(1)),
        ("/next_cursor", json!("")),
        ("/next_cursor", Value::Null),
        ("/users/0/email", json!("a@example.com")),
        ("/users/0/user_id", json!("")),
        ("/users/0/role", Value::Null),
        ("/users/0/display_name", Value::Null),
        ("/users/0/created_at", json!("yesterday")),
        ("/users/0/metadata/plan", json!("pro")),
        ("/users/0/metadata/custom/seats", json!(7)),
        ("/users/0/mood/valence", json!(1.5)),
        ("/users/0/mood/label", json!("joyful")),
        ("/users/0/mood/turns", json!(1)),
        ("/users/0/mood/agent_id", json!("not a uuid")),
        ("/users/0/mood", json!({})),
    ] {
        let mut bad = good.clone();
        let (parent, name) = place.rsplit_once('/').expect("a place");
        bad.pointer_mut(parent).expect("its parent")[name] = value;
        assert_ne!(faults(&bad), [] as [&str; 0], "{place}");
    }
}
