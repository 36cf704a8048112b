//! Limits that the operator sets again, and an object that starts anew afterwards.

use rollcall::directory::agent::AgentRef;
use rollcall::directory::api_key::Scope;
use rollcall::directory::identifiers::RelationshipId;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::organization::protocol::{Admit, Answer, Command, Denial, ReadUsage, Rejection, Settings};

use crate::tenant::{Object, settings, turn};

fn limits(requests_per_second: u32, burst: u32) -> Limits {
    Limits { requests_per_second, burst, ..Limits::default() }
}

fn configure(object: &mut Object, version: i64, limits: Limits) {
    let settings = Settings { version, ..settings(object.tenant, limits) };
    object.operator(Command::Configure(settings)).expect("an answer");
}

/// How many requests the bucket grants at this instant.
fn granted(object: &mut Object) -> u32 {
    let mut count = 0;
    loop {
        let reply = object.send(object.holder(Scope::Read), None, Command::Admit(Admit));
        match reply.outcome {
            Ok(_) => count += 1,
            Err(Rejection::Denied(Denial::RateLimited { .. })) => return count,
            other => panic!("{other:?}"),
        }
    }
}

/// A smaller bucket is empty no longer than it takes to fill, and a chunk; the debt of the larger one is forgotten.
#[test]
fn a_smaller_bucket_fills_in_its_own_time_after_a_restart() {
    let mut object = Object::new(1, limits(10, 1_000));
    assert_eq!(granted(&mut object), 1_000);
    configure(&mut object, 2, limits(10, 50));
    object.restart();
    assert_eq!(granted(&mut object), 0, "it was used up");
    // 50 tokens and a chunk of 5, at 10 a second.
    object.now_ms += 5_500;
    assert_eq!(granted(&mut object), 50);
}

/// A larger bucket has what is new, and what was left; a restart takes a chunk of it, and gives nothing back.
#[test]
fn a_larger_bucket_gives_nothing_twice_after_a_restart() {
    let mut object = Object::new(1, limits(10, 50));
    assert_eq!(granted(&mut object), 50);
    configure(&mut object, 2, limits(10, 100));
    object.restart();
    let first = granted(&mut object);
    assert!((40..=50).contains(&first), "{first}");
    object.restart();
    assert_eq!(granted(&mut object), 0);
    object.now_ms += 1_000;
    let next = granted(&mut object);
    assert!(first + next <= 60, "{first} and {next}: 50 that are new, and 10 of a second");
}

/// A faster bucket keeps how long its debt lasts.
#[test]
fn a_change_of_the_rate_keeps_how_long_the_debt_lasts_after_a_restart() {
    for (before, after) in [(10, 20), (20, 10)] {
        let mut object = Object::new(1, limits(before, 100));
        assert_eq!(granted(&mut object), 100);
        object.now_ms += 1_000;
        configure(&mut object, 2, limits(after, 100));
        object.restart();
        let debt_ms = (i64::from(100 / before) * 1_000 - 1_000).min(i64::from(100 / after) * 1_000);
        let free = 100_u32.saturating_sub(u32::try_from(debt_ms / 1_000).expect("seconds") * after);
        let chunk = 10;
        let found = granted(&mut object);
        assert!((free.saturating_sub(chunk)..=free).contains(&found), "from {before} to {after}: {found} of {free}");
    }
}

/// The object goes on with what is used, under the newest limits, whatever call comes late.
#[test]
fn a_quota_that_is_set_again_keeps_what_is_used_after_a_restart() {
    let turns = |turns_per_period: u64| Limits { turns_per_period, ..Limits::default() };
    let mut object = Object::new(1, turns(3));
    let agent = object.agent("tutor").agent.agent_id;
    let ada = UserId::new("ada").expect("an id");
    for _ in 0..3 {
        object.turn(agent, &ada, None);
    }
    let usage = |object: &mut Object| match object.operator(Command::ReadUsage(ReadUsage)) {
        Ok(Answer::ReadUsage(usage)) => (usage.quota.turns_used, usage.quota.turns_limit),
        other => panic!("{other:?}"),
    };
    let reserve = |object: &mut Object| {
        let relationship_id = RelationshipId::new(object.now(), object.bytes());
        object.operator(turn(AgentRef::Id(agent), ada.clone(), relationship_id))
    };
    for (version, limit, expected) in [(2, 5, 5), (3, 2, 2), (2, 9, 2), (3, 9, 2), (4, 4, 4)] {
        configure(&mut object, version, turns(limit));
        object.restart();
        assert_eq!(usage(&mut object), (3, expected));
        let is_over = expected <= 3;
        let outcome = reserve(&mut object);
        assert_eq!(matches!(outcome, Err(Rejection::OverQuota { .. })), is_over, "{outcome:?}");
        // So the next look finds no turn in progress.
        object.now_ms += 60_000;
    }
}
