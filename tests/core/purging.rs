//! A purge takes bounded steps, and no erasure waits for another. Only a person whom KV may still show waits for KV.

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::{Cascade, ReceiptStatus};
use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::{DeletionId, RelationshipId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::copies::{COPIED_MS, Copy, SPREAD_MS};
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::erasure::BATCH_MAX;
use rollcall::organization::protocol::{
    Answer, Command, DeleteAgent, DeleteEndUser, DeletePrincipal, EdgeCall, NewAgent, NewEndUser, Precondition,
    PrincipalRef, ReadDeletion, ReadEndUser, ReadPrincipal, Rejection,
};
use rollcall::organization::sql::{Row, Sql, SqlError};

use crate::position;
use crate::simulation::stores::put_off_audits;
use crate::sqlite::Sqlite;
use crate::tenant::{self, Object, START_MS};

const NOW: Timestamp = Timestamp::from_millis(START_MS);
/// Relationships of one agent: more than two steps remove.
const RELATIONSHIPS: u32 = 250;

struct World {
    object: Object,
}

impl World {
    fn new() -> Self {
        let limits = Limits { turns_per_period: 1_000, active_relationships: 1_000, ..Limits::default() };
        let object = Object::new(1, limits);
        put_off_audits(&object.storage).expect("no audit");
        Self { object }
    }

    fn call(&mut self, command: Command) -> Answer {
        self.object.operator(command).expect("an answer")
    }

    fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> T {
        self.object.transact(body)
    }

    /// Makes a person. With a copy, readers at the edge have asked for them twice.
    fn person(&mut self, name: &str, has_copy: bool) -> UserId {
        let user_id = UserId::new(name).expect("an id");
        let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: Metadata::default() };
        self.call(Command::CreateEndUser(new));
        for _ in 0..if has_copy { 2 } else { 0 } {
            let (caller, edge) =
                (self.object.holder(Scope::Read), EdgeCall { missed: Some(user_id.clone()), used: None });
            self.object.send(caller, Some(edge), Command::ReadEndUser(ReadEndUser { user_id: user_id.clone() }));
        }
        user_id
    }

    /// Requests the erasure of a person.
    fn erase(&mut self, user_id: UserId) -> DeletionId {
        let deletion_id = DeletionId::new(NOW, self.object.bytes());
        let delete = DeleteEndUser { user_id, deletion_id, cascade: Cascade::All, reason: None, if_match: None };
        self.call(Command::DeleteEndUser(delete));
        deletion_id
    }

    fn is_erased(&mut self, deletion_id: DeletionId) -> bool {
        let Answer::ReadDeletion(receipt) = self.call(Command::ReadDeletion(ReadDeletion { deletion_id })) else {
            panic!("no receipt");
        };
        receipt.status == ReceiptStatus::Completed
    }

    fn acknowledge(&mut self, sequence: i64) {
        self.transact(|core, sql, now| core.acknowledge(sql, position(sequence), now));
    }

    /// The listing confirms everything.
    fn list(&mut self) {
        let last = self.object.core.last_sequence().expect("a loaded memory");
        self.acknowledge(last);
    }

    fn due_copies(&mut self) -> Vec<Copy> {
        self.transact(OrganizationCore::due_copies)
    }

    /// KV confirms what is due now.
    fn copy(&mut self) {
        let copies = self.due_copies();
        assert!(!copies.is_empty(), "something is due");
        self.transact(|core, sql, now| core.confirm_copies(sql, &copies, now, now));
    }

    /// KV does not answer the writes that are due now. Returns whether there are any.
    fn fail_to_copy(&mut self) -> bool {
        let copies = self.due_copies();
        if copies.is_empty() {
            return false;
        }
        self.transact(|core, sql, now| core.fail_copies(sql, &copies, now));
        true
    }

    fn work_left_at(&self) -> Option<Timestamp> {
        self.object.core.work_left_at(&self.object.storage).expect("an answer")
    }

    /// Makes an agent with as many relationships, each with a user of its own.
    fn agent(&mut self, name: &str, relationships: u32) -> AgentId {
        let (agent_id, name) = (AgentId::new(NOW, self.object.bytes()), Name::new(name).expect("a name"));
        let new = NewAgent { agent_id, external_id: None, name: name.clone(), metadata: None };
        self.call(Command::SaveAgent(new));
        for number in 0..relationships {
            let user_id = UserId::new(format!("{}-{number}", name.as_str())).expect("an id");
            let relationship_id = RelationshipId::new(NOW, self.object.bytes());
            self.call(tenant::turn(AgentRef::Id(agent_id), user_id, relationship_id));
        }
        agent_id
    }

    fn delete_agent(&mut self, agent_id: AgentId) {
        let deletion_id = DeletionId::new(NOW, self.object.bytes());
        self.call(Command::DeleteAgent(DeleteAgent {
            agent: AgentRef::Id(agent_id),
            deletion_id,
            reason: None,
            if_match: None,
        }));
    }

    fn purge(&mut self) -> bool {
        self.transact(OrganizationCore::purge)
    }

    fn sweep(&mut self) -> Option<Timestamp> {
        self.transact(OrganizationCore::sweep)
    }

    fn relationships_left(&self, name: &str) -> i64 {
        let select = "SELECT count(*) FROM relationships r JOIN users u ON u.number = r.user WHERE u.user_id LIKE ?";
        let found = self.object.storage.find(select, &[format!("{name}-%").into()], Row::integer).expect("a count");
        found.expect("a row")
    }
}

