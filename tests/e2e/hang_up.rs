//! The caller of a turn hangs up. The platform ends the work for a caller 30 seconds later, so the turn ends before.

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::metering::server;
use crate::respond::{PATH, used};
use crate::server::Server;
use crate::stores::reserved_turns;
use crate::upstream::{Behaviour, Steps, Upstream};
use crate::wait;

/// The longest budget that can be set, so that no turn ends because its time is over.
const BUDGET_MS: u32 = 600_000;

/// Waits until the server has logged a line with this member.
fn logged(server: &Server, member: &str, value: &str) -> Value {
    let mut seen = Vec::new();
    let look = || {
        seen.extend(server.log_lines());
        let lines = seen.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.clone().find(|line| line[member] == value)
    };
    wait::until(&format!("a log line with {member} {value}"), look, Option::is_some).expect("it has come")
}

/// A caller hangs up while the responder is silent. The turn is given up after 25 seconds: it is not counted, and its
/// key is free.
fn abandon(is_streamed: bool, give_up: (&str, &str)) {
    let upstream = Upstream::start();
    let server = server(&upstream, BUDGET_MS);
    let organization = server.organization_with_quota(1, 1);
    let client = server.client(&organization, "live", "read_write");
    let tenant = format!("{}/live", organization.id);
    let agent = make_agent(&client, "Kind");
    let body = json!({ "message": "hi", "personality_id": agent, "user_id": "ada", "stream": is_streamed });
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    // Nobody sends a permission while the sender is kept.
    let (_permit, steps) = Steps::new();
    upstream.next(Behaviour::Held(steps));

    let connection = keyed.post_unread(PATH, &body);
    wait::until("the responder to be asked", || upstream.asked().len(), |asked| *asked == 1);
    assert_eq!(reserved_turns(server.state(), &tenant), 1);
    drop(connection);
    let (member, value) = give_up;
    logged(&server, member, value);
    assert_eq!(reserved_turns(server.state(), &tenant), 0);
    assert_eq!(used(&client), (0, 0));

    let again = keyed.post(PATH, &body);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!((used(&client), upstream.asked().len()), ((1, 1), 2), "the repetition is a turn of its own");
}

#[test]
fn a_turn_without_a_caller_is_given_up() {
    abandon(false, ("outcome", "turn_timeout"));
}

#[test]
fn a_streamed_turn_without_a_caller_is_given_up() {
    abandon(true, ("stream", "turn_timeout"));
}
