//! A tenant's object as the tests of the core provision it: with settings, one key and a clock in the tests' hand.

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyKind, KeyPrefix, Scope};
use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::EndUser;
use rollcall::directory::identifiers::{
    BatchId, DeletionId, KeyId, Mode, OrganizationId, RelationshipId, RequestId, Tenant,
};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::mood::Affect;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::{BURST_MAX, Limits, REQUESTS_PER_SECOND_MAX};
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    AgentView, Answer, Call, Caller, Command, DeleteEndUser, EdgeCall, IdempotencyKey, IssueKey, KeyRecord, NewAgent,
    NewEndUser, NewTurn, Outcome, Reply, Settings, TurnAnswer,
};
use rollcall::organization::sql::SqlError;
use rollcall::projection::listing::batches::Application;

use crate::position;
use crate::sqlite::Sqlite;

/// The instant at which the tenants begin.
pub const START_MS: i64 = 1_700_000_000_000;

/// Every secret of the deployment.
pub const SECRET: &str = "a secret of more than thirty-two characters";

/// The tenant in mode live of the organization with a number.
pub fn tenant(number: u8) -> Tenant {
    let organization = OrganizationId::new(Timestamp::from_millis(START_MS), [number; 10]);
    Tenant { organization, mode: Mode::Live }
}

/// Limits with a bucket that no test empties.
pub fn wide() -> Limits {
    Limits { requests_per_second: REQUESTS_PER_SECOND_MAX, burst: BURST_MAX, ..Limits::default() }
}

pub fn settings(tenant: Tenant, limits: Limits) -> Settings {
    Settings { tenant, version: 1, limits, anchor: Timestamp::from_millis(START_MS), record: None }
}

/// The key of a tenant with a number.
pub fn api_key(tenant: Tenant, number: u8) -> ApiKey {
    let secret = Secret::new(SECRET.to_owned()).expect("a secret");
    ApiKey::mint(&KeyPrefix::default(), tenant, [number; 32], &secret)
}

/// What an object holds of it.
pub fn digest(tenant: Tenant, number: u8) -> KeyDigest {
    api_key(tenant, number).digest()
}

/// The record of the key with a number, which is good for everything.
pub fn key(number: u8) -> KeyRecord {
    let created_at = Timestamp::from_millis(START_MS);
    KeyRecord {
        key_id: KeyId::new(created_at, [number; 10]),
        kind: KeyKind::Api,
        scope: Scope::ReadWrite,
        prefix: KeyPrefix::default(),
        name: Name::new("key").expect("a name"),
        created_at,
        expires_at: None,
        revoked_at: None,
        last_used_on: None,
    }
}

/// Issues the key with a number, and configures the object.
pub fn issue(settings: Settings, number: u8) -> Command {
    let digest = digest(settings.tenant, number);
    Command::IssueKey(IssueKey { settings, digest, key: key(number) })
}

/// The holder of the key of a tenant with a number.
pub fn holder(tenant: Tenant, number: u8, scope: Scope) -> Caller {
    Caller::Key { digest: digest(tenant, number), kind: KeyKind::Api, scope, cost: 1 }
}

/// A stateful turn that has a minute.
pub fn turn(agent: AgentRef, user_id: UserId, relationship_id: RelationshipId) -> Command {
    let user_id = Some(user_id);
    Command::ReserveTurn(NewTurn { agent, user_id, is_stateful: true, relationship_id, expires_in_ms: 60_000 })
}

/// The answer of a model that feels nothing.
pub fn turn_answer() -> TurnAnswer {
    let (response, provider, model) = ("hello".to_owned(), "echo".to_owned(), "echo".to_owned());
    TurnAnswer { response, state: None, affect: None, provider, model, latency_ms: 1 }
}

/// An object with its storage. Its key has the number 1.
pub struct Object {
    pub core: OrganizationCore,
    pub storage: Sqlite,
    pub random: fastrand::Rng,
    pub tenant: Tenant,
    pub now_ms: i64,
}

impl Object {
    pub fn new(seed: u64, limits: Limits) -> Self {
        Self::of(tenant(1), seed, limits)
    }

