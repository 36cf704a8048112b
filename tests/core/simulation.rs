//! Seeded simulation of one tenant: clients, the object's core, D1, KV, and a
//! network between them that loses, delays and repeats. The object crashes
//! between any two steps, and its storage fails between any two statements.
//!
//! After every step:
//!
//! - no acknowledged user is missing, and no id was acknowledged as created by
//!   two requests;
//! - what a projection acknowledged, its store holds, in the latest state of
//!   every user that has not changed since;
//! - no store holds a user that the object does not;
//! - a read that KV may serve gives what the object has.
//!
//! At the end faults cease, and both stores equal the object.
//!
//! `ROLLCALL_SEEDS=n` runs more seeds; `ROLLCALL_SEED=n` replays one.

use std::collections::{BTreeMap, BTreeSet};

use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyKind, KeyPrefix, Scope};
use rollcall::directory::deletion::{Cascade, ReceiptStatus};
use rollcall::directory::end_user::Revision;
use rollcall::directory::identifiers::{BatchId, DeletionId, KeyId, Mode, OrganizationId, RequestId, Tenant};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::Organization;
use rollcall::organization::keys::NewKey;
use rollcall::organization::outbox::{Batch, Projection};
use rollcall::organization::protocol::{
    self, Call, Caller, Command, Denial, EndUserChange, NewEndUser, Outcome, Reply,
};
use rollcall::organization::settings::Settings;
use rollcall::organization::sql::{Sql, SqlError};
use rollcall::organization::user_row::{self, UserRow};
use rollcall::projection::cache;
use rollcall::projection::listing::{self, Application, Direction, Query, Range};

use crate::sqlite::Sqlite;

const SEEDS_DEFAULT: u64 = 2_000;
const STEPS: usize = 150;
const IDS: usize = 12;

/// A write on its way to KV.
struct Put {
    key: String,
    value: String,
}

/// A flush of the cache that the object is waiting for.
struct CacheFlush {
    to: i64,
    /// Writes that have not been confirmed.
    open: usize,
}

struct World {
    random: fastrand::Rng,
    now_ms: i64,
    object: Organization,
    storage: Sqlite,
    listing: Sqlite,
    /// Every value that each KV key ever had, oldest first: a reader elsewhere
    /// may see any of them.
    kv: BTreeMap<String, Vec<String>>,
    /// Batches on their way to D1, with the crash count of the object that sent them.
    to_listing: Vec<(u32, Batch)>,
    to_cache: Vec<(u32, Put)>,
    cache_flush: Option<CacheFlush>,
    crashes: u32,
    key: KeyDigest,
    tenant: Tenant,
    /// Which request was told that it created, by user.
    created_by: BTreeMap<UserId, RequestId>,
    acknowledged: BTreeSet<UserId>,
    /// The newest revision that a change was acknowledged with.
    versions: BTreeMap<UserId, Revision>,
    statistics: Statistics,
}

