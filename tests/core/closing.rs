//! Closed objects: no command reopens them, and their data is removed from every store, wherever the removal is cut
//! off and however often it starts again.

use std::cell::{Cell, RefCell};

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::{Cascade, Erased};
use rollcall::directory::epoch::Epoch;
use rollcall::directory::identifiers::{BatchId, DeletionId, KeyId, RelationshipId, RequestId, Tenant};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::principal::{PrincipalId, PrincipalType};
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::audit::PendingUsers;
use rollcall::organization::change_log::{ChangeLog, ListingPosition};
use rollcall::organization::closing::{self, Closing, KnownCopy};
use rollcall::organization::copies::Copy;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    Admit, Answer, Call, Caller, Close, CloseAgain, Command, CreateEndUsers, DeleteAgent, DeleteEndUser,
    DeleteEndUsers, DeletePrincipal, DeleteRelationship, Denial, EdgeCall, EndUserChange, ExportPart, ExportRecords,
    IdempotencyKey, ImportRecords, ListAgents, ListKeys, ListPrincipals, ListRelationships, NewAgent, NewEndUser,
    NewPrincipal, OrganizationDeletion, Outcome, PrincipalChange, PrincipalRef, PrincipalsFrom, ReadAgent, ReadAudit,
    ReadDeletion, ReadEndUser, ReadEndUsers, ReadEvents, ReadPrincipal, ReadRelationship, ReadSchema, ReadUsage,
    ReadUserUsage, Rejection, ReleaseTurn, RevokeKey, StartAudit, TurnAnswer, UpdateAgent, UpdateEndUser,
    UpdatePrincipal,
};
use rollcall::organization::sql::{Row, Sql, SqlError};
use rollcall::projection::closing::{ClosedObject, clear};
use rollcall::projection::listing::batches;
use rollcall::projection::listing::fence;
use rollcall::projection::{Cache, Database, Put, Statement, StoreError, Texts, cache, flush};

use crate::audit::{Kv, Listing, ready};
use crate::position;
use crate::sqlite::Sqlite;
use crate::tenant::{START_MS, holder, issue, settings, tenant, turn, wide};

/// Calls that one invocation may make.
const CALLS_MAX: u32 = 1_000;
/// More flushes than the changes of any world need.
const FLUSHES_MAX: usize = 1_000;
/// More statements, and more calls to a store, than any test here takes.
const STEPS_MAX: u32 = 1_000;

fn now() -> Timestamp {
    Timestamp::from_millis(START_MS)
}

fn deletion() -> OrganizationDeletion {
    OrganizationDeletion {
        deletion_id: DeletionId::new(now(), [5; 10]),
        requested_at: now(),
        reason: Some("ended".to_owned()),
    }
}

fn user_id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// An object with its storage.
struct Object {
    core: RefCell<OrganizationCore>,
    storage: RefCell<Sqlite>,
    tenant: Tenant,
    requests: Cell<u8>,
}

impl Object {
    fn new(tenant: Tenant) -> Self {
        Self { core: RefCell::default(), storage: RefCell::new(Sqlite::new()), tenant, requests: Cell::new(0) }
    }

    fn transaction<T>(&self, body: impl FnOnce(&mut OrganizationCore, &Sqlite) -> Result<T, SqlError>) -> T {
        let (mut core, storage) = (self.core.borrow_mut(), self.storage.borrow());
        storage.transaction(|sql| body(&mut core, sql)).expect("a transaction")
    }

    fn call(&self, caller: Caller, idempotency: Option<IdempotencyKey>, command: Command) -> Outcome {
        self.send(caller, idempotency, None, command)
    }

    fn send(
        &self,
        caller: Caller,
        idempotency: Option<IdempotencyKey>,
        edge: Option<EdgeCall>,
        command: Command,
    ) -> Outcome {
        self.requests.set(self.requests.get().wrapping_add(1));
        let request_id = RequestId::new(now(), [self.requests.get(); 10]);
        let call = Call { request_id, repeated: false, caller, idempotency, edge, command };
        self.transaction(|core, sql| core.handle(sql, call, now())).outcome
    }

    /// Readers at the edge ask for a user until the object keeps a copy in KV.
    fn begin_copy(&self, user_id: &UserId) {
        for _ in 0..2 {
            let caller = holder(self.tenant, 1, Scope::Read);
            let edge = EdgeCall { missed: Some(user_id.clone()), used: None };
            let read = Command::ReadEndUser(ReadEndUser { user_id: user_id.clone() });
            self.send(caller, None, Some(edge), read).expect("an answer");
        }
    }

