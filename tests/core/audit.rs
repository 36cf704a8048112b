//! Audits find, count and mend any damage to the projections, however often the object restarts in between.

mod restores;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::{EndUser, Status, Version};
use rollcall::directory::epoch::Epoch;
use rollcall::directory::identifiers::{BatchId, DeletionId, RelationshipId, RequestId, Tenant};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::audit::{AuditFinding, AuditStep, PendingUsers, distrust_cache};
use rollcall::organization::batches::Batch;
use rollcall::organization::change_log::{ChangeLog, ListingPosition};
use rollcall::organization::copies::{CopiedUser, Copy, SPREAD_MS};
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    Admit, Call, Caller, Command, DeleteEndUser, Differences, EdgeCall, EndUserChange, Lease, NewEndUser, ReadEndUser,
    Reply, Settings, StartAudit, UpdateEndUser,
};
use rollcall::organization::sql::{Row, Sql, SqlError};
use rollcall::organization::user_row::{self, UserRow};
use rollcall::projection::audit::{self, AuditSource};
use rollcall::projection::flush::{self, CopySource, Source};
use rollcall::projection::{Cache, Database, Put, Statement, StoreError, Texts, cache};

use crate::sqlite::Sqlite;
use crate::tenant::{START_MS, holder, issue, settings, tenant, wide};

const SEEDS: u64 = 300;
const USERS: usize = 25;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

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
pub struct Kv {
    held: RefCell<BTreeMap<String, Held>>,
    /// The number of calls so far.
    pub calls: Cell<u32>,
    /// The most keys of one call, for each kind of call.
    pub most_read: Cell<usize>,
    pub most_written: Cell<usize>,
    pub most_listed: Cell<usize>,
}

#[derive(Debug, Clone)]
struct Held {
    value: String,
    expires_at: Option<Timestamp>,
}

impl Kv {
    pub fn value(&self, key: &str) -> Option<String> {
        self.held.borrow().get(key).map(|held| held.value.clone())
    }

    pub fn keys(&self) -> Vec<String> {
        self.held.borrow().keys().cloned().collect()
    }

    /// Puts a value past the object. It does not expire.
    pub fn insert(&self, key: String, value: &str) {
        self.held.borrow_mut().insert(key, Held { value: value.to_owned(), expires_at: None });
    }

    fn remove(&self, key: &str) {
        self.held.borrow_mut().remove(key);
    }

    /// Drops what has expired.
    fn expire(&self, now: Timestamp) {
        self.held.borrow_mut().retain(|_, held| held.expires_at.is_none_or(|at| at > now));
    }