#[derive(Debug, Default)]
struct Statistics {
    operations: u64,
    faults: u64,
    crashes: u64,
    created: u64,
    deleted: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let now_ms = 1_700_000_000_000;
        let tenant = Tenant {
            organization: OrganizationId::new(
                Timestamp::from_millis(now_ms),
                random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes"),
            ),
            mode: Mode::Live,
        };
        let secret = Secret::new("s".repeat(32)).expect("a secret");
        let key = ApiKey::mint(&KeyPrefix::default(), tenant, [7; 32], &secret).digest();
        let mut world = Self {
            random,
            now_ms,
            object: Organization::default(),
            storage: Sqlite::new(),
            listing: Sqlite::listing(),
            kv: BTreeMap::new(),
            to_listing: Vec::new(),
            to_cache: Vec::new(),
            cache_flush: None,
            crashes: 0,
            key,
            tenant,
            created_by: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            versions: BTreeMap::new(),
            statistics: Statistics::default(),
        };
        world.provision();
        world
    }

    fn provision(&mut self) {
        let limits = Limits { requests_per_second: 1_000_000, burst: 1_000_000, ..Limits::default() };
        let anchor = self.now();
        let settings = Settings { tenant: self.tenant, version: 1, limits, anchor };
        let key = NewKey {
            digest: self.key.clone(),
            key_id: KeyId::new(anchor, [1; 10]),
            kind: KeyKind::Api,
            scope: Scope::ReadWrite,
            prefix: KeyPrefix::default(),
            name: Name::new("key").expect("a name"),
            created_at: anchor,
            expires_at: None,
        };
        let call = Call {
            request_id: RequestId::new(anchor, [0; 10]),
            repeated: false,
            caller: Caller::Operator,
            idempotency: None,
            command: Command::IssueKey { settings, key },
        };
        self.handle(call).expect("a key");
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    fn bytes(&mut self) -> [u8; 10] {
        self.random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
    }

    /// One call into the object: one transaction, and memory that is dropped with it when it fails.
    fn handle(&mut self, call: Call) -> Result<Reply, SqlError> {
        // By way of its bytes, as it travels.
        let call = protocol::decode(&protocol::encode(&call).expect("a call")).expect("a call");
        let now = self.now();
        let (object, storage) = (&mut self.object, &self.storage);
        let reply = storage.transaction(|sql| object.handle(sql, call, now))?;
        Ok(protocol::decode(&protocol::encode(&reply).expect("a reply")).expect("a reply"))
    }

    fn call(&self, request_id: RequestId, command: Command) -> Call {
        let caller = Caller::Key { digest: self.key.clone(), kind: KeyKind::Api, scope: Scope::Read, cost: 1 };
        Call { request_id, repeated: false, caller, idempotency: None, command }
    }

    fn user_id(&mut self) -> UserId {
        let index = self.random.usize(0..IDS);
        UserId::new(
            ["a", "b/c", "é", "🦀", "\u{FFFD}", "\u{10FFFF}"]
                .get(index)
                .map_or(format!("u{index}"), |id| (*id).to_owned()),
        )
        .expect("an id")
    }

    fn step(&mut self) {
        self.statistics.operations += 1;
        self.now_ms += match self.random.u8(0..20) {
            0 => -self.random.i64(0..5_000),
            1..4 => self.random.i64(0..10_000),
            _ => self.random.i64(0..3),
        };
        match self.random.u8(0..100) {
            0..22 => self.create(),
            22..31 => self.update(),
            31..35 => self.delete(),
            35..45 => self.read(),
            45..50 => self.list(),
            50..62 => self.send_to_listing(),
            62..75 => self.deliver_to_listing(),
            75..82 => self.send_to_cache(),
            82..95 => self.deliver_to_cache(),
            95..97 => self.purge(),
            _ => self.crash(),
        }
        self.check();
    }

    /// A creation whose call or answer may be lost, and which the edge then repeats.
    fn create(&mut self) {
        let user_id = self.user_id();
        let request_id = RequestId::new(self.now(), self.bytes());
        for attempt in 0..2 {
            let metadata = Metadata::from_stored(format!("{{\"by\":\"{request_id}\"}}")).expect("JSON");
            let command = Command::CreateEndUser(NewEndUser { user_id: user_id.clone(), display_name: None, metadata });
            let call = Call { repeated: attempt > 0, ..self.call(request_id, command) };
            if self.random.u8(0..10) == 0 {
                self.storage.fail_after.set(Some(self.random.u32(0..8)));
                self.statistics.faults += 1;
            }
            let reply = self.handle(call);
            self.storage.fail_after.set(None);
            let lost = self.random.u8(0..6) == 0;
            if lost {
                self.statistics.faults += 1;
                if self.random.bool() {
                    self.crash();
                }
            }
            match reply {
                Ok(reply) if !lost => return self.acknowledge(request_id, user_id, reply.outcome),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn acknowledge(&mut self, request_id: RequestId, user_id: UserId, outcome: Outcome) {
        match outcome {
            Outcome::EndUserCreated { document, .. } => {
                assert!(document.as_str().contains(&request_id.to_string()), "the creator's own record");
                let other = self.created_by.insert(user_id.clone(), request_id);
                assert_eq!(other, None, "{user_id} was created twice");
                self.statistics.created += 1;
            }
            Outcome::EndUser { document, .. } => {
                // Else its own creation, whose answer was lost, would be told to nobody.
                assert!(!document.as_str().contains(&request_id.to_string()), "{user_id}'s creator was told 200");
            }
            // After crashes and with a clock set back, the bucket is careful.
            Outcome::Denied(Denial::RateLimited { .. }) | Outcome::DeletionPending => return,
            other => panic!("{other:?}"),
        }
        self.acknowledged.insert(user_id);
    }

    /// A change of metadata, now and then to what it is already.
    fn update(&mut self) {
        let user_id = self.user_id();
        let request_id = RequestId::new(self.now(), self.bytes());
        let metadata = Metadata::from_stored(format!("{{\"n\":{}}}", self.random.u8(0..4))).expect("JSON");
        let wanted = metadata.as_str().to_owned();
        let change = EndUserChange::Replace { display_name: None, metadata: Some(metadata) };
        let command = Command::UpdateEndUser { user_id: user_id.clone(), change, if_match: None };
        match self.handle(self.call(request_id, command)).expect("a reply").outcome {
            Outcome::EndUser { revision, document } => {
                assert!(document.as_str().contains(&wanted), "the change is in the answer");
                self.acknowledged.insert(user_id.clone());
                let newest = self.versions.entry(user_id).or_insert(revision);
                assert!(*newest <= revision, "versions only grow");
                *newest = revision;
            }
            Outcome::NotFound => assert!(!self.acknowledged.contains(&user_id), "{user_id} is lost"),
            Outcome::Denied(Denial::RateLimited { .. }) | Outcome::DeletionPending => {}
            other => panic!("{other:?}"),
        }
    }

    /// An erasure; from its acknowledgement on nobody counts on the user.
    fn delete(&mut self) {
        let user_id = self.user_id();
        let request_id = RequestId::new(self.now(), self.bytes());
        let deletion_id = DeletionId::new(self.now(), self.bytes());
        let command =
            Command::DeleteEndUser { user_id: user_id.clone(), deletion_id, cascade: Cascade::All, reason: None };
        match self.handle(self.call(request_id, command)).expect("a reply").outcome {
            Outcome::Deletion(receipt) => {
                assert_eq!(receipt.status, ReceiptStatus::DeletionPending);
                self.acknowledged.remove(&user_id);
                self.created_by.remove(&user_id);
                self.versions.remove(&user_id);
                self.statistics.deleted += 1;
            }
            Outcome::NotFound => assert!(!self.acknowledged.contains(&user_id), "{user_id} is lost"),
            Outcome::Denied(Denial::RateLimited { .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    fn purge(&mut self) {
        let now = self.now();
        let (object, storage) = (&mut self.object, &self.storage);
        storage.transaction(|sql| object.purge(sql, now)).expect("a purge");
    }

    /// A point read as the edge does it, by a reader whose KV may be stale.
    fn read(&mut self) {
        let user_id = self.user_id();
        let request_id = RequestId::new(self.now(), self.bytes());
        let located = self.handle(self.call(request_id, Command::LocateEndUser { user_id: user_id.clone() }));
        let revision = match located.expect("a reply").outcome {
            Outcome::EndUserLocated { revision } => revision,
            Outcome::Denied(Denial::RateLimited { .. }) => return,
            Outcome::NotFound => {
                assert!(!self.acknowledged.contains(&user_id), "{user_id} was acknowledged and is not there");
                return;
            }
            other => panic!("{other:?}"),
        };
        let held = self.kv.get(&cache::key(self.tenant, &user_id)).cloned().unwrap_or_default();
        let Some(seen) = self.random.choice(&held) else { return };
        if let Some(document) = cache::read(seen, revision) {
            assert_eq!(document.get(), self.users()[user_id.as_str()].1, "KV serves the record in force");
        }
    }

    /// A list, which is given only when the listing has caught up.
    fn list(&mut self) {
        // After a crash nothing is known until the first call; the edge's own call is that.
        if self.object.last_sequence().is_none() || self.object.is_behind(Projection::Listing) {
            return;
        }
        let query = Query { direction: Direction::Ascending, range: Range::UserId { prefix: None } };
        let page = query.page(self.tenant, None, 200);
        let texts = self.listing.texts(&page.statement()).expect("a page");
        let active =
            |(user, (_, document)): (String, (Revision, String))| (!self.is_pending(&user)).then_some(document);
        let expected: Vec<String> = self.users().into_iter().filter_map(active).collect();
        assert_eq!(texts, expected, "a list shows everything, in order");
    }

    fn send_to_listing(&mut self) {
        if let Some(batch) = self.next_batch(Projection::Listing) {
            self.to_listing.push((self.crashes, batch));
        }
    }

    fn next_batch(&mut self, projection: Projection) -> Option<Batch> {
        let now = self.now();
        let id = BatchId::new(now, self.bytes());
        let (object, storage) = (&mut self.object, &self.storage);
        storage.transaction(|sql| object.next_batch(sql, projection, id, now)).expect("a batch")
    }

    /// Any batch arrives, not only the oldest; some arrive again later, some
    /// never, and some answers are lost.
    fn deliver_to_listing(&mut self) {
        if self.to_listing.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.to_listing.len());
        let repeated = self.random.u8(0..5) == 0;
        let (sender, batch) = if repeated {
            self.statistics.faults += 1;
            let (sender, batch) = &self.to_listing[index];
            (*sender, batch.clone())
        } else {
            self.to_listing.swap_remove(index)
        };
        if self.random.u8(0..8) == 0 {
            self.statistics.faults += 1;
            return;
        }
        let application = Application::new(&batch).expect("JSON");
        let changed = self.listing.batch(&application.statements()).expect("D1");
        let answer_lost = self.random.u8(0..5) == 0;
        if answer_lost || sender != self.crashes {
            self.statistics.faults += u64::from(answer_lost);
            return;
        }
        let sequence = if changed[0] > 0 {
            batch.to
        } else {
            let position =
                self.listing.texts(&application.position()).expect("D1").first().and_then(|text| text.parse().ok());
            // Storage that failed in between has made the object forget; it flushes anew.
            let Some(last) = self.object.last_sequence() else { return };
            listing::acknowledge_position(position, batch.from, last).expect("a position of ours")
        };
        self.acknowledge_projection(Projection::Listing, sequence);
    }

    fn acknowledge_projection(&mut self, projection: Projection, sequence: i64) {
        let now = self.now();
        let (object, storage) = (&mut self.object, &self.storage);
        storage.transaction(|sql| object.acknowledge(sql, projection, sequence, now)).expect("an acknowledgement");
    }

    fn send_to_cache(&mut self) {
        if self.cache_flush.is_some() {
            return;
        }
        let Some(batch) = self.next_batch(Projection::Cache) else { return };
        for change in &batch.changes {
            let put =
                Put { key: cache::key(self.tenant, &change.user_id), value: cache::value(change).expect("JSON").0 };
            self.to_cache.push((self.crashes, put));
        }
        self.cache_flush = Some(CacheFlush { to: batch.to, open: batch.changes.len() });
    }

    fn deliver_to_cache(&mut self) {
        if self.to_cache.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.to_cache.len());
        let (sender, put) = self.to_cache.swap_remove(index);
        if self.random.u8(0..10) == 0 {
            // The write, or its answer, is lost: the flush fails and begins anew.
            self.statistics.faults += 1;
            if self.random.bool() {
                self.kv.entry(put.key).or_default().push(put.value);
            }
            if sender == self.crashes {
                self.cache_flush = None;
                self.crashes += 1;
            }
            return;
        }
        self.kv.entry(put.key).or_default().push(put.value);
        let Some(flush) = self.cache_flush.as_mut().filter(|_| sender == self.crashes) else { return };
        flush.open -= 1;
        if flush.open == 0 {
            let to = flush.to;
            self.cache_flush = None;
            self.acknowledge_projection(Projection::Cache, to);
        }
    }

    fn crash(&mut self) {
        self.statistics.crashes += 1;
        self.object = Organization::default();
        self.cache_flush = None;
        self.crashes += 1;
    }

    /// Revision and document of every user, by id, as the object has them.
    fn users(&self) -> BTreeMap<String, (Revision, String)> {
        let sql = format!("SELECT {} FROM users u ORDER BY u.user_id", user_row::COLUMNS);
        let rows = self.storage.run(&sql, &[]).expect("the users");
        rows.into_iter()
            .map(|mut row| {
                let UserRow { revision, user, .. } = UserRow::read(&mut row).expect("a user");
                (user.user_id.to_string(), (revision, serde_json::to_string(&user).expect("JSON")))
            })
            .collect()
    }

    fn is_pending(&self, user_id: &str) -> bool {
        let sql = "SELECT 1 FROM users WHERE user_id = ? AND state = 'deletion_pending'";
        self.storage.first(sql, &[user_id.into()]).expect("the users").is_some()
    }

    fn listed(&self) -> BTreeMap<String, String> {
        let statement = rollcall::projection::Statement {
            sql: "SELECT json_array(user_id, document) AS text FROM end_users".into(),
            parameters: Vec::new(),
        };
        let texts = self.listing.texts(&statement).expect("D1");
        texts.iter().map(|text| serde_json::from_str::<(String, String)>(text).expect("a row")).collect()
    }

    fn unflushed(&self, projection: &str) -> BTreeSet<String> {
        let rows = self
            .storage
            .run(
                "SELECT u.user_id FROM outbox JOIN users u ON number = user WHERE sequence > coalesce((SELECT value FROM state WHERE name = ?), 0)",
                &[projection.into()],
            )
            .expect("the outbox");
        rows.into_iter().map(|mut row| row.text().expect("an id")).collect()
    }

    fn check(&self) {
        let users = self.users();
        for user_id in &self.acknowledged {
            assert!(users.contains_key(user_id.as_str()), "{user_id} was acknowledged and is lost");
        }
        for (user_id, revision) in &self.versions {
            assert!(users[user_id.as_str()].0 >= *revision, "{user_id}: an acknowledged change is lost");
        }
        let listed = self.listed();
        for user_id in listed.keys() {
            assert!(users.contains_key(user_id), "a listed user that is none");
        }
        let unlisted = self.unflushed("listing_sequence");
        for (user_id, (_, document)) in users.iter().filter(|(user_id, _)| !unlisted.contains(*user_id)) {
            let expected = if self.is_pending(user_id) { None } else { Some(document) };
            assert_eq!(listed.get(user_id), expected, "{user_id} was acknowledged by the listing");
        }
        let uncached = self.unflushed("cache_sequence");
        for (user_id, (revision, document)) in users.iter().filter(|(user_id, _)| !uncached.contains(*user_id)) {
            let key = cache::key(self.tenant, &UserId::new(user_id.as_str()).expect("an id"));
            // Not the last value: a write that was given up may still arrive after the
            // one that took its place. Readers then fall back to the object.
            let held = self.kv.get(&key).expect("an acknowledged record is in KV");
            let current = |value: &String| cache::read(value, *revision).is_some_and(|held| held.get() == document);
            let gone = |value: &String| value == "{}";
            let put = if self.is_pending(user_id) { held.iter().any(gone) } else { held.iter().any(current) };
            assert!(put, "{user_id} was acknowledged by the cache");
        }
    }

    /// Faults cease: whatever is on its way arrives, then both stores catch up.
    fn heal(&mut self) {
        for (_, batch) in std::mem::take(&mut self.to_listing) {
            self.listing.batch(&Application::new(&batch).expect("JSON").statements()).expect("D1");
        }
        for (_, put) in std::mem::take(&mut self.to_cache) {
            self.kv.entry(put.key).or_default().push(put.value);
        }
        self.crash();
        while let Some(batch) = self.next_batch(Projection::Listing) {
            let application = Application::new(&batch).expect("JSON");
            let changed = self.listing.batch(&application.statements()).expect("D1");
            let position =
                self.listing.texts(&application.position()).expect("D1").first().and_then(|text| text.parse().ok());
            let last = self.object.last_sequence().expect("a number");
            let to = if changed[0] > 0 {
                batch.to
            } else {
                listing::acknowledge_position(position, batch.from, last).expect("ours")
            };
            self.acknowledge_projection(Projection::Listing, to);
        }
        while let Some(batch) = self.next_batch(Projection::Cache) {
            for change in &batch.changes {
                let (value, _) = cache::value(change).expect("JSON");
                self.kv.entry(cache::key(self.tenant, &change.user_id)).or_default().push(value);
            }
            self.acknowledge_projection(Projection::Cache, batch.to);
        }
        self.check();
        self.purge();
        self.check();
        let users = self.users();
        assert!(users.keys().all(|user_id| !self.is_pending(user_id)), "every erasure is completed");
        assert_eq!(self.listed().len(), users.len(), "D1 equals the object");
        assert!(self.unflushed("listing_sequence").is_empty() && self.unflushed("cache_sequence").is_empty());
        let left = self.storage.first("SELECT count(*) FROM outbox", &[]).expect("the outbox");
        assert_eq!(left.expect("a row").integer(), Ok(0), "the outbox is empty");
    }
}

fn run(seed: u64) -> Statistics {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.heal();
    world.statistics
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn nothing_acknowledged_is_lost_and_everything_converges() {
    if let Some(seed) = variable("ROLLCALL_SEED") {
        println!("seed {seed}: {:?}", run(seed));
        return;
    }
    let seeds = variable("ROLLCALL_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let base = fastrand::u64(..) >> 16;
    let mut total = Statistics::default();
    for seed in base..base + seeds {
        let statistics = std::panic::catch_unwind(|| run(seed))
            .unwrap_or_else(|_| panic!("seed {seed} failed; replay it with ROLLCALL_SEED={seed}"));
        total.operations += statistics.operations;
        total.faults += statistics.faults;
        total.crashes += statistics.crashes;
        total.created += statistics.created;
        total.deleted += statistics.deleted;
    }
    println!("seeds {base}..{}: {total:?}, violations 0", base + seeds);
}
