//! One tenant with everything around it, and what happens to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyPrefix};
use rollcall::directory::identifiers::{KeyId, Mode, OrganizationId, RequestId, Tenant};
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::organization::protocol::{
    self, Call, Caller, Command, IntoCommand, IssueKey, KeyRecord, RevokeKey, Settings, StartAudit,
};
use rollcall::organization::sql::SqlError;

use super::isolate::{Isolate, Request};
use super::object::Object;
use super::oracle::Oracle;
use super::schedule::{Schedule, Slot};
use super::store::Kv;
use crate::simulation::Violation;
use crate::simulation::tally::Tally;
use crate::sqlite::Sqlite;
use crate::tenant;

/// The true time of every seed begins here.
const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// More bytes than the longest thing that is drawn.
const RANDOM_BYTES: usize = 64;

/// What a thread reuses for any number of seeds.
pub struct Bench {
    pub tenant: Tenant,
    pub configuration: Rc<Configuration>,
    pub keys: Vec<ApiKey>,
    pub user_ids: Vec<UserId>,
    /// The object's, with its tables.
    storage: Rc<Sqlite>,
    listing: Rc<Sqlite>,
}

/// The settings of every isolate.
pub fn setting(name: &str) -> Option<String> {
    match name {
        "KEY_SECRET" => Some(SECRET.to_owned()),
        "PUBLIC_BURST" | "PUBLIC_REQUESTS_PER_SECOND" => Some("1000000".to_owned()),
        _ => None,
    }
}

impl Bench {
    pub fn ready() -> Rc<Self> {
        let organization = OrganizationId::new(Timestamp::from_millis(START_MS), [3; 10]);
        let tenant = Tenant { organization, mode: Mode::Live };
        let secret = Secret::new(SECRET.to_owned()).expect("a secret");
        let keys = (0..6).map(|key| ApiKey::mint(&KeyPrefix::default(), tenant, [key; 32], &secret)).collect();
        let configuration = Rc::new(Configuration::read(setting, false).expect("a configuration"));
        let user_ids = ["ada", "bob", "eve"].map(|id| UserId::new(id).expect("an id")).to_vec();
        let (storage, listing) = (Rc::new(Sqlite::new()), Rc::new(Sqlite::listing()));
        let bench = Rc::new(Self { tenant, configuration, keys, user_ids, storage, listing });
        let world = World::new(&bench, 0, false);
        world.configure(Limits::default());
        world.schedule.clear();
        bench
    }

    pub fn key_of(&self, digest: &KeyDigest) -> usize {
        self.keys.iter().position(|key| key.digest() == *digest).expect("one of the keys")
    }

    pub fn user_of(&self, digest: &str) -> usize {
        self.user_ids.iter().position(|id| id.digest() == digest).expect("one of the users")
    }

    /// Runs one seed and undoes its changes.
    pub fn run(self: &Rc<Self>, seed: u64, is_traced: bool) -> Result<Tally, Violation> {
        self.listing.trial(|| {
            self.storage.trial(|| {
                let world = World::new(self, seed, is_traced);
                let result = world.live().and_then(|()| world.heal());
                world.schedule.clear();
                result.map(|()| std::mem::take(&mut *world.tally.borrow_mut()))
            })
        })
    }
}

/// What a seed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Copies, which take minutes.
    Copies,
    /// Marks, which take days.
    Days,
    /// The bucket, which takes seconds.
    Bucket,
}

/// What a seed has.
#[derive(Debug)]
pub struct Plan {
    pub kind: Kind,
    locations: usize,
    /// The usual longest way between an isolate and the object, in milliseconds.
    pub way_ms: i64,
    /// Whether the platform ends an object that does nothing.
    evicts: bool,
    /// Whether the object is ever restored.
    restores: bool,
}

impl Plan {
    pub fn locations(&self) -> std::ops::Range<usize> {
        0..self.locations
    }
}

pub struct World {
    pub bench: Rc<Bench>,
    pub plan: Plan,
    pub schedule: Schedule,
    random: RefCell<fastrand::Rng>,
    is_traced: bool,
    /// False while the world heals.
    pub is_faulty: Cell<bool>,
    pub kv: RefCell<Kv>,
    pub listing: Rc<Sqlite>,
    pub listing_is_down: Cell<bool>,
    pub object: Object,
    pub isolates: Vec<Isolate>,
    pub oracle: RefCell<Oracle>,
    tally: RefCell<Tally>,
    violation: RefCell<Option<Violation>>,
    /// Answers from KV.
    pub edge_answers: Cell<u64>,
    limits: Cell<Limits>,
    settings_version: Cell<i64>,
    /// Counts what is written, so that no two records are equal.
    writes: Cell<u64>,
    keys_issued: Cell<usize>,
    snapshots: Cell<u32>,
}

