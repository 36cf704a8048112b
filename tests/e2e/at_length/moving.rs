//! `cargo xtask export` and `cargo xtask import`: an organization moves into another deployment, although both commands
//! are killed and started again.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::served::ADMIN_TOKEN;

use super::Running;
use crate::agents::{PATH as AGENTS, make_agent};
use crate::respond::turn;
use crate::server::{Options, Organization, Server, expect, roomy};
use crate::wait;

/// People of the organization: more than one answer of an export has. `ROLLCALL_MOVED` changes it.
const PEOPLE: usize = 21_000;
const BATCH: usize = 500;
/// People with a relationship.
const RELATED: usize = 40;
const LIMIT: Duration = Duration::from_mins(15);

fn start(server: &Server, arguments: &[&str]) -> Running {
    super::start(server, arguments, (ADMIN_TOKEN, server.admin_token()))
}

/// Starts the command, kills it when the file is so long, and lets it go on to its end.
fn run_killed(server: &Server, arguments: &[&str], grown: &Path, bytes: &[u64]) {
    for bytes in bytes {
        let mut running = start(server, arguments);
        let length = || {
            let ended = running.0.try_wait().expect("the command");
            (ended.is_some(), grown.metadata().map(|file| file.len()).unwrap_or_default())
        };
        wait::until_within(LIMIT, "the file to grow", length, |(ended, length)| *ended || length >= bytes);
    }
    let status = start(server, arguments).0.wait().expect("the command");
    assert!(status.success(), "{arguments:?}: {status}");
}

fn lived(server: &Server, people: usize) -> Organization {
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    for first in (0..people).step_by(BATCH) {
        let user = |number: usize| {
            json!({ "user_id": format!("person/{number} 🦀"), "display_name": format!("P{number}"),
                    "metadata": { "number": number, "large": 9_007_199_254_740_993_u64 } })
        };
        let users: Vec<Value> = (first..people.min(first + BATCH)).map(user).collect();
        let made = expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
        assert_eq!(made["created"], users.len());
    }
    let agents = ["Tutor", "Coach"].map(|name| make_agent(&client, name));
    for number in 0..RELATED {
        turn(&client, &agents[number % 2], &format!("person/{number} 🦀"));
    }
    let felt = json!({ "message": "hi", "user_id": "person/1 🦀", "personality_id": agents[0],
                       "affect": { "valence": 0.5, "arousal": -0.25 } });
    expect(200, client.post("/v1/respond", &felt));
    let service = server.service(&organization, "live", "read_write");
    let owner = expect(200, service.get("/api/v1/principals/by-external-id/person%2F1%20%F0%9F%A6%80"));
    let change = json!({ "owner_principal_id": owner["result"]["id"] });
    expect(200, service.patch(&format!("/api/v1/principals/{}", agents[0]), &change));
    organization
}

fn records(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("an export");
    let is_record = |line: &&str| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        ["end_user", "agent", "relationship"].contains(&value["type"].as_str().expect("a type"))
    };
    assert!(text.ends_with("{\"type\":\"end\"}\n"), "it is whole");
    text.lines().filter(is_record).map(ToOwned::to_owned).collect()
}

#[test]
fn an_organization_moves_into_another_deployment() {
    let people = std::env::var("ROLLCALL_MOVED").map_or(PEOPLE, |people| people.parse().expect("a number"));
    let [from, to] = [(); 2].map(|()| Server::start(Options { vars: roomy(), entry: None }));
    let organization = lived(&from, people);
    let file = from.state().join("export.ndjson");
    let path = file.to_str().expect("a path");
    let part = 1024 * 1024;
    run_killed(&from, &["export", &organization.id, path], &file, &[part / 2, part + part / 2]);
    let exported = records(&file);
    assert_eq!(exported.len(), people + 2 + RELATED + 1);

    run_killed(&to, &["import", path], Path::new(&format!("{path}.progress")), &[1, 1]);
    let organizations = expect(200, to.admin().get("/admin/v1/organizations"));
    let made: Vec<&Value> = organizations["data"].as_array().into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "the import makes one organization, however often it is killed");
    assert_eq!(made[0]["name"], expect(200, from.admin().get(&organization.path()))["name"]);

    let back = to.state().join("export.ndjson");
    let id = made[0]["id"].as_str().expect("an id");
    run_killed(&to, &["export", id, back.to_str().expect("a path")], &back, &[]);
    assert_eq!(records(&back), exported, "record by record");

    // It is served like any other.
    let moved = Organization { id: id.to_owned() };
    let client = to.client(&moved, "live", "read");
    let ada = expect(200, client.get("/v1/end-users/person%2F1%20%F0%9F%A6%80"));
    assert_eq!((&ada["metadata"]["number"], &ada["relationships"][0]["turns"]), (&json!(1), &json!(1)));
    let look = || client.get("/v1/end-users?order_by=created_at&limit=1");
    wait::until_within(LIMIT, "the listing to catch up", look, |response| response.status == 200);
    assert_eq!(expect(200, client.get(AGENTS))["total_count"], 2);
    println!("{} records moved, each command killed twice", exported.len());
}