    fn operator(&self, command: Command) -> Outcome {
        self.call(Caller::Operator(None), None, command)
    }

    fn close(&self) -> (Option<Timestamp>, Erased) {
        match self.operator(Command::Close(Close { tenant: self.tenant, deletion: deletion() })) {
            Ok(Answer::Close(progress)) => (progress.completed_at, progress.erased),
            other => panic!("{other:?}"),
        }
    }

    fn closing(&self) -> Option<Closing> {
        self.transaction(|core, sql| core.closing(sql))
    }

    fn restart(&self) {
        *self.core.borrow_mut() = OrganizationCore::default();
    }

    /// Empties the storage as the platform does.
    fn delete_all(&self) {
        *self.storage.borrow_mut() = Sqlite::new();
    }

    fn complete(&self) {
        let closing = self.closing().expect("the mark");
        self.delete_all();
        self.transaction(|_, sql| closing.complete(sql, now()));
    }

    /// Fills an organization in use: users with copies, an agent, relationships with moods, a turn in progress, a key.
    fn populate(&self, users: usize, listing: &Listing, kv: &Kv) {
        self.operator(issue(settings(self.tenant, wide()), 1)).expect("an answer");
        for command in self.commands() {
            if matches!(command, Command::SaveAgent(_) | Command::ReserveTurn(_) | Command::CommitTurn(_)) {
                // The turn belongs to another request, so this commit finds none.
                // Some find nothing.
                let _ = self.operator(command);
            }
        }
        for index in 0..users {
            let user_id = user_id(&format!("user {index:05}"));
            let new = NewEndUser { user_id, display_name: None, metadata: Metadata::default() };
            self.operator(Command::CreateEndUser(new)).expect("an answer");
        }
        let everyone = self.storage.borrow().list("SELECT user_id FROM users", &[], Row::text);
        for text in everyone.expect("the users") {
            self.begin_copy(&user_id(&text));
        }
        for _ in 0..FLUSHES_MAX {
            ready(flush::listing(self, listing)).expect("a flush");
            ready(flush::copies(self, kv)).expect("a flush");
            let core = self.core.borrow();
            if !core.is_behind() && core.copies_due_at().is_none() {
                return;
            }
        }
        panic!("the stores never catch up");
    }