impl World {
    fn new(bench: &Rc<Bench>, seed: u64, is_traced: bool) -> Rc<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let kind = match random.u8(0..8) {
            0..3 => Kind::Bucket,
            3 => Kind::Days,
            _ => Kind::Copies,
        };
        let locations = random.usize(1..=3);
        let mut skew_ms = || random.i64(-5 * HOUR_MS..=5 * HOUR_MS);
        let object_skew_ms = skew_ms();
        let isolates = [skew_ms(), skew_ms(), skew_ms(), skew_ms()];
        let isolates = isolates[..random.usize(1..=4)].iter().enumerate();
        let isolates = isolates.map(|(number, skew_ms)| Isolate::new(*skew_ms, number % locations)).collect();
        let plan = Plan {
            kind,
            locations,
            way_ms: *random.choice(&[5, 50, 1_500]).expect("a way"),
            evicts: random.bool(),
            restores: random.u8(0..3) == 0,
        };
        let world = Self {
            bench: Rc::clone(bench),
            plan,
            schedule: Schedule::starting_at(START_MS),
            random: RefCell::new(random),
            is_traced,
            is_faulty: Cell::new(true),
            kv: RefCell::default(),
            listing: Rc::clone(&bench.listing),
            listing_is_down: Cell::new(false),
            object: Object::new(Rc::clone(&bench.storage), object_skew_ms),
            isolates,
            oracle: RefCell::new(Oracle::new(Rc::clone(bench), object_skew_ms)),
            tally: RefCell::default(),
            violation: RefCell::new(None),
            edge_answers: Cell::new(0),
            limits: Cell::new(Limits::default()),
            settings_version: Cell::new(1),
            writes: Cell::new(0),
            keys_issued: Cell::new(0),
            snapshots: Cell::new(0),
        };
        Rc::new(world)
    }

    pub fn below(&self, end: i64) -> i64 {
        self.random.borrow_mut().i64(0..end.max(1))
    }

    pub fn pick(&self, end: usize) -> usize {
        self.random.borrow_mut().usize(0..end)
    }

    /// True once in so many times, at random, unless the world heals.
    pub fn one_in(&self, times: i64) -> bool {
        self.is_faulty.get() && self.below(times) == 0
    }

    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; RANDOM_BYTES];
        self.random.borrow_mut().fill(&mut bytes);
        *bytes.first_chunk().expect("no more bytes than that")
    }

    pub async fn sleep(&self, millis: i64) {
        let (slot, reply): (Slot<()>, _) = self.schedule.slot();
        self.schedule.after(millis, move |world| world.schedule.fill(&slot, ()));
        reply.await;
    }

    pub fn tally(&self, what: &'static str) {
        self.tally.borrow_mut().count(what);
    }

    pub fn trace(&self, line: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>9} {}", self.schedule.now_ms() - START_MS, line());
        }
    }

    /// Keeps the first violation, which ends the seed.
    pub fn report(&self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.violation.borrow_mut().get_or_insert(violation);
        }
    }

    pub fn ensure(&self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.report(Err(Violation(message())));
        }
    }

    pub fn check(&self, check: impl FnOnce(&mut Oracle) -> Result<(), Violation>) {
        let checked = check(&mut self.oracle.borrow_mut());
        self.report(checked);
    }

    /// Storage that fails without an injected fault is a violation.
    pub fn require<T>(&self, result: Result<T, SqlError>) -> Option<T> {
        result.map_err(|error| self.report(Err(error.into()))).ok()
    }

    /// Lets everything happen until some milliseconds from now.
    pub fn pass(self: &Rc<Self>, millis: i64) -> Result<(), Violation> {
        let until_ms = self.schedule.now_ms() + millis;
        loop {
            self.schedule.run_ready();
            if let Some(violation) = self.violation.borrow_mut().take() {
                return Err(violation);
            }
            let Some(event) = self.schedule.next_until(until_ms) else { break };
            if self.plan.evicts {
                self.evict_if_idle();
            }
            event(self);
        }
        self.schedule.move_to(until_ms);
        Ok(())
    }
}

/// What the operator does.
impl World {
    fn operate(self: &Rc<Self>, command: impl IntoCommand) {
        let request_id = RequestId::new(self.object_now(), self.random_bytes());
        let (caller, command) = (Caller::Operator, command.into_command());
        let call = Call { request_id, repeated: false, caller, idempotency: None, edge: None, command };
        let bytes = protocol::encode(&call).expect("a call");
        self.require(self.execute(&bytes));
        // The edge repeats a call whose reply it has lost.
        let may_repeat = matches!(call.command, Command::StartAudit(_));
        if may_repeat && self.one_in(2) {
            self.schedule.after(self.below(15_000), move |world| {
                world.require(world.execute(&bytes));
            });
        }
    }

