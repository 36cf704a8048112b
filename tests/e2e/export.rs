//! `GET /v1/end-users/{user_id}/export` of a user about whom more is held than one message between the edge and the object
//! takes, which is 32 MiB.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::thread;

use serde_json::{Value, json};

use crate::capacity::{limit, organization};
use crate::client::Client;
use crate::delete_end_user::completed;
use crate::server::{expect, shared};
use crate::wait;

const USERS: &str = "/v1/end-users";
const EXPORT: &str = "/v1/end-users/ada/export";
/// Each holds the record of 16 KiB once more.
const ANSWERS: usize = 2_100;
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
const THREADS: usize = 8;

/// Has that many answers kept about one user, and returns one of them.
fn fill(client: &Client) -> Value {
    let around = json!({ "x": "" }).to_string().len();
    let new = json!({ "user_id": "ada", "metadata": { "x": "x".repeat(16 * 1024 - around) } });
    let keyed = |index: usize| client.clone().with_header("Idempotency-Key", &format!("key-{index}"));
    let first = expect(201, keyed(0).post(USERS, &new));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (new, keyed) = (&new, &keyed);
            scope.spawn(move || {
                for index in (1..ANSWERS).filter(|index| index % THREADS == thread) {
                    expect(200, keyed(index).post(USERS, new));
                }
            });
        }
    });
    first
}

#[test]
fn an_export_is_whole_or_cut_off_however_much_is_held() {
    let organization = organization(&json!({}));
    let client = shared().client(&organization, "live", "read_write");
    let first = fill(&client);
    expect(201, client.post(USERS, &json!({ "user_id": "bob" })));
    let small = client.get("/v1/end-users/bob/export");
    // Of a part for each token, the caller would not get the second.
    limit(&organization, &json!({ "requests_per_second": 1, "burst": 1 }));
    let whole = wait::until("the one token", || client.get(EXPORT), |response| response.status != 429);
    limit(&organization, &json!({ "requests_per_second": 100_000, "burst": 1_000_000 }));
    assert_eq!(whole.status, 200, "{:?}", whole.headers);
    let names = |response: &crate::client::Response| response.headers.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&whole), names(&small), "the same headers");
    assert!(whole.body.len() > MESSAGE_BYTES_MAX, "{} bytes", whole.body.len());
    let end = "],\"relationships\":[],\"owned_agents\":[],\"deletions\":[]}";
    assert!(whole.body.starts_with("{\"exported_at\":\"") && whole.body.ends_with(end) && small.body.ends_with(end));
    let document = whole.json();
    assert_eq!(document["end_user"], first);
    let kept = document["kept_answers"].as_array().expect("a list");
    assert!(kept.iter().all(|kept| kept["answer"] == first));
    let requests: BTreeSet<&str> = kept.iter().filter_map(|kept| kept["request_id"].as_str()).collect();
    assert_eq!((kept.len(), requests.len()), (ANSWERS, ANSWERS), "each once");

    let head = client.send("HEAD", EXPORT, None);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(names(&head), names(&whole));

    // The person is erased, and made anew, while the caller reads.
    let (head, mut body) = client.open_get(EXPORT);
    assert_eq!(head.status, 200);
    let mut read = vec![0; 1];
    body.read_exact(&mut read).expect("the beginning");
    let receipt = expect(202, client.delete("/v1/end-users/ada"));
    completed(&client, receipt["deletion_id"].as_str().expect("an id"));
    expect(201, client.post(USERS, &json!({ "user_id": "ada" })));
    let ended = body.read_to_end(&mut read);
    assert!(ended.is_err(), "a body of {} bytes ends as if it were whole", read.len());
    assert!(!read.ends_with(b"]}") && read.len() < whole.body.len());
    assert_eq!(expect(200, client.get(EXPORT))["kept_answers"], json!([]));
}
