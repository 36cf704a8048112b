//! How often the edge tries, and how long it waits: the shipped pipeline, with a clock that moves with each pause and objects
//! that answer what a test says.

use futures_util::StreamExt as _;
use rollcall::directory::deletion::Erased;
use rollcall::directory::identifiers::{DeletionId, OrganizationId, Tenant};
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::http::response::{Content, Response};
use rollcall::edge::runtime::CallError;
use rollcall::edge::scheduled;
use rollcall::organization::protocol::{
    Answer, Call, Caller, ClosingProgress, Denial, ExportList, ExportPlace, ExportedPart, Outcome, Rejection, Resource,
};
use rollcall::projection::Statement;

use crate::audit::ready;
use crate::edge::{Edge, Request, header, organize};
use crate::tenant::START_MS;

/// What every object answers.
type ObjectAnswer = fn(Tenant, Call) -> Result<Outcome, CallError>;

fn failed(retryable: bool, overloaded: bool) -> Result<Outcome, CallError> {
    Err(CallError { overloaded, retryable, message: "lost".to_owned() })
}

/// A request whose object answers late is refused after requests that came later. The bucket of the client's address goes by
/// the time of the refusal. By the time of the request it would lack what has flowed back since.
#[test]
fn a_refusal_that_comes_late_finds_the_bucket_as_it_is() {
    let edge = Edge::new(|_, _| Ok(Err(Rejection::Denied(Denial::InvalidKey))));
    edge.now_ms.set(START_MS + 12_000);
    assert_eq!(edge.serve(&Request::new("GET", "/v1/end-users/ada", "").by_nobody()).status, 401);
    edge.now_ms.set(START_MS);
    edge.call_takes_ms.set(12_000);
    assert_eq!(edge.serve(&Request::new("GET", "/v1/end-users/ada", "")).status, 401);
}

/// A call that was lost is repeated once, if nothing happens twice by it and the object is not overloaded.
#[test]
fn a_lost_call_is_repeated_once_at_most() {
    let read = Request::new("GET", "/v1/end-users/ada", "");
    let create = Request::new("POST", "/v1/end-users", "{\"user_id\":\"ada\"}");
    let change = Request::new("PATCH", "/v1/end-users/ada", "{\"metadata\":{}}");
    let lost: ObjectAnswer = |_, _| failed(true, false);
    let late: ObjectAnswer = |_, _| failed(false, false);
    let overloaded: ObjectAnswer = |_, _| failed(true, true);
    for (answer, request, calls, retry_after) in [
        (lost, &read, 2, "1"),
        (lost, &create, 2, "1"),
        (lost, &change, 1, "1"),
        (late, &read, 1, "1"),
        (overloaded, &read, 1, "5"),
    ] {
        let edge = Edge::new(answer);
        let response = edge.serve(request);
        assert_eq!((response.status, header(&response, "Retry-After")), (503, Some(retry_after)), "{}", request.method);
        let repeated: Vec<bool> = edge.calls.borrow().iter().map(|(_, call)| call.repeated).collect();
        assert_eq!(repeated, [false, true][..calls], "{}", request.method);
    }
}

/// The runtime repeats a call by itself for some time. What fails after that has been repeated.
#[test]
fn a_call_that_was_lost_late_is_not_repeated() {
    for (call_takes_ms, calls) in [(2_000, 2), (2_001, 1)] {
        let edge = Edge::new(|_, _| failed(true, false));
        edge.call_takes_ms.set(call_takes_ms);
        assert_eq!(edge.serve(&Request::new("GET", "/v1/end-users/ada", "")).status, 503);
        assert_eq!(edge.calls(), calls, "after {call_takes_ms} ms");
    }
}

/// A request that finds the same turn in progress asks for it again, less and less often, without a token, and gives up.
#[test]
fn a_request_waits_for_anothers_turn_for_25_seconds() {
    let edge = Edge::new(|_, _| Ok(Err(Rejection::IdempotencyInFlight)));
    let response =
        edge.serve(&Request::new("POST", "/v1/respond", "{\"message\":\"hi\",\"personality_id\":\"tutor\"}"));
    assert_eq!((response.status, header(&response, "Retry-After")), (409, Some("1")));
    let calls = edge.calls.borrow();
    let asked_ms: Vec<i64> = calls.iter().map(|(at_ms, _)| at_ms - START_MS).collect();
    let pauses: Vec<i64> = asked_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..3], [200, 400, 800]);
    assert!(pauses[3..].iter().all(|pause| *pause == 1_000), "{pauses:?}");
    let [.., before, last] = asked_ms[..] else { panic!("{asked_ms:?}") };
    assert!(before < 25_000 && (25_000..26_000).contains(&last), "{asked_ms:?}");
    let cost = |call: &Call| match call.caller {
        Caller::Key { cost, .. } => cost,
        Caller::Operator(_) => 0,
    };
    assert_eq!(calls.iter().map(|(_, call)| cost(call)).sum::<u32>(), 1);
}

