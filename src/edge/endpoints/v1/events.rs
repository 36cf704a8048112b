//! `GET /v1/events`: what changed, in the order in which it changed.

use std::collections::BTreeSet;

use super::event_views::EventList;
use crate::directory::cursor::Binding;
use crate::directory::event::EventType;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::pages;
use crate::fault::{Fault, internal};
use crate::input::choice;
use crate::organization::protocol::ReadEvents;
use crate::refusal::Refusal;

/// `GET /v1/events`: in the order of the sequence, filtered by types.
pub fn list<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let fields = &mut input.query;
    let limit = pages::limit(fields);
    let types = fields.optional("types", types).unwrap_or_default();
    let after = fields.text("after");
    fields.finish()?;
    let names: Vec<&str> = types.iter().map(EventType::into_str).collect();
    let binding = Binding::new(&[&input.caller.to_string(), "events", &names.join(",")]);
    let after = input.cursor(after, &binding)?.map(|place| place.parse().map_err(internal)).transpose()?;
    let list = EventList { tenant: input.caller, binding, ring: &input.configuration.key_ring, decay: input.decay() };
    Ok(Plan::new(ReadEvents { after, types, limit }, move |read| list.respond(read)))
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
}
