//! The object: the shipped core over SQLite, with its flushes, audits and alarm in the order in which `src/object`
//! starts them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rollcall::backoff;
use rollcall::directory::epoch::Epoch;
use rollcall::directory::identifiers::{BatchId, Tenant};
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::audit::{AuditFinding, AuditStep, PendingUsers};
use rollcall::organization::batches::Batch;
use rollcall::organization::change_log::{ChangeLog, ListingPosition};
use rollcall::organization::copies::Copy;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{self, Answer, Call};
use rollcall::organization::sql::SqlError;
use rollcall::projection::audit::AuditSource;
use rollcall::projection::flush::{CopySource, Source};
use rollcall::projection::{StoreError, audit, flush};

use super::listing::Listing;
use super::schedule::{self, Owner, Slot};
use super::store::Location;
use super::world::World;
use crate::sqlite::Sqlite;

/// From the first change to the alarm, in milliseconds.
const ALARM_FIRST_MS: i64 = 5_000;
/// The longest pause between two alarms after failures, in milliseconds.
const ALARM_LAST_MS: i64 = 60_000;
/// How long an audit runs in one alarm, in milliseconds.
const AUDIT_ALARM_MS: i64 = 5_000;
/// How long writes start no flush after the listing has failed, in milliseconds.
const FLUSH_PAUSE_MS: i64 = 1_000;
/// The platform runs an alarm again that was cut off.
const ALARM_AGAIN_MS: i64 = 2_000;
/// How long the platform keeps an object that does nothing, in milliseconds.
const IDLE_MS: i64 = 10_000;

/// Work that several may wait for, and that runs once at a time.
#[derive(Default)]
struct Shared(RefCell<Option<Vec<Slot<bool>>>>);

#[derive(Default)]
struct Works {
    listing: Shared,
    copies: Shared,
    gathering: Shared,
    look: Shared,
    purge: Shared,
}

pub struct Object {
    core: RefCell<OrganizationCore>,
    pub storage: Rc<Sqlite>,
    /// How far its clock, which is KV's too, is ahead of true time, in milliseconds.
    skew_ms: i64,
    /// The number of its starts.
    pub life: Cell<u64>,
    works: RefCell<Works>,
    /// Durable.
    alarm_at_ms: Cell<Option<i64>>,
    known_alarm_ms: Cell<Option<i64>>,
    alarm_failures: Cell<i64>,
    listing_not_before: Cell<Timestamp>,
    used_ms: Cell<i64>,
    is_awake: Cell<bool>,
    /// How often the alarm went off.
    pub alarms: Cell<u64>,
}

impl Object {
    pub fn new(storage: Rc<Sqlite>, skew_ms: i64) -> Self {
        Self {
            core: RefCell::default(),
            storage,
            skew_ms,
            life: Cell::new(0),
            works: RefCell::default(),
            alarm_at_ms: Cell::new(None),
            known_alarm_ms: Cell::new(None),
            alarm_failures: Cell::new(0),
            listing_not_before: Cell::new(Timestamp::EPOCH),
            used_ms: Cell::new(0),
            is_awake: Cell::new(false),
            alarms: Cell::new(0),
        }
    }

    /// An instant of its clock in true time.
    pub const fn true_ms(&self, clock_ms: i64) -> i64 {
        clock_ms - self.skew_ms
    }
}

impl World {
    pub fn object_now(&self) -> Timestamp {
        Timestamp::from_millis(self.schedule.now_ms() + self.object.skew_ms)
    }

    fn transaction<T>(
        &self,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let object = &self.object;
        let result = object.storage.transaction(|sql| body(&mut object.core.borrow_mut(), sql));
        self.note_storage();
        result.inspect_err(|_| object.core.borrow_mut().forget())
    }

    fn set_alarm(&self, at_ms: i64) {
        self.object.alarm_at_ms.set(Some(at_ms));
        self.object.known_alarm_ms.set(Some(at_ms));
        let wait_ms = self.object.true_ms(at_ms) - self.schedule.now_ms();
        self.schedule.after(wait_ms, move |world| {
            if world.object.alarm_at_ms.get() == Some(at_ms) && world.object_now().millis() >= at_ms {
                world.object.alarm_at_ms.set(None);
                world.wake();
            }
        });
    }

