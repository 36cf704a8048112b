//! Agents: who owns them, and in which version they are changed.

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::DeletionId;
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::principal::PrincipalId;
use rollcall::edge::http::conditional::{self, entity_tag, weak_entity_tag};
use rollcall::organization::protocol::{
    AgentView, Answer, Command, DeleteAgent, DeletePrincipal, ListAgents, Outcome, Precondition, PrincipalChange,
    PrincipalRef, PrincipalView, ReadAgent, ReadPrincipal, Rejection, UpdateAgent, UpdatePrincipal,
};

use crate::tenant::Object;

fn id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

fn read(object: &mut Object, agent_id: AgentId) -> AgentView {
    match object.operator(Command::ReadAgent(ReadAgent { agent: AgentRef::Id(agent_id) })) {
        Ok(Answer::ReadAgent(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn principal(object: &mut Object, principal: PrincipalRef) -> PrincipalView {
    match object.operator(Command::ReadPrincipal(ReadPrincipal { principal })) {
        Ok(Answer::ReadPrincipal(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn principal_id(object: &mut Object, agent_id: AgentId) -> PrincipalId {
    principal(object, PrincipalRef::Id(agent_id.to_string().parse().expect("an id"))).principal.id
}

/// Gives an agent to a user.
fn give(object: &mut Object, agent_id: AgentId, owner: &UserId) {
    let owner = principal(object, PrincipalRef::ExternalId(owner.clone())).principal.id;
    let (id, change) =
        (principal_id(object, agent_id), PrincipalChange { name: None, metadata: None, owner: Some(Some(owner)) });
    object.operator(Command::UpdatePrincipal(UpdatePrincipal { id, change, if_match: None })).expect("an agent");
}

fn owners(object: &mut Object) -> Vec<Option<String>> {
    match object.operator(Command::ListAgents(ListAgents { after: 0, offset: 0, limit: 10 })) {
        Ok(Answer::ListAgents(page)) => {
            page.items.into_iter().map(|agent| agent.owner.map(|owner| owner.to_string())).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// From the request on, before anything is purged: the owner is named no more, and each agent has a new version.
#[test]
fn an_erased_users_agents_have_no_owner_from_the_request_on() {
    let mut object = Object::new(1, Limits::default());
    for user_id in ["ada", "bob"] {
        object.create(&id(user_id));
    }
    let agents = ["first", "second", "third", "fourth"].map(|name| object.agent(name).agent.agent_id);
    give(&mut object, agents[0], &id("ada"));
    give(&mut object, agents[1], &id("ada"));
    give(&mut object, agents[2], &id("bob"));
    let before = agents.map(|agent_id| read(&mut object, agent_id).version);
    object.erase(&id("ada"));
    for _ in 0..2 {
        assert_eq!(owners(&mut object), [None, None, Some("bob".to_owned()), None]);
        let after = agents.map(|agent_id| read(&mut object, agent_id).version);
        let is_changed: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before < after).collect();
        assert_eq!(is_changed, [true, true, false, false]);
        object.purge();
        object.restart();
    }
    // Who comes next under the id owns nothing.
    object.create(&id("ada"));
    assert_eq!(owners(&mut object), [None, None, Some("bob".to_owned()), None]);
}

/// A change of an agent under a precondition, by each of the commands that know one.
type Attempt = fn(&mut Object, AgentId, Option<Precondition>) -> Outcome;

fn update(object: &mut Object, agent_id: AgentId, if_match: Option<Precondition>) -> Outcome {
    let metadata = Metadata::from_stored(format!("{{\"n\":{}}}", object.random.u64(..))).ok();
    object.operator(Command::UpdateAgent(UpdateAgent { agent: AgentRef::Id(agent_id), name: None, metadata, if_match }))
}

fn update_principal(object: &mut Object, agent_id: AgentId, if_match: Option<Precondition>) -> Outcome {
    let name = Name::new(format!("name {}", object.random.u64(..))).ok();
    let (id, change) = (principal_id(object, agent_id), PrincipalChange { name, metadata: None, owner: None });
    object.operator(Command::UpdatePrincipal(UpdatePrincipal { id, change, if_match }))
}

fn delete(object: &mut Object, agent_id: AgentId, if_match: Option<Precondition>) -> Outcome {
    let deletion_id = DeletionId::new(object.now(), object.bytes());
    let agent = AgentRef::Id(agent_id);
    object.operator(Command::DeleteAgent(DeleteAgent { agent, deletion_id, reason: None, if_match }))
}

fn delete_principal(object: &mut Object, agent_id: AgentId, if_match: Option<Precondition>) -> Outcome {
    let deletion_id = DeletionId::new(object.now(), object.bytes());
    let id = principal_id(object, agent_id);
    object.operator(Command::DeletePrincipal(DeletePrincipal { id, deletion_id, reason: None, if_match }))
}

/// `If-Match` names versions as `ETag` gave them, in the strong form or the weak one, one or several; `*` is any.
#[test]
fn an_agent_is_changed_and_deleted_only_in_a_version_that_if_match_names() {
    let attempts: [Attempt; 4] = [update, update_principal, delete, delete_principal];
    for (number, attempt) in attempts.into_iter().enumerate() {
        let mut object = Object::new(1, Limits::default());
        let agent_id = object.agent("tutor").agent.agent_id;
        let old = read(&mut object, agent_id).version;
        update(&mut object, agent_id, None).expect("an agent");
        let held = read(&mut object, agent_id);
        let next = Version::of_sequence(held.version.sequence() + 1);
        let refused = [
            entity_tag(old),
            weak_entity_tag(old),
            entity_tag(next),
            format!("{}, {}", entity_tag(old), weak_entity_tag(next)),
            "\"x\"".to_owned(),
            String::new(),
        ];
        for header in refused {
            let outcome = attempt(&mut object, agent_id, Some(conditional::read(&header)));
            assert!(matches!(outcome, Err(Rejection::PreconditionFailed)), "{number}, {header}: {outcome:?}");
            let found = read(&mut object, agent_id);
            assert_eq!((found.agent, found.version), (held.agent.clone(), held.version), "{number}, {header}");
        }
    }
    for attempt in attempts {
        let accepted: [fn(Version) -> String; 4] = [
            entity_tag,
            weak_entity_tag,
            |version| format!("\"x\",{} , {}", entity_tag(Version::of_sequence(1)), weak_entity_tag(version)),
            |_| "*".to_owned(),
        ];
        for header in accepted {
            let mut object = Object::new(1, Limits::default());
            let agent = object.agent("tutor");
            let header = header(agent.version);
            let outcome = attempt(&mut object, agent.agent.agent_id, Some(conditional::read(&header)));
            assert!(outcome.is_ok(), "{header}: {outcome:?}");
        }
    }
}