    fn count_call(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

fn raise(most: &Cell<usize>, count: usize) {
    most.set(most.get().max(count));
}

impl Cache for Kv {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.count_call();
        Ok(self.value(key))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        self.count_call();
        raise(&self.most_read, keys.len());
        Ok(keys.iter().map(|key| self.value(key)).collect())
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.count_call();
        raise(&self.most_written, puts.len());
        let held = |put: &Put| Held { value: put.value.clone(), expires_at: Some(put.expires_at) };
        self.held.borrow_mut().extend(puts.iter().map(|put| (put.key.clone(), held(put))));
        Ok(())
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.count_call();
        raise(&self.most_written, keys.len());
        self.held.borrow_mut().retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// Pages of three, so that a list has several.
    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        self.count_call();
        raise(&self.most_listed, limit as usize);
        let held = self.held.borrow();
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
pub struct Object {
    core: RefCell<OrganizationCore>,
    pub storage: Sqlite,
    pub tenant: Tenant,
    now_ms: Cell<i64>,
    attempts: Cell<u8>,
    random: RefCell<fastrand::Rng>,
}

impl Object {
    fn new(seed: u64) -> Self {
        let tenant = tenant(3);
        Self {
            core: RefCell::default(),
            storage: Sqlite::new(),
            tenant,
            now_ms: Cell::new(START_MS),
            attempts: Cell::new(0),
            random: RefCell::new(fastrand::Rng::with_seed(!seed)),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.get())
    }

    pub fn transaction<T>(&self, body: impl FnOnce(&mut OrganizationCore, &Sqlite) -> Result<T, SqlError>) -> T {
        let mut core = self.core.borrow_mut();
        self.storage.transaction(|sql| body(&mut core, sql)).expect("a transaction")
    }

    pub fn command(&self, command: Command) {
        // Users who share an instant are ordered by their ids.
        self.now_ms.set(self.now_ms.get() + i64::from(self.now_ms.get() % 3 == 0));
        self.send(Caller::Operator(None), None, command);
    }

    fn random(&self) -> [u8; 10] {
        self.random.borrow_mut().u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
    }

    pub fn relationship_id(&self) -> RelationshipId {
        RelationshipId::new(self.now(), self.random())
    }

    pub fn send(&self, caller: Caller, edge: Option<EdgeCall>, command: Command) -> Reply {
        let request_id = RequestId::new(self.now(), self.random());
        let call = Call { request_id, repeated: false, caller, idempotency: None, edge, command };
        self.transaction(|core, sql| core.handle(sql, call, self.now()))
    }

    /// What a reader at the edge asks of the object.
    fn read(&self, user_id: &UserId, edge: EdgeCall) -> Option<Lease> {
        let caller = holder(self.tenant, 1, Scope::Read);
        self.send(caller, Some(edge), Command::ReadEndUser(ReadEndUser { user_id: user_id.clone() })).lease
    }

    /// Readers at the edge ask for a user until the object keeps a copy in KV.
    pub fn begin_copy(&self, user_id: &UserId) {
        for _ in 0..2 {
            self.read(user_id, EdgeCall { missed: Some(user_id.clone()), used: None });
        }
    }

    /// Under which epoch the copies lie.
    fn epoch(&self) -> Epoch {
        let select = "SELECT value FROM state WHERE name = 'copies_epoch'";
        Epoch::of_number(self.storage.find(select, &[], Row::integer).expect("the epoch").unwrap_or_default())
    }

    pub fn settings(&self) -> Settings {
        settings(self.tenant, wide())
    }

    fn issue_key(&self) {
        self.command(issue(self.settings(), 1));
    }

    fn users(&self) -> Vec<UserRow> {
        let rows = self.storage.run(&format!("SELECT {} FROM users u", user_row::COLUMNS), &[]).expect("the users");
        rows.into_iter().map(|mut row| UserRow::read(&mut row).expect("a user")).collect()
    }

    /// The digests of the users whose copy the object keeps under the present epoch.
    fn copied(&self) -> BTreeSet<String> {
        let select = "SELECT digest FROM copies WHERE epoch = ?";
        let digests = self.storage.list(select, &[self.epoch().number().into()], Row::text);
        digests.expect("the copies").into_iter().collect()
    }
}

impl Source for Object {
    fn next_batch(&self) -> Result<Option<Batch>, StoreError> {
        self.attempts.set(self.attempts.get().wrapping_add(1));
        let id = BatchId::new(self.now(), [self.attempts.get(); 10]);
        Ok(self.transaction(|core, sql| core.next_batch(sql, id, self.now())))
    }

    fn acknowledge(&self, position: ListingPosition) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.acknowledge(sql, position, self.now()));
        Ok(())
    }

    fn last_sequence(&self) -> Result<i64, StoreError> {
        self.core.borrow().last_sequence().ok_or_else(|| StoreError("forgotten".to_owned()))
    }

    fn owns(&self, found: Option<&ListingPosition>, since: &ListingPosition) -> Result<bool, StoreError> {
        Ok(ChangeLog::owns(&self.storage, found, since)?)
    }

    async fn pause(&self) {}

    fn suspect_listing(&self) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.suspect_listing(sql, self.now()));
        Ok(())
    }
}

impl CopySource for Object {
    fn tenant(&self) -> Result<Tenant, StoreError> {
        Ok(self.tenant)
    }

    fn now(&self) -> Timestamp {
        self.now()
    }

    fn due_copies(&self) -> Result<Vec<Copy>, StoreError> {
        Ok(self.transaction(|core, sql| core.due_copies(sql, self.now())))
    }

    fn confirm_copies(&self, written: &[Copy], began_at: Timestamp) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.confirm_copies(sql, written, began_at, self.now()));
        Ok(())
    }

    fn fail_copies(&self, written: &[Copy], _: &StoreError) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.fail_copies(sql, written, self.now()));
        Ok(())
    }
}

impl AuditSource for Object {
    fn organization_record(&self) -> Result<Option<json::Text>, StoreError> {
        Ok(self.core.borrow().organization_record())
    }