    /// Executes a call, as `calls.rs` does.
    pub fn execute(self: &Rc<Self>, bytes: &[u8]) -> Result<Vec<u8>, SqlError> {
        let call: Call = protocol::decode(bytes).map_err(|error| SqlError(error.to_string()))?;
        let wants_lease = call.edge.as_ref().is_some_and(|edge| edge.used.is_some());
        let now = self.object_now();
        self.object.used_ms.set(self.schedule.now_ms());
        let noted = self.oracle.borrow().before(&call);
        self.note_call(&noted);
        let needs_transaction = self.object.core.borrow().needs_transaction(&*self.object.storage, &call)?;
        let reply = if needs_transaction {
            self.transaction(|core, sql| {
                let reply = core.handle(sql, call, now)?;
                self.set_alarm_for(core, now);
                Ok(reply)
            })
        } else {
            let is_edge_call = call.edge.is_some();
            let reply = self.object.core.borrow_mut().handle(&*self.object.storage, call, now);
            if is_edge_call && reply.is_ok() {
                self.set_alarm_for(&self.object.core.borrow(), now);
            }
            self.note_storage();
            reply
        };
        let reply = reply.inspect_err(|_| self.object.known_alarm_ms.set(None))?;
        self.note_reply(&noted, &reply);
        if reply.outcome.as_ref().is_ok_and(Answer::is_requested_erasure) {
            self.purge();
        }
        if wants_lease {
            self.look_at_listing();
        }
        self.flush_soon();
        protocol::encode(&reply).map_err(|error| SqlError(error.to_string()))
    }

    fn set_alarm_for(&self, core: &OrganizationCore, now: Timestamp) {
        let Some(work_at) = core.work_at() else { return };
        let wanted_ms = work_at.millis().max(now.millis() + ALARM_FIRST_MS);
        if self.object.known_alarm_ms.get().is_none_or(|at_ms| at_ms > wanted_ms) {
            self.set_alarm(wanted_ms);
        }
    }

    fn listing_is_due(&self) -> bool {
        self.object.core.borrow().is_behind() && self.object_now() >= self.object.listing_not_before.get()
    }

    fn copies_are_due(&self) -> bool {
        self.object.core.borrow().copies_due_at().is_some_and(|due_at| due_at <= self.object_now())
    }

