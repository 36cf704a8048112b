//! Faults that deployments have and the local runtime has not. While a fault lasts, a mixed load gets right answers or
//! 503 with `Retry-After`; afterwards nothing is lost and nothing was done twice ([`crate::mixed_load`]).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock::{now_ms, set_ahead, set_speed};
use crate::edge_reads::{from_edge, near};
use crate::faults::{self, happened};
use crate::mixed_load::Load;
use crate::server::{Options, Server, expect, roomy};
use crate::stores::{changes_under_way, next_alarm_ms};
use crate::wait;

/// How many times as fast a server's clock runs where time has to pass.
const SPEED: u32 = 10;

fn server() -> Server {
    Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") })
}

/// A load, then the same load with these faults, which must happen, and at the end without them.
fn assert_survives(chances: &Value) {
    let server = server();
    let mut load = Load::new(&server);
    load.run(10);
    assert_eq!(load.answered(503), 0);
    let mut faults = chances.clone();
    // The generator never leaves 0.
    faults["seed"] = json!(load.seed % 0x7fff_ffff + 1);
    faults::set(&server, &faults);
    load.run(80);
    let mut none = json!({});
    for fault in chances.as_object().expect("faults").keys() {
        none[fault] = json!(0);
        let happened = happened(&server, fault);
        println!("{fault}: {happened} times");
        assert!(happened > 0, "{fault} never happened");
    }
    faults::set(&server, &none);
    load.assert_right(&server);
}

/// A deployment ends objects, and so does an error of the platform: between two calls, in a call before or after its
/// commit, and while flushes and other calls are under way.
#[test]
fn objects_that_end_at_random_lose_nothing_and_do_nothing_twice() {
    assert_survives(&json!({ "reset": 0.1 }));
}

/// The runtime repeats a call whose reply it has lost, and gives the second reply; or it gives up, and says that the
/// call may be repeated.
#[test]
fn calls_that_the_runtime_repeats_are_executed_once() {
    assert_survives(&json!({ "twice": 0.3, "lost": 0.1 }));
}

#[test]
fn an_object_that_turns_calls_away_is_503() {
    assert_survives(&json!({ "overloaded": 0.2 }));
}

#[test]
fn everything_at_once_loses_nothing() {
    assert_survives(&json!({ "reset": 0.05, "twice": 0.1, "lost": 0.05, "overloaded": 0.05 }));
}

/// Every query of D1 waits for a minute, and then fails.
#[test]
fn a_minute_without_an_answer_of_d1_holds_up_lists_and_nothing_else() {
    let server = server();
    let mut load = Load::new(&server);
    load.run(10);
    set_speed(&server, SPEED);
    let begun = Instant::now();
    faults::set(&server, &json!({ "d1": "hang" }));
    load.set_without_d1(true);
    let is_over = || begun.elapsed() * SPEED >= Duration::from_mins(1);
    while !is_over() {
        load.run(5);
    }
    assert!(happened(&server, "d1.hang") > 0);
    let listed = load.client().get("/v1/end-users");
    assert_eq!((listed.status, listed.header("retry-after")), (503, "1"), "{listed:?}");
    faults::set(&server, &json!({ "d1": false }));
    load.set_without_d1(false);
    load.run(10);
    load.assert_right(&server);
}

/// As on the free plan, when the day's writes are used up. Reads at the edge go on from the object.
#[test]
fn kv_beyond_its_quota_of_a_day_holds_nothing_up() {
    let server = server();
    let mut load = Load::new(&server);
    load.run(20);
    let near = near(load.client(), 5);
    let created = load.client().post("/v1/end-users", &json!({ "user_id": "near" }));
    assert_eq!(created.status, 201);
    from_edge(&near, "/v1/end-users/near");
    faults::set(&server, &json!({ "puts": 0 }));
    let puts = happened(&server, "kv.put");
    set_ahead(&server, Duration::from_mins(2));
    for index in 0..20 {
        expect(200, load.client().patch("/v1/end-users/near", &json!({ "metadata": { "number": index } })));
        expect(200, near.get("/v1/end-users/near"));
    }
    load.run(40);
    assert_eq!(load.answered(503), 0);
    wait::until("a write that KV refuses", || happened(&server, "kv.put"), |now| *now > puts);
    expect(202, load.client().delete("/v1/end-users/near"));
    faults::set(&server, &json!({ "puts": null }));
    load.assert_right(&server);
}

/// The platform tries an alarm six times, and then forgets it. The object sets another at the next call, although its
/// memory says that one is set: D1 is down at that call too, so only an alarm can bring the listing up to date.
#[test]
fn an_alarm_that_was_dropped_is_set_again() {
    let server = server();
    let mut load = Load::new(&server);
    load.run(20);
    faults::set(&server, &json!({ "alarms": true, "d1": true }));
    load.set_without_d1(true);
    load.run(20);
    wait::until("an alarm to be dropped", || happened(&server, "alarms"), |dropped| *dropped > 0);
    // The other mode's object has an alarm for its daily audit.
    let hour_ms = 3_600_000;
    let alarm_soon = || next_alarm_ms(server.state()).filter(|at_ms| *at_ms < now_ms() + hour_ms);
    wait::until("no alarm to be set", alarm_soon, Option::is_none);
    assert!(changes_under_way(server.state(), &load.tenant()) > 0);
    set_ahead(&server, Duration::from_mins(2));
    faults::set(&server, &json!({ "alarms": false }));
    expect(200, load.client().get("/v1/usage/turns"));
    wait::until("an alarm", alarm_soon, Option::is_some);
    faults::set(&server, &json!({ "d1": false }));
    let under_way = || changes_under_way(server.state(), &load.tenant());
    wait::until("the listing to catch up", under_way, |changes| *changes == 0);
    load.assert_right(&server);
}
