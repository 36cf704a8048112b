//! Audits find, count and mend any damage to the projections, however often the object restarts in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::FutureExt;
use rollcall::directory::deletion::Cascade;
use rollcall::directory::identifiers::{BatchId, DeletionId, Mode, OrganizationId, RequestId, Tenant};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::audit::{AuditFinding, AuditStep, PendingUsers};
use rollcall::organization::batches::Batch;
use rollcall::organization::change_log::Projection;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    Admit, AuditReport, Call, Caller, Command, DeleteEndUser, Differences, EndUserChange, NewEndUser, Settings,
    StartAudit, UpdateEndUser,
};
use rollcall::organization::sql::{Sql, SqlError};
use rollcall::organization::user_row::{self, UserRow};
use rollcall::projection::audit::{self, AuditSource};
use rollcall::projection::flush::{self, Source};
use rollcall::projection::{Cache, Database, Put, Statement, StoreError, Texts, cache};

use crate::sqlite::Sqlite;

const SEEDS: u64 = 300;
const USERS: usize = 25;

/// D1 as the projections see it. It never makes them wait.
pub struct Listing(pub Sqlite);

impl Database for Listing {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        self.0.batch(statements).map_err(|error| StoreError(error.0))
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let rows = self.0.listed(statement).map_err(|error| StoreError(error.0))?;
        Ok(Texts { rows, rows_read: 0 })
    }
}

/// KV as the projections see it. It never makes them wait.
#[derive(Default)]
pub struct Kv(pub RefCell<BTreeMap<String, String>>);

impl Cache for Kv {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.0.borrow().get(key).cloned())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        Ok(keys.iter().map(|key| self.0.borrow().get(key).cloned()).collect())
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.0.borrow_mut().extend(puts.iter().map(|put| (put.key.clone(), put.value.clone())));
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.0.borrow_mut().retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// Pages of three, so that a list has several.
    async fn list(&self, prefix: &str, cursor: &str, _: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        let held = self.0.borrow();
        let mut keys: Vec<String> =
            held.keys().filter(|key| key.starts_with(prefix) && key.as_str() > cursor).take(4).cloned().collect();
        let next = if keys.len() == 4 {
            keys.truncate(3);
            keys.last().cloned()
        } else {
            None
        };
        Ok((keys, next))
    }
}

/// An object with its storage.
struct Object {
    core: RefCell<OrganizationCore>,
    storage: Sqlite,
    tenant: Tenant,
    now_ms: Cell<i64>,
    attempts: Cell<u8>,
}

impl Object {
    fn new() -> Self {
        let tenant = Tenant { organization: OrganizationId::new(Timestamp::from_millis(1), [3; 10]), mode: Mode::Live };
        Self {
            core: RefCell::default(),
            storage: Sqlite::new(),
            tenant,
            now_ms: Cell::new(1_700_000_000_000),
            attempts: Cell::new(0),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.get())
    }

    fn transaction<T>(&self, body: impl FnOnce(&mut OrganizationCore, &Sqlite) -> Result<T, SqlError>) -> T {
        let mut core = self.core.borrow_mut();
        self.storage.transaction(|sql| body(&mut core, sql)).expect("a transaction")
    }

    fn command(&self, command: Command) {
        // Users who share an instant are ordered by their ids.
        self.now_ms.set(self.now_ms.get() + i64::from(self.now_ms.get() % 3 == 0));
        let request_id = RequestId::new(self.now(), [0; 10]);
        let call = Call { request_id, repeated: false, caller: Caller::Operator, idempotency: None, command };
        self.transaction(|core, sql| core.handle(sql, call, self.now()));
    }

    fn settings(&self) -> Settings {
        Settings { tenant: self.tenant, version: 1, limits: Limits::default(), anchor: self.now() }
    }

    fn users(&self) -> Vec<UserRow> {
        let rows = self.storage.run(&format!("SELECT {} FROM users u", user_row::COLUMNS), &[]).expect("the users");
        rows.into_iter().map(|mut row| UserRow::read(&mut row).expect("a user")).collect()
    }
}

