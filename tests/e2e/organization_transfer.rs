//! `/admin/v1/organizations/{organization_id}/export` and `import`, as a caller meets them.

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::Response;
use crate::respond::turn;
use crate::server::{expect, shared};

fn lines(response: &Response) -> Vec<Value> {
    assert_eq!((response.status, response.header("content-type")), (200, "application/x-ndjson"), "{response:?}");
    response.body.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn an_export_goes_on_from_a_place() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let ids: Vec<String> = (0..600).map(|number| format!("u{number:03}")).collect();
    for some in ids.chunks(500) {
        let users: Vec<Value> = some.iter().map(|id| json!({ "user_id": id })).collect();
        expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
    }
    let agent = make_agent(&client, "Tutor");
    turn(&client, &agent, "u007");
    expect(202, client.delete("/v1/end-users/u599"));
    let path = format!("{}/export", organization.path());
    let whole = lines(&server.admin().get(&path));
    let of = |kind: &str| -> Vec<&Value> { whole.iter().filter(|line| line["type"] == kind).collect() };
    assert_eq!((whole.first(), whole.last()), (of("organization").first().copied(), Some(&json!({ "type": "end" }))));
    let exported: Vec<&str> = of("end_user").iter().filter_map(|user| user["user_id"].as_str()).collect();
    assert_eq!(exported, ids[..599].iter().map(String::as_str).collect::<Vec<_>>(), "and not who is being erased");
    assert_eq!(
        (of("agent")[0]["agent_id"].as_str(), of("relationship")[0]["turns"].as_i64()),
        (Some(&*agent), Some(1))
    );
    // Whoever was cut off after a place goes on from it.
    let place = whole.iter().position(|line| line["type"] == "place").expect("a place");
    let cursor = whole[place]["cursor"].as_str().expect("a cursor");
    assert_eq!(lines(&server.admin().get(&format!("{path}?cursor={cursor}"))), whole[place + 1..]);
    // It is a place of this export alone.
    let other = server.organization();
    for path in [format!("{path}?mode=test&cursor={cursor}"), format!("{}/export?cursor={cursor}", other.path())] {
        assert_eq!(server.admin().get(&path).status, 400, "{path}");
    }
    assert_eq!(
        lines(&server.admin().get(&format!("{path}?mode=test")))
            .iter()
            .filter(|line| line["type"] == "end_user")
            .count(),
        0
    );
    assert_eq!(server.admin().get(&format!("{path}?mode=other")).status, 422);
}

#[test]
fn a_faulty_record_is_refused_in_its_place() {
    let server = shared();
    let organization = server.organization();
    let path = format!("{}/import", organization.path());
    let user = |user_id: &str, number: u8| {
        json!({ "type": "end_user", "user_id": user_id, "principal_id": format!("01890000-0000-7000-8000-0000000000{number:02}"),
                "display_name": null, "metadata": { "n": 9_007_199_254_740_993_i64 }, "created_at": "2020-01-02T03:04:05.678Z",
                "updated_at": "2021-01-02T03:04:05.678Z", "last_interaction_at": null })
    };
    let mut without = user("eve", 3);
    without.as_object_mut().expect("an object").remove("created_at");
    let mut unknown = user("eve", 3);
    unknown["status"] = json!("active");
    let relationship = json!({ "type": "relationship", "id": "x", "user_id": "ada", "agent_id": "y", "turns": -1,
                               "mood": { "levels": { "valence": 2 } }, "created_at": "yesterday" });
    let records =
        json!([user("ada", 1), user("ada", 2), user("bob", 1), without, unknown, relationship, { "type": "end" }, 7]);
    let answer = expect(200, server.admin().post(&path, &json!({ "records": records })));
    let statuses: Vec<&Value> = answer["results"].as_array().into_iter().flatten().map(|row| &row["status"]).collect();
    assert_eq!(json!(statuses), json!([201, 200, 422, 422, 422, 422, 422, 422]), "{answer}");
    assert_eq!((&answer["created"], &answer["existing"], &answer["failed"]), (&json!(1), &json!(1), &json!(6)));
    let message = answer["results"][5]["error"]["message"].as_str().expect("a message");
    for field in ["id", "agent_id", "turns", "mood", "created_at"] {
        assert!(message.contains(field), "{field} in {message}");
    }
    let client = server.client(&organization, "live", "read");
    let ada = expect(200, client.get("/v1/end-users/ada"));
    assert_eq!(
        (&ada["created_at"], &ada["updated_at"]),
        (&json!("2020-01-02T03:04:05.678Z"), &json!("2021-01-02T03:04:05.678Z"))
    );
    assert_eq!(ada["metadata"]["n"], json!(9_007_199_254_740_993_i64));
    let listed = expect(200, client.get("/v1/end-users?order_by=created_at&created_before=2020-06-01T00:00:00Z"));
    assert_eq!(listed["data"][0]["user_id"], "ada");

    let many: Vec<Value> = (0..501).map(|_| json!({ "type": "end" })).collect();
    for body in [
        json!({ "records": [] }),
        json!({ "records": many }),
        json!({ "records": {} }),
        json!({}),
        json!({ "records": [7], "mode": "x" }),
    ] {
        assert_eq!(server.admin().post(&path, &body).status, 422, "{body:.80}");
    }
    let absent = "/admin/v1/organizations/01M804B1R606XA6TPRTA9S55AC/import";
    assert_eq!(server.admin().post(absent, &json!({ "records": [user("ada", 1)] })).status, 404);
}
