//! The objects: the shipped object over SQLite. The platform around it starts it, ends it, wakes it and makes it fail.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rollcall::backoff;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::runtime::{CallError, ObjectMethod};
use rollcall::object::ObjectState;
use rollcall::object::platform::ObjectPlatform;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::sql::SqlError;
use rollcall::projection::StoreError;
use rollcall::refusal::Refusal;

use super::d1::Listing;
use super::kv::Location;
use super::state::World;
use super::time::{Later, Owner};
use crate::sqlite::{INJECTED, Sqlite};

/// The platform tries an alarm so often, and then forgets it.
const ALARM_TRIES: i64 = 6;
/// The longest pause between two tries, in milliseconds.
const ALARM_PAUSE_MAX_MS: i64 = 32_000;
/// How long the platform keeps an object that does nothing, in milliseconds.
const IDLE_MS: i64 = 10_000;

pub type Reply = Later<Result<Vec<u8>, CallError>>;

/// What the platform has of one object.
pub struct Place {
    pub storage: Rc<Sqlite>,
    running: RefCell<Option<Rc<ObjectState<Platform>>>>,
    /// How far its clock is ahead of true time, in milliseconds.
    pub skew_ms: Cell<i64>,
    /// When its clock was last set, by true time.
    pub set_ms: Cell<i64>,
    /// When it last forgot something, by true time: its clock was set, it began again, or a transaction failed.
    pub disturbed_ms: Cell<i64>,
    /// How often it has begun again.
    pub life: Cell<u64>,
    /// When the alarm comes by the object's clock, and which one it is.
    alarm: Cell<Option<(i64, u64)>>,
    alarms_set: Cell<u64>,
    /// How often the alarm that runs now was tried before.
    awake: Cell<Option<i64>>,
    used_ms: Cell<i64>,
    /// The replies that callers wait for.
    replies: RefCell<Vec<Reply>>,
    /// How often the object has told readers of an event.
    pub announced: Cell<u64>,
    /// Alarms that went off.
    pub alarms: Cell<u64>,
}

impl Place {
    pub fn new(storage: Rc<Sqlite>, skew_ms: i64) -> Self {
        Self {
            storage,
            running: RefCell::default(),
            skew_ms: Cell::new(skew_ms),
            set_ms: Cell::new(i64::MIN / 2),
            disturbed_ms: Cell::new(i64::MIN / 2),
            life: Cell::new(0),
            alarm: Cell::new(None),
            alarms_set: Cell::new(0),
            awake: Cell::new(None),
            used_ms: Cell::new(0),
            replies: RefCell::default(),
            announced: Cell::new(0),
            alarms: Cell::new(0),
        }
    }

    pub fn clear(&self) {
        drop(self.running.take());
    }

    /// When the alarm comes, by the object's clock.
    pub fn alarm_at_ms(&self) -> Option<i64> {
        self.alarm.get().map(|(at_ms, _)| at_ms)
    }

    pub fn is_running(&self) -> bool {
        self.running.borrow().is_some()
    }
}

pub fn failed(overloaded: bool, retryable: bool, message: &str) -> CallError {
    CallError { overloaded, retryable, message: message.to_owned() }
}

impl World {
    fn start(self: &Rc<Self>, number: usize) -> Rc<ObjectState<Platform>> {
        let place = &self.places[number];
        place.used_ms.set(self.time.now_ms());
        let mut running = place.running.borrow_mut();
        let start =
            || Rc::new(ObjectState::new(Platform { world: Rc::clone(self), number }, OrganizationCore::default()));
        Rc::clone(running.get_or_insert_with(start))
    }

    /// A call arrives.
    pub fn execute(self: &Rc<Self>, number: usize, method: ObjectMethod, call: &[u8]) -> Reply {
        let reply = Reply::default();
        let state = self.start(number);
        let handled = ObjectState::handle(&state, call);
        let bytes = match handled {
            Ok(bytes) => bytes,
            Err(error) => {
                self.ensure(error.0 == INJECTED, || format!("an object fails: {error}"));
                reply.give(Err(failed(false, false, &error.0)));
                return reply;
            }
        };
        self.note_execution(number, call, &bytes);
        if method == ObjectMethod::Handle {
            reply.give(Ok(bytes));
            return reply;
        }
        let given = reply.clone();
        self.places[number].replies.borrow_mut().push(reply.clone());
        self.time.spawn(Owner::Object(number), async move {
            let done = match method {
                ObjectMethod::HandleListed => ObjectState::listed(state, bytes).await,
                _ => ObjectState::audited(state, bytes).await,
            };
            given.give(done.map_err(|error| failed(false, false, &error.0)));
        });
        reply
    }

    fn ring(self: &Rc<Self>, number: usize, alarm: u64) {
        let place = &self.places[number];
        // One alarm runs at a time. The next one waits.
        if place.awake.get().is_none() && place.alarm.get().is_some_and(|(_, set)| set == alarm) {
            place.alarm.set(None);
            self.wake(number, 0);
        }
    }

    /// The alarm that waited goes off.
    fn ring_if_due(self: &Rc<Self>, number: usize) {
        if let Some((at_ms, alarm)) = self.places[number].alarm.get() {
            let (world, wait_ms) = (Rc::clone(self), at_ms - self.object_now(number).millis());
            self.time.after(wait_ms, move || world.ring(number, alarm));
        }
    }

