//! D1 is restored to any earlier moment of a random history. The daily audit makes the listing equal to what the object
//! holds: nothing of an erased person is in any table, every living person is complete, and so is the organization.

use std::collections::{BTreeMap, BTreeSet};

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::identifiers::RelationshipId;
use rollcall::directory::mood::{Affect, Level};
use rollcall::directory::organization::{Organization, Slug};
use rollcall::organization::protocol::{
    Answer, DeleteAgent, DeleteRelationship, NewAgent, NewTurn, Outcome, Precondition, TurnAnswer,
};
use rollcall::organization::sql::SqlValue;
use rollcall::projection::organization;

use super::*;

const HISTORIES: u64 = 400;
const STEPS: usize = 60;
const PEOPLE: usize = 6;
const AGENTS: usize = 3;
/// Every table of D1 but the ones that mirror Clerk, which nothing of an object's can bring back.
const TABLES: [&str; 5] = ["projections", "end_users", "agent_users", "organizations", "organization_deletions"];

/// The rows of each table.
type Backup = Vec<(String, Vec<Vec<SqlValue<'static>>>)>;

fn back_up(database: &Sqlite, tables: impl IntoIterator<Item = String>) -> Backup {
    let rows = |table: &str| database.rows(&format!("SELECT * FROM {table}"), &[]).expect("the rows");
    tables.into_iter().map(|table| (table.clone(), rows(&table))).collect()
}

fn restore(database: &Sqlite, backup: &Backup) {
    for (table, rows) in backup {
        database.lose(table, "true");
        for row in rows {
            let places = vec!["?"; row.len()].join(", ");
            database.rows(&format!("INSERT INTO {table} VALUES ({places})"), row).expect("a row");
        }
    }
}

struct History {
    world: World,
    organization: Organization,
    /// How often each id was given, so that every person has metadata of their own.
    lives: BTreeMap<usize, u32>,
    backups: Vec<Backup>,
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let organization = Organization {
            id: world.object.tenant.organization,
            name: Name::new("Acme").expect("a name"),
            slug: Slug::new("acme").expect("a slug"),
            clerk_org_id: Some("org_1".to_owned()),
            location: None,
            limits: world.object.settings().limits,
            version: 2,
            created_at: world.object.now(),
            updated_at: world.object.now(),
        };
        let mut history = Self { world, organization, lives: BTreeMap::new(), backups: Vec::new() };
        history.back_up();
        history.save_organization();
        history
    }

    /// Does what the edge does when the operator changes an organization: D1 first, then the object.
    fn save_organization(&mut self) {
        self.organization.version += 1;
        let record = json::Text::of(&self.organization).expect("JSON");
        let (database, tenant) = (&self.world.listing, self.world.object.tenant);
        ready(organization::restore_and_note(database, tenant, Some(&record), self.world.object.now())).expect("a row");
        let Organization { limits, version, .. } = self.organization;
        let settings = Settings { limits, version, record: Some(record), ..self.world.object.settings() };
        self.world.object.command(Command::Configure(settings));
    }

    fn call(&mut self, request_id: RequestId, command: Command) -> Outcome {
        let object = &self.world.object;
        object.now_ms.set(object.now_ms.get() + 1);
        let call = Call {
            request_id,
            repeated: false,
            caller: Caller::Operator(None),
            idempotency: None,
            edge: None,
            command,
        };
        object.transaction(|core, sql| core.handle(sql, call, object.now())).outcome
    }

    fn request_id(&mut self) -> RequestId {
        RequestId::new(self.world.object.now(), self.world.bytes())
    }

    fn person(&mut self) -> (usize, UserId) {
        let index = self.world.random.usize(..PEOPLE);
        (index, UserId::new(format!("person {index}")).expect("an id"))
    }

    fn agent(&mut self) -> AgentRef {
        AgentRef::new(format!("agent {}", self.world.random.usize(..AGENTS))).expect("an agent")
    }

    fn step(&mut self) {
        let (now, bytes) = (self.world.object.now(), self.world.bytes());
        let request_id = self.request_id();
        let ((index, user_id), agent) = (self.person(), self.agent());
        let deletion_id = DeletionId::new(now, bytes);
        match self.world.random.u8(0..100) {
            0..18 => {
                let life = self.lives.entry(index).or_default();
                *life += 1;
                let canary = format!("{{\"canary\":\"canary-{index}-{life}.\"}}");
                let metadata = Metadata::from_stored(canary).expect("JSON");
                let new = NewEndUser { user_id, display_name: None, metadata };
                if !matches!(self.call(request_id, Command::CreateEndUser(new)), Ok(Answer::CreateEndUser(made)) if made.created)
                {
                    *self.lives.entry(index).or_default() -= 1;
                }
            }
            18..26 => {
                let display_name =
                    Some(Some(Name::new(format!("name {}", self.world.random.u16(..))).expect("a name")));
                let change = EndUserChange::Replace { display_name, metadata: None };
                let update = UpdateEndUser { user_id, change, if_match: None };
                drop(self.call(request_id, Command::UpdateEndUser(update)));
            }
            26..36 => {
                let agent_id = AgentId::new(now, bytes);
                let AgentRef::Name(name) = agent else { return };
                let new = NewAgent { agent_id, external_id: None, name, metadata: None };
                drop(self.call(request_id, Command::SaveAgent(new)));
            }
            36..60 => self.take_turn(request_id, user_id, agent),
            60..68 => {
                let cascade =
                    *self.world.random.choice(&[Cascade::All, Cascade::MemoryOnly, Cascade::ModelOnly]).expect("one");
                let delete = DeleteEndUser { user_id, deletion_id, cascade, reason: None, if_match: None };
                drop(self.call(request_id, Command::DeleteEndUser(delete)));
            }
            68..72 => {
                let delete = DeleteAgent { agent, deletion_id, reason: None, if_match: None };
                drop(self.call(request_id, Command::DeleteAgent(delete)));
            }
            72..76 => self.delete_relationship(request_id, deletion_id),
            76..80 => self.save_organization(),
            80..92 => self.settle(),
            _ => self.back_up(),
        }
    }

    fn take_turn(&mut self, request_id: RequestId, user_id: UserId, agent: AgentRef) {
        let relationship_id = RelationshipId::new(self.world.object.now(), self.world.bytes());
        let turn = NewTurn { agent, user_id: Some(user_id), is_stateful: true, relationship_id, expires_in_ms: 10_000 };
        if self.call(request_id, Command::ReserveTurn(turn)).is_err() {
            return;
        }
        let mut level = || Level::from_f64(self.world.random.f64());
        let affect = level().zip(level());
        let affect = affect.map(|(valence, arousal)| Affect { valence, arousal, tension: None, affiliation: None });
        let answer = TurnAnswer {
            response: "hi".to_owned(),
            state: None,
            affect,
            provider: "test".to_owned(),
            model: "test".to_owned(),
            latency_ms: 1,
        };
        self.call(request_id, Command::CommitTurn(answer)).expect("a counted turn");
    }

    fn delete_relationship(&mut self, request_id: RequestId, deletion_id: DeletionId) {
        let select = "SELECT relationship_id FROM relationships ORDER BY random() LIMIT 1";
        let found = self.world.object.storage.find(select, &[], |row| row.parsed("id")).expect("a row");
        let Some(id) = found else { return };
        let cascade = Cascade::All;
        let delete = DeleteRelationship { id, deletion_id, cascade, reason: None, if_match: None::<Precondition> };
        drop(self.call(request_id, Command::DeleteRelationship(delete)));
    }

    /// What the alarm does: flushes, the steps of an audit, and purges, until nothing is left.
    fn settle(&mut self) {
        let is_open = |world: &World| {
            let core = world.object.core.borrow();
            core.is_audited() || core.is_behind()
        };
        for _ in 0..1_000 {
            self.world.flush();
            if self.world.object.core.borrow().is_audited() {
                ready(audit::step(&self.world.object, &self.world.listing, &self.world.kv)).expect("a step");
            }
            let object = &self.world.object;
            while object.transaction(|core, sql| core.purge(sql, object.now())) {}
            if !is_open(&self.world) {
                return;
            }
        }
        panic!("the object never settles");
    }

    fn back_up(&mut self) {
        self.backups.push(back_up(&self.world.listing.0, TABLES.map(str::to_owned)));
    }

    fn restore(&mut self) {
        let backup = self.world.random.usize(..self.backups.len());
        restore(&self.world.listing.0, &self.backups.swap_remove(backup));
    }

    /// The users of the listing, and whose relationships it holds, with the texts that are shown.
    fn listed(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let texts = |select: &str| {
            let texts =
                self.world.listing.0.texts(&Statement { sql: select.to_owned().into(), parameters: Vec::new() });
            texts.expect("the rows").into_iter().collect()
        };
        (texts("SELECT document AS text FROM end_users"), texts("SELECT agent_id || user_id AS text FROM agent_users"))
    }

    fn check(&self) {
        let object = &self.world.object;
        let active = object.users().into_iter().filter(|row| row.user.status == Status::Active);
        let documents: BTreeSet<String> = active.map(|row| serde_json::to_string(&row.user).expect("JSON")).collect();
        let select = "SELECT a.agent_id || u.user_id FROM relationships r JOIN users u ON u.number = r.user
                      JOIN agents a ON a.number = r.agent WHERE u.state = 'active'";
        let pairs = object.storage.list(select, &[], Row::text).expect("the relationships").into_iter().collect();
        assert_eq!(self.listed(), (documents, pairs));

        let select = "SELECT document AS text FROM organizations";
        let rows = self.world.listing.0.texts(&Statement { sql: select.into(), parameters: Vec::new() });
        let expected = serde_json::to_string(&self.organization).expect("JSON");
        assert_eq!(rows.expect("the rows"), [expected]);

        let living: BTreeSet<String> = object.users().iter().map(|row| row.user.metadata.as_str().to_owned()).collect();
        let rows = |table| self.world.listing.0.rows(&format!("SELECT * FROM {table}"), &[]).expect("the rows");
        let held = format!("{:?}", TABLES.map(rows));
        for (index, lives) in &self.lives {
            for life in 1..=*lives {
                let canary = format!("canary-{index}-{life}.");
                let is_living = living.iter().any(|metadata| metadata.contains(&canary));
                assert!(is_living || !held.contains(&canary), "{canary} is erased");
            }
        }
    }
}

