//! An organization moves into another deployment: wherever the export is cut, and however often the import is repeated,
//! both hold the same records in the end.

use rollcall::directory::agent::AgentId;
use rollcall::directory::identifiers::RelationshipId;
use rollcall::directory::metadata::Metadata;
use rollcall::directory::mood::{Affect, Level};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::{Capacity, Limits};
use rollcall::directory::principal::PrincipalId;
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::protocol::{
    AgentRecord, Answer, Command, EndUserRecord, ExportRecords, ExportedRecords, ImportRecords, NewEndUser,
    PrincipalChange, Record, Rejection, RelationshipRecord, Resource, UpdatePrincipal,
};
use rollcall::organization::sql::Sql;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tenant::{Object, START_MS, tenant};

const SEEDS: u64 = 60;

fn id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

fn part(object: &mut Object, from: ExportRecords) -> ExportedRecords {
    match object.operator(Command::ExportRecords(from)) {
        Ok(Answer::ExportRecords(part)) => part,
        other => panic!("{other:?}"),
    }
}

/// All lines of an export.
fn export(object: &mut Object) -> Vec<String> {
    let (mut lines, mut next) = (Vec::new(), Some(ExportRecords::default()));
    while let Some(from) = next {
        let part = part(object, from);
        assert!(part.lines.len() <= 1024 * 1024 && part.lines.lines().count() <= 500);
        lines.extend(part.lines.lines().map(ToOwned::to_owned));
        next = part.next;
    }
    lines
}

fn read(line: &str) -> Record {
    fn of<T: DeserializeOwned>(line: &str) -> T {
        // Metadata keeps its digits only when it is read from text.
        serde_json::from_str(line).expect("a record")
    }
    let value: Value = serde_json::from_str(line).expect("JSON");
    match value["type"].as_str().expect("a type") {
        "end_user" => Record::EndUser(of(line)),
        "agent" => Record::Agent(of(line)),
        "relationship" => Record::Relationship(of(line)),
        other => panic!("{other}"),
    }
}

fn import(object: &mut Object, records: Vec<Record>) -> Vec<Result<bool, Rejection>> {
    match object.operator(Command::ImportRecords(ImportRecords { records })) {
        Ok(Answer::ImportRecords(made)) => made,
        other => panic!("{other:?}"),
    }
}

/// A tenant with people, some of whom are erased or about to be, agents with owners, relationships and moods.
fn lived(seed: u64) -> Object {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut object = Object::new(seed, Limits::default());
    let users: Vec<UserId> = (0..random.usize(0..90)).map(|number| id(&format!("user {number} 🦀"))).collect();
    for user_id in &users {
        object.now_ms += random.i64(0..5_000);
        let metadata = format!("{{\"n\":9007199254740993,\"x\":\"{}\"}}", "é".repeat(random.usize(0..7_000)));
        let metadata = Metadata::new(json::Text::parse(metadata).expect("JSON").raw()).expect("metadata");
        let display_name = random.bool().then(|| Name::new("Ada \"L\"").expect("a name"));
        object
            .operator(Command::CreateEndUser(NewEndUser { user_id: user_id.clone(), display_name, metadata }))
            .expect("a user");
    }
    let agents: Vec<AgentId> =
        (0..random.usize(0..6)).map(|number| object.agent(&format!("agent {number}")).agent.agent_id).collect();
    for _ in 0..random.usize(0..40) {
        let (Some(user_id), Some(agent)) = (random.choice(&users), random.choice(&agents)) else { break };
        object.now_ms += random.i64(0..90_000);
        let level = |random: &mut fastrand::Rng| Level::from_millionths(random.i32(-1_000_000..=1_000_000));
        let (valence, arousal) = (level(&mut random), level(&mut random));
        let affect = Affect { valence, arousal, tension: Some(level(&mut random)), affiliation: None };
        let affect = random.bool().then_some(affect);
        object.turn(*agent, user_id, affect);
        if random.u8(0..4) == 0 {
            own(&mut object, *agent, user_id);
        }
    }
    for user_id in &users {
        if random.u8(0..8) > 0 {
            continue;
        }
        object.erase(user_id);
        if random.bool() {
            object.purge();
        }
    }
    object
}

fn own(object: &mut Object, agent: AgentId, user_id: &UserId) {
    let select = "SELECT principal_id FROM users WHERE user_id = ?";
    let found = object.storage.find(select, &[user_id.as_str().into()], |row| row.parsed("principal id"));
    let owner: PrincipalId = found.expect("an answer").expect("a user");
    let change = PrincipalChange { name: None, metadata: None, owner: Some(Some(owner)) };
    object.operator(Command::UpdatePrincipal(UpdatePrincipal { id: agent, change, if_match: None })).expect("an agent");
}

