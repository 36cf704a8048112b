//! Moods in lists. The listing holds a mood as the last turn left it, and the page shows what is left of it: so a list grows
//! no older than its bodies, and nothing has to be listed again because time passes.

use std::cell::RefCell;
use std::rc::Rc;

use rollcall::directory::mood::{Affect, HALF_LIFE_MS_DEFAULT, Level};
use rollcall::directory::names::{Name, UserId};
use rollcall::edge::http::response::Content;
use rollcall::organization::protocol::{Command, EndUserChange, UpdateEndUser};
use serde_json::{Value, json};

use crate::edge::{Edge, Request};
use crate::tenant::{Object, START_MS, tenant, wide};

const HALF_LIFE_MS: i64 = HALF_LIFE_MS_DEFAULT.cast_signed();

fn affect(valence: f64) -> Affect {
    let level = |number| Level::from_f64(number).expect("a level");
    Affect { valence: level(valence), arousal: level(0.0), tension: None, affiliation: None }
}

fn body(edge: &Edge, path: &str) -> Value {
    let response = edge.serve(&Request::new("GET", path, "").by(tenant(1), 1));
    let Content::Text(text) = response.body else { panic!("{path}: no text") };
    assert_eq!(response.status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Every list that shows a mood shows it as it is at the instant of the request.
#[test]
fn a_listed_mood_decays_and_its_entry_does_not() {
    let object = Rc::new(RefCell::new(Object::new(1, wide())));
    let served = Rc::clone(&object);
    let edge = Edge::new(move |_, call| Ok(served.borrow_mut().handle(call).outcome));
    let ada = UserId::new("ada").expect("an id");
    let [agent, other] = ["tutor", "coach"].map(|name| object.borrow_mut().agent(name).agent.agent_id);
    object.borrow_mut().turn(agent, &ada, Some(affect(0.8)));
    object.borrow_mut().list(&edge.listing);
    let entry = || {
        let select = "SELECT entry FROM agent_users WHERE agent_id = ?";
        edge.listing.rows(select, &[agent.to_string().into()]).expect("the entry")
    };
    let held = entry();
    let [agent_users, relationships, user] =
        [format!("/api/v1/agents/{agent}/users"), "/v1/relationships".to_owned(), "/v1/end-users/ada".to_owned()];
    let moods = || {
        let of_agent = |pairs: &Value| {
            let pairs = pairs.as_array().expect("pairs");
            let pair = pairs.iter().find(|pair| pair["personality_id"] == agent.to_string()).expect("the pair");
            pair["mood"].clone()
        };
        let listed = body(&edge, &agent_users)["users"][0]["mood"].clone();
        let of_pair = of_agent(&body(&edge, &relationships)["data"]);
        let of_user = of_agent(&body(&edge, &user)["relationships"]);
        assert_eq!((&listed, &of_pair), (&of_pair, &of_user), "one mood");
        listed
    };
    let at_first = moods();
    let valence = at_first["valence"].as_f64().expect("a number");
    assert!(valence > 0.1, "the turn moved it: {at_first}");
    for (half_lives, left) in [(1, 0.5), (2, 0.25)] {
        let now_ms = START_MS + half_lives * HALF_LIFE_MS;
        edge.now_ms.set(now_ms);
        object.borrow_mut().now_ms = now_ms;
        let mood = moods();
        let found = mood["valence"].as_f64().expect("a number");
        assert!((found - left * valence).abs() < 0.000_002, "{found} of {valence} after {half_lives}");
        for instant in ["created_at", "updated_at", "last_decay_at", "last_interaction_at"] {
            assert_eq!(mood[instant], at_first[instant], "{instant} is that of the turn");
        }
        // What has the user listed anew with all relationships writes the same entry.
        let name = Name::new(format!("Ada {half_lives}")).ok();
        let change = EndUserChange::Replace { display_name: Some(name), metadata: None };
        let update = UpdateEndUser { user_id: ada.clone(), change, if_match: None };
        object.borrow_mut().operator(Command::UpdateEndUser(update)).expect("a user");
        object.borrow_mut().turn(other, &ada, Some(affect(-0.8)));
        object.borrow_mut().list(&edge.listing);
        assert_eq!(body(&edge, &agent_users)["users"][0]["display_name"], json!(format!("Ada {half_lives}")));
        assert_eq!(entry(), held);
    }
}
