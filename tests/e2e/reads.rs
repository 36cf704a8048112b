//! No read is older than what was acknowledged, and no tag comes twice for a user.

use std::collections::HashSet;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::server::{expect, shared};

const WRITERS: usize = 4;
const USERS_EACH: usize = 30;
const STEPS_EACH: usize = 1_500;

/// The seed of a run: a new one, or an earlier run's to repeat it.
fn seed() -> u64 {
    match std::env::var("ROLLCALL_SEED") {
        Ok(text) => text.parse().expect("ROLLCALL_SEED is a number"),
        Err(_) => fastrand::u64(..),
    }
}

#[test]
fn no_read_is_older_than_what_was_acknowledged() {
    let seed = seed();
    println!("ROLLCALL_SEED={seed}");
    let client = shared().new_client();
    let started = Instant::now();
    let writers: Vec<Writer<'_>> = thread::scope(|scope| {
        let run = |index: usize| {
            let client = &client;
            let random = fastrand::Rng::with_seed(seed.wrapping_add(index as u64));
            scope.spawn(move || {
                let mut writer = Writer::new(client, index, random);
                (0..STEPS_EACH).for_each(|_| writer.step());
                writer
            })
        };
        let threads: Vec<_> = (0..WRITERS).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("a writer")).collect()
    });
    let elapsed = started.elapsed();
    let gets: usize = writers.iter().map(|writer| writer.gets).sum();
    let found: usize = writers.iter().map(|writer| writer.found).sum();
    let written: usize = writers.iter().map(|writer| writer.writes).sum();
    let remade: usize = writers.iter().map(|writer| writer.remade).sum();
    println!(
        "{written} writes, of which {remade} made an erased id again; {found} of {gets} GETs found a user, in {elapsed:.1?}"
    );
    assert!(found > 0 && remade > 0, "users were found, and ids were made again");
}

/// The users of one thread. No other thread changes them, so the test knows their exact state.
struct Writer<'a> {
    client: &'a Client,
    random: fastrand::Rng,
    users: Vec<User>,
    counter: u64,
    gets: usize,
    found: usize,
    writes: usize,
    remade: usize,
}

struct User {
    id: String,
    state: State,
    /// Every acknowledged tag. No tag may come again for another state.
    tags: HashSet<String>,
}

/// The state after the last acknowledged write.
enum State {
    Absent,
    Active {
        tag: String,
        record: Value,
    },
    /// The erasure completes at some moment from now on.
    Deleting {
        deletion_id: Value,
    },
}

impl<'a> Writer<'a> {
    fn new(client: &'a Client, index: usize, random: fastrand::Rng) -> Self {
        let user = |number| User { id: format!("w{index}-u{number:02}"), state: State::Absent, tags: HashSet::new() };
        let users = (0..USERS_EACH).map(user).collect();
        Self { client, random, users, counter: 0, gets: 0, found: 0, writes: 0, remade: 0 }
    }

    fn step(&mut self) {
        let index = self.random.usize(..self.users.len());
        match self.random.u32(..100) {
            0..60 => self.get(index),
            60..80 => self.patch(index),
            80..88 => self.delete(index),
            _ => self.create(index),
        }
    }

    /// Metadata that is unique among this thread's writes.
    fn next_metadata(&mut self) -> Value {
        self.counter += 1;
        self.writes += 1;
        json!({ "n": self.counter })
    }

    fn get(&mut self, index: usize) {
        let user = &mut self.users[index];
        let read = self.client.get(&format!("/v1/end-users/{}", user.id));
        self.gets += 1;
        self.found += usize::from(read.status == 200);
        match &user.state {
            State::Absent => assert_eq!(read.status, 404, "{read:?}"),
            State::Active { tag, record } => {
                let mut expected = record.clone();
                expected["relationships"] = json!([]);
                expected["relationships_has_more"] = json!(false);
                assert_eq!((read.status, &read.json()), (200, &expected), "{read:?}");
                assert_eq!(read.header("etag"), tag);
            }
            State::Deleting { .. } if read.status == 404 => user.state = State::Absent,
            State::Deleting { .. } => {
                assert_eq!(read.status, 200, "{read:?}");
                assert_eq!(read.json()["status"], "deletion_pending", "{read:?}");
            }
        }
    }

    fn patch(&mut self, index: usize) {
        let metadata = self.next_metadata();
        let user = &mut self.users[index];
        let patched = self.client.patch(&format!("/v1/end-users/{}", user.id), &json!({ "metadata": metadata }));
        match &user.state {
            State::Active { record, .. } => {
                assert!(patched.json()["version"].as_u64() > record["version"].as_u64());
                user.acknowledge(200, &patched, &metadata);
            }
            State::Absent => assert_eq!(patched.status, 404, "{patched:?}"),
            State::Deleting { .. } if patched.status == 404 => user.state = State::Absent,
            State::Deleting { .. } => assert_eq!(patched.status, 409, "{patched:?}"),
        }
    }

    fn delete(&mut self, index: usize) {
        let user = &mut self.users[index];
        let deleted = self.client.delete(&format!("/v1/end-users/{}", user.id));
        self.writes += 1;
        match &user.state {
            State::Absent => assert_eq!(deleted.status, 404, "{deleted:?}"),
            State::Active { .. } => {
                let deletion_id = expect(202, deleted)["deletion_id"].clone();
                user.state = State::Deleting { deletion_id };
            }
            State::Deleting { .. } if deleted.status == 404 => user.state = State::Absent,
            State::Deleting { deletion_id } => assert_eq!(&expect(202, deleted)["deletion_id"], deletion_id),
        }
    }

    fn create(&mut self, index: usize) {
        let metadata = self.next_metadata();
        let user = &mut self.users[index];
        let created = self.client.post("/v1/end-users", &json!({ "user_id": user.id, "metadata": metadata }));
        match &user.state {
            State::Active { tag, record } => {
                assert_eq!((created.status, &created.json()), (200, record), "{created:?}");
                assert_eq!(created.header("etag"), tag);
            }
            State::Deleting { .. } if created.status == 409 => {
                assert_eq!(created.json()["error"]["code"], "deletion_pending");
            }
            State::Absent | State::Deleting { .. } => {
                self.remade += usize::from(!user.tags.is_empty());
                user.acknowledge(201, &created, &metadata);
            }
        }
    }
}

impl User {
    /// Records the answer to a write of this metadata.
    fn acknowledge(&mut self, status: u16, answer: &Response, metadata: &Value) {
        assert_eq!(answer.status, status, "{answer:?}");
        let (tag, record) = (answer.header("etag").to_owned(), answer.json());
        assert_eq!((&record["metadata"], &record["status"]), (metadata, &json!("active")), "{answer:?}");
        assert!(self.tags.insert(tag.clone()), "a tag of an earlier state came again: {answer:?}");
        self.state = State::Active { tag, record };
    }
}