    /// One command of every kind.
    fn commands(&self) -> Vec<Command> {
        let (tenant, agent) = (self.tenant, || AgentRef::new("tutor".to_owned()).expect("an agent"));
        let (id, deletion_id) = (|| user_id("ada"), DeletionId::new(now(), [1; 10]));
        let new = || NewEndUser { user_id: id(), display_name: None, metadata: Metadata::default() };
        let principal_id = PrincipalId::new(now(), [1; 10]);
        let relationship_id = RelationshipId::new(now(), [1; 10]);
        let change = EndUserChange::Replace { display_name: Some(None), metadata: None };
        let agent_id = AgentId::new(now(), [1; 10]);
        let (cascade, reason) = (Cascade::All, None);
        let answer = TurnAnswer {
            response: "hello".to_owned(),
            state: None,
            affect: None,
            provider: "echo".to_owned(),
            model: "echo".to_owned(),
            latency_ms: 1,
        };
        let commands = vec![
            Command::Admit(Admit),
            Command::CreateEndUser(new()),
            Command::CreateEndUsers(CreateEndUsers { users: vec![new()] }),
            Command::UpdateEndUser(UpdateEndUser { user_id: id(), change, if_match: None }),
            Command::DeleteEndUser(DeleteEndUser { user_id: id(), deletion_id, cascade, reason: None, if_match: None }),
            Command::ReadDeletion(ReadDeletion { deletion_id }),
            Command::ReadEndUser(ReadEndUser { user_id: id() }),
            Command::Configure(settings(tenant, wide())),
            issue(settings(tenant, wide()), 2),
            Command::ListKeys(ListKeys { after: None, limit: 10 }),
            Command::RevokeKey(RevokeKey { key_id: KeyId::new(now(), [1; 10]) }),
            Command::StartAudit(StartAudit { settings: settings(tenant, wide()), is_repair: true }),
            Command::ReadAudit(ReadAudit),
            Command::SaveAgent(NewAgent { agent_id, external_id: None, name: name("tutor"), metadata: None }),
            Command::ReadAgent(ReadAgent { agent: agent() }),
            Command::UpdateAgent(UpdateAgent { agent: agent(), name: None, metadata: None, if_match: None }),
            Command::ListAgents(ListAgents { after: 0, offset: 0, limit: 10 }),
            turn(agent(), id(), relationship_id),
            Command::CommitTurn(answer),
            Command::ReleaseTurn(ReleaseTurn),
            Command::ListRelationships(ListRelationships { user_id: None, agent: None, after: 0, limit: 10 }),
            Command::ReadRelationship(ReadRelationship { id: relationship_id }),
            Command::ReadUsage(ReadUsage),
            Command::DeleteAgent(DeleteAgent { agent: agent(), deletion_id, reason, if_match: None }),
            Command::DeleteRelationship(DeleteRelationship {
                id: relationship_id,
                deletion_id,
                cascade,
                reason: None,
                if_match: None,
            }),
            Command::CreatePrincipal(NewPrincipal {
                r#type: PrincipalType::Human,
                external_id: id(),
                name: name("Ada"),
                metadata: Metadata::default(),
                agent_id,
            }),
            Command::ReadPrincipal(ReadPrincipal { principal: PrincipalRef::ExternalId(id()) }),
            Command::UpdatePrincipal(UpdatePrincipal {
                id: principal_id,
                change: PrincipalChange { name: Some(name("Eve")), metadata: None, owner: None },
                if_match: None,
            }),
            Command::DeletePrincipal(DeletePrincipal { id: principal_id, deletion_id, reason: None, if_match: None }),
            Command::ListPrincipals(ListPrincipals { r#type: None, from: PrincipalsFrom::Start, limit: 10 }),
            Command::Close(Close { tenant, deletion: deletion() }),
            Command::CloseAgain(CloseAgain),
            Command::ExportPart(ExportPart::First { user_id: id() }),
            Command::ReadEndUsers(ReadEndUsers { user_ids: vec![id()] }),
            Command::ExportRecords(ExportRecords::default()),
            Command::ImportRecords(ImportRecords { records: Vec::new() }),
            Command::DeleteEndUsers(DeleteEndUsers {
                user_ids: vec![id()],
                first_deletion_id: deletion_id,
                reason: None,
            }),
            Command::ReadSchema(ReadSchema),
            Command::ReadEvents(ReadEvents { after: None, types: Vec::new(), limit: 10 }),
            Command::ReadUserUsage(ReadUserUsage { user_id: id() }),
        ];
        let mut numbers: Vec<u32> = commands.iter().map(number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "one of every kind");
        commands
    }

    fn counts(&self) -> Erased {
        let storage = self.storage.borrow();
        let count = |what: &str| {
            let row = storage.first(&format!("SELECT {what}"), &[]).expect("a query").expect("a row");
            { row }.integer().expect("a number")
        };
        Erased {
            records: count("(SELECT count(*) FROM users) + (SELECT count(*) FROM agents)"),
            relationships: count("count(*) FROM relationships"),
            moods: count("count(mood) FROM relationships"),
        }
    }
}

/// Fails to compile when there is a command that the tests do not cover.
const fn number(command: &Command) -> u32 {
    match command {
        Command::Admit(_) => 0,
        Command::CreateEndUser(_) => 1,
        Command::CreateEndUsers(_) => 2,
        Command::UpdateEndUser(_) => 3,
        Command::DeleteEndUser(_) => 4,
        Command::ReadDeletion(_) => 5,
        Command::ReadEndUser(_) => 6,
        Command::Configure(_) => 7,
        Command::IssueKey(_) => 8,
        Command::ListKeys(_) => 9,
        Command::RevokeKey(_) => 10,
        Command::StartAudit(_) => 11,
        Command::ReadAudit(_) => 12,
        Command::SaveAgent(_) => 13,
        Command::ReadAgent(_) => 14,
        Command::UpdateAgent(_) => 15,
        Command::ListAgents(_) => 16,
        Command::ReserveTurn(_) => 17,
        Command::CommitTurn(_) => 18,
        Command::ReleaseTurn(_) => 19,
        Command::ListRelationships(_) => 20,
        Command::ReadRelationship(_) => 21,
        Command::ReadUsage(_) => 22,
        Command::DeleteAgent(_) => 23,
        Command::DeleteRelationship(_) => 24,
        Command::CreatePrincipal(_) => 25,
        Command::ReadPrincipal(_) => 26,
        Command::UpdatePrincipal(_) => 27,
        Command::DeletePrincipal(_) => 28,
        Command::ListPrincipals(_) => 29,
        Command::Close(_) => 30,
        Command::CloseAgain(_) => 31,
        Command::ExportPart(_) => 32,
        Command::ReadEndUsers(_) => 33,
        Command::DeleteEndUsers(_) => 34,
        Command::ExportRecords(_) => 35,
        Command::ImportRecords(_) => 36,
        Command::ReadSchema(_) => 37,
        Command::ReadEvents(_) => 38,
        Command::ReadUserUsage(_) => 39,
    }
}

impl flush::Source for Object {
    fn next_batch(&self) -> Result<Option<rollcall::organization::batches::Batch>, StoreError> {
        self.requests.set(self.requests.get().wrapping_add(1));
        let id = BatchId::new(now(), [self.requests.get(); 10]);
        Ok(self.transaction(|core, sql| core.next_batch(sql, id, now())))
    }

    fn acknowledge(&self, position: ListingPosition) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.acknowledge(sql, position, now()));
        Ok(())
    }

