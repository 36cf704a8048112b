//! A purge takes bounded steps, and no erasure waits for another.

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::deletion::{Cascade, ReceiptStatus};
use rollcall::directory::identifiers::{DeletionId, Mode, OrganizationId, RelationshipId, RequestId, Tenant};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::change_log::Projection;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::erasure::BATCH_MAX;
use rollcall::organization::protocol::{
    Answer, Call, Caller, Command, DeleteAgent, DeleteEndUser, NewAgent, NewTurn, ReadDeletion, Settings,
};
use rollcall::organization::sql::{Row, Sql};

use crate::sqlite::Sqlite;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// Relationships of one agent: more than two steps remove.
const RELATIONSHIPS: u32 = 250;

struct World {
    sql: Sqlite,
    core: OrganizationCore,
    random: fastrand::Rng,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { sql: Sqlite::new(), core: OrganizationCore::default(), random: fastrand::Rng::with_seed(1) };
        let tenant = Tenant { organization: OrganizationId::new(NOW, [1; 10]), mode: Mode::Live };
        let limits = Limits { turns_per_period: 1_000, active_relationships: 1_000, ..Limits::default() };
        world.call(Command::Configure(Settings { tenant, version: 1, limits, anchor: NOW }));
        world
    }

    fn bytes(&mut self) -> [u8; 10] {
        self.random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
    }

    fn call(&mut self, command: Command) -> Answer {
        let request_id = RequestId::new(NOW, self.bytes());
        let call = Call { request_id, repeated: false, caller: Caller::Operator, idempotency: None, command };
        let Self { sql, core, .. } = self;
        sql.transaction(|sql| core.handle(sql, call, NOW)).expect("a reply").outcome.expect("an answer")
    }

    /// Makes an agent with as many relationships, each with a user of its own.
    fn agent(&mut self, name: &str, relationships: u32) -> AgentId {
        let (agent_id, name) = (AgentId::new(NOW, self.bytes()), Name::new(name).expect("a name"));
        let new = NewAgent { agent_id, external_id: None, name: name.clone(), metadata: None };
        self.call(Command::SaveAgent(new));
        for number in 0..relationships {
            let user_id = UserId::new(format!("{}-{number}", name.as_str())).expect("an id");
            let relationship_id = RelationshipId::new(NOW, self.bytes());
            let agent = AgentRef::Id(agent_id);
            self.call(Command::ReserveTurn(NewTurn {
                agent,
                user_id: Some(user_id),
                is_stateful: true,
                relationship_id,
                expires_in_ms: 60_000,
            }));
        }
        agent_id
    }

    fn delete_agent(&mut self, agent_id: AgentId) {
        let deletion_id = DeletionId::new(NOW, self.bytes());
        self.call(Command::DeleteAgent(DeleteAgent {
            agent: AgentRef::Id(agent_id),
            deletion_id,
            reason: None,
            if_match: None,
        }));
    }

    fn purge(&mut self) -> bool {
        let Self { sql, core, .. } = self;
        sql.transaction(|sql| core.purge(sql, NOW)).expect("a purge")
    }

    fn relationships_left(&self, name: &str) -> i64 {
        let select = "SELECT count(*) FROM relationships r JOIN users u ON u.number = r.user WHERE u.user_id LIKE ?";
        let found = self.sql.find(select, &[format!("{name}-%").into()], Row::integer).expect("a count");
        found.expect("a row")
    }
}

#[test]
fn a_person_does_not_wait_for_an_agent_with_many_relationships() {
    let mut world = World::new();
    let agent = world.agent("popular", RELATIONSHIPS);
    let deletion_id = DeletionId::new(NOW, world.bytes());
    let user_id = UserId::new("popular-0").expect("an id");
    let delete = DeleteEndUser { user_id, deletion_id, cascade: Cascade::All, reason: None, if_match: None };
    world.call(Command::DeleteEndUser(delete));
    let confirmed = world.core.last_sequence().expect("a loaded memory");
    world.delete_agent(agent);
    for projection in Projection::ALL {
        let World { sql, core, .. } = &mut world;
        sql.transaction(|sql| core.acknowledge(sql, projection, confirmed, NOW)).expect("an acknowledgement");
    }
    assert!(world.purge(), "more is left to do");
    let Answer::ReadDeletion(receipt) = world.call(Command::ReadDeletion(ReadDeletion { deletion_id })) else {
        panic!("no receipt");
    };
    assert_eq!(receipt.status, ReceiptStatus::Completed);
    let left = world.relationships_left("popular");
    assert!(left >= i64::from(RELATIONSHIPS) - BATCH_MAX - 1 && left > 0, "{left} are left: a step is bounded");
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