#[test]
fn a_tick_begins_at_most_a_hundred_audits() {
    let edge = Edge::new(|_, _| Ok(Ok(Answer::StartAudit(None))));
    organize(&edge, 101);
    let begun = || {
        ready(scheduled::tick(&edge));
        (edge.calls(), edge.count("organizations WHERE live_audited_at > 0"))
    };
    // Both objects of each are called.
    assert_eq!([begun(), begun(), begun()], [(200, 100), (202, 101), (202, 101)]);
}

/// The others are told at the next tick, and it is told again after an hour.
#[test]
fn an_object_that_cannot_be_reached_holds_no_other_up() {
    let edge = Edge::new(|_, _| failed(false, false));
    organize(&edge, 101);
    let calls_at = |minutes: i64| {
        edge.now_ms.set(START_MS + minutes * 60_000);
        ready(scheduled::tick(&edge));
        edge.calls()
    };
    assert_eq!([calls_at(0), calls_at(15), calls_at(59), calls_at(60)], [100, 101, 101, 201]);
}

#[test]
fn an_object_that_has_not_audited_itself_for_26_hours_is_told_to() {
    const OVERDUE_MS: i64 = 26 * 60 * 60 * 1_000;
    let edge = Edge::new(|_, _| Ok(Ok(Answer::StartAudit(None))));
    organize(&edge, 1);
    edge.listing.execute(&format!("UPDATE organizations SET live_audited_at = {START_MS}"));
    edge.listing.execute(&format!("UPDATE organizations SET test_audited_at = {}", START_MS + 1));
    let calls_at = |millis: i64| {
        edge.now_ms.set(START_MS + millis);
        ready(scheduled::tick(&edge));
        edge.calls()
    };
    assert_eq!([calls_at(OVERDUE_MS - 1), calls_at(OVERDUE_MS)], [0, 2]);
}

#[test]
fn a_tick_goes_on_with_at_most_a_hundred_deletions() {
    let edge = Edge::new(|_, _| {
        let now = Timestamp::from_millis(START_MS);
        Ok(Ok(Answer::Close(ClosingProgress { completed_at: Some(now), erased: Erased::default() })))
    });
    let now = Timestamp::from_millis(START_MS);
    for number in 0..101_u8 {
        let insert =
            "INSERT INTO organization_deletions (deletion_id, organization_id, requested_at) VALUES (?1, ?2, ?3)";
        let deletion_id = DeletionId::new(now, [number; 10]).to_string();
        let organization_id = OrganizationId::new(now, [number; 10]).to_string();
        let row = Statement::new(insert, [deletion_id.into(), organization_id.into(), now.to_string().into()]);
        edge.listing.batch(&[row]).expect("a deletion");
    }
    let completed = || {
        ready(scheduled::tick(&edge));
        edge.count("organization_deletions WHERE completed_at IS NOT NULL")
    };
    assert_eq!([completed(), completed()], [100, 101]);
}

/// Another request changes the organization between each look at it and each change.
#[test]
fn a_change_of_an_organization_is_tried_five_times() {
    let edge = Edge::new(|_, _| Ok(Err(Rejection::NotFound(Resource::Organization))));
    let organizations = organize(&edge, 1);
    edge.listing.execute("UPDATE organizations SET version = 2");
    let path = format!("/admin/v1/organizations/{}", organizations[0].id);
    let response = edge.serve(&Request::new("PATCH", &path, "{\"name\":\"Other\"}").by_operator());
    assert_eq!((response.status, edge.replacements.get(), edge.calls()), (409, 5, 0));
}

/// A part of an export that never ends.
fn part() -> Answer {
    let list = ExportList::KeptAnswers { after: 7 };
    let exported_at = Timestamp::from_millis(START_MS);
    let next = Some(ExportPlace { user: 1, exported_at, last_answer: 9, last_change: 9, list });
    Answer::ExportPart(ExportedPart { text: "x".to_owned(), next })
}

/// So the edge holds no more than one part.
#[test]
fn an_export_asks_for_a_part_when_the_one_before_is_taken() {
    let edge = Edge::new(|_, _| Ok(Ok(part())));
    let Response { status, body, .. } = edge.serve(&Request::new("GET", "/v1/end-users/ada/export", ""));
    let Content::Parts(mut parts) = body else { panic!("more parts follow") };
    assert_eq!((status, edge.calls()), (200, 1));
    for calls in 1..20 {
        let taken = ready(parts.next()).expect("a part").expect("a part");
        assert_eq!((taken.as_str(), edge.calls()), ("x", calls));
    }
    let costs = edge
        .calls
        .borrow()
        .iter()
        .map(|(_, call)| match call.caller {
            Caller::Key { cost, .. } => cost,
            Caller::Operator(_) => panic!("the key may be revoked"),
        })
        .collect::<Vec<_>>();
    assert!(costs[0] == 1 && costs[1..].iter().all(|cost| *cost == 0), "one token: {costs:?}");
    // Without a reader nothing happens.
    drop(parts);
    assert_eq!(edge.calls(), costs.len());
}