    fn last_sequence(&self) -> Result<i64, StoreError> {
        self.core.borrow().last_sequence().ok_or_else(|| StoreError("forgotten".to_owned()))
    }

    fn owns(&self, found: Option<&ListingPosition>, since: &ListingPosition) -> Result<bool, StoreError> {
        Ok(ChangeLog::owns(&*self.storage.borrow(), found, since)?)
    }

    async fn pause(&self) {}

    fn suspect_listing(&self) -> Result<(), StoreError> {
        Err(StoreError("diverged".to_owned()))
    }
}

impl flush::CopySource for Object {
    fn tenant(&self) -> Result<Tenant, StoreError> {
        Ok(self.tenant)
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn due_copies(&self) -> Result<Vec<Copy>, StoreError> {
        Ok(self.transaction(|core, sql| core.due_copies(sql, now())))
    }

    fn confirm_copies(&self, written: &[Copy], began_at: Timestamp) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.confirm_copies(sql, written, began_at, now()));
        Ok(())
    }

    fn fail_copies(&self, _: &[Copy], error: &StoreError) -> Result<(), StoreError> {
        Err(error.clone())
    }
}

impl ClosedObject for Object {
    fn copies(&self) -> Result<Vec<KnownCopy>, StoreError> {
        let closing = self.closing().expect("the mark");
        Ok(self.transaction(|_, sql| closing.copies(sql)))
    }

    fn advance(&self, number: i64) -> Result<(), StoreError> {
        self.transaction(|_, sql| closing::advance(sql, number));
        Ok(())
    }

    async fn pause(&self) {}
}

/// Both stores, which fail from one call on. The failure comes either before the call does anything, or after it,
/// so that only its answer is lost.
pub struct Stores<'a> {
    listing: &'a Listing,
    kv: &'a Kv,
    calls: Cell<u32>,
    /// Keys deleted from KV; each deletion is a call of its own.
    keys: Cell<u32>,
    failing_from: u32,
    is_done_all_the_same: bool,
    /// KV lists no keys.
    is_blind: bool,
}

impl<'a> Stores<'a> {
    pub fn sound(listing: &'a Listing, kv: &'a Kv) -> Self {
        Self {
            listing,
            kv,
            calls: Cell::new(0),
            keys: Cell::new(0),
            failing_from: u32::MAX,
            is_done_all_the_same: false,
            is_blind: false,
        }
    }

    /// The same, failing from a call on.
    pub fn failing(self, failing_from: u32, is_done_all_the_same: bool) -> Self {
        Self { failing_from, is_done_all_the_same, ..self }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let number = self.calls.get();
        self.calls.set(number + 1);
        let lost = || Err(StoreError("out of reach".to_owned()));
        if number < self.failing_from {
            call.await
        } else if number == self.failing_from && self.is_done_all_the_same {
            call.await.and_then(|_| lost())
        } else {
            lost()
        }
    }
}

impl Database for Stores<'_> {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        self.call(self.listing.batch(statements)).await
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        self.call(self.listing.query(statement)).await
    }
}

impl Cache for Stores<'_> {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.call(self.kv.get(key)).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        self.call(self.kv.get_many(keys)).await
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.call(self.kv.put_all(puts)).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.keys.set(self.keys.get() + u32::try_from(keys.len()).expect("a few"));
        self.call(self.kv.delete_all(keys)).await
    }

    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        if self.is_blind {
            return self.call(async { Ok((Vec::new(), None)) }).await;
        }
        self.call(self.kv.list(prefix, cursor, limit)).await
    }
}