    pub fn of(tenant: Tenant, seed: u64, limits: Limits) -> Self {
        let mut object = Self {
            core: OrganizationCore::default(),
            storage: Sqlite::new(),
            random: fastrand::Rng::with_seed(seed),
            tenant,
            now_ms: START_MS,
        };
        object.operator(issue(settings(object.tenant, limits), 1)).expect("a key");
        object
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    /// What an id of now has besides the time.
    pub fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes);
        bytes
    }

    pub fn request_id(&mut self) -> RequestId {
        RequestId::new(self.now(), self.bytes())
    }

    pub fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> T {
        let (now, core) = (self.now(), &mut self.core);
        self.storage.transaction(|sql| body(core, sql, now)).expect("a transaction")
    }

    pub fn handle(&mut self, call: Call) -> Reply {
        self.transact(|core, sql, now| core.handle(sql, call, now))
    }

    pub fn send(&mut self, caller: Caller, edge: Option<EdgeCall>, command: Command) -> Reply {
        let request_id = self.request_id();
        self.handle(Call { request_id, repeated: false, caller, idempotency: None, edge, command })
    }

    pub fn operator(&mut self, command: Command) -> Outcome {
        self.send(Caller::Operator(None), None, command).outcome
    }

    /// The holder of the object's key, who is let in by a route of this scope.
    pub fn holder(&self, scope: Scope) -> Caller {
        holder(self.tenant, 1, scope)
    }

    /// What the operator gets who repeats a request with an idempotency key.
    pub fn keyed(&mut self, request_id: RequestId, key: &str, command: Command) -> Reply {
        let idempotency = Some(IdempotencyKey { digest: key.to_owned(), fingerprint: String::new() });
        let caller = Caller::Operator(None);
        self.handle(Call { request_id, repeated: false, caller, idempotency, edge: None, command })
    }

    /// A user with this id.
    pub fn create(&mut self, user_id: &UserId) -> EndUser {
        let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: Metadata::default() };
        match self.operator(Command::CreateEndUser(new)) {
            Ok(Answer::CreateEndUser(created)) => created.user,
            other => panic!("{other:?}"),
        }
    }

    /// An agent with this name.
    pub fn agent(&mut self, name: &str) -> AgentView {
        let (agent_id, name) = (AgentId::new(self.now(), self.bytes()), Name::new(name).expect("a name"));
        match self.operator(Command::SaveAgent(NewAgent { agent_id, external_id: None, name, metadata: None })) {
            Ok(Answer::SaveAgent(saved)) => saved.view,
            other => panic!("{other:?}"),
        }
    }

    /// A whole turn of a user with an agent.
    pub fn turn(&mut self, agent: AgentId, user_id: &UserId, affect: Option<Affect>) {
        let (request_id, relationship_id) = (self.request_id(), RelationshipId::new(self.now(), self.bytes()));
        let answer = TurnAnswer { affect, ..turn_answer() };
        for command in [turn(AgentRef::Id(agent), user_id.clone(), relationship_id), Command::CommitTurn(answer)] {
            let caller = Caller::Operator(None);
            let call = Call { request_id, repeated: false, caller, idempotency: None, edge: None, command };
            self.handle(call).outcome.expect("an answer");
        }
    }

    /// Requests the erasure of a person.
    pub fn erase(&mut self, user_id: &UserId) -> DeletionId {
        let (user_id, deletion_id) = (user_id.clone(), DeletionId::new(self.now(), self.bytes()));
        let cascade = Cascade::All;
        let delete = DeleteEndUser { user_id, deletion_id, cascade, reason: None, if_match: None };
        self.operator(Command::DeleteEndUser(delete)).expect("a receipt");
        deletion_id
    }

    /// The listing confirms everything, and what is erased is purged.
    pub fn purge(&mut self) {
        let to = position(self.core.last_sequence().expect("a loaded memory"));
        self.transact(|core, sql, now| core.acknowledge(sql, to, now));
        while self.transact(OrganizationCore::purge) {}
    }

    /// Brings a listing up to date.
    pub fn list(&mut self, listing: &Sqlite) {
        loop {
            let id = BatchId::new(self.now(), self.bytes());
            let Some(batch) = self.transact(|core, sql, now| core.next_batch(sql, id, now)) else { return };
            listing.batch(&Application::new(&batch).expect("JSON").statements()).expect("a batch");
            self.transact(|core, sql, now| core.acknowledge(sql, batch.to.clone(), now));
        }
    }

    /// The object is started anew, and the alarm comes.
    pub fn restart(&mut self) {
        self.core = OrganizationCore::default();
        self.transact(OrganizationCore::sweep);
    }
}