#[test]
fn a_person_does_not_wait_for_an_agent_with_many_relationships() {
    let mut world = World::new();
    let agent = world.agent("popular", RELATIONSHIPS);
    let deletion_id = world.erase(UserId::new("popular-0").expect("an id"));
    let confirmed = world.object.core.last_sequence().expect("a loaded memory");
    world.delete_agent(agent);
    world.acknowledge(confirmed);
    assert!(world.purge(), "more is left to do");
    assert!(world.is_erased(deletion_id));
    let left = world.relationships_left("popular");
    assert!(left >= i64::from(RELATIONSHIPS) - BATCH_MAX - 1 && left > 0, "{left} are left: a step is bounded");
}

/// Through either dialect.
#[test]
fn a_person_is_erased_only_in_a_version_that_if_match_names() {
    for is_principal in [false, true] {
        let mut world = World::new();
        let user_id = world.person("ada", false);
        let read = Command::ReadPrincipal(ReadPrincipal { principal: PrincipalRef::ExternalId(user_id.clone()) });
        let Answer::ReadPrincipal(view) = world.call(read) else { panic!("another answer") };
        let held = view.version.sequence();
        let mut erase = |sequences: &[i64]| {
            let versions = sequences.iter().map(|sequence| Version::of_sequence(*sequence)).collect();
            let (deletion_id, reason) = (DeletionId::new(NOW, world.object.bytes()), None);
            let (user_id, if_match) = (user_id.clone(), Some(Precondition::Versions(versions)));
            world.object.operator(if is_principal {
                let id = view.principal.id;
                Command::DeletePrincipal(DeletePrincipal { id, deletion_id, reason, if_match })
            } else {
                let cascade = Cascade::All;
                Command::DeleteEndUser(DeleteEndUser { user_id, deletion_id, cascade, reason, if_match })
            })
        };
        for sequences in [&[held - 1][..], &[held + 1], &[]] {
            let outcome = erase(sequences);
            assert!(matches!(outcome, Err(Rejection::PreconditionFailed)), "{sequences:?}: {outcome:?}");
        }
        let outcome = erase(&[held - 1, held]);
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

#[test]
fn agents_are_purged_in_turn() {
    let mut world = World::new();
    let agents = [world.agent("first", RELATIONSHIPS), world.agent("second", RELATIONSHIPS)];
    for agent in agents {
        world.delete_agent(agent);
    }
    assert!(world.purge() && world.purge(), "more is left to do");
    for name in ["first", "second"] {
        assert_eq!(world.relationships_left(name), i64::from(RELATIONSHIPS) - BATCH_MAX, "of the {name}");
    }
    let steps = (0..10).take_while(|_| world.purge()).count();
    assert!(steps < 10, "it comes to an end");
    assert_eq!([world.relationships_left("first"), world.relationships_left("second")], [0, 0]);
}

/// A person of whom KV holds nothing waits for the listing alone. A person with a copy waits until KV has confirmed that
/// it is gone, and the alarm has no work until the copy can be written again.
#[test]
fn only_a_person_with_a_copy_waits_for_kv() {
    let mut world = World::new();
    let (first, second, other) =
        (world.person("first", true), world.person("second", true), world.person("other", false));
    world.list();
    world.copy();
    world.object.now_ms += 60_000;
    // KV goes down.
    let waiting = [world.erase(first), world.erase(second)];
    let alone = world.erase(other);
    assert!(!world.purge(), "the listing has confirmed nothing yet");
    assert!(!world.is_erased(alone));
    world.list();
    assert!(world.fail_to_copy());
    world.purge();
    assert!(world.is_erased(alone), "KV holds nothing of them");
    assert!(!waiting.map(|deletion_id| world.is_erased(deletion_id)).contains(&true), "KV may still show them");
    // The purge itself has made a change.
    world.list();
    let retry_at = world.work_left_at().expect("a copy is due");
    assert!(retry_at > world.object.now(), "an erasure that waits for KV does not keep the alarm busy");
    // KV is up again. What it did not answer may still arrive, so that one confirmation is not enough.
    world.object.now_ms = retry_at.millis();
    world.copy();
    world.purge();
    assert!(!waiting.map(|deletion_id| world.is_erased(deletion_id)).contains(&true), "the failed write may arrive");
    let settles_at = world.work_left_at().expect("a copy is due");
    assert!(settles_at.millis() - NOW.millis() >= SPREAD_MS, "not before the failed write has settled");
    world.object.now_ms = settles_at.millis();
    world.copy();
    assert_eq!(world.work_left_at(), Some(Timestamp::EPOCH), "the erasures are due");
    world.purge();
    assert!(!waiting.map(|deletion_id| world.is_erased(deletion_id)).contains(&false));
    world.list();
    assert_eq!(world.work_left_at(), None);
}

/// A copy ends by itself, a day after it was made. Five minutes later KV shows it nowhere, and the erasure is completed
/// though KV was never up.
#[test]
fn an_erasure_waits_for_kv_no_longer_than_the_copy_lasts() {
    // So the end comes at any moment between two attempts, which are a quarter of an hour apart.
    for minutes in 1..=16 {
        erase_while_kv_is_down(minutes * 60_000);
    }
}

fn erase_while_kv_is_down(after_ms: i64) {
    let mut world = World::new();
    let person = world.person("copied", true);
    world.list();
    world.copy();
    let ends_ms = world.object.now_ms + COPIED_MS;
    world.object.now_ms += after_ms;
    let deletion_id = world.erase(person);
    world.list();
    let (mut failures, mut alarms) = (0, 0);
    while world.object.now_ms < ends_ms + SPREAD_MS {
        failures += i32::from(world.fail_to_copy());
        alarms += 1;
        assert!(alarms < failures + 10, "{alarms} alarms for {failures} attempts");
        let next = world.sweep().expect("the end of the copy").millis();
        world.purge();
        assert!(!world.is_erased(deletion_id), "KV may show them for {} ms", ends_ms + SPREAD_MS - world.object.now_ms);
        // As the alarm does.
        world.object.now_ms =
            world.work_left_at().map_or(next, |at| at.millis().min(next)).max(world.object.now_ms + 1);
    }
    assert!((90..130).contains(&failures), "{failures} attempts in a day");
    assert_eq!(world.object.now_ms, ends_ms + SPREAD_MS, "the alarm comes at that moment");
    world.sweep();
    assert_eq!(world.work_left_at(), Some(Timestamp::EPOCH), "the erasure is due");
    world.purge();
    assert!(world.is_erased(deletion_id));
}
