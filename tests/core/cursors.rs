//! Every list, in every dialect, with each of its filters and orders: a cursor is good for the one that gave it, and for no
//! other. The shipped edge serves them over real objects.

use std::cell::RefCell;
use std::rc::Rc;

use rollcall::directory::agent::AgentId;
use rollcall::directory::api_key::KeyKind;
use rollcall::directory::identifiers::{Mode, Tenant};
use rollcall::directory::names::UserId;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::http::response::Content;
use rollcall::organization::protocol::{Command, IssueKey, KeyRecord};
use serde_json::Value;

use crate::edge::{Edge, Request, organize};
use crate::tenant::{Object, START_MS, digest, key, settings, tenant, wide};

/// The key for services. The key for the API has the number 1.
const SERVICE: u8 = 2;

/// Whose list it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Key(Tenant),
    Service(Tenant),
    Operator,
}

/// A list: the path with a page of one row, and the parameters that take a cursor.
#[derive(Debug, Clone, PartialEq)]
struct List {
    by: By,
    path: String,
    takes: &'static [&'static str],
}

impl List {
    fn new(by: By, path: impl Into<String>) -> Self {
        Self { by, path: path.into(), takes: &["cursor"] }
    }

    /// The page of one row that an extra parameter asks for.
    fn page(&self, edge: &Edge, parameter: &str) -> (u16, Value) {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        let request = Request::new("GET", &format!("{}{joint}{parameter}", self.path), "");
        let response = edge.serve(&match self.by {
            By::Key(tenant) => request.by(tenant, 1),
            By::Service(tenant) => request.by_service(tenant, SERVICE),
            By::Operator => request.by_operator(),
        });
        let Content::Text(text) = response.body else { panic!("{self:?}: no text") };
        (response.status, serde_json::from_str(&text).expect("JSON"))
    }

    /// Every kind of cursor that the list gives out.
    fn cursors(&self, edge: &Edge) -> Vec<String> {
        let first = self.page(edge, "limit=1");
        assert_eq!(first.0, 200, "{self:?}: {}", first.1);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(next) = text(&first.1["next_cursor"]) {
            return vec![next];
        }
        let Some(after) = text(&first.1["meta"]["after"]) else { return Vec::new() };
        let second = self.page(edge, &format!("limit=1&after={after}")).1;
        vec![after, text(&second["meta"]["before"]).expect("a page lies before")]
    }
}

/// The lists of a tenant whose agents have these ids. An agent and a user are called `tutor`, so that filters differ by
/// their kind alone.
fn lists_of(tenant: Tenant, agents: &[AgentId; 2]) -> Vec<List> {
    let instant = |millis: i64| Timestamp::from_millis(START_MS + millis);
    let (early, middle, late) = (instant(-1), instant(2), instant(99));
    let of_key = [
        "/v1/end-users".to_owned(),
        "/v1/end-users?order=desc".to_owned(),
        "/v1/end-users?user_id_prefix=a".to_owned(),
        "/v1/end-users?user_id_prefix=ab".to_owned(),
        "/v1/end-users?user_id_prefix=a&order=desc".to_owned(),
        "/v1/end-users?order_by=created_at".to_owned(),
        "/v1/end-users?order_by=created_at&order=desc".to_owned(),
        format!("/v1/end-users?order_by=created_at&created_after={middle}"),
        format!("/v1/end-users?order_by=created_at&created_after={early}"),
        format!("/v1/end-users?order_by=created_at&created_before={middle}"),
        format!("/v1/end-users?order_by=created_at&created_before={late}"),
        format!("/v1/end-users?order_by=created_at&created_after={early}&created_before={late}"),
        format!("/v1/end-users?order_by=created_at&created_before={middle}&order=desc"),
        "/v1/relationships".to_owned(),
        "/v1/relationships?user_id=tutor".to_owned(),
        "/v1/relationships?user_id=ab1".to_owned(),
        "/v1/relationships?personality_id=tutor".to_owned(),
        "/v1/relationships?personality_id=coach".to_owned(),
        "/v1/relationships?user_id=tutor&personality_id=tutor".to_owned(),
        "/api/v1/agents".to_owned(),
        format!("/api/v1/agents/{}/users", agents[0]),
        format!("/api/v1/agents/{}/users", agents[1]),
    ];
    let of_service = ["/api/v1/principals", "/api/v1/principals?type=human", "/api/v1/principals?type=agent"];
    let of_service =
        of_service.map(|path| List { by: By::Service(tenant), path: path.to_owned(), takes: &["after", "before"] });
    of_key.into_iter().map(|path| List::new(By::Key(tenant), path)).chain(of_service).collect()
}

/// An object with the same users, agents and relationships as every other.
fn populated(tenant: Tenant) -> (Object, [AgentId; 2]) {
    let mut object = Object::of(tenant, 1, wide());
    let settings = settings(tenant, wide());
    let service = KeyRecord { kind: KeyKind::Service, ..key(SERVICE) };
    let digest = digest(tenant, SERVICE);
    object.operator(Command::IssueKey(IssueKey { settings, digest, key: service })).expect("a key");
    let agents = ["tutor", "coach"].map(|name| object.agent(name).agent.agent_id);
    for user_id in ["a1", "a2", "ab1", "ab2", "tutor"] {
        let user_id = UserId::new(user_id).expect("an id");
        object.create(&user_id);
        for agent in agents {
            object.turn(agent, &user_id, None);
        }
        object.now_ms += 1;
    }
    (object, agents)
}

#[test]
fn a_cursor_is_good_for_the_list_that_gave_it_and_for_no_other() {
    let tenants =
        [tenant(1), Tenant { mode: Mode::Test, ..tenant(1) }, tenant(2), Tenant { mode: Mode::Test, ..tenant(2) }];
    let objects: Rc<RefCell<Vec<Object>>> = Rc::default();
    let served = Rc::clone(&objects);
    let edge = Edge::new(move |tenant, call| {
        let mut objects = served.borrow_mut();
        let object = objects.iter_mut().find(|object| object.tenant == tenant).expect("an object");
        Ok(object.handle(call).outcome)
    });
    organize(&edge, 3);
    let mut lists = vec![List::new(By::Operator, "/admin/v1/organizations")];
    for tenant in tenants {
        let (mut object, agents) = populated(tenant);
        object.list(&edge.listing);
        objects.borrow_mut().push(object);
        lists.extend(lists_of(tenant, &agents));
        if tenant.mode == Mode::Live {
            let path = format!("/admin/v1/organizations/{}/keys", tenant.organization);
            lists.push(List::new(By::Operator, path));
        }
    }
    let mut pairs = 0;
    let mut without = Vec::new();
    for giver in &lists {
        let cursors = giver.cursors(&edge);
        if cursors.is_empty() {
            without.push(giver.path.as_str());
        }
        for cursor in cursors {
            for taker in &lists {
                for parameter in taker.takes {
                    let (status, body) = taker.page(&edge, &format!("limit=1&{parameter}={cursor}"));
                    let expected = if giver == taker { 200 } else { 400 };
                    assert_eq!(status, expected, "{giver:?} gave it, {taker:?} got it as {parameter}: {body}");
                    pairs += 1;
                }
            }
        }
    }
    // A pair of a user and an agent has one row, and so no cursor.
    without.dedup();
    assert_eq!(without, ["/v1/relationships?user_id=tutor&personality_id=tutor"]);
    assert!(pairs > 10_000, "{pairs}");
}