    /// Starts a shared work, or joins the one that is under way.
    fn share<F: Future<Output = bool> + 'static>(
        self: &Rc<Self>,
        which: impl Fn(&Works) -> &Shared + 'static,
        start: impl FnOnce(Rc<Self>) -> F,
    ) -> schedule::Reply<bool> {
        let (slot, reply) = self.schedule.slot();
        let works = self.object.works.borrow();
        let mut waiting = which(&works).0.borrow_mut();
        if let Some(slots) = &mut *waiting {
            slots.push(slot);
            return reply;
        }
        *waiting = Some(vec![slot]);
        let (work, world) = (start(Rc::clone(self)), Rc::clone(self));
        self.schedule.spawn(Owner::Object, async move {
            let succeeded = work.await;
            let slots = which(&world.object.works.borrow()).0.borrow_mut().take();
            slots.iter().flatten().for_each(|slot| world.schedule.fill(slot, succeeded));
            world.object.used_ms.set(world.schedule.now_ms());
        });
        reply
    }

    fn flush_soon(self: &Rc<Self>) {
        if !self.listing_is_due() && !self.copies_are_due() {
            return;
        }
        drop(self.share(
            |works| &works.gathering,
            |world| async move {
                world.sleep(500 + world.below(500)).await;
                if world.listing_is_due() {
                    drop(world.flush_listing());
                }
                if world.copies_are_due() {
                    drop(world.flush_copies());
                }
                true
            },
        ));
    }

    fn flush_listing(self: &Rc<Self>) -> schedule::Reply<bool> {
        self.share(
            |works| &works.listing,
            |world| async move {
                let result = flush::listing(&Host(Rc::clone(&world)), &Listing(Rc::clone(&world))).await;
                if result.is_ok() {
                    world.go_on();
                } else {
                    let pause = Timestamp::from_millis(world.object_now().millis() + FLUSH_PAUSE_MS);
                    world.object.listing_not_before.set(pause);
                }
                result.is_ok()
            },
        )
    }

    fn flush_copies(self: &Rc<Self>) -> schedule::Reply<bool> {
        self.share(
            |works| &works.copies,
            |world| async move {
                let store = Location { world: Rc::clone(&world), location: 0 };
                let result = flush::copies(&Host(Rc::clone(&world)), &store).await;
                if result.is_ok() {
                    world.go_on();
                }
                result.is_ok()
            },
        )
    }

    fn go_on(self: &Rc<Self>) {
        if self.object.core.borrow().may_purge() {
            self.purge();
        }
        self.flush_soon();
    }

    fn look_at_listing(self: &Rc<Self>) {
        if !self.object.core.borrow().wants_listing_checked() {
            return;
        }
        drop(self.share(
            |works| &works.look,
            |world| async move {
                let result = audit::look(&Host(Rc::clone(&world)), &Listing(Rc::clone(&world))).await;
                if let Ok(true) = result {
                    world.object.core.borrow_mut().listing_is_ours();
                }
                result.is_ok()
            },
        ));
    }

    fn purge(self: &Rc<Self>) {
        drop(self.purging());
    }

    fn purging(self: &Rc<Self>) -> schedule::Reply<bool> {
        self.share(
            |works| &works.purge,
            |world| async move {
                while let Ok(true) = world.transaction(|core, sql| core.purge(sql, world.object_now())) {
                    world.sleep(10).await;
                }
                if world.object.core.borrow().is_behind() {
                    drop(world.flush_listing());
                }
                true
            },
        )
    }

    /// The alarm goes off.
    fn wake(self: &Rc<Self>) {
        self.object.known_alarm_ms.set(None);
        self.object.is_awake.set(true);
        self.object.alarms.set(self.object.alarms.get() + 1);
        self.object.used_ms.set(self.schedule.now_ms());
        let world = Rc::clone(self);
        self.schedule.spawn(Owner::Object, async move {
            let flushed = world.flush_listing().await;
            let copies = world.flush_copies();
            let audited = world.audit().await;
            let flushed = flushed && audited.is_ok();
            let failures = if flushed { 0 } else { world.object.alarm_failures.get().saturating_add(1) };
            world.object.alarm_failures.set(failures);
            copies.await;
            let swept = world.transaction(|core, sql| core.sweep(sql, world.object_now()));
            world.purging().await;
            let again = world.transaction(|core, sql| {
                let now_ms = world.object_now().millis();
                let earliest = now_ms + backoff::pause_ms(failures, ALARM_LAST_MS);
                let work = core.work_left_at(sql)?.map(|at| at.millis().max(earliest));
                let next = swept?.map(Timestamp::millis).into_iter().chain(work).min();
                if let Some(at_ms) = next {
                    world.set_alarm(at_ms.max(now_ms));
                }
                Ok(())
            });
            world.require(again);
            world.object.is_awake.set(false);
        });
    }

    async fn audit(self: &Rc<Self>) -> Result<(), StoreError> {
        let until_ms = self.schedule.now_ms() + AUDIT_ALARM_MS;
        while self.object.core.borrow().is_audited() && self.schedule.now_ms() < until_ms {
            self.flush_listing().await;
            let store = Location { world: Rc::clone(self), location: 0 };
            if !audit::step(&Host(Rc::clone(self)), &Listing(Rc::clone(self)), &store).await? {
                break;
            }
        }
        Ok(())
    }

    /// The object loses its memory, and what it waits for.
    pub fn crash(self: &Rc<Self>) {
        self.trace(|| "the object begins again".to_owned());
        let object = &self.object;
        object.life.set(object.life.get() + 1);
        *object.core.borrow_mut() = OrganizationCore::default();
        self.schedule.end(Owner::Object);
        *object.works.borrow_mut() = Works::default();
        object.known_alarm_ms.set(None);
        object.listing_not_before.set(Timestamp::EPOCH);
        object.alarm_failures.set(0);
        if object.is_awake.replace(false) {
            self.set_alarm(self.object_now().millis() + ALARM_AGAIN_MS);
            object.known_alarm_ms.set(None);
        }
        self.give_up_all_writes();
    }

    /// The platform ends an object that does nothing.
    pub fn evict_if_idle(self: &Rc<Self>) {
        let is_idle = self.schedule.now_ms() - self.object.used_ms.get() >= IDLE_MS;
        if is_idle && !self.schedule.has_task_of(Owner::Object) {
            self.tally("evictions");
            self.crash();
        }
    }

    /// The number of the newest change.
    pub fn last_sequence(&self) -> Option<i64> {
        self.object.core.borrow().last_sequence()
    }
}