impl Source for Object {
    fn next_batch(&self, projection: Projection) -> Result<Option<Batch>, StoreError> {
        self.attempts.set(self.attempts.get().wrapping_add(1));
        let id = BatchId::new(self.now(), [self.attempts.get(); 10]);
        Ok(self.transaction(|core, sql| core.next_batch(sql, projection, id, self.now())))
    }

    fn acknowledge(&self, projection: Projection, sequence: i64) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.acknowledge(sql, projection, sequence, self.now()));
        Ok(())
    }

    fn last_sequence(&self) -> Result<i64, StoreError> {
        self.core.borrow().last_sequence().ok_or_else(|| StoreError("forgotten".to_owned()))
    }

    async fn pause(&self) {}

    fn diverged(&self) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.start_audit(sql, self.now()));
        Ok(())
    }
}

impl AuditSource for Object {
    fn tenant(&self) -> Result<Tenant, StoreError> {
        Ok(self.tenant)
    }

    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError> {
        Ok(self.transaction(|core, sql| core.next_audit_step(sql, self.now())))
    }

    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError> {
        Ok(self.transaction(|core, sql| core.foreign_digests(sql, digests, self.now())))
    }

    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.record_audit(sql, before, finding, self.now()));
        Ok(())
    }
}

struct World {
    random: fastrand::Rng,
    object: Object,
    listing: Listing,
    kv: Kv,
}

/// The result of a future that never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

impl World {
    fn new(seed: u64) -> Self {
        let world = Self {
            random: fastrand::Rng::with_seed(seed),
            object: Object::new(),
            listing: Listing(Sqlite::listing()),
            kv: Kv::default(),
        };
        world.object.command(Command::Configure(world.object.settings()));
        world
    }