    fn wake(self: &Rc<Self>, number: usize, tries: i64) {
        self.tally("alarms");
        let (state, place) = (self.start(number), &self.places[number]);
        place.alarms.set(place.alarms.get() + 1);
        place.awake.set(Some(tries));
        self.trace(|| format!("object {number}: alarm"));
        let world = Rc::clone(self);
        self.time.spawn(Owner::Object(number), async move {
            let woken = ObjectState::wake(&state).await;
            world.places[number].awake.set(None);
            world.ring_if_due(number);
            if woken.is_err() {
                world.fault("alarms that failed");
                world.wake_again(number, tries + 1);
            }
        });
    }

    /// The platform tries an alarm again, unless the object has set another one.
    fn wake_again(self: &Rc<Self>, number: usize, tries: i64) {
        if tries > ALARM_TRIES {
            return self.fault("alarms forgotten after six tries");
        }
        let world = Rc::clone(self);
        self.time.after(backoff::pause_ms(tries, ALARM_PAUSE_MAX_MS), move || {
            let place = &world.places[number];
            if place.alarm.get().is_none() && place.awake.get().is_none() {
                world.wake(number, tries);
            }
        });
    }

    /// The object loses its memory and what it waits for.
    pub fn reset(self: &Rc<Self>, number: usize) {
        let place = &self.places[number];
        self.trace(|| format!("object {number} begins again"));
        self.time.end(Owner::Object(number));
        place.life.set(place.life.get() + 1);
        place.disturbed_ms.set(self.time.now_ms());
        drop(place.running.take());
        for reply in place.replies.take() {
            reply.give(Err(failed(false, true, "the object was reset")));
        }
        if let Some(tries) = place.awake.take() {
            self.wake_again(number, tries + 1);
            self.ring_if_due(number);
        }
    }

    /// The platform ends objects that do nothing.
    pub fn evict_idle(self: &Rc<Self>) {
        for (number, place) in self.places.iter().enumerate() {
            let is_idle = self.time.now_ms() - place.used_ms.get() >= IDLE_MS;
            if is_idle && place.is_running() && !self.time.has_task_of(Owner::Object(number)) {
                self.tally("evictions");
                self.reset(number);
            }
        }
    }

    pub fn forget_alarm(&self, number: usize) {
        if self.places[number].alarm.take().is_some() {
            self.fault("alarms dropped");
        }
    }
}

/// The port of the object.
pub struct Platform {
    world: Rc<World>,
    number: usize,
}

impl Platform {
    fn place(&self) -> &Place {
        &self.world.places[self.number]
    }
}

impl ObjectPlatform for Platform {
    type Sql = Sqlite;
    type Database = Listing;
    type Cache = Location;

    fn now(&self) -> Timestamp {
        self.place().used_ms.set(self.world.time.now_ms());
        self.world.object_now(self.number)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        Ok(self.world.random_bytes())
    }

    fn sql(&self) -> &Sqlite {
        &self.place().storage
    }

    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        let (world, place) = (&self.world, self.place());
        let alarm = place.alarm.get();
        if world.one_in(60) {
            let statements = [4, 12, 40][world.pick(3)];
            let after = u32::try_from(world.below(statements)).expect("a few");
            place.storage.fail_after.set(Some(after));
        }
        let result = place.storage.transaction(|_| body());
        place.storage.fail_after.set(None);
        if let Err(error) = &result {
            world.ensure(error.0 == INJECTED, || format!("storage fails: {error}"));
            world.fault("transactions that failed");
            place.disturbed_ms.set(world.time.now_ms());
            place.alarm.set(alarm);
        }
        result
    }

    fn set_alarm(&self, at_ms: i64) -> Result<(), SqlError> {
        let (world, place) = (Rc::clone(&self.world), self.place());
        let alarm = place.alarms_set.get() + 1;
        place.alarms_set.set(alarm);
        place.alarm.set(Some((at_ms, alarm)));
        let wait_ms = at_ms - self.world.object_now(self.number).millis();
        let number = self.number;
        self.world.time.after(wait_ms, move || world.ring(number, alarm));
        Ok(())
    }

    async fn alarm_at_ms(&self) -> Result<Option<i64>, StoreError> {
        self.world.time.sleep(0).await;
        Ok(self.place().alarm_at_ms())
    }

    fn delete_all(&self) -> Result<(), StoreError> {
        self.place().alarm.set(None);
        let storage = &self.place().storage;
        let tables = storage.rows("SELECT name FROM sqlite_schema WHERE type = 'table'", &[])?;
        for table in tables {
            if let Some(rollcall::organization::sql::SqlValue::Text(name)) = table.first() {
                storage.execute(&format!("DROP TABLE {name}"));
            }
        }
        Ok(())
    }

    fn database(&self) -> Result<Listing, StoreError> {
        Ok(Listing(Rc::clone(&self.world)))
    }

    fn cache(&self) -> Result<Location, StoreError> {
        Ok(Location { world: Rc::clone(&self.world), place: 0, writer: Some(self.number) })
    }

    async fn pause(&self, millis: u32) {
        self.world.time.sleep(i64::from(millis)).await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.world.time.spawn(Owner::Object(self.number), work);
    }

    fn announce(&self) {
        let announced = &self.place().announced;
        announced.set(announced.get() + 1);
    }

    fn log(&self, _: &str) {}

    fn log_error(&self, line: &str) {
        self.world.trace(|| format!("object {}: {line}", self.number));
        // D1 took a batch unheard, or was restored, perhaps long ago, and the object has begun an epoch since. It finds out now,
        // and needs some time.
        if line.contains("to where the object has not moved it") && self.world.may_fail() {
            self.world.fault("listings that stood elsewhere");
        }
    }
}