    fn listing_position(&self) -> Result<ListingPosition, StoreError> {
        self.core.borrow().listing_position().ok_or_else(|| StoreError("forgotten".to_owned()))
    }

    fn diverge(&self) -> Result<ListingPosition, StoreError> {
        let epoch = Epoch::draw(self.random.borrow_mut().u64(..).to_be_bytes()[..6].try_into().expect("6 bytes"));
        let position = self.transaction(|core, sql| core.diverge(sql, epoch, self.now()));
        position.ok_or_else(|| StoreError("forgotten".to_owned()))
    }

    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError> {
        Ok(self.transaction(|core, sql| core.next_audit_step(sql, self.now())))
    }

    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError> {
        Ok(self.transaction(|core, sql| core.foreign_digests(sql, digests, self.now())))
    }

    fn foreign_copies(&self, places: &[(Epoch, String)]) -> Result<Vec<(Epoch, String)>, StoreError> {
        Ok(self.transaction(|core, sql| core.foreign_copies(sql, places, self.now())))
    }

    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError> {
        self.transaction(|core, sql| core.record_audit(sql, before, finding, self.now()));
        Ok(())
    }
}

pub struct World {
    random: fastrand::Rng,
    pub object: Object,
    pub listing: Listing,
    pub kv: Kv,
    /// The users whose copy was written a moment ago, so that KV may show the earlier one.
    fresh: BTreeSet<String>,
}

/// The result of a future that never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

