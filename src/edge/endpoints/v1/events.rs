//! `GET /v1/events`: what changed, in the order in which it changed.

use std::collections::BTreeSet;

use super::event_stream::EventStream;
use super::event_views::EventList;
use crate::directory::cursor::Binding;
use crate::directory::event::EventType;
use crate::edge::calls::Request;
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Exchange, KeyHolder};
use crate::edge::following::Follower;
use crate::edge::http::pages;
use crate::edge::http::request::Incoming;
use crate::edge::http::response::Response;
use crate::edge::runtime::Runtime;
use crate::edge::waiters::OF_EVENTS_MAX;
use crate::fault::{Fault, internal};
use crate::input::{choice, query_integer};
use crate::organization::protocol::ReadEvents;
use crate::refusal::Refusal;

/// The longest wait for an event, in seconds. The platform ends the work for a caller 30 s after the caller has gone.
const WAIT_S_MAX: u32 = 25;

struct EventsRequest {
    read: ReadEvents,
    wait_s: u32,
    binding: Binding,
}

/// Answers with a page, which waits for an event if it would be empty, or with a stream of events.
pub async fn list(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let is_stream = exchange.incoming.header("Accept").is_some_and(|accept| takes_events(&accept));
    let last_event_id = exchange.incoming.header("Last-Event-ID").filter(|_| is_stream);
    let request = read(&mut input, last_event_id);
    let EventsRequest { read, wait_s, binding } = exchange.admitted(holder, input.complete(request)).await?;
    let list = EventList { tenant: holder.tenant, binding, configuration: exchange.configuration()? };
    let found = exchange.execute_as(holder, Request::new(read.clone())).await?;
    let runtime = exchange.runtime;
    let mut follower = Follower::new(runtime.clone(), holder.clone(), exchange.request_id, read, &found);
    let waiter = || runtime.event_waiters().begin(holder.tenant.organization, OF_EVENTS_MAX);
    if is_stream {
        return EventStream::new(list, follower, waiter(), exchange.received_at).respond(found);
    }
    if wait_s == 0 || found.has_something() {
        return list.respond(found, runtime.now());
    }
    let Some(_waiter) = waiter() else { return list.respond(found, runtime.now()) };
    let until_ms = runtime.now().millis().saturating_add(i64::from(wait_s).saturating_mul(1_000));
    let found = follower.next(until_ms).await?;
    list.respond(found, runtime.now())
}

/// Whether a caller takes server-sent events.
fn takes_events(accept: &str) -> bool {
    let media_type = |range: &str| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    accept.split(',').any(|range| media_type(range) == "text/event-stream")
}

/// A reader of a stream who was cut off says which event was the last.
fn read(input: &mut Input<'_>, last_event_id: Option<String>) -> Result<EventsRequest, Fault> {
    let fields = &mut input.query;
    let limit = pages::limit(fields);
    let types = fields.optional("types", types).unwrap_or_default();
    let wait_s = fields.optional("wait", |text| query_integer(text, 0, WAIT_S_MAX)).unwrap_or_default();
    let after = fields.text("after");
    fields.finish()?;
    let names: Vec<&str> = types.iter().map(EventType::into_str).collect();
    let binding = Binding::new(&[&input.caller.to_string(), "events", &names.join(",")]);
    let place = input.cursor(last_event_id.or(after), &binding)?;
    let after = place.map(|place| place.parse().map_err(internal)).transpose()?;
    Ok(EventsRequest { read: ReadEvents { after, types, limit }, wait_s, binding })
}

/// Reads types that commas separate. Their order does not matter.
fn types(text: &str) -> Result<Vec<EventType>, Refusal> {
    let types: BTreeSet<EventType> = text.split(',').map(choice).collect::<Result<_, _>>()?;
    Ok(types.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_separated_by_commas_in_any_order() {
        let both = [EventType::EndUserCreated, EventType::KeyRevoked];
        for text in ["end_user.created,key.revoked", "key.revoked,end_user.created,key.revoked"] {
            assert_eq!(types(text).unwrap(), both, "{text}");
        }
        for bad in ["", "turn", "end_user.created,", "end_user.created key.revoked", "END_USER.CREATED"] {
            assert!(types(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_caller_who_takes_events_says_so() {
        for accept in ["text/event-stream", "application/json, Text/Event-Stream;q=0.5"] {
            assert!(takes_events(accept), "{accept}");
        }
        for accept in ["", "*/*", "text/*", "application/json", "text/event-streams"] {
            assert!(!takes_events(accept), "{accept}");
        }
    }
}
