//! `kill -9` while turns are in progress: no answered turn is lost, and none is counted twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::Client;
use crate::ending::EndWith;
use crate::metering::{is_replayed, server, turns_of_relationships};
use crate::respond::{PATH, assert_error, race, used};
use crate::server::Server;
use crate::stores::reserved_turns;
use crate::streaming::{Events, assert_metadata, delta, hear, stepwise};
use crate::upstream::{Behaviour, Upstream};
use crate::wait;

const ROUNDS: usize = 20;
const WRITERS: usize = 8;
const USERS: usize = 20;
/// The first round takes at least this many answers, and each later round takes more.
const ANSWERS_MIN: usize = 30;
const ANSWERS_MORE: usize = 5;
/// Reservations last half a minute longer.
const BUDGET_MS: u32 = 10_000;
const EXPIRY: Duration = Duration::from_millis(BUDGET_MS as u64 + 30_000);

/// A turn under a key of its own.
#[derive(Debug, Clone)]
struct Keyed {
    key: String,
    body: Value,
}

impl Keyed {
    fn ask(&self, client: &Client) -> Result<crate::client::Response, ureq::Error> {
        let asking = client.clone().with_header("Idempotency-Key", &self.key);
        asking.try_send("POST", PATH, Some(("application/json", self.body.to_string().as_bytes())))
    }
}

#[derive(Default)]
struct Taken {
    /// Turns with their received answers.
    answered: Vec<(Keyed, String)>,
    /// Turns in progress when the runtime was killed.
    unknown: Vec<Keyed>,
}

/// Takes turns in parallel, and kills the runtime meanwhile.
fn take_until_killed(server: &Server, key: &str, agent: &str, round: usize) -> Taken {
    let taken = Mutex::new(Taken::default());
    let killed = AtomicBool::new(false);
    thread::scope(|scope| {
        let end = EndWith(&killed);
        for writer in 0..WRITERS {
            let (client, taken, killed) = (server.with_key(key), &taken, &killed);
            scope.spawn(move || {
                for index in 0.. {
                    let user = format!("user {}", (index * WRITERS + writer) % USERS);
                    let key = format!("r{round}-w{writer}-{index}");
                    let body = json!({ "message": key, "personality_id": agent, "user_id": user });
                    let turn = Keyed { key, body };
                    match turn.ask(&client) {
                        Ok(response) if response.status == 200 => {
                            assert!(!is_replayed(&response), "{response:?}");
                            taken.lock().expect("the turns").answered.push((turn, response.body));
                        }
                        // The kill may come just before the flag is set.
                        _ => {
                            taken.lock().expect("the turns").unknown.push(turn);
                            if killed.load(Ordering::SeqCst) {
                                return;
                            }
                        }
                    }
                    if killed.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        // Each round kills at another moment, in the middle of turns.
        let least = ANSWERS_MIN + ANSWERS_MORE * round;
        let answered = || taken.lock().expect("the turns").answered.len();
        wait::until(&format!("{least} answers"), answered, |answered| *answered >= least);
        drop(end);
        server.kill();
    });
    taken.into_inner().expect("the turns")
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).expect("few")
}

#[test]
fn no_turn_is_lost_or_counted_twice_by_kill_9() {
    let upstream = Upstream::start();
    upstream.otherwise(|_| Behaviour::Slow(Duration::from_millis(Rng::new().u64(..40))));
    let mut server = server(&upstream, BUDGET_MS);
    let organization = server.organization_with_quota(1_000_000, 1_000);
    let issued = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "name": "k" }));
    let key = issued["key"].as_str().expect("a key").to_owned();
    let agent = make_agent(&server.with_key(&key), "Sturdy");
    let mut all = Taken::default();
    for round in 0..ROUNDS {
        let taken = take_until_killed(&server, &key, &agent, round);
        server.restart();
        let client = server.with_key(&key);
        all.answered.extend(taken.answered.iter().cloned());
        all.unknown.extend(taken.unknown);
        let (turns, active) = used(&client);
        let (least, most) = (count(&all.answered), count(&all.answered) + count(&all.unknown));
        assert!((least..=most).contains(&turns), "round {round}: {turns} counted, not {least} to {most}");
        assert_eq!(turns_of_relationships(&client), turns, "round {round}");
        assert!(active <= u64::try_from(USERS).expect("few"));
        // Every turn that was answered in this round gets the same answer again, and is not counted again.
        race(WRITERS, taken.answered.len().div_ceil(WRITERS), |index| {
            let (turn, answer) = &taken.answered[index % taken.answered.len()];
            let again = turn.ask(&client).expect("an answer");
            assert!(again.status == 200 && is_replayed(&again) && again.body == *answer, "{turn:?}: {again:?}");
            again
        });
        assert_eq!(used(&client), (turns, active), "round {round}: a replay counts nothing");
    }
    let client = server.with_key(&key);
    let tenant = format!("{}/live", organization.id);
    let (turns, active) = used(&client);
    let left = reserved_turns(server.state(), &tenant);
    // No request arrives: the object sweeps by its alarm.
    let started = Instant::now();
    assert_swept(&server, &tenant);
    let swept_after = started.elapsed();
    assert_eq!(used(&client), (turns, active), "what expires is not counted");
    // A key whose turn was counted is replayed. Any other is executed now.
    let fresh = all.unknown.iter().filter(|turn| {
        let again = turn.ask(&client).expect("an answer");
        assert_eq!(again.status, 200, "{again:?}");
        !is_replayed(&again)
    });
    let fresh = u64::try_from(fresh.count()).expect("few");
    let (answered, unknown) = (count(&all.answered), count(&all.unknown));
    println!(
        "{ROUNDS} kills: {answered} turns answered, {unknown} under way at a kill, {} of them counted; {turns} counted, \
         {active} active relationships; {left} reservations were left and gone {} ms later",
        unknown - fresh,
        swept_after.as_millis()
    );
    assert_eq!(turns, answered + unknown - fresh);
    assert_eq!(used(&client), (answered + unknown, active), "every key is counted once");
    assert_eq!(turns_of_relationships(&client), answered + unknown);
    assert_eq!(reserved_turns(server.state(), &tenant), 0);
}