#[test]
fn a_listing_restored_to_any_moment_becomes_what_the_object_holds() {
    let base = fastrand::u64(..) >> 16;
    let mut changed = 0;
    for seed in base..base + HISTORIES {
        println!("seed {seed}");
        let mut history = History::new(seed);
        for _ in 0..STEPS {
            history.step();
        }
        let before = history.listed();
        history.restore();
        changed += u32::from(history.listed() != before);
        for _ in 0..history.world.random.usize(..10) {
            history.step();
        }
        history.world.pass(DAY_MS);
        history.world.pass(DAY_MS);
        history.settle();
        history.check();
    }
    assert!(u64::from(changed) > HISTORIES / 2, "{changed} restores changed something");
}

/// An object is restored twice to the same moment, at which the listing lacked a change. It brings the listing up to date
/// with that change after each restoration. So what it finds there the second time it has not written itself.
#[test]
fn an_object_that_is_restored_twice_notices_twice() {
    let (world, user_id) = copied_world();
    let mut history = History { world, ..History::new(1) };
    history.world.update(&user_id);
    let object = &history.world.object;
    let tables = object.storage.list("SELECT name FROM sqlite_schema WHERE type = 'table'", &[], Row::text);
    let moment = back_up(&object.storage, tables.expect("the tables"));
    history.world.flush();
    history.world.update(&user_id);
    history.world.flush();
    let mut epochs = BTreeSet::from([history.world.object.epoch().number()]);
    for _ in 0..2 {
        let object = &history.world.object;
        restore(&object.storage, &moment);
        *object.core.borrow_mut() = OrganizationCore::default();
        object.command(Command::Admit(Admit));
        history.settle();
        epochs.insert(history.world.object.epoch().number());
    }
    assert_eq!(epochs.len(), 3, "what KV holds of either lost history is under another epoch");
}