/// The object, as flushes and audits use it.
struct Host(Rc<World>);

fn begun_again() -> StoreError {
    StoreError("the object has begun again".to_owned())
}

impl Source for Host {
    fn next_batch(&self) -> Result<Option<Batch>, StoreError> {
        let (now, id) = (self.0.object_now(), BatchId::new(self.0.object_now(), self.0.random_bytes()));
        Ok(self.0.transaction(|core, sql| core.next_batch(sql, id, now))?)
    }

    fn acknowledge(&self, position: ListingPosition) -> Result<(), StoreError> {
        self.0.trace(|| format!("the listing has confirmed {position:?}"));
        Ok(self.0.transaction(|core, sql| core.acknowledge(sql, position, self.0.object_now()))?)
    }

    fn last_sequence(&self) -> Result<i64, StoreError> {
        self.0.last_sequence().ok_or_else(begun_again)
    }

    fn owns(&self, found: Option<&ListingPosition>, since: &ListingPosition) -> Result<bool, StoreError> {
        let owns = self.0.transaction(|_, sql| ChangeLog::owns(sql, found, since));
        self.0.trace(|| format!("the listing stands at {found:?}, ours: {owns:?}"));
        Ok(owns?)
    }

    async fn pause(&self) {
        self.0.sleep(1 + self.0.below(50)).await;
    }

    fn suspect_listing(&self) -> Result<(), StoreError> {
        self.0.trace(|| "the listing is not ours".to_owned());
        self.0.transaction(|core, sql| core.suspect_listing(sql, self.0.object_now()))?;
        self.0.set_alarm(self.0.object_now().millis());
        Ok(())
    }
}

impl CopySource for Host {
    fn tenant(&self) -> Result<Tenant, StoreError> {
        self.0.object.core.borrow().tenant().ok_or_else(begun_again)
    }

    fn now(&self) -> Timestamp {
        self.0.object_now()
    }

    fn due_copies(&self) -> Result<Vec<Copy>, StoreError> {
        let now = self.0.object_now();
        let due = self.0.transaction(|core, sql| core.due_copies(sql, now))?;
        self.0
            .ensure(!due.is_empty() || !self.0.copies_are_due(), || "a copy is due, and none is to be written".into());
        Ok(due)
    }

    fn confirm_copies(&self, written: &[Copy], began_at: Timestamp) -> Result<(), StoreError> {
        let now = self.0.object_now();
        self.0.transaction(|core, sql| core.confirm_copies(sql, written, began_at, now)).map(drop)?;
        Ok(())
    }

    fn fail_copies(&self, written: &[Copy], _: &StoreError) -> Result<(), StoreError> {
        let now = self.0.object_now();
        self.0.transaction(|core, sql| core.fail_copies(sql, written, now)).map(drop)?;
        Ok(())
    }
}

impl AuditSource for Host {
    fn organization_record(&self) -> Result<Option<json::Text>, StoreError> {
        Ok(self.0.object.core.borrow().organization_record())
    }

    fn listing_position(&self) -> Result<ListingPosition, StoreError> {
        self.0.object.core.borrow().listing_position().ok_or_else(begun_again)
    }

    fn diverge(&self) -> Result<ListingPosition, StoreError> {
        let epoch = Epoch::draw(self.0.random_bytes());
        self.0.tally("epochs begun because the listing was not ours");
        let position = self.0.transaction(|core, sql| core.diverge(sql, epoch, self.0.object_now()))?;
        self.0.trace(|| format!("an epoch begins: {position:?}"));
        position.ok_or_else(begun_again)
    }

    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError> {
        Ok(self.0.transaction(|core, sql| core.next_audit_step(sql, self.0.object_now()))?)
    }

    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError> {
        Ok(self.0.transaction(|core, sql| core.foreign_digests(sql, digests, self.0.object_now()))?)
    }

    fn foreign_copies(&self, places: &[(Epoch, String)]) -> Result<Vec<(Epoch, String)>, StoreError> {
        Ok(self.0.transaction(|core, sql| core.foreign_copies(sql, places, self.0.object_now()))?)
    }

    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError> {
        Ok(self.0.transaction(|core, sql| core.record_audit(sql, before, finding, self.0.object_now()))?)
    }
}
