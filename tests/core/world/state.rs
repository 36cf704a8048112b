//! Two organizations with both their modes, everything around them, and one seed of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rollcall::directory::identifiers::{Mode, OrganizationId, RequestId, Tenant};
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{self, Call, Caller, Command, ReadUsage, Reply};
use rollcall::organization::sql::SqlError;

use super::bucket::Bucket;
use super::clients::Tenancy;
use super::edge::Isolate;
use super::kv::Kv;
use super::object::Place;
use super::oracle::{Oracle, TenantOracle};
use super::steps::{Limits, Plan, Step};
use super::time::{Owner, Time};
use crate::simulation::tally::Tally;
use crate::simulation::{Violation, ensure};
use crate::sqlite::Sqlite;

/// The true time of every seed begins here: two hours before a month ends.
pub const START_MS: i64 = 1_769_896_800_000;
pub const HOUR_MS: i64 = 3_600_000;
pub const MINUTE_MS: i64 = 60_000;
pub const SECOND_MS: i64 = 1_000;
pub const ADMIN_TOKEN: &str = "operator-operator-operator-operator";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Two organizations in two modes.
pub const TENANTS: usize = 4;
/// A 503 has a cause that is no older than this, in milliseconds.
const CAUSE_MS: i64 = 5 * MINUTE_MS;
/// What began to fail before faults ceased ends within this time, in milliseconds.
const AFTERMATH_MS: i64 = 90 * SECOND_MS;
/// More events than happen within a millisecond.
const AT_ONCE_MAX: u32 = 10_000;
const RANDOM_BYTES: usize = 64;

/// The settings of every isolate.
pub fn setting(name: &str) -> Option<String> {
    let value = match name {
        "KEY_SECRET" => SECRET,
        "ADMIN_TOKEN" => ADMIN_TOKEN,
        "PUBLIC_BURST" | "PUBLIC_REQUESTS_PER_SECOND" => "1000000",
        "RESPONDER_URL" => "https://model/v1",
        "RESPONDER_TIMEOUT_MS" => "20000",
        _ => return None,
    };
    Some(value.to_owned())
}

/// What a thread reuses for any number of seeds.
pub struct Bench {
    storages: Vec<Rc<Sqlite>>,
    listing: Rc<Sqlite>,
    configuration: Rc<Configuration>,
}

impl Bench {
    pub fn ready() -> Self {
        let configuration = Rc::new(Configuration::read(setting, false).expect("a configuration"));
        let storages = (0..TENANTS).map(|_| {
            let storage = Sqlite::of_large_pages();
            let (caller, command) = (Caller::Operator(None), Command::ReadUsage(ReadUsage));
            let request_id = RequestId::new(Timestamp::EPOCH, [0; 10]);
            let call = Call { request_id, repeated: false, caller, idempotency: None, edge: None, command };
            // The first call makes the tables.
            let made = storage.transaction(|sql| OrganizationCore::default().handle(sql, call, Timestamp::EPOCH));
            made.expect("tables");
            Rc::new(storage)
        });
        Self { storages: storages.collect(), listing: Rc::new(Sqlite::listing()), configuration }
    }

    /// Runs steps and undoes their changes.
    pub fn run(&self, plan: &Plan, steps: &[Step], is_traced: bool) -> Result<Tally, Violation> {
        self.within(plan, is_traced, |world| world.live(steps).and_then(|()| world.heal()))
    }

    /// Lets something happen in a world and undoes its changes.
    pub fn within(
        &self,
        plan: &Plan,
        is_traced: bool,
        body: impl Fn(&Rc<World>) -> Result<(), Violation>,
    ) -> Result<Tally, Violation> {
        self.listing.trial(|| {
            in_trials(&self.storages, &mut || {
                let world = World::new(self, plan, is_traced);
                let result = body(&world);
                world.time.clear();
                world.places.iter().for_each(Place::clear);
                result.map(|()| world.tally.take())
            })
        })
    }
}

fn in_trials<T>(storages: &[Rc<Sqlite>], body: &mut dyn FnMut() -> T) -> T {
    match storages.split_first() {
        Some((first, rest)) => first.trial(|| in_trials(rest, body)),
        None => body(),
    }
}