/// What an audit must report.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Found {
    is_reset: bool,
    listing: Differences,
    cache: Differences,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let world = Self {
            random: fastrand::Rng::with_seed(seed),
            object: Object::new(seed),
            listing: Listing(Sqlite::listing()),
            kv: Kv::default(),
            fresh: BTreeSet::new(),
        };
        world.object.issue_key();
        world
    }

    /// Makes users, of whom some have a copy in KV, some a copy that was written a moment ago, and some are being erased.
    fn populate(&mut self) {
        for index in 0..self.random.usize(0..=USERS) {
            let user_id = UserId::new(format!("user {index} 🦀")).expect("an id");
            self.create(&user_id);
            if self.random.bool() {
                self.update(&user_id);
            }
            if self.random.bool() {
                self.object.begin_copy(&user_id);
            }
        }
        self.flush();
        self.pass(2 * SPREAD_MS);
        for user in self.object.users() {
            match self.random.u8(0..8) {
                0 => {
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
                1 => {
                    self.update(&user.user.user_id);
                    self.fresh.insert(user.user.user_id.digest());
                }
                _ => {}
            }
        }
        self.flush();
    }

    pub fn create(&self, user_id: &UserId) {
        let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: Metadata::default() };
        self.object.command(Command::CreateEndUser(new));
    }

    fn update(&mut self, user_id: &UserId) {
        let metadata = Metadata::from_stored(format!("{{\"a\":\"'\",\"n\":{}}}", self.random.u32(..))).expect("JSON");
        let change = EndUserChange::Replace { display_name: None, metadata: Some(metadata) };
        self.object.command(Command::UpdateEndUser(UpdateEndUser { user_id: user_id.clone(), change, if_match: None }));
    }

    fn bytes(&mut self) -> [u8; 10] {
        self.random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
    }

    /// Time passes, in which the alarm sweeps and values of KV expire.
    pub fn pass(&self, millis: i64) {
        self.object.now_ms.set(self.object.now_ms.get() + millis);
        self.object.transaction(|core, sql| core.sweep(sql, self.object.now()));
        self.kv.expire(self.object.now());
    }

    pub fn flush(&self) {
        // A lost fence refuses the flush until the audit has reset it.
        let _ = ready(flush::listing(&self.object, &self.listing));
        ready(flush::copies(&self.object, &self.kv)).expect("a flush");
    }

    /// Has the next audit look at KV.
    fn distrust_kv(&self) {
        self.object.transaction(|_, sql| distrust_cache(sql));
    }

    fn execute(&self, sql: &str) {
        self.listing.0.run(sql, &[]).expect("damage");
    }

    /// What a reader at the edge gets who asks for a lease.
    fn lease(&self) -> Lease {
        if self.object.core.borrow().wants_listing_checked() {
            assert_eq!(ready(audit::look(&self.object, &self.listing)), Ok(true));
            self.object.core.borrow_mut().listing_is_ours();
        }
        let nobody = UserId::new("nobody").expect("an id");
        self.object.read(&nobody, EdgeCall { missed: None, used: Some(0) }).expect("a lease")
    }

    fn key(&self, user_id: &UserId) -> String {
        cache::key(self.object.tenant, self.object.epoch(), &user_id.digest())
    }

    /// Does damage of every kind and returns what an audit must report.
    fn damage(&mut self) -> Found {
        let (mut found, mut strays) = (Found::default(), 0);
        let copied = self.object.copied();
        for user in self.object.users() {
            let pending = user.user.status != Status::Active;
            let (number, id) = (user.number, &user.user.user_id);
            let kind = self.random.u8(0..8);
            let insert = |document: &str| {
                self.execute(&format!(
                    "INSERT OR REPLACE INTO end_users VALUES ('{}', '{id}', 1, {number}, NULL, '{{}}', '{document}')",
                    self.object.tenant
                ));
            };
            match kind {
                0 if pending => {
                    insert("{}");
                    found.listing.foreign += 1;
                }
                0 => {
                    insert("{}");
                    found.listing.outdated += 1;
                }
                1 if !pending => {
                    self.listing.0.lose("end_users", &format!("user_id = '{id}'"));
                    found.listing.missing += 1;
                }
                _ => {}
            }
            strays += self.damage_copy(&user, &copied, &mut found.cache);
        }
        for index in 0..self.random.i64(0..4) {
            // Rows and keys of no user, some with names that no user can have.
            self.execute(&format!(
                "INSERT INTO end_users VALUES ('{}', 'nobody {index}' || char({index}), 9, {index}, NULL, 'x', 'x')",
                self.object.tenant
            ));
            found.listing.foreign += 1;
            self.damage_keys(index, &mut found.cache);
        }
        let known = self.object.last_sequence().expect("a number");
        found.is_reset = self.random.bool() && known > 0;
        if found.is_reset {
            match self.random.u8(0..3) {
                0 => self.execute("DELETE FROM projections"),
                1 => self.execute(&format!("UPDATE projections SET sequence = {}", known + 7)),
                _ => self.execute("UPDATE projections SET sequence = -1"),
            }
            // One of the two was lost or restored. The copies of the epoch all go, right or wrong.
            found.cache = Differences { foreign: found.cache.foreign + strays, ..Differences::default() };
        }
        found
    }

    /// Damages what KV holds of a user. Returns how many copies came back to life that had ended.
    fn damage_copy(&mut self, user: &UserRow, copied: &BTreeSet<String>, cache: &mut Differences) -> i64 {
        let (digest, key) = (user.user.user_id.digest(), self.key(&user.user.user_id));
        let kind = self.random.u8(0..8);
        if !copied.contains(&digest) {
            // A copy of which the object does not know is foreign, whatever it holds.
            if kind == 0 {
                self.kv.insert(key, &copy_of(user, user.user.version));
                cache.foreign += 1;
            }
            return 0;
        }
        // What KV may not show yet is not compared, and an erased user has a tombstone that ends by itself.
        let is_compared = user.user.status == Status::Active && !self.fresh.contains(&digest);
        let (missing, outdated) = (&mut cache.missing, &mut cache.outdated);
        let count = match kind {
            0 => {
                self.kv.remove(&key);
                missing
            }
            1 => {
                self.kv.insert(key, "not even JSON");
                outdated
            }
            2 => {
                self.kv.insert(key, &copy_of(user, Version::of_sequence(user.user.version.sequence() - 1)));
                outdated
            }
            // The right version of another record.
            3 => {
                let value = copy_of(user, user.user.version).replace("\"user_id\":\"", "\"user_id\":\"not ");
                self.kv.insert(key, &value);
                outdated
            }
            4 => {
                self.kv.insert(key, "{}");
                outdated
            }
            _ => return 0,
        };
        *count += i64::from(is_compared);
        i64::from(user.user.status != Status::Active && (1..4).contains(&kind))
    }

    /// Puts values under keys that belong to nobody.
    fn damage_keys(&mut self, index: i64, cache: &mut Differences) {
        let (tenant, epoch) = (self.object.tenant, self.object.epoch());
        let digest = UserId::new(format!("user {index} 🦀")).expect("an id").digest();
        let (key, is_tombstone) = match self.random.u8(0..5) {
            0 => (cache::key(tenant, epoch, &format!("nobody-{index}")), false),
            // Of an earlier epoch, of an earlier build, and of none.
            1 => (cache::key(tenant, Epoch::of_number(epoch.number() + 1), &digest), false),
            2 => (format!("{tenant}/end-users/{digest}"), false),
            3 => (format!("{tenant}/nobody-{index}"), false),
            _ => (format!("{tenant}/end-users/erased-{index}"), true),
        };
        self.kv.insert(key, if is_tombstone { "{}" } else { "{\"version\":1,\"document\":{}}" });
        cache.foreign += i64::from(!is_tombstone);
    }

    fn audit(&mut self, is_repair: bool) -> Found {
        self.object.command(Command::StartAudit(StartAudit { settings: self.object.settings(), is_repair }));
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
        let report = self.object.transaction(|core, sql| core.report(sql, self.object.now())).expect("a report");
        assert_eq!(report.phase, None, "the audit ends");
        Found { is_reset: report.fence_reset, listing: report.listing, cache: report.cache }
    }

    fn assert_mended(&self) {
        let mut listed = BTreeMap::new();
        let select = "SELECT json_array(user_id, document) AS text FROM end_users";
        for text in self.listing.0.texts(&Statement { sql: select.into(), parameters: Vec::new() }).expect("the rows") {
            let (id, document): (String, String) = serde_json::from_str(&text).expect("a row");
            listed.insert(id, document);
        }
        let (mut active, mut keys) = (0, BTreeSet::new());
        let copied = self.object.copied();
        for user in self.object.users() {
            let id = &user.user.user_id;
            let document = serde_json::to_string(&user.user).expect("JSON");
            let is_active = user.user.status == Status::Active;
            if is_active {
                active += 1;
                assert_eq!(listed.get(id.as_str()), Some(&document));
            }
            if !copied.contains(&id.digest()) {
                continue;
            }
            let key = self.key(id);
            let value = self.kv.value(&key);
            if is_active && !self.fresh.contains(&id.digest()) {
                let copy = value.as_deref().and_then(cache::read).expect("a copy");
                assert_eq!((copy.principal_id, &copy.user), (user.principal_id, &user.user));
            }
            keys.insert(key);
        }
        assert_eq!(listed.len(), active, "nobody else");
        let is_foreign = |key: &String| !keys.contains(key) && self.kv.value(key).is_some_and(|value| value != "{}");
        assert_eq!(self.kv.keys().into_iter().find(is_foreign), None, "nothing else but tombstones");
    }
}

