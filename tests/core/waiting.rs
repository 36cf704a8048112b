//! How readers wait for events: the shipped pipeline, with a clock that moves with each pause, and an object that answers what
//! a test says.

use std::cell::Cell;

use futures_util::StreamExt as _;
use rollcall::directory::event::EventType;
use rollcall::directory::identifiers::EventId;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::http::response::Content;
use rollcall::edge::waiters::OF_EVENTS_MAX;
use rollcall::organization::protocol::{
    Actor, Answer, Call, Caller, Command, Denial, EventPage, EventPlace, EventRecord, EventsRead, LogPlace, Rejection,
};

use crate::audit::ready;
use crate::edge::{Edge, Request, header};
use crate::tenant::{START_MS, tenant};

fn events_read(events: Vec<EventRecord>, sequence: i64) -> Answer {
    let next = EventPlace { event: LogPlace { sequence, mark: 0 }, beyond: None };
    Answer::ReadEvents(EventsRead::Page(EventPage { events, next, has_more: false }))
}

fn event(sequence: i64) -> EventRecord {
    EventRecord {
        id: EventId::new(Timestamp::from_millis(START_MS), [7; 10]),
        place: LogPlace { sequence, mark: 0 },
        r#type: EventType::AgentDeleted,
        created_at: Timestamp::from_millis(START_MS),
        request_id: None,
        actor: Actor::System,
        reference: "r".to_owned(),
        subject: None,
    }
}

/// The instants at which the object was asked, and the tokens that this took.
fn asked(edge: &Edge) -> (Vec<i64>, u32) {
    let cost = |call: &Call| match call.caller {
        Caller::Key { cost, .. } => cost,
        Caller::Operator(_) => 0,
    };
    let calls = edge.calls.borrow();
    (calls.iter().map(|(at_ms, _)| at_ms - START_MS).collect(), calls.iter().map(|(_, call)| cost(call)).sum())
}

/// Who cannot hear of events looks once a second, without a token, and goes on from where the last look ended.
#[test]
fn a_request_waits_for_an_event_for_25_seconds() {
    let edge = Edge::new(|_, call| {
        let Command::ReadEvents(read) = call.command else { panic!("another command") };
        Ok(Ok(events_read(Vec::new(), read.after.map_or(1, |after| after.event.sequence + 1))))
    });
    let response = edge.serve(&Request::new("GET", "/v1/events?wait=25", ""));
    assert_eq!(response.status, 200);
    let (asked_ms, tokens) = asked(&edge);
    assert_eq!(asked_ms[..3], [0, 0, 1_000]);
    assert!(asked_ms.windows(2).skip(1).all(|pair| pair[1] - pair[0] == 1_000), "{asked_ms:?}");
    assert_eq!((asked_ms.last(), tokens), (Some(&25_000), 1));
    let places: Vec<_> = edge
        .calls
        .borrow()
        .iter()
        .map(|(_, call)| match &call.command {
            Command::ReadEvents(read) => read.after.map(|after| after.event.sequence),
            _ => None,
        })
        .collect();
    assert_eq!(places[..3], [None, Some(1), Some(2)]);
}

#[test]
fn sixty_four_readers_wait_and_a_further_one_is_answered_at_once() {
    let edge = Edge::new(|_, _| Ok(Ok(events_read(Vec::new(), 1))));
    let organization = tenant(3).organization;
    let waiters: Vec<_> = std::iter::from_fn(|| edge.event_waiters.begin(organization, OF_EVENTS_MAX)).collect();
    assert_eq!(waiters.len(), 64);
    for path in ["/v1/events?wait=25", "/v1/events?wait=0"] {
        assert_eq!(edge.serve(&Request::new("GET", path, "")).status, 200);
    }
    assert_eq!(asked(&edge).0, [0, 0]);
    let stream = streamed(&edge);
    assert_eq!(stream.len(), 2, "it ends after the first page: {stream:?}");
    assert!(edge.event_waiters.begin(tenant(2).organization, OF_EVENTS_MAX).is_some(), "each has its own");
    drop(waiters);
    edge.serve(&Request::new("GET", "/v1/events?wait=1", ""));
    assert_eq!(asked(&edge).0.last(), Some(&1_000));
}

/// The parts of a stream of events, each with the instant at which it was there.
fn streamed(edge: &Edge) -> Vec<(i64, String)> {
    let response = edge.serve(&Request::new("GET", "/v1/events", "").accepting("text/event-stream"));
    assert_eq!((response.status, header(&response, "Content-Type")), (200, Some("text/event-stream")));
    let Content::Parts(mut parts) = response.body else { panic!("no stream") };
    let mut stream = Vec::new();
    while let Some(part) = ready(parts.next()) {
        stream.push((edge.now_ms.get() - START_MS, part.expect("a part")));
    }
    stream
}

#[test]
fn a_stream_of_events_says_something_every_15_seconds_and_ends_after_15_minutes() {
    let edge = Edge::new(|_, _| Ok(Ok(events_read(Vec::new(), 1))));
    let stream = streamed(&edge);
    let (last, comments) = stream.split_last().expect("parts");
    assert_eq!(*last, (15 * 60_000, "retry: 1000\n\n".to_owned()));
    let at_ms: Vec<i64> = comments.iter().map(|(at_ms, _)| *at_ms).collect();
    assert_eq!(at_ms, (0..=60).map(|count| count * 15_000).collect::<Vec<_>>());
    for (_, comment) in comments {
        assert!(comment.starts_with(":\nid: ") && comment.ends_with("\n\n"), "{comment:?}");
    }
}

#[test]
fn a_stream_of_events_ends_with_its_key() {
    let looks = Cell::new(0);
    let edge = Edge::new(move |_, _| {
        looks.set(looks.get() + 1);
        Ok(match looks.get() {
            1 => Ok(events_read(vec![event(1), event(2)], 2)),
            2 => Ok(events_read(vec![event(3)], 3)),
            _ => Err(Rejection::Denied(Denial::InvalidKey)),
        })
    });
    let parts: Vec<String> = streamed(&edge).into_iter().map(|(_, part)| part).collect();
    let events: Vec<usize> = parts.iter().map(|part| part.matches("event: agent.deleted\ndata: {").count()).collect();
    assert_eq!((events, parts.last().map(String::as_str)), (vec![2, 1, 0], Some("retry: 1000\n\n")));
}