/// All of a tenant's rows in the listing, except the fence.
fn listed(listing: &Listing, tenant: Tenant) -> Vec<String> {
    let select = "SELECT user_id AS text FROM end_users WHERE tenant = ?1
                  UNION ALL SELECT agent_id || user_id FROM agent_users WHERE tenant = ?1";
    let tenant = tenant.to_string();
    let statement = Statement { sql: select.into(), parameters: vec![tenant.as_str().into()] };
    listing.0.texts(&statement).expect("the rows")
}

fn cached(kv: &Kv, tenant: Tenant) -> usize {
    let prefix = cache::prefix(tenant);
    kv.keys().iter().filter(|key| key.starts_with(&prefix)).count()
}

struct World {
    object: Object,
    /// Another organization in the same stores.
    other: Object,
    listing: Listing,
    kv: Kv,
}

impl World {
    fn new(users: usize) -> Self {
        let (listing, kv) = (Listing(Sqlite::listing()), Kv::default());
        let [object, other] = [1, 2].map(|number| Object::new(tenant(number)));
        object.populate(users, &listing, &kv);
        other.populate(3, &listing, &kv);
        // Of an earlier build, and of nobody.
        for key in ["end-users/digest", "nobody"] {
            kv.insert(format!("{}{key}", cache::prefix(object.tenant)), "x");
        }
        Self { object, other, listing, kv }
    }

    fn assert_gone(&self) {
        assert_eq!(listed(&self.listing, self.object.tenant), Vec::<String>::new());
        assert_eq!(cached(&self.kv, self.object.tenant), 0);
        // Three users of its own, the user of the turn, and the relationship.
        assert_eq!(listed(&self.listing, self.other.tenant).len(), 5, "the other organization is untouched");
        assert_eq!(cached(&self.kv, self.other.tenant), 4, "the other organization is untouched");
    }
}

/// The invariant: a closed object stays closed.
#[test]
fn nothing_brings_a_closed_object_back() {
    let world = World::new(3);
    let object = &world.object;
    let late = user_id("late");
    object
        .operator(Command::CreateEndUser(NewEndUser {
            user_id: late.clone(),
            display_name: None,
            metadata: Metadata::default(),
        }))
        .expect("an answer");
    object.begin_copy(&late);
    ready(flush::listing(object, &world.listing)).expect("a flush");
    let copies = object.transaction(|core, sql| core.due_copies(sql, now()));
    assert_eq!(copies.len(), 1);
    let expected = object.counts();
    assert_eq!(expected, Erased { records: 6, relationships: 1, moods: 0 });
    assert_eq!(object.close(), (None, expected));
    for is_completed in [false, true] {
        if is_completed {
            object.complete();
        }
        let written = object.storage.borrow().rows_written();
        for is_restarted in [false, true] {
            // To close again is all that a closed object does: see the next test.
            let commands = object.commands().into_iter().filter(|command| !matches!(command, Command::CloseAgain(_)));
            for command in commands {
                let is_close = matches!(command, Command::Close(Close { .. }));
                let described = format!("{command:?}");
                match object.operator(command) {
                    Ok(Answer::Close(progress)) => {
                        assert!(is_close, "{described}");
                        assert_eq!((progress.completed_at.is_some(), progress.erased), (is_completed, expected));
                    }
                    Err(Rejection::Closed) => assert!(!is_close),
                    other => panic!("{described}: {other:?}"),
                }
                if is_restarted {
                    object.restart();
                }
            }
            for command in object.commands() {
                let caller = holder(object.tenant, 1, Scope::Read);
                let idempotency = IdempotencyKey { digest: "k".to_owned(), fingerprint: "f".to_owned() };
                let described = format!("{command:?}");
                let outcome = object.call(caller, Some(idempotency), command);
                assert!(matches!(outcome, Err(Rejection::Denied(Denial::InvalidKey))), "{described}: {outcome:?}");
                if is_restarted {
                    object.restart();
                }
            }
            // Work that began before the close, and continues only now.
            object.transaction(|core, sql| {
                assert!(core.next_batch(sql, BatchId::new(now(), [1; 10]), now())?.is_none());
                core.acknowledge(sql, position(99), now())?;
                assert!(!core.is_behind());
                assert!(core.due_copies(sql, now())?.is_empty() && core.copies_due_at().is_none());
                assert_eq!(core.fail_copies(sql, &copies, now())?, None);
                assert_eq!(core.confirm_copies(sql, &copies, now(), now())?, None);
                core.listing_is_ours();
                assert!(!core.wants_listing_checked());
                assert!(!core.purge(sql, now())?);
                assert_eq!(core.sweep(sql, now())?, None);
                core.suspect_listing(sql, now())?;
                assert!(core.diverge(sql, Epoch::of_number(7), now())?.is_none());
                assert!(!core.is_audited() && core.report(sql, now())?.is_none());
                assert!(core.next_audit_step(sql, now())?.is_none());
                assert!(core.foreign_digests(sql, &["digest".to_owned()], now())?.0.is_empty());
                let finding = rollcall::organization::audit::AuditFinding::Fence { reset: true };
                core.record_audit(sql, &PendingUsers::default(), finding, now())?;
                assert!(core.foreign_copies(sql, &[(Epoch::of_number(0), "digest".to_owned())], now())?.is_empty());
                assert_eq!((core.work_at(), core.work_left_at(sql)?), (None, None));
                Ok(())
            });
        }
        assert_eq!(object.storage.borrow().rows_written(), written, "nothing at all is written");
    }
    let tables = object.storage.borrow().rows("SELECT name FROM sqlite_schema WHERE type = 'table'", &[]);
    assert_eq!(tables.expect("the tables").len(), 2, "the mark is all there is");
}