    fn populate(&mut self) {
        for index in 0..self.random.usize(0..=USERS) {
            let user_id = UserId::new(format!("user {index} 🦀")).expect("an id");
            let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: Metadata::default() };
            self.object.command(Command::CreateEndUser(new));
            if self.random.bool() {
                let metadata = Metadata::from_stored("{\"a\":\"'\"}".to_owned()).expect("JSON");
                let change = EndUserChange::Replace { display_name: None, metadata: Some(metadata) };
                self.object.command(Command::UpdateEndUser(UpdateEndUser {
                    user_id: user_id.clone(),
                    change,
                    if_match: None,
                }));
            }
        }
        self.flush();
        for user in self.object.users() {
            if self.random.u8(0..8) == 0 {
                let deletion_id = DeletionId::new(self.object.now(), self.bytes());
                let user_id = user.user.user_id;
                self.object.command(Command::DeleteEndUser(DeleteEndUser {
                    user_id,
                    deletion_id,
                    cascade: Cascade::All,
                    reason: None,
                    if_match: None,
                }));
            }
        }
        self.flush();
    }

    fn bytes(&mut self) -> [u8; 10] {
        self.random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
    }

    fn flush(&self) {
        // A lost fence refuses the flush until the audit has reset it.
        let _ = ready(flush::listing(&self.object, &self.listing));
        ready(flush::cache(&self.object, &self.kv)).expect("a flush");
    }

    fn execute(&self, sql: &str) {
        self.listing.0.run(sql, &[]).expect("damage");
    }

    /// Does damage of every kind and returns the counts that an audit must report.
    fn damage(&mut self) -> (bool, Differences, Differences) {
        let (mut listing, mut cache) = (Differences::default(), Differences::default());
        for user in self.object.users() {
            let (number, id) = (user.number, user.user.user_id);
            let key = cache::key(self.object.tenant, &id);
            let pending = user.user.status != rollcall::directory::end_user::Status::Active;
            let kind = self.random.u8(0..12);
            let insert = |document: &str| {
                self.execute(&format!(
                    "INSERT OR REPLACE INTO end_users VALUES ('{}', '{id}', 1, {number}, NULL, '{{}}', '{document}')",
                    self.object.tenant
                ));
            };
            match kind {
                0 if pending => {
                    insert("{}");
                    listing.foreign += 1;
                }
                0 => {
                    insert("{}");
                    listing.outdated += 1;
                }
                1 if !pending => {
                    self.execute(&format!("DELETE FROM end_users WHERE user_id = '{id}'"));
                    listing.missing += 1;
                }
                2 if !pending => {
                    self.kv.0.borrow_mut().remove(&key);
                    cache.missing += 1;
                }
                3 if pending => {
                    self.kv.0.borrow_mut().insert(key, "{\"version\":1,\"document\":{}}".to_owned());
                    cache.foreign += 1;
                }
                3 => {
                    self.kv.0.borrow_mut().insert(key, "not even JSON".to_owned());
                    cache.outdated += 1;
                }
                _ => {}
            }
        }
        for index in 0..self.random.i64(0..4) {
            // Rows and keys of no user, some with names that no user can have.
            self.execute(&format!(
                "INSERT INTO end_users VALUES ('{}', 'nobody {index}' || char({index}), 9, {index}, NULL, 'x', 'x')",
                self.object.tenant
            ));
            listing.foreign += 1;
            let key = format!("{}nobody-{index}", cache::prefix(self.object.tenant));
            self.kv.0.borrow_mut().insert(key, "x".to_owned());
            cache.foreign += 1;
        }
        let known = self.object.last_sequence().expect("a number");
        let reset = self.random.bool() && known > 0;
        if reset {
            match self.random.u8(0..3) {
                0 => self.execute("DELETE FROM projections"),
                1 => self.execute(&format!("UPDATE projections SET sequence = {}", known + 7)),
                _ => self.execute("UPDATE projections SET sequence = -1"),
            }
        }
        (reset, listing, cache)
    }

    fn audit(&mut self) -> AuditReport {
        self.object.command(Command::StartAudit(StartAudit { settings: self.object.settings() }));
        for _ in 0..1_000 {
            if !self.object.core.borrow().is_audited() {
                break;
            }
            self.flush();
            ready(audit::step(&self.object, &self.listing, &self.kv)).expect("a step");
            if self.random.u8(0..4) == 0 {
                *self.object.core.borrow_mut() = OrganizationCore::default();
                self.object.command(Command::Admit(Admit));
            }
        }
        self.flush();
        let report = self.object.transaction(|core, sql| core.report(sql, self.object.now())).expect("a report");
        assert_eq!(report.phase, None, "the audit ends");
        report
    }

    fn assert_mended(&self) {
        let mut listed = BTreeMap::new();
        let select = "SELECT json_array(user_id, document) AS text FROM end_users";
        for text in self.listing.0.texts(&Statement { sql: select.into(), parameters: Vec::new() }).expect("the rows") {
            let (id, document): (String, String) = serde_json::from_str(&text).expect("a row");
            listed.insert(id, document);
        }
        let mut active = 0;
        for user in self.object.users() {
            let id = &user.user.user_id;
            let value = self.kv.0.borrow().get(&cache::key(self.object.tenant, id)).cloned().expect("a value");
            if user.user.status == rollcall::directory::end_user::Status::Active {
                active += 1;
                let document = serde_json::to_string(&user.user).expect("JSON");
                assert_eq!(listed.get(id.as_str()).map(String::as_str), Some(document.as_str()));
                assert_eq!(cache::read(&value, user.user.version).expect("the record").get(), document.as_str());
            } else {
                assert!(cache::is_tombstone(&value));
            }
        }
        assert_eq!(listed.len(), active, "nobody else");
        assert_eq!(self.kv.0.borrow().len(), self.object.users().len(), "nothing else");
    }
}

#[test]
fn damage_is_found_counted_and_mended() {
    let base = fastrand::u64(..) >> 16;
    let (mut damaged, mut resets) = (0, 0);
    for seed in base..base + SEEDS {
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.populate();
        let (reset, listing, cache) = world.damage();
        let report = world.audit();
        assert_eq!((report.fence_reset, report.listing, report.cache), (reset, listing, cache));
        world.assert_mended();
        let again = world.audit();
        assert_eq!((again.fence_reset, again.listing, again.cache), <(bool, Differences, Differences)>::default());
        damaged +=
            listing.missing + listing.outdated + listing.foreign + cache.missing + cache.outdated + cache.foreign;
        resets += i64::from(reset);
    }
    println!("{SEEDS} seeds: {damaged} records damaged and {resets} fences lost, all found and mended");
}