pub struct World {
    pub time: Time,
    pub plan: Plan,
    random: RefCell<fastrand::Rng>,
    pub is_traced: bool,
    is_faulty: Cell<bool>,
    pub configuration: Rc<Configuration>,
    pub listing: Rc<Sqlite>,
    pub kv: RefCell<Kv>,
    kv_down_until_ms: Cell<i64>,
    d1_down_until_ms: Cell<i64>,
    /// How much longer than usual each query of D1 takes, in milliseconds.
    pub d1_late_ms: Cell<i64>,
    pub isolates: Vec<Isolate>,
    pub places: Vec<Place>,
    organizations: RefCell<Vec<OrganizationId>>,
    pub tenancies: RefCell<Vec<Tenancy>>,
    pub oracle: RefCell<Oracle>,
    pub snapshots: RefCell<Vec<Option<TenantOracle>>>,
    last_fault_ms: Cell<i64>,
    ceased_ms: Cell<i64>,
    has_small_limits: Cell<bool>,
    clocks_went_back: Cell<bool>,
    isolates_went_back: Cell<bool>,
    /// Whether there is a snapshot of D1.
    pub listing_snapshot: Cell<bool>,
    /// How often a call has told an object that KV holds no copy of a person. The network may repeat a call.
    pub missed_nearby: RefCell<BTreeMap<(usize, usize), u32>>,
    /// When each key of KV was last written.
    pub puts: RefCell<BTreeMap<String, i64>>,
    pub buckets: RefCell<Vec<Bucket>>,
    limits_change: Cell<bool>,
    tally: RefCell<Tally>,
    violation: RefCell<Option<Violation>>,
}

impl World {
    fn new(bench: &Bench, plan: &Plan, is_traced: bool) -> Rc<Self> {
        let isolates = plan.isolates.iter().enumerate();
        let isolates = isolates.map(|(number, skew_ms)| Isolate::new(*skew_ms, number % plan.locations)).collect();
        let places = bench.storages.iter().zip(&plan.objects);
        let places = places.map(|(storage, skew_ms)| Place::new(Rc::clone(storage), *skew_ms)).collect();
        Rc::new(Self {
            time: Time::starting_at(START_MS),
            plan: plan.clone(),
            random: RefCell::new(fastrand::Rng::with_seed(plan.seed)),
            is_traced,
            is_faulty: Cell::new(false),
            configuration: Rc::clone(&bench.configuration),
            listing: Rc::clone(&bench.listing),
            kv: RefCell::default(),
            kv_down_until_ms: Cell::new(0),
            d1_down_until_ms: Cell::new(0),
            d1_late_ms: Cell::new(0),
            isolates,
            places,
            organizations: RefCell::default(),
            tenancies: RefCell::default(),
            oracle: RefCell::new(Oracle::of(TENANTS)),
            snapshots: RefCell::new(vec![None; TENANTS]),
            last_fault_ms: Cell::new(0),
            ceased_ms: Cell::new(i64::MIN / 2),
            has_small_limits: Cell::new(plan.limits.are_small()),
            limits_change: Cell::new(false),
            clocks_went_back: Cell::new(false),
            isolates_went_back: Cell::new(false),
            listing_snapshot: Cell::new(false),
            missed_nearby: RefCell::default(),
            puts: RefCell::default(),
            buckets: RefCell::new((0..TENANTS).map(|_| Bucket::default()).collect()),
            tally: RefCell::default(),
            violation: RefCell::default(),
        })
    }

    pub fn locations(&self) -> usize {
        self.plan.locations
    }

    pub fn below(&self, end: i64) -> i64 {
        self.random.borrow_mut().i64(0..end.max(1))
    }

    pub fn pick(&self, end: usize) -> usize {
        self.random.borrow_mut().usize(0..end)
    }

