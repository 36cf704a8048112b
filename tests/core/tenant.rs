//! A tenant's object as the tests of the core provision it: with settings, one key and a clock in the tests' hand.

use rollcall::directory::agent::AgentRef;
use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyKind, KeyPrefix, Scope};
use rollcall::directory::identifiers::{KeyId, Mode, OrganizationId, RelationshipId, RequestId, Tenant};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::{BURST_MAX, Limits, REQUESTS_PER_SECOND_MAX};
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    Call, Caller, Command, EdgeCall, IssueKey, KeyRecord, NewTurn, Outcome, Reply, Settings,
};
use rollcall::organization::sql::SqlError;

use crate::sqlite::Sqlite;

/// The instant at which the tenants begin.
pub const START_MS: i64 = 1_700_000_000_000;

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

/// The digest of the key of a tenant with a number.
pub fn digest(tenant: Tenant, number: u8) -> KeyDigest {
    let secret = Secret::new("s".repeat(32)).expect("a secret");
    ApiKey::mint(&KeyPrefix::default(), tenant, [number; 32], &secret).digest()
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
        let mut object = Self {
            core: OrganizationCore::default(),
            storage: Sqlite::new(),
            random: fastrand::Rng::with_seed(seed),
            tenant: tenant(1),
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
        self.send(Caller::Operator, None, command).outcome
    }

    /// The holder of the object's key, who is let in by a route of this scope.
    pub fn holder(&self, scope: Scope) -> Caller {
        holder(self.tenant, 1, scope)
    }

    /// The object is started anew, and the alarm comes.
    pub fn restart(&mut self) {
        self.core = OrganizationCore::default();
        self.transact(OrganizationCore::sweep);
    }
}