/// D1 was restored, and holds rows of the closed tenant again, and a fence that batches pass.
#[test]
fn what_a_store_got_back_is_removed_again() {
    let world = World::new(3);
    let (object, tenant) = (&world.object, world.object.tenant);
    let refused = object.operator(Command::CloseAgain(CloseAgain));
    assert!(matches!(refused, Err(Rejection::NotFound(_))), "{refused:?}: the object is open");
    let (_, erased) = object.close();
    for is_completed in [false, true] {
        while !ready(clear(object, tenant, &world.listing, &world.kv)).expect("an answer") {}
        if is_completed {
            object.complete();
        }
        for statement in [
            "INSERT INTO end_users VALUES ('{}', 'ada', 1, 1, NULL, '{{}}', '{{}}')",
            "INSERT INTO agent_users VALUES ('{}', 'a', 'ada', '{{}}')",
            "UPDATE projections SET sequence = 1, batch = 'b' WHERE tenant = '{}'",
        ] {
            world.listing.0.execute(&statement.replace("{}", &tenant.to_string()).replace("{{}}", "{}"));
        }
        let answered = object.operator(Command::CloseAgain(CloseAgain));
        let Ok(Answer::CloseAgain(found)) = answered else { panic!("{answered:?}") };
        assert_eq!(found, Some(deletion()));
        let closing = object.closing().expect("the mark");
        assert_eq!((closing.completed_at, closing.erased), (None, erased));
    }
    while !ready(clear(object, tenant, &world.listing, &world.kv)).expect("an answer") {}
    world.assert_gone();
    object.complete();
    assert_eq!(object.close(), (Some(now()), erased));
}

/// A key may not ask for a close.
#[test]
fn only_the_operator_closes() {
    let world = World::new(0);
    let caller = holder(world.object.tenant, 1, Scope::ReadWrite);
    let outcome =
        world.object.call(caller, None, Command::Close(Close { tenant: world.object.tenant, deletion: deletion() }));
    assert!(matches!(outcome, Err(Rejection::NotFound(_))), "{outcome:?}");
    assert_eq!(world.object.closing(), None);
}

/// An object that never had settings closes too: a late command could still give it some.
#[test]
fn an_object_that_was_never_used_is_closed() {
    let object = Object::new(tenant(1));
    assert_eq!(object.close(), (None, Erased::default()));
    assert!(matches!(object.operator(Command::Configure(settings(object.tenant, wide()))), Err(Rejection::Closed)));
    let (listing, kv) = (Listing(Sqlite::listing()), Kv::default());
    assert_eq!(ready(clear(&object, object.tenant, &listing, &kv)), Ok(true));
}

