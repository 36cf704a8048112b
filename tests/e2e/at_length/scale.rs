//! The bound on the work of one page, with 50,000 users.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Options, Server, expect, roomy};
use crate::stores::Store;

const USERS: usize = 50_000;
const BATCH: usize = 500;
/// Longest time in which the listing catches up.
const FLUSH_LIMIT: Duration = Duration::from_mins(15);

#[test]
fn the_first_and_the_last_page_read_101_rows() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    for first in (0..USERS).step_by(BATCH) {
        let users: Vec<Value> =
            (first..first + BATCH).map(|index| json!({ "user_id": format!("user-{index:06}") })).collect();
        let batch = expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
        assert_eq!(batch["created"], BATCH);
    }
    Store::D1.assert_users_within(
        FLUSH_LIMIT,
        server.state(),
        &format!("{}/live", organization.id),
        i64::try_from(USERS).expect("a count"),
    );
    // Drops the log lines of the creations.
    drop(server.log_lines());
    let page = |query: &str| {
        let response = client.get(&format!("/v1/end-users?limit=100{query}"));
        let rows_read = server.log_line(response.header("x-request-id"))["rowsRead"].as_u64().expect("rowsRead");
        let page = expect(200, response);
        assert_eq!(page["data"].as_array().map(Vec::len), Some(100));
        (page, rows_read)
    };
    let (first, first_rows) = page("");
    assert_eq!(first["data"][0]["user_id"], "user-000000");
    assert_eq!(first_rows, 101, "100 and the one that tells of more");
    let (mut last, mut last_rows, mut pages) = (first, first_rows, 1);
    while let Some(cursor) = last["next_cursor"].as_str().map(str::to_owned) {
        (last, last_rows) = page(&format!("&cursor={cursor}"));
        assert!(last_rows <= 101);
        pages += 1;
        assert!(pages * 100 <= USERS, "there is no end to the pages");
    }
    assert_eq!(pages * 100, USERS);
    assert_eq!(last["data"][99]["user_id"], format!("user-{:06}", USERS - 1));
    println!("{USERS} users, pages of 100: the first read {first_rows} rows, the last {last_rows}");
    let (_, newest_rows) = page("&order=desc");
    assert_eq!(newest_rows, 101);
    let (_, by_creation_rows) = page("&order_by=created_at&order=desc");
    println!("by creation, newest first: {by_creation_rows} rows");
    assert!(by_creation_rows <= 202, "an index row and a record each");
}
