//! `kill -9` under a load of all kinds of requests ([`crate::mixed_load`]). `ROLLCALL_KILLS` says how often.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;

use crate::client::Client;
use crate::ending::EndWith;
use crate::mixed_load::Load;
use crate::server::{Options, Server, roomy};
use crate::wait;

const ROUNDS_DEFAULT: u32 = 20;
/// What each caller sends in a round, and the most answers before the kill: less than all callers send.
const REQUESTS_EACH: usize = 40;
const ANSWERS_MAX: u64 = 120;
/// So slow that the test notices a bucket that forgets its grants at a kill.
const RATE: u64 = 1;
const BURST: u64 = 50;
/// Several times what a round takes on a busy machine.
const LIMIT_OF_ROUND: Duration = Duration::from_mins(1);

fn rounds() -> u32 {
    std::env::var("ROLLCALL_KILLS").map_or(ROUNDS_DEFAULT, |text| text.parse().expect("ROLLCALL_KILLS is a number"))
}

/// In each round the runtime is killed at a random moment and started again on the same state, while the callers send
/// on. What was acknowledged is there, what was erased stays erased, and what got no answer was done or not: the callers
/// repeat it under its key, and it has one effect. Another organization is asked all the time, and its bucket never admits
/// more than `burst + rate·t`.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_done_twice_by_kill_9() {
    let rounds = rounds();
    wait::limit_test_to(wait::LIMIT_OF_TEST + LIMIT_OF_ROUND * rounds);
    let mut server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let limited = server.organization_with(&json!({ "requests_per_second": RATE, "burst": BURST }));
    let hammer = server.client(&limited, "live", "read_write");
    let mut load = Load::new(&server);
    load.expect_kills();
    let mut random = Rng::with_seed(load.seed);
    let (client, answers) = (load.client().clone(), load.answers());
    let (started, mut admitted, mut under_way) = (Instant::now(), 0, 0);
    for _ in 0..rounds {
        let before = answers.load(Ordering::Relaxed);
        let least = before + random.u64(1..ANSWERS_MAX);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let end = EndWith(&is_over);
            let running = scope.spawn(|| load.run(REQUESTS_EACH));
            let hammering = scope.spawn(|| hammer_until(&hammer, &is_over));
            wait::until("the moment of the kill", || answers.load(Ordering::Relaxed), |answers| *answers >= least);
            server.kill();
            under_way += u32::from(!running.is_finished());
            server.restart();
            client.move_all_to(server.url());
            hammer.move_all_to(server.url());
            running.join().expect("the load");
            drop(end);
            admitted += hammering.join().expect("the hammer");
        });
        load.assert_nothing_lost();
    }
    assert_eq!(under_way, rounds, "each kill came while requests were under way");
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).expect("a short test");
    let bound = BURST + RATE * elapsed_ms / 1_000 + 1;
    println!("{rounds} kills; {admitted} admitted by the small bucket, bound {bound}");
    assert!(admitted <= bound && admitted > 0);
    load.assert_right(&server);
}

/// Sends requests as fast as it can, and returns how many were admitted.
fn hammer_until(client: &Client, is_over: &AtomicBool) -> u64 {
    let mut admitted = 0;
    while !is_over.load(Ordering::SeqCst) {
        let answer = client.try_send("GET", "/v1/end-users/nobody", None);
        admitted += u64::from(answer.is_ok_and(|response| response.status == 404));
    }
    admitted
}