/// A copy of a user, as of some version.
fn copy_of(row: &UserRow, version: Version) -> String {
    let user = EndUser { version, ..row.user.clone() };
    serde_json::to_string(&CopiedUser { principal_id: row.principal_id, user }).expect("JSON")
}

#[test]
fn damage_is_found_counted_and_mended() {
    let base = fastrand::u64(..) >> 16;
    let (mut total, mut resets) = (Found::default(), 0);
    for seed in base..base + SEEDS {
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.populate();
        // An audit leaves alone what KV has just taken, and an end of an epoch waits for it.
        world.pass(2_000);
        let expected = world.damage();
        assert_eq!(world.audit(false), expected);
        world.pass(2_000);
        world.flush();
        world.assert_mended();
        let before = world.kv.calls.get();
        assert_eq!(world.audit(false), Found::default());
        assert_eq!(world.kv.calls.get(), before, "nothing is to be written, and KV was looked at a moment ago");
        for (total, found) in [(&mut total.listing, expected.listing), (&mut total.cache, expected.cache)] {
            total.missing += found.missing;
            total.outdated += found.outdated;
            total.foreign += found.foreign;
        }
        resets += i64::from(expected.is_reset);
    }
    println!("{SEEDS} seeds: {total:?} and {resets} fences lost, all found and mended");
    let Found { listing, cache, .. } = total;
    let kinds = [listing.missing, listing.outdated, listing.foreign, cache.missing, cache.outdated, cache.foreign];
    assert!(kinds.iter().all(|count| *count > 20) && resets > 20, "damage of every kind");
}

/// The listing, which is brought up to date while its answer to a query is on the way.
struct FlushedMeanwhile<'a>(&'a World);

