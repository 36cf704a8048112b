//! Kept answers: how long they last, whom they are about, and what the edge's own repetition of a call gets.

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::Cascade;
use rollcall::directory::identifiers::{DeletionId, RelationshipId, RequestId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::principal::PrincipalType;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::audit;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::idempotency::KEPT_MS;
use rollcall::organization::protocol::{
    Answer, Call, Caller, Command, CreateEndUsers, CreatedEndUser, Creation, DeleteAgent, DeleteRelationship,
    IdempotencyKey, NewAgent, NewEndUser, NewPrincipal, NewTurn, Rejection, Reply, ReservedTurn,
};
use rollcall::organization::sql::{Row, Sql};

use crate::tenant::{self, Object, START_MS};

struct Fixture {
    object: Object,
}

fn request_id(number: u8) -> RequestId {
    RequestId::new(Timestamp::from_millis(START_MS), [number; 10])
}

impl Fixture {
    fn new() -> Self {
        Self { object: Object::new(1, Limits::default()) }
    }

    fn create(&mut self, number: u8, repeated: bool, idempotency: Option<&str>, now_ms: i64) -> Reply {
        let caller = self.object.holder(Scope::ReadWrite);
        let idempotency =
            idempotency.map(|key| IdempotencyKey { digest: key.to_owned(), fingerprint: "the request".to_owned() });
        let user_id = UserId::new("ada").expect("an id");
        let command = Command::CreateEndUser(NewEndUser { user_id, display_name: None, metadata: Metadata::default() });
        let call = Call { request_id: request_id(number), repeated, caller, idempotency, edge: None, command };
        self.object.now_ms = now_ms;
        self.object.handle(call)
    }

    fn kept(&self) -> i64 {
        let row = self.object.storage.first("SELECT count(*) FROM idempotency", &[]).expect("the answers");
        row.expect("a row").integer().expect("a number")
    }
}

fn created(reply: &Reply) -> bool {
    matches!(reply.outcome, Ok(Answer::CreateEndUser(CreatedEndUser { created: true, .. })))
}

#[test]
fn an_answer_is_kept_for_a_day_and_swept_afterwards() {
    let mut fixture = Fixture::new();
    assert!(created(&fixture.create(1, false, Some("k"), START_MS)));
    let work_at = fixture.object.core.work_at();
    assert!(work_at.is_some_and(|at| at <= Timestamp::from_millis(START_MS)), "the alarm comes for the expiry");
    let last = fixture.create(2, false, Some("k"), START_MS + KEPT_MS - 1);
    assert!(created(&last) && last.replayed);
    let sweep = |fixture: &mut Fixture, now_ms: i64| {
        fixture.object.now_ms = now_ms;
        fixture.object.transact(OrganizationCore::sweep)
    };
    assert_eq!(sweep(&mut fixture, START_MS + KEPT_MS - 1), Some(Timestamp::from_millis(START_MS + KEPT_MS)));
    assert_eq!(fixture.kept(), 1);
    let expired = fixture.create(3, false, Some("k"), START_MS + KEPT_MS);
    assert!(!created(&expired) && !expired.replayed, "as if it were never asked");
    let last_ms = START_MS + 2 * KEPT_MS;
    let next_audit = Timestamp::from_millis(last_ms + audit::INTERVAL_MS);
    assert_eq!(sweep(&mut fixture, last_ms), Some(next_audit), "no answer is left to wait for");
    assert_eq!(fixture.kept(), 0);
}

#[test]
fn an_answer_survives_a_restart() {
    let mut fixture = Fixture::new();
    fixture.create(1, false, Some("k"), START_MS);
    fixture.object.restart();
    assert!(fixture.create(2, false, Some("k"), START_MS).replayed);
}

/// The edge repeats a call when the answer is lost. The caller has not retried, so it gets the answer as the first
/// one, and pays once.
#[test]
fn a_repeated_call_is_no_retry() {
    for idempotency in [None, Some("k")] {
        let mut fixture = Fixture::new();
        let first = fixture.create(1, false, idempotency, START_MS);
        let again = fixture.create(1, true, idempotency, START_MS);
        assert!(created(&first) && created(&again) && !again.replayed);
        let remaining = |reply: &Reply| reply.admission.expect("an admission").remaining;
        assert_eq!(remaining(&first), remaining(&again), "paid once");
        let other = fixture.create(2, false, None, START_MS);
        assert!(!created(&other));
        assert_eq!(remaining(&other), remaining(&first) - 1);
    }
}

fn user(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

/// Every request about Ada of which the answer is kept, in whatever dialect: a name, and the command.
fn about_ada(object: &mut Object, agent: AgentId) -> Vec<(&'static str, Command)> {
    let new = || NewEndUser { user_id: user("ada"), display_name: None, metadata: Metadata::default() };
    let human = NewPrincipal {
        r#type: PrincipalType::Human,
        external_id: user("ada"),
        name: Name::new("Ada").expect("a name"),
        metadata: Metadata::default(),
        agent_id: AgentId::new(object.now(), object.bytes()),
    };
    let turn = |is_stateful| {
        let relationship_id = RelationshipId::new(Timestamp::from_millis(START_MS), [1; 10]);
        let agent = AgentRef::Id(agent);
        let user_id = Some(user("ada"));
        Command::ReserveTurn(NewTurn { agent, user_id, is_stateful, relationship_id, expires_in_ms: 60_000 })
    };
    vec![
        ("an end user", Command::CreateEndUser(new())),
        ("a principal", Command::CreatePrincipal(human)),
        ("a turn", turn(true)),
        ("a turn that only names her", turn(false)),
    ]
}

/// A request with an idempotency key, and what it gets; a turn is answered too.
fn execute(object: &mut Object, key: &str, command: Command) -> Reply {
    let request_id = object.request_id();
    let reply = object.keyed(request_id, key, command);
    if let Ok(Answer::ReserveTurn(ReservedTurn::New { .. })) = reply.outcome {
        let (caller, command) = (Caller::Operator(None), Command::CommitTurn(tenant::turn_answer()));
        let call = Call { request_id, repeated: false, caller, idempotency: None, edge: None, command };
        object.handle(call).outcome.expect("an answer");
    }
    reply
}

/// Every answer about a person goes with the person, whichever dialect made it, and those about others stay.
#[test]
fn an_answer_about_a_person_goes_with_the_person_in_every_dialect() {
    for index in 0..4 {
        let mut object = Object::new(1, Limits::default());
        let agent = object.agent("tutor").agent.agent_id;
        let request = |object: &mut Object| about_ada(object, agent).remove(index);
        let (name, command) = request(&mut object);
        execute(&mut object, "hers", command).outcome.expect("an answer");
        object.create(&user("ada"));
        let others = NewEndUser { user_id: user("bob"), display_name: None, metadata: Metadata::default() };
        execute(&mut object, "his", Command::CreateEndUser(others)).outcome.expect("an answer");
        let (_, again) = request(&mut object);
        assert!(execute(&mut object, "hers", again).replayed, "{name}: it is kept");

        object.erase(&user("ada"));
        let (_, again) = request(&mut object);
        let refused = execute(&mut object, "hers", again).outcome;
        assert!(matches!(refused, Err(Rejection::DeletionPending { .. })), "{name}, being erased: {refused:?}");

        object.purge();
        let (_, again) = request(&mut object);
        let refused = execute(&mut object, "hers", again).outcome;
        assert!(matches!(refused, Err(Rejection::IdempotencyOfErased)), "{name}, erased: {refused:?}");
        let select = "SELECT digest FROM idempotency WHERE about IS NOT NULL OR trim(document) <> '' ORDER BY digest";
        let left = object.storage.list(select, &[], Row::text).expect("the answers");
        assert_eq!(left, ["his"], "{name}: nothing of the answer is left");
        let ada = object.storage.count("SELECT count(*) FROM users WHERE user_id = 'ada'", &[]).expect("a count");
        assert_eq!(ada, 0, "{name}: the repetition did not make her anew");
    }
}

/// The answer to a batch names nobody. Its repetition says who has been erased since.
#[test]
fn a_repeated_batch_says_who_was_erased_since() {
    let mut object = Object::new(1, Limits::default());
    let batch = || {
        let new = |id| NewEndUser { user_id: user(id), display_name: None, metadata: Metadata::default() };
        Command::CreateEndUsers(CreateEndUsers { users: ["ada", "bob"].map(new).into() })
    };
    let created = |object: &mut Object| match execute(object, "k", batch()).outcome {
        Ok(Answer::CreateEndUsers(creations)) => creations,
        other => panic!("{other:?}"),
    };
    assert_eq!(created(&mut object), [Creation::Created, Creation::Created]);
    let deletion_id = object.erase(&user("ada"));
    assert_eq!(created(&mut object), [Creation::DeletionPending { deletion_id }, Creation::Created]);
    object.purge();
    assert_eq!(created(&mut object), [Creation::Erased, Creation::Created]);
    // Who has the id now is somebody else.
    object.create(&user("ada"));
    assert_eq!(created(&mut object), [Creation::Erased, Creation::Created]);
}

/// A relationship that forgets its turns, or goes, takes the answers to them with it. Those to the turns with another
/// agent stay, and so does what creating the person was answered.
#[test]
fn an_answer_to_a_turn_goes_with_what_its_relationship_remembers() {
    for cascade in [Cascade::MemoryOnly, Cascade::All] {
        let mut object = Object::new(1, Limits::default());
        let create = || NewEndUser { user_id: user("ada"), display_name: None, metadata: Metadata::default() };
        execute(&mut object, "made", Command::CreateEndUser(create())).outcome.expect("an answer");
        let relationship = |object: &mut Object, name: &'static str, number| {
            let agent = object.agent(name).agent.agent_id;
            let id = RelationshipId::new(Timestamp::from_millis(START_MS), [number; 10]);
            let turn = move || {
                let (agent, user_id) = (AgentRef::Id(agent), Some(user("ada")));
                let turn = NewTurn { agent, user_id, is_stateful: true, relationship_id: id, expires_in_ms: 60_000 };
                Command::ReserveTurn(turn)
            };
            execute(object, name, turn()).outcome.expect("an answer");
            (id, turn)
        };
        let (id, tutor) = relationship(&mut object, "tutor", 1);
        let (_, coach) = relationship(&mut object, "coach", 2);
        let deletion_id = DeletionId::new(object.now(), object.bytes());
        let delete = DeleteRelationship { id, deletion_id, cascade, reason: None, if_match: None };
        object.operator(Command::DeleteRelationship(delete)).expect("a receipt");

        let refused = execute(&mut object, "tutor", tutor()).outcome;
        assert!(matches!(refused, Err(Rejection::IdempotencyOfErased)), "{cascade:?}: {refused:?}");
        assert!(execute(&mut object, "coach", coach()).replayed, "{cascade:?}: another agent's");
        assert!(execute(&mut object, "made", Command::CreateEndUser(create())).replayed, "{cascade:?}: no turn's");
        let select = "SELECT digest FROM idempotency WHERE trim(document) <> '' ORDER BY digest";
        let left = object.storage.list(select, &[], Row::text).expect("the answers");
        assert_eq!(left, ["coach", "made"], "{cascade:?}: nothing of the answer is left");
    }
}

/// What stays is counted anew, and SQLite leaves no copy of it that a later erasure would not find. It would if a row got
/// shorter and SQLite had room for it elsewhere, as it has where something long went.
#[test]
fn what_stays_when_a_relationship_forgets_is_in_the_file_as_often_as_before() {
    for room in (0..3_000).step_by(50) {
        check_what_stays(room);
    }
}

fn check_what_stays(room: usize) {
    let (mood, name) = ("the canary of a mood", "the canary of a name");
    let mut object = Object::new(1, Limits::default());
    let ids = [1, 2].map(|number| RelationshipId::new(Timestamp::from_millis(START_MS), [number; 10]));
    for (name, relationship_id) in ["coach", "tutor"].into_iter().zip(ids) {
        let (agent, user_id) = (AgentRef::Id(object.agent(name).agent.agent_id), Some(user("ada")));
        let turn = NewTurn { agent, user_id, is_stateful: true, relationship_id, expires_in_ms: 60_000 };
        execute(&mut object, name, Command::ReserveTurn(turn)).outcome.expect("an answer");
    }
    let create = NewEndUser { user_id: user("ada"), display_name: None, metadata: Metadata::default() };
    execute(&mut object, "made", Command::CreateEndUser(create)).outcome.expect("an answer");
    let (long, [coach, tutor]) = (" ".repeat(room), ids);
    object.storage.execute(&format!(
        "UPDATE idempotency SET document = '{name}' WHERE relationship IS NULL;
         UPDATE idempotency SET document = '{long}' WHERE relationship IS NOT NULL;
         UPDATE relationships SET turns = 300, last_interaction_at = {START_MS}, mood = '{long}';
         UPDATE relationships SET mood = '{mood}' WHERE relationship_id = '{tutor}';
         UPDATE relationships SET mood = NULL WHERE relationship_id = '{coach}'"
    ));
    let times = |object: &Object, text: &str| {
        let bytes = object.storage.bytes().expect("the file");
        bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    };
    let before = [name, mood].map(|text| times(&object, text));
    assert!(before.iter().all(|times| *times > 0));
    let (deletion_id, cascade) = (DeletionId::new(object.now(), object.bytes()), Cascade::MemoryOnly);
    let delete = DeleteRelationship { id: tutor, deletion_id, cascade, reason: None, if_match: None };
    object.operator(Command::DeleteRelationship(delete)).expect("a receipt");
    assert_eq!([name, mood].map(|text| times(&object, text)), before, "with room of {room}");
}

/// An agent is gone at once, and the answers about it with it.
#[test]
fn an_answer_about_an_agent_goes_with_the_agent_in_every_dialect() {
    for is_principal in [false, true] {
        let mut object = Object::new(1, Limits::default());
        let create = |agent_id: AgentId| {
            let (external_id, name) = (user("tutor-1"), Name::new("tutor").expect("a name"));
            if is_principal {
                let (r#type, metadata) = (PrincipalType::Agent, Metadata::default());
                Command::CreatePrincipal(NewPrincipal { r#type, external_id, name, metadata, agent_id })
            } else {
                Command::SaveAgent(NewAgent { agent_id, external_id: Some(external_id), name, metadata: None })
            }
        };
        let agent_id = AgentId::new(object.now(), [1; 10]);
        execute(&mut object, "k", create(agent_id)).outcome.expect("an agent");
        let other = AgentId::new(object.now(), [2; 10]);
        assert!(execute(&mut object, "k", create(other)).replayed);
        let deletion_id = DeletionId::new(object.now(), object.bytes());
        let delete = DeleteAgent { agent: AgentRef::Id(agent_id), deletion_id, reason: None, if_match: None };
        object.operator(Command::DeleteAgent(delete)).expect("a receipt");
        let refused = execute(&mut object, "k", create(other)).outcome;
        assert!(matches!(refused, Err(Rejection::IdempotencyOfErased)), "{refused:?}");
        let about = "SELECT count(*) FROM idempotency WHERE about IS NOT NULL OR trim(document) <> ''";
        assert_eq!(object.storage.count(about, &[]), Ok(0));
    }
}