/// A failed close changes nothing: the object is as open as before.
#[test]
fn closing_is_all_or_nothing() {
    for statements in 0.. {
        assert!(statements < STEPS_MAX, "it never succeeds");
        let world = World::new(1);
        let object = &world.object;
        let call = || Call {
            request_id: RequestId::new(now(), [200; 10]),
            repeated: false,
            caller: Caller::Operator(None),
            idempotency: None,
            edge: None,
            command: Command::Close(Close { tenant: object.tenant, deletion: deletion() }),
        };
        object.storage.borrow().fail_after.set(Some(statements));
        let closed = {
            let (mut core, storage) = (object.core.borrow_mut(), object.storage.borrow());
            storage.transaction(|sql| core.handle(sql, call(), now()))
        };
        object.storage.borrow().fail_after.set(None);
        assert_eq!(closed.is_ok(), object.closing().is_some());
        if closed.is_ok() {
            assert!(statements > 2, "it failed in several places");
            return;
        }
        assert!(object.operator(Command::ReadUsage(ReadUsage)).is_ok());
    }
}

/// The removal is cut off at every call to a store, before and after the call takes effect, and starts again.
#[test]
fn the_removal_survives_a_crash_at_every_step() {
    for is_done_all_the_same in [false, true] {
        for failing_from in 0.. {
            assert!(failing_from < STEPS_MAX, "it never succeeds");
            let world = World::new(7);
            let (object, tenant) = (&world.object, world.object.tenant);
            let (_, expected) = object.close();
            let faulty = Stores { failing_from, is_done_all_the_same, ..Stores::sound(&world.listing, &world.kv) };
            let first = ready(clear(object, tenant, &faulty, &faulty));
            object.restart();
            assert_eq!(object.close(), (None, expected), "counted once");
            let sound = Stores::sound(&world.listing, &world.kv);
            assert_eq!(ready(clear(object, tenant, &sound, &sound)), Ok(true));
            world.assert_gone();
            object.complete();
            object.restart();
            assert_eq!(object.close(), (Some(now()), expected));
            if first.is_ok() {
                assert!(failing_from > 5, "it was cut off in several places");
                break;
            }
        }
    }
}

/// The work of one step is bounded, also for thousands of users, and the next step repeats none of it.
#[test]
fn a_go_makes_a_bounded_number_of_calls() {
    let world = World::new(2_250);
    let (object, tenant) = (&world.object, world.object.tenant);
    object.close();
    let mut goes = 0;
    loop {
        goes += 1;
        assert!(goes <= 3, "800 keys a go");
        let stores = Stores::sound(&world.listing, &world.kv);
        let is_all = ready(clear(object, tenant, &stores, &stores)).expect("a go");
        let calls = stores.calls.get() + stores.keys.get();
        assert!(calls < CALLS_MAX, "{calls} calls");
        if is_all {
            break;
        }
        object.restart();
    }
    assert_eq!(goes, 3, "800 keys a go");
    world.assert_gone();
}

/// Rows of the listing take eight batches of 500 a go.
#[test]
fn a_go_removes_a_bounded_number_of_rows() {
    let world = World::new(0);
    let (object, tenant) = (&world.object, world.object.tenant);
    for table in ["end_users", "agent_users"] {
        world.listing.0.lose(table, "true");
    }
    world.listing.0.execute(&format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4001)
         INSERT INTO end_users SELECT '{tenant}', 'user ' || n, 1, n, NULL, '{{}}', '{{}}' FROM n;"
    ));
    object.close();
    let go = || {
        let stores = Stores::sound(&world.listing, &world.kv);
        let is_all = ready(clear(object, tenant, &stores, &stores)).expect("a go");
        (is_all, listed(&world.listing, tenant).len())
    };
    assert_eq!([go(), go()], [(false, 1), (true, 0)]);
}

/// The object knows its copies, which the list of KV may lack for a minute.
#[test]
fn a_copy_is_removed_that_kv_does_not_list() {
    let world = World::new(3);
    let (object, tenant) = (&world.object, world.object.tenant);
    assert_eq!(cached(&world.kv, tenant), 6, "four users, and what does not belong there");
    object.close();
    let stores = Stores { is_blind: true, ..Stores::sound(&world.listing, &world.kv) };
    assert_eq!(ready(clear(object, tenant, &stores, &stores)), Ok(true));
    assert_eq!(cached(&world.kv, tenant), 2, "what the object does not know");
    object.complete();
    // The last look comes minutes later, and finds the rest by the list.
    assert_eq!(ready(clear(object, tenant, &world.listing, &world.kv)), Ok(true));
    world.assert_gone();
}