impl Database for FlushedMeanwhile<'_> {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        self.0.listing.batch(statements).await
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let answer = self.0.listing.query(statement).await;
        flush::listing(&self.0.object, &self.0.listing).await?;
        answer
    }
}

#[test]
fn a_listing_that_moves_on_during_a_look_is_the_objects_own() {
    let world = World::new(1);
    for name in ["ada", "bob"] {
        world.create(&UserId::new(name).expect("an id"));
        let before = world.object.epoch();
        assert_eq!(ready(audit::look(&world.object, &FlushedMeanwhile(&world))), Ok(true), "{name}");
        assert_eq!(world.object.core.borrow().acknowledged(), world.object.core.borrow().last_sequence());
        assert_eq!(world.object.epoch(), before);
    }
}

/// The listing, whose answers to batches are lost.
struct Unheard<'a>(&'a World);

impl Database for Unheard<'_> {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        self.0.listing.batch(statements).await?;
        Err(StoreError("no answer".to_owned()))
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        self.0.listing.query(statement).await
    }
}

/// A row is removed only if the listing stands where the object judged it. If it has taken a batch unheard, it does not,
/// and the audit goes on from there only after the flush has found out.
#[test]
fn a_row_of_nobody_is_removed_from_a_listing_that_has_moved_unheard() {
    let world = World::new(1);
    let [ada, bob] = ["ada", "bob"].map(|name| UserId::new(name).expect("an id"));
    world.create(&ada);
    world.flush();
    world.object.storage.execute("DELETE FROM users");
    world.create(&bob);
    ready(flush::listing(&world.object, &Unheard(&world))).expect_err("no answer");
    world.object.command(Command::StartAudit(StartAudit { settings: world.object.settings(), is_repair: false }));
    let mut failures = 0;
    while world.object.core.borrow().is_audited() {
        if ready(audit::step(&world.object, &world.listing, &world.kv)).is_err() {
            failures += 1;
            world.flush();
        }
        assert!(failures < 2, "the flush has found out");
    }
    let listed = "SELECT user_id AS text FROM end_users".into();
    let listed = world.listing.0.texts(&Statement { sql: listed, parameters: Vec::new() }).expect("the rows");
    assert_eq!((listed, failures), (vec!["bob".to_owned()], 1));
}

/// A world with a user whose copy KV shows everywhere.
fn copied_world() -> (World, UserId) {
    let (mut world, user_id) = (World::new(1), UserId::new("ada").expect("an id"));
    world.create(&user_id);
    world.object.begin_copy(&user_id);
    world.flush();
    world.pass(2 * SPREAD_MS);
    world.audit(false);
    assert!(world.kv.value(&world.key(&user_id)).is_some_and(|value| cache::read(&value).is_some()));
    (world, user_id)
}

/// Each list of KV costs as much as ten reads. So an audit looks at KV only when the last look is 30 days ago.
#[test]
fn kv_is_looked_at_once_in_thirty_days() {
    let (mut world, _) = copied_world();
    let stranger = format!("{}stranger", cache::prefix(world.object.tenant));
    let foreign = |foreign| Differences { foreign, ..Differences::default() };
    for (days, is_looked_at) in [(1, false), (28, false), (1, true), (29, false), (1, true)] {
        world.kv.insert(stranger.clone(), "x");
        world.pass(days * DAY_MS);
        let calls = world.kv.calls.get();
        let found = world.audit(false);
        assert_eq!(found.cache, foreign(i64::from(is_looked_at)), "after {days} days more");
        assert_eq!(world.kv.calls.get() > calls, is_looked_at, "after {days} days more");
        assert_eq!(world.kv.value(&stranger).is_none(), is_looked_at, "after {days} days more");
    }
}