#[test]
fn an_imported_tenant_holds_the_same_records() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut from, mut to) = (lived(seed), Object::of(tenant(2), seed + 1_000, Limits::default()));
        to.now_ms = START_MS + 1_000_000_000;
        let lines = export(&mut from);
        let mut rest: &[String] = &lines;
        while !rest.is_empty() {
            let (batch, following) = rest.split_at(random.usize(1..=rest.len().min(200)));
            let made = import(&mut to, batch.iter().map(|line| read(line)).collect());
            assert!(made.iter().all(|made| *made == Ok(true)), "seed {seed}: {made:?}");
            let again = import(&mut to, batch.iter().map(|line| read(line)).collect());
            assert!(again.iter().all(|made| *made == Ok(false)), "seed {seed}, repeated: {again:?}");
            rest = following;
        }
        assert_eq!(export(&mut to), lines, "seed {seed}");
    }
}

/// Whoever is there from the beginning to the end of an export is in it once, whatever is made and erased meanwhile.
#[test]
fn an_export_misses_nothing_that_stays() {
    let mut object = Object::new(1, Limits::default());
    let user = |number: usize| id(&format!("user {number:04}"));
    for number in 0..1_200 {
        object.create(&user(number));
    }
    let (mut exported, mut next, mut parts) = (Vec::new(), Some(ExportRecords::default()), 0);
    while let Some(from) = next {
        let part = part(&mut object, from);
        for line in part.lines.lines() {
            let Record::EndUser(EndUserRecord { user_id, .. }) = read(line) else { panic!("{line}") };
            exported.push(user_id);
        }
        object.create(&id(&format!("late {parts}")));
        object.erase(&user(parts));
        object.erase(&user(1_199 - parts));
        object.purge();
        (next, parts) = (part.next, parts + 1);
    }
    let mut once = exported.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), exported.len(), "nobody comes twice");
    let stays = (parts..1_200 - parts).map(user);
    assert!(stays.into_iter().all(|user_id| once.binary_search(&user_id).is_ok()));
}

#[test]
fn a_record_that_does_not_fit_is_refused_and_leaves_nothing() {
    let mut object = Object::new(1, Limits { end_users: 2, ..Limits::default() });
    let ada = object.create(&id("ada"));
    let agent = object.agent("tutor").agent.agent_id;
    let instant = Timestamp::from_millis(START_MS);
    let person = |user_id: &str, number: u8| EndUserRecord {
        user_id: id(user_id),
        principal_id: PrincipalId::new(instant, [number; 10]),
        display_name: None,
        metadata: Metadata::default(),
        created_at: instant,
        updated_at: instant,
        last_interaction_at: None,
    };
    let relationship = |user_id: &str, agent_id, number: u8| {
        Record::Relationship(RelationshipRecord {
            id: RelationshipId::new(instant, [number; 10]),
            user_id: id(user_id),
            agent_id,
            turns: 1,
            mood: None,
            created_at: instant,
            last_interaction_at: None,
        })
    };
    let tutor = |external_id: &str, owner: Option<&str>, number: u8| {
        Record::Agent(AgentRecord {
            agent_id: PrincipalId::new(instant, [number; 10]),
            external_id: Some(id(external_id)),
            name: Name::new("Tutor").expect("a name"),
            metadata: Metadata::default(),
            created_at: instant,
            updated_at: instant,
            owner: owner.map(id),
        })
    };
    let nobody = AgentId::new(instant, [99; 10]);
    let made = import(
        &mut object,
        vec![
            Record::EndUser(person("ada", 1)),
            Record::EndUser(person("eve", 2)),
            Record::EndUser(person("bob", 2)),
            Record::EndUser(person("bob", 3)),
            tutor("eve", None, 4),
            tutor("t", Some("nobody"), 5),
            tutor("t", Some("ada"), 6),
            tutor("t", None, 7),
            relationship("nobody", agent, 1),
            relationship("ada", nobody, 1),
            relationship("ada", agent, 1),
            relationship("eve", agent, 1),
        ],
    );
    let not_found = |resource| Err(Rejection::NotFound(resource));
    let expected = [
        Ok(false),
        Ok(true),
        Err(Rejection::taken("principal_id")),
        Err(Rejection::OverCapacity(Capacity::EndUsers)),
        Err(Rejection::OtherType),
        not_found(Resource::EndUser),
        Ok(true),
        Err(Rejection::taken("external_id")),
        not_found(Resource::EndUser),
        not_found(Resource::Agent),
        Ok(true),
        Err(Rejection::taken("id")),
    ];
    assert_eq!(made, expected);
    let count = |what: &str| object.storage.count(&format!("SELECT count(*) FROM {what}"), &[]).expect("a count");
    assert_eq!([count("users"), count("agents"), count("relationships")], [2, 2, 1]);
    let stays = object.create(&id("ada"));
    assert_eq!((stays.created_at, stays.metadata), (ada.created_at, ada.metadata), "who was there stays as they were");
}