/// While one store is out of reach, the other is still cleared.
#[test]
fn a_store_out_of_reach_does_not_keep_the_other() {
    let world = World::new(3);
    let (object, tenant) = (&world.object, world.object.tenant);
    object.close();
    let down = Stores { failing_from: 0, ..Stores::sound(&world.listing, &world.kv) };
    assert!(ready(clear(object, tenant, &down, &world.kv)).is_err());
    assert_eq!((listed(&world.listing, tenant).len(), cached(&world.kv, tenant)), (5, 0));
    assert_eq!(ready(clear(object, tenant, &world.listing, &world.kv)), Ok(true));
    world.assert_gone();
}

/// Wherever KV fails, the object takes for removed only what KV has confirmed, and everything is removed only after that.
#[test]
fn a_closed_object_waits_until_kv_has_confirmed_every_removal() {
    for failing_from in 0..STEPS_MAX {
        let world = World::new(12);
        let (object, tenant) = (&world.object, world.object.tenant);
        object.close();
        let known = || object.transaction(|core, sql| core.closing(sql)?.expect("the mark").copies(sql));
        let before = known();
        let stores = Stores { failing_from, ..Stores::sound(&world.listing, &world.kv) };
        let cleared = ready(clear(object, tenant, &world.listing, &stores));
        object.restart();
        let after = known();
        for copy in before.iter().filter(|copy| !after.contains(copy)) {
            assert_eq!(world.kv.value(&cache::key(tenant, copy.epoch, &copy.digest)), None, "call {failing_from}");
        }
        assert_eq!(cleared == Ok(true), cached(&world.kv, tenant) == 0, "call {failing_from}: {cleared:?}");
        if cleared == Ok(true) {
            assert!(failing_from > 3, "KV failed in several places");
            return;
        }
        assert_eq!(ready(clear(object, tenant, &world.listing, &world.kv)), Ok(true), "KV is up again");
        world.assert_gone();
    }
    panic!("KV never suffices");
}

/// A batch that is in flight to the listing when the object closes finds the fence closed.
#[test]
fn no_late_batch_and_no_late_audit_passes_the_closed_fence() {
    let world = World::new(3);
    let (object, tenant) = (&world.object, world.object.tenant);
    let new = NewEndUser { user_id: user_id("late"), display_name: None, metadata: Metadata::default() };
    object.operator(Command::CreateEndUser(new)).expect("an answer");
    let batch = flush::Source::next_batch(object).expect("a batch").expect("a change");
    let found = ready(fence::position(&world.listing, &tenant.to_string())).expect("the fence");
    object.close();
    assert_eq!(ready(clear(object, tenant, &world.listing, &world.kv)), Ok(true));
    let first = rollcall::organization::batches::Batch { from: position(0), ..batch.clone() };
    for batch in [batch, first] {
        ready(batches::apply(&world.listing, &batch, |_| Ok(true))).expect("an answer");
    }
    let (closed, start) = (position(-2), position(0));
    for found in [found.as_ref(), None, Some(&closed)] {
        ready(world.listing.batch(&[fence::reset_fence(&tenant.to_string(), found, &start)])).expect("an answer");
    }
    world.assert_gone();
    let fence = ready(fence::position(&world.listing, &tenant.to_string())).expect("the fence");
    assert_eq!(fence.map(|position| position.sequence), Some(-2), "as it was closed");
}

/// One crash leaves an object open: between the emptying of its storage and its mark. The deletion closes the
/// object again, with any data that it received in between.
#[test]
fn an_object_that_lost_its_mark_is_closed_again() {
    let world = World::new(3);
    let (object, tenant) = (&world.object, world.object.tenant);
    object.close();
    assert_eq!(ready(clear(object, tenant, &world.listing, &world.kv)), Ok(true));
    object.delete_all();
    object.restart();
    object.operator(issue(settings(tenant, wide()), 3)).expect("an answer");
    assert_eq!(object.close(), (None, Erased::default()), "what it had is not known any more");
    let caller = holder(tenant, 1, Scope::Read);
    let outcome = object.call(caller, None, Command::Admit(Admit));
    assert!(matches!(outcome, Err(Rejection::Denied(Denial::InvalidKey))), "{outcome:?}");
    assert_eq!(ready(clear(object, tenant, &world.listing, &world.kv)), Ok(true));
    object.complete();
    assert_eq!(object.close(), (Some(now()), Erased::default()));
    world.assert_gone();
}