    fn settings(&self) -> Settings {
        self.settings_version.set(self.settings_version.get() + 1);
        let (version, limits) = (self.settings_version.get(), self.limits.get());
        Settings { version, ..tenant::settings(self.bench.tenant, limits) }
    }

    pub fn configure(self: &Rc<Self>, limits: Limits) {
        self.trace(|| format!("limits {limits:?}"));
        self.limits.set(limits);
        self.operate(self.settings());
    }

    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Issues one of the keys that are left.
    pub fn issue_key(self: &Rc<Self>, lasts_ms: Option<i64>) {
        let Some(key) = self.bench.keys.get(self.keys_issued.get()) else { return };
        self.trace(|| format!("key {} is issued", self.keys_issued.get()));
        let number = u8::try_from(self.keys_issued.get()).expect("few keys");
        self.keys_issued.set(self.keys_issued.get() + 1);
        let now = self.object_now();
        let expires_at = lasts_ms.map(|millis| Timestamp::from_millis(now.millis() + millis));
        let record = KeyRecord { key_id: key_id(number), created_at: now, expires_at, ..tenant::key(number) };
        self.operate(IssueKey { settings: self.settings(), digest: key.digest(), key: record });
    }

    /// The key that no seed revokes, issued again if the object was restored to before it.
    pub fn key_in_force(self: &Rc<Self>) -> usize {
        let key = self.bench.keys.len() - 1;
        self.keys_issued.set(key);
        self.issue_key(None);
        key
    }

    pub fn revoke_key(self: &Rc<Self>, key: usize) {
        self.trace(|| format!("key {key} is revoked"));
        self.operate(RevokeKey { key_id: key_id(u8::try_from(key).expect("few keys")) });
    }

    pub fn start_audit(self: &Rc<Self>, is_repair: bool) {
        self.trace(|| format!("audit, repair: {is_repair}"));
        self.operate(StartAudit { settings: self.settings(), is_repair });
    }

    /// Keeps the storage as it is, to restore it later.
    pub fn take_snapshot(&self) {
        self.snapshots.set(self.snapshots.get() + 1);
        self.trace(|| format!("snapshot {}", self.snapshots.get()));
        self.object.storage.execute(&format!("SAVEPOINT snapshot_{}", self.snapshots.get()));
    }

    /// The object begins again from one of its snapshots.
    pub fn restore(self: &Rc<Self>) {
        let Some(last) = self.snapshots.get().checked_sub(1) else { return };
        let snapshot = 1 + u32::try_from(self.below(i64::from(last) + 1)).expect("a snapshot");
        self.trace(|| format!("restored to snapshot {snapshot}"));
        self.tally("restores");
        if self.oracle.borrow().tokens_out(self.schedule.now_ms()) > 0 {
            self.tally("restores with leases out");
        }
        self.crash();
        self.object.storage.execute(&format!("ROLLBACK TO snapshot_{snapshot}"));
        self.snapshots.set(snapshot);
        self.observe(true);
        self.oracle.borrow_mut().forget_puts();
    }

    pub fn may_restore(&self) -> bool {
        self.plan.restores
    }
}

fn key_id(number: u8) -> KeyId {
    KeyId::new(Timestamp::from_millis(START_MS), [number; 10])
}

/// What clients do.
impl World {
    fn text(&self) -> String {
        self.writes.set(self.writes.get() + 1);
        format!("name {}", self.writes.get())
    }

    pub fn create(self: &Rc<Self>, isolate: usize, user: usize, key: usize) {
        let body =
            format!(r#"{{"user_id":"{}","display_name":"{}"}}"#, self.bench.user_ids[user].as_str(), self.text());
        self.request(isolate, Request::new(self, "POST", user, key).with_body(body));
    }

    pub fn update(self: &Rc<Self>, isolate: usize, user: usize, key: usize) {
        let body = format!(r#"{{"display_name":"{}"}}"#, self.text());
        self.request(isolate, Request::new(self, "PATCH", user, key).with_body(body));
    }

    pub fn erase(self: &Rc<Self>, isolate: usize, user: usize, key: usize) {
        self.request(isolate, Request::new(self, "DELETE", user, key));
    }

    pub fn read(self: &Rc<Self>, isolate: usize, user: usize, key: usize, max_stale_s: Option<u32>) {
        let request = Request::new(self, "GET", user, key);
        self.request(isolate, if let Some(seconds) = max_stale_s { request.stale(seconds) } else { request });
    }

    /// A key that was issued.
    pub fn any_key(&self) -> usize {
        self.pick(self.keys_issued.get().max(1))
    }

    /// Whether there is another key to issue. The last one is for the end.
    pub fn has_key_left(&self) -> bool {
        self.keys_issued.get() + 1 < self.bench.keys.len()
    }
}