    pub fn is_faulty(&self) -> bool {
        self.is_faulty.get()
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

    pub fn tally(&self, what: &'static str) {
        self.tally.borrow_mut().count(what);
    }

    pub fn fault(&self, what: &'static str) {
        self.tally(what);
        self.last_fault_ms.set(self.time.now_ms());
        self.trace(|| format!("  fault: {what}"));
        self.ensure(self.may_fail(), || format!("a fault while nothing is faulty: {what}"));
    }

    pub fn may_fail(&self) -> bool {
        self.is_faulty() || self.time.now_ms() < self.ceased_ms.get() + AFTERMATH_MS
    }

    /// Whether a client may have reached a limit.
    pub fn has_small_limits(&self) -> bool {
        self.has_small_limits.get()
    }

    pub fn clocks_went_back(&self) -> bool {
        self.clocks_went_back.get()
    }

    pub fn isolates_went_back(&self) -> bool {
        self.isolates_went_back.get()
    }

    pub fn set_clock(&self, number: usize, millis: i64) {
        self.fault("clocks set");
        self.clocks_went_back.set(self.clocks_went_back.get() || millis < 0);
        let place = &self.places[number];
        place.skew_ms.set(place.skew_ms.get() + millis);
        place.set_ms.set(self.time.now_ms());
        place.disturbed_ms.set(self.time.now_ms());
    }

    pub fn set_isolate_clock(&self, number: usize, millis: i64) {
        self.fault("clocks of isolates set");
        let isolate = &self.isolates[number];
        isolate.skew_ms.set(isolate.skew_ms.get() + millis);
        if millis < 0 {
            isolate.set_back_ms.set(self.time.now_ms());
            self.isolates_went_back.set(true);
        }
    }

    pub fn limits_change(&self) -> bool {
        self.limits_change.get()
    }

    pub fn note_limits(&self, limits: Limits) {
        self.limits_change.set(true);
        self.has_small_limits.set(self.has_small_limits.get() || limits.are_small());
        // What an organization is, D1 decides. A snapshot of it has what it was.
        self.listing_snapshot.set(false);
    }

    pub fn has_cause(&self) -> bool {
        self.may_fail() && self.time.now_ms() - self.last_fault_ms.get() < CAUSE_MS
    }

    pub fn trace(&self, line: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>10} {}", self.time.now_ms() - START_MS, line());
        }
    }

    pub fn ensure(&self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.report(Err(Violation(message())));
        }
    }

    /// Keeps the first violation, which ends the seed.
    pub fn report(&self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.trace(|| format!("VIOLATION {violation}"));
            self.violation.borrow_mut().get_or_insert(violation);
        }
    }

    pub fn kv_is_down(&self) -> bool {
        self.is_faulty() && self.time.now_ms() < self.kv_down_until_ms.get()
    }

    pub fn d1_is_down(&self) -> bool {
        self.is_faulty() && self.time.now_ms() < self.d1_down_until_ms.get()
    }

    pub fn kv_goes_down(&self, millis: i64) {
        self.fault("times without KV");
        self.kv_down_until_ms.set(self.time.now_ms() + millis);
    }

    pub fn d1_goes_down(&self, millis: i64) {
        self.fault("times without D1");
        self.d1_down_until_ms.set(self.time.now_ms() + millis);
    }

    pub fn object_now(&self, number: usize) -> Timestamp {
        Timestamp::from_millis(self.time.now_ms() + self.places[number].skew_ms.get())
    }

    /// The number of a tenant's object. Organizations are numbered as they come.
    pub fn number_of(&self, tenant: Tenant) -> usize {
        let mut organizations = self.organizations.borrow_mut();
        let known = organizations.iter().position(|id| *id == tenant.organization);
        let organization = known.unwrap_or_else(|| {
            organizations.push(tenant.organization);
            organizations.len() - 1
        });
        organization * 2 + usize::from(tenant.mode == Mode::Test)
    }

    pub fn tenant_of(&self, number: usize) -> Tenant {
        self.known_tenant_of(number).expect("an organization that was called")
    }

    /// The tenant of an object, once it was called.
    pub fn known_tenant_of(&self, number: usize) -> Option<Tenant> {
        let mode = if number.is_multiple_of(2) { Mode::Live } else { Mode::Test };
        let organization = *self.organizations.borrow().get(number / 2)?;
        Some(Tenant { organization, mode })
    }

    /// A call was executed.
    pub fn note_execution(&self, number: usize, call: &[u8], reply: &[u8]) {
        let (Ok(call), Ok(reply)) = (protocol::decode::<Call>(call), protocol::decode::<Reply>(reply)) else {
            return self.ensure(false, || "a call or a reply does not read".to_owned());
        };
        self.note_bucket(number, &call, &reply);
        self.note_miss(number, &call);
        self.trace(|| format!("    object {number}: {:?}: {:?}", call.command, reply.outcome));
    }

    /// Lets everything happen until some milliseconds from now.
    pub fn pass(self: &Rc<Self>, millis: i64) -> Result<(), Violation> {
        let until_ms = self.time.now_ms() + millis;
        let mut at_once = (self.time.now_ms(), 0);
        loop {
            self.time.run_ready(|ready| self.pick(ready));
            if let Some(violation) = self.violation.borrow_mut().take() {
                return Err(violation);
            }
            let Some(event) = self.time.next_until(until_ms) else { break };
            if self.plan.evicts {
                self.evict_idle();
            }
            event();
            let now_ms = self.time.now_ms();
            at_once = if at_once.0 == now_ms { (now_ms, at_once.1 + 1) } else { (now_ms, 0) };
            ensure!(at_once.1 < AT_ONCE_MAX, "no time passes");
        }
        self.time.move_to(until_ms);
        Ok(())
    }

    /// Lets time pass until no client waits.
    pub fn settle_clients(self: &Rc<Self>) -> Result<(), Violation> {
        for _ in 0..3_600 {
            self.pass(SECOND_MS)?;
            if !self.time.has_task_of(Owner::Client) {
                return Ok(());
            }
        }
        Err(Violation("a client waits for ever".to_owned()))
    }

    fn live(self: &Rc<Self>, steps: &[Step]) -> Result<(), Violation> {
        self.provide()?;
        self.is_faulty.set(true);
        for step in steps {
            // Each step has randomness of its own, so that the others can be left out.
            *self.random.borrow_mut() = fastrand::Rng::with_seed(step.seed);
            self.trace(|| format!("STEP {step}"));
            self.act(&step.action);
            self.pass(step.pause_ms)?;
        }
        Ok(())
    }

    pub fn cease_faults(&self) {
        self.trace(|| "faults cease".to_owned());
        self.is_faulty.set(false);
        self.ceased_ms.set(self.time.now_ms());
    }

    /// All pages of an object's storage, and of D1 with `None`.
    pub fn bytes_of(&self, number: Option<usize>) -> Result<Vec<u8>, SqlError> {
        number.map_or(&self.listing, |number| &self.places[number].storage).bytes()
    }
}