/// The operator who asks for a repair does not trust KV. So nobody reads any more what it holds now.
#[test]
fn a_repair_looks_at_kv_and_begins_an_epoch() {
    let (mut world, user_id) = copied_world();
    let stranger = format!("{}stranger", cache::prefix(world.object.tenant));
    world.kv.insert(stranger.clone(), "x");
    let (epoch, key) = (world.lease().epoch, world.key(&user_id));
    assert_eq!(world.audit(true).cache, Differences { foreign: 1, ..Differences::default() });
    assert_eq!(world.kv.value(&stranger), None);
    assert_ne!(world.lease().epoch, epoch, "a reader looks elsewhere");
    assert_eq!(world.kv.value(&key).as_deref(), Some("{}"), "the copy has gone");
    assert_eq!(world.kv.value(&world.key(&user_id)), None, "and no reader has asked for it since");
    world.object.begin_copy(&user_id);
    world.flush();
    let value = world.kv.value(&world.key(&user_id)).expect("a copy");
    assert_eq!(cache::read(&value).map(|copy| copy.user), Some(world.object.users()[0].user.clone()));
    // The row of the earlier copy goes with its tombstone.
    world.pass(SPREAD_MS + 1);
    assert_eq!(world.kv.value(&key), None);
    let rows = world.object.storage.count("SELECT count(*) FROM copies", &[]);
    assert_eq!(rows, Ok(1), "only the copy under the new epoch");
}

/// KV takes one write a second for each key. So the audit leaves alone what the flush will overwrite, or has just written.
#[test]
fn an_audit_leaves_to_the_flush_what_it_will_overwrite() {
    let (world, user_id) = copied_world();
    let (object, key) = (&world.object, world.key(&user_id));
    let place = cache::place(object.tenant, &key).expect("a place");
    let is_foreign = || {
        let foreign = object.foreign_copies(std::slice::from_ref(&place)).expect("an answer");
        foreign == [place.clone()]
    };
    assert!(!is_foreign(), "a copy of the object's own");
    object.diverge().expect("a position");
    assert!(!is_foreign(), "the flush removes it");
    world.flush();
    assert_eq!(world.kv.value(&key).as_deref(), Some("{}"));
    assert!(!is_foreign(), "the flush has just removed it");
    world.pass(2_000);
    assert!(is_foreign(), "whatever is there now came from elsewhere");
}

/// A copy under an epoch that is over is not removed within two seconds of its last write.
#[test]
fn a_copy_that_kv_has_just_taken_is_removed_after_a_pause() {
    let (mut world, user_id) = copied_world();
    let key = world.key(&user_id);
    let is_removed = |world: &World| world.kv.value(&key).as_deref() == Some("{}");
    world.update(&user_id);
    world.flush();
    world.object.diverge().expect("a position");
    for (millis, expected) in [(0, false), (1_999, false), (1, true)] {
        world.pass(millis);
        world.flush();
        assert_eq!(is_removed(&world), expected, "{millis} ms later");
    }
}

/// The same when the epoch ends while KV takes the write.
#[test]
fn a_copy_whose_epoch_ends_while_it_is_written_is_removed_after_a_pause() {
    let (mut world, user_id) = copied_world();
    world.update(&user_id);
    ready(flush::listing(&world.object, &world.listing)).expect("a flush");
    let (object, began_at) = (&world.object, world.object.now());
    let written = object.due_copies().expect("the copies");
    assert_eq!(written.iter().filter(|copy| copy.user.is_some()).count(), 1);
    object.diverge().expect("a position");
    object.confirm_copies(&written, began_at).expect("it is noted");
    let removed = || object.due_copies().expect("the copies").iter().filter(|copy| copy.user.is_none()).count();
    for (millis, expected) in [(0, 0), (1_999, 0), (1, 1)] {
        world.pass(millis);
        assert_eq!(removed(), expected, "{millis} ms later");
    }
}

/// A copy that KV may not show everywhere yet, and one that is about to be written, are left alone. They are compared when
/// their time has come.
#[test]
fn a_copy_is_compared_only_when_kv_must_show_it() {
    let (mut world, user_id) = copied_world();
    let outdated = |outdated| Differences { outdated, ..Differences::default() };
    let key = world.key(&user_id);
    world.update(&user_id);
    world.flush();
    for (millis, is_compared) in [(0, false), (SPREAD_MS - 1_000, false), (1_000, true)] {
        world.kv.insert(key.clone(), "not even JSON");
        world.pass(millis);
        world.distrust_kv();
        assert_eq!(world.audit(false).cache, outdated(i64::from(is_compared)), "{millis} ms later");
        let is_copy = world.kv.value(&key).is_some_and(|value| cache::read(&value).is_some());
        assert_eq!(is_copy, is_compared, "{millis} ms later");
    }
    // What was written again is as good as a change: nobody believes an older copy meanwhile.
    assert_eq!(world.lease().changed, [(user_id.digest(), world.object.users()[0].user.version)]);
}
