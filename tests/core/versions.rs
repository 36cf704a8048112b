//! Versions over random histories: users and agents are made, changed, given away, related, erased and made again under
//! few ids, and the object restarts in between.
//!
//! - A version never comes twice in a tenant, whoever has it.
//! - No tag of an erased user or agent is accepted for the next one under its id.
//! - There are never more users than the limit allows, and none is refused below it, wherever the listing stands.
//! - The version is the number of the record's last change in the log.

use std::collections::BTreeMap;

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::{DeletionId, RelationshipId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::{Capacity, Limits};
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    Answer, Command, DeleteAgent, DeleteEndUser, EndUserChange, NewAgent, NewEndUser, NewTurn, Outcome, Precondition,
    Rejection, UpdateAgent, UpdateEndUser,
};
use rollcall::organization::sql::{Row, Sql};

use crate::position;
use crate::tenant::Object;

const HISTORIES: u64 = 300;
const STEPS: usize = 120;
const IDS: [&str; 3] = ["a", "b", "c"];
/// Fewer than there are ids.
const USERS_MAX: u64 = 2;

struct World {
    object: Object,
    /// Whose version each one is: the kind and id of the record, and which of those under the id it is.
    versions: BTreeMap<Version, (String, usize)>,
    /// How many records an id had that were erased.
    erased: BTreeMap<String, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let object = Object::new(seed, Limits { end_users: USERS_MAX, ..Limits::default() });
        Self { object, versions: BTreeMap::new(), erased: BTreeMap::new() }
    }

    fn now(&self) -> Timestamp {
        self.object.now()
    }

    fn bytes(&mut self) -> [u8; 10] {
        self.object.bytes()
    }

    fn call(&mut self, command: Command) -> Outcome {
        self.object.now_ms += 1;
        self.object.operator(command)
    }

    /// Records the version that a record has. No other record, and no earlier one under the id, ever had it.
    fn note(&mut self, record: &str, version: Version) {
        let life = self.erased.get(record).copied().unwrap_or_default();
        let first = self.versions.entry(version).or_insert_with(|| (record.to_owned(), life)).clone();
        assert_eq!(first, (record.to_owned(), life), "{version:?} comes again");
    }

    fn id(&mut self) -> &'static str {
        self.object.random.choice(IDS).expect("an id")
    }

    fn user_id(&mut self) -> UserId {
        UserId::new(self.id()).expect("an id")
    }

    fn metadata(&mut self) -> Metadata {
        Metadata::from_stored(format!("{{\"n\":{}}}", self.object.random.u8(..))).expect("an object")
    }

    /// A version that some record had: mostly an old one.
    fn any_version(&mut self) -> Version {
        let known: Vec<Version> = self.versions.keys().copied().collect();
        self.object.random.choice(known).unwrap_or(Version::of_sequence(1))
    }

    fn is_of(&self, record: &str, version: Version) -> bool {
        let life = self.erased.get(record).copied().unwrap_or_default();
        self.versions.get(&version) == Some(&(record.to_owned(), life))
    }

    fn step(&mut self) {
        match self.object.random.u8(0..100) {
            0..20 => {
                let user_id = self.user_id();
                let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: self.metadata() };
                match self.call(Command::CreateEndUser(new)) {
                    Ok(Answer::CreateEndUser(answer)) => self.note(&format!("user {user_id}"), answer.user.version),
                    Err(Rejection::OverCapacity(Capacity::EndUsers)) => assert_eq!(self.users(), USERS_MAX),
                    Err(Rejection::DeletionPending { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            20..40 => {
                let (user_id, held) = (self.user_id(), self.any_version());
                let change = EndUserChange::Replace { display_name: None, metadata: Some(self.metadata()) };
                let if_match = Some(Precondition::Versions(vec![held]));
                let record = format!("user {user_id}");
                match self.call(Command::UpdateEndUser(UpdateEndUser { user_id, change, if_match })) {
                    Ok(Answer::UpdateEndUser(user)) => {
                        assert!(self.is_of(&record, held), "{held:?} is accepted for {record}");
                        self.note(&record, user.version);
                    }
                    Err(Rejection::PreconditionFailed | Rejection::NotFound(_) | Rejection::DeletionPending { .. }) => {
                    }
                    other => panic!("{other:?}"),
                }
            }
            40..50 => self.erase_user(),
            50..65 => {
                let (agent_id, name) = (AgentId::new(self.now(), self.bytes()), self.id());
                let name = Name::new(format!("agent {name}")).expect("a name");
                let new = NewAgent { agent_id, external_id: None, name: name.clone(), metadata: Some(self.metadata()) };
                let Ok(Answer::SaveAgent(saved)) = self.call(Command::SaveAgent(new)) else { return };
                self.note(name.as_str(), saved.view.version);
            }
            65..75 => {
                let (name, held) = (format!("agent {}", self.id()), self.any_version());
                let agent = AgentRef::new(name.clone()).expect("an agent");
                let (metadata, if_match) = (Some(self.metadata()), Some(Precondition::Versions(vec![held])));
                match self.call(Command::UpdateAgent(UpdateAgent { agent, name: None, metadata, if_match })) {
                    Ok(Answer::UpdateAgent(view)) => {
                        assert!(self.is_of(&name, held), "{held:?} is accepted for {name}");
                        self.note(&name, view.version);
                    }
                    Err(Rejection::PreconditionFailed | Rejection::NotFound(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            75..80 => {
                let name = format!("agent {}", self.id());
                let agent = AgentRef::new(name.clone()).expect("an agent");
                let deletion_id = DeletionId::new(self.now(), self.bytes());
                let delete = DeleteAgent { agent, deletion_id, reason: None, if_match: None };
                if self.call(Command::DeleteAgent(delete)).is_ok() {
                    *self.erased.entry(name).or_default() += 1;
                }
            }
            80..90 => {
                let agent = AgentRef::new(format!("agent {}", self.id())).expect("an agent");
                let relationship_id = RelationshipId::new(self.now(), self.bytes());
                let user_id = Some(self.user_id());
                let turn = NewTurn { agent, user_id, is_stateful: true, relationship_id, expires_in_ms: 1 };
                let _ = self.call(Command::ReserveTurn(turn));
            }
            90..95 => self.acknowledge(),
            // A restart: the sequence goes on.
            _ => self.object.core = OrganizationCore::default(),
        }
    }

    fn users(&self) -> u64 {
        self.object.storage.count("SELECT count(*) FROM users", &[]).expect("a count")
    }

    /// The listing confirms any change.
    fn acknowledge(&mut self) {
        let last = self.object.core.last_sequence().unwrap_or_default();
        let to = position(self.object.random.i64(0..=last));
        self.object.transact(|core, sql, now| core.acknowledge(sql, to, now));
    }

    /// Erases a user in every store, or only the user's relationships.
    fn erase_user(&mut self) {
        let (user_id, deletion_id) = (self.user_id(), DeletionId::new(self.now(), self.bytes()));
        let cascade = *self.object.random.choice(&[Cascade::All, Cascade::MemoryOnly]).expect("one");
        let record = format!("user {user_id}");
        let deleted = self.call(Command::DeleteEndUser(DeleteEndUser {
            user_id,
            deletion_id,
            cascade,
            reason: None,
            if_match: None,
        }));
        let last = self.object.core.last_sequence().expect("a sequence");
        self.object.transact(|core, sql, now| core.acknowledge(sql, position(last), now));
        while self.object.transact(OrganizationCore::purge) {}
        if deleted.is_ok() && cascade == Cascade::All {
            *self.erased.entry(record).or_default() += 1;
        }
    }

    /// The version of every record is the number of a change in the log, and of none after it.
    fn check(&mut self) {
        for table in ["users", "agents"] {
            let select = format!(
                "SELECT version, number, (SELECT max(sequence) FROM changes WHERE kind <> 'repair' AND
                   (subject = t.number OR changes.user = t.number)) FROM {table} t"
            );
            for row in self.object.storage.rows(&select, &[]).expect("rows") {
                let mut row = Row::new(row);
                let (version, number) = (row.integer().expect("a version"), row.integer().expect("a number"));
                let last = row.optional_integer().expect("a sequence");
                assert!(number <= version && last.is_none_or(|last| last <= version), "{version} is not {last:?}");
            }
        }
    }
}

#[test]
fn a_version_never_comes_twice() {
    let base = fastrand::u64(..) >> 16;
    println!("{HISTORIES} histories from {base}");
    let mut remade = 0;
    for seed in base..base + HISTORIES {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
            assert!(world.users() <= USERS_MAX, "seed {seed}: {}", world.users());
        }
        world.check();
        remade += world.erased.values().filter(|count| **count > 1).count();
    }
    assert!(remade > 0, "ids were made again");
}