/// Waits until no reservation is left.
fn assert_swept(server: &Server, tenant: &str) {
    let left = || reserved_turns(server.state(), tenant);
    wait::until_within(EXPIRY + wait::LIMIT, "the last reservation to expire", left, |left| *left == 0);
}

/// The caller receives part of an answer that a kill cuts short. The turn is not counted, and the same key then
/// gets a whole answer.
#[test]
fn a_stream_that_kill_9_ends_is_not_counted() {
    let upstream = Upstream::start();
    let mut server = server(&upstream, BUDGET_MS);
    let organization = server.organization();
    let tenant = format!("{}/live", organization.id);
    let mut client = server.client(&organization, "live", "read_write").with_header("Idempotency-Key", "k");
    let agent = make_agent(&server.client(&organization, "live", "read_write"), "Sturdy");
    let body = json!({ "message": "hi", "personality_id": agent, "user_id": "ada", "stream": true });
    let words = ["I", "am", "still", "speaking"];
    let permit = stepwise(&upstream, &words);
    let reserved_after = Instant::now();
    let mut events = Events::open(&client, &body);
    assert_metadata(&events.next().expect("an event"), &Value::Null);
    hear(&mut events, &permit, &words[..2]);
    assert_eq!(reserved_turns(server.state(), &tenant), 1);
    server.kill_and_restart();
    drop((events, permit));
    client.move_to(server.url());
    assert_eq!(reserved_turns(server.state(), &tenant), 1, "a reservation outlives the kill");
    assert_eq!(used(&client), (0, 0));
    assert_error(&client.post(PATH, &body), 409, "idempotency_in_flight", "conflict");
    assert_swept(&server, &tenant);
    let swept_after = reserved_after.elapsed();
    println!("a reservation for {EXPIRY:.1?} was swept after {swept_after:.1?}");
    assert!(swept_after >= EXPIRY, "it was swept before its expiry, after {swept_after:?}");
    assert_eq!(used(&client), (0, 0), "what expires is not counted");

    upstream.next(Behaviour::say("All of it."));
    let mut again = Events::open(&client, &body);
    assert!(!is_replayed(&again.head), "{:?}", again.head);
    let all: Vec<Value> = std::iter::from_fn(|| again.next()).collect();
    let [_, texts @ .., completion] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(texts.iter().map(delta).collect::<String>(), "All of it.");
    assert_eq!((&completion["type"], used(&client)), (&json!("completion"), (1, 1)));
    for _ in 0..2 {
        let replayed = Events::open(&client, &body);
        assert!(is_replayed(&replayed.head), "{:?}", replayed.head);
    }
    assert_eq!((used(&client), upstream.asked().len()), ((1, 1), 2));
    assert_eq!(turns_of_relationships(&client), 1);
}
