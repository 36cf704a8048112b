//! What KV may hold, and when it is written.

use std::collections::BTreeMap;
use std::rc::Rc;

use rollcall::directory::epoch::Epoch;
use rollcall::directory::names::UserId;
use rollcall::organization::copies::{COPIED_MS, REWRITE_MS, SPREAD_MS};
use rollcall::organization::protocol::Call;
use rollcall::organization::sql::{Row, Sql};
use rollcall::projection::cache;
use serde_json::Value;

use super::clients::PEOPLE;
use super::oracle::texts_in;
use super::state::{HOUR_MS, MINUTE_MS, TENANTS, World};
use crate::simulation::{Violation, ensure};

/// Most rounds of reads nearby until one is answered from KV. A round takes half a minute, and KV some minutes.
const ROUNDS_MAX: usize = 60;
const READS: usize = 6;

fn digest(user: usize) -> String {
    UserId::new(PEOPLE[user].0).expect("an id").digest()
}

impl World {
    /// Nobody is copied whom readers have not missed twice.
    pub fn check_put(&self, key: &str) {
        let place = (0..TENANTS).find_map(|tenant| {
            let (_, copied) = cache::place(self.known_tenant_of(tenant)?, key)?;
            Some((tenant, (0..PEOPLE.len()).find(|user| digest(*user) == copied)?))
        });
        let Some((tenant, user)) = place else {
            return self.ensure(false, || format!("a copy of nobody: {key}"));
        };
        let missed = self.missed_nearby.borrow().get(&(tenant, user)).copied().unwrap_or_default();
        self.ensure(missed >= 2, || format!("user {user} is copied, and was missed nearby {missed} times"));
    }

    /// A call was executed that may tell of a person of whom KV holds no copy.
    pub fn note_miss(&self, number: usize, call: &Call) {
        let missed = call.edge.as_ref().and_then(|edge| edge.missed.as_ref());
        let user = missed.and_then(|user_id| PEOPLE.iter().position(|(known, _)| *known == user_id.as_str()));
        if let Some(user) = user {
            *self.missed_nearby.borrow_mut().entry((number, user)).or_default() += 1;
        }
    }

    /// KV has confirmed a write that began at an instant. No copy under the present epoch is written twice within a
    /// minute.
    pub fn check_confirmed_put(&self, number: usize, key: &str, began_ms: i64) {
        let last_ms = self.puts.borrow_mut().insert(key.to_owned(), began_ms);
        let pause_ms = last_ms.map_or(i64::MAX, |last_ms| began_ms - last_ms);
        let place = self.known_tenant_of(number).and_then(|tenant| cache::place(tenant, key));
        let is_current = place.is_some_and(|(epoch, _)| epoch.number() == self.epoch_of(number));
        // An object that could not note the answer writes once more.
        let is_disturbed = self.places[number].disturbed_ms.get() >= began_ms.saturating_sub(pause_ms);
        let may_be_again = !is_current || is_disturbed || self.oracle.borrow().was_restored(number);
        self.ensure(may_be_again || pause_ms >= REWRITE_MS, || format!("{key} is written again after {pause_ms} ms"));
    }

    /// The epoch of an object's copies.
    fn epoch_of(&self, number: usize) -> i64 {
        let epoch = "SELECT value FROM state WHERE name = 'copies_epoch'";
        let found = self.places[number].storage.rows(epoch, &[]).unwrap_or_default();
        let number = found.into_iter().next().and_then(|row| Row::new(row).integer().ok());
        number.unwrap_or_default()
    }

    /// Nothing of a text is in KV, and nothing comes there any more.
    pub fn check_gone_from_kv(self: &Rc<Self>, tenant: usize) {
        let era = self.oracle.borrow().tenants[tenant].era;
        let shows_erased = move |world: &Self, value: &str| {
            texts_in(value.as_bytes()).any(|(of, text)| of == tenant && world.oracle.borrow().is_erased(of, text))
        };
        let is_held = self.kv.borrow().held(self.time.now_ms()).any(|(_, value)| shows_erased(self, &value));
        self.ensure(era > 0 || !is_held, || format!("KV holds somebody of tenant {tenant} who is erased"));
        let world = Rc::clone(self);
        self.time.after(SPREAD_MS + 1, move || {
            let (kv, now_ms) = (world.kv.borrow(), world.time.now_ms());
            let mut shown = (0..world.locations()).flat_map(|location| kv.shown_at(location, now_ms));
            let is_shown = shown.any(|(_, value)| shows_erased(&world, &value));
            let was_restored = world.oracle.borrow().was_restored(tenant);
            world.ensure(was_restored || !is_shown, || {
                format!("KV shows somebody of tenant {tenant} five minutes after the erasure")
            });
        });
    }

    /// When all is well each copy under the present epoch is what a strong read says.
    pub async fn check_copies(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        let epoch = Epoch::of_number(self.epoch_of(tenant));
        for (user, (_, path)) in PEOPLE.iter().enumerate() {
            let key = cache::key(self.tenant_of(tenant), epoch, &digest(user));
            let held: BTreeMap<String, Rc<str>> = {
                let kv = self.kv.borrow();
                kv.held(self.time.now_ms()).map(|(key, value)| (key.to_owned(), value)).collect()
            };
            let Some(copy) = held.get(&key).and_then(|value| cache::read(value)) else { continue };
            self.tally("copies compared in the end");
            let answer = self.ask(self.api(tenant, "GET", &format!("/v1/end-users/{path}"))).await;
            let mut record = answer.map(|answer| answer.json()).unwrap_or_default();
            if let Some(members) = record.as_object_mut() {
                members.remove("relationships");
                members.remove("relationships_has_more");
            }
            let copy: Value = serde_json::to_value(&copy.user).map_err(|error| Violation(error.to_string()))?;
            ensure!(copy == record, "KV holds {copy} of user {user} of tenant {tenant}, not {record}");
        }
        Ok(())
    }

    /// When all is well readers nearby are answered from KV again.
    pub async fn check_nearby(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        self.create(tenant, 0).await?;
        for _ in 0..ROUNDS_MAX {
            for _ in 0..READS {
                if self.read_nearby_once(0, tenant, 0, 5).await? {
                    return Ok(());
                }
                self.time.sleep(500).await;
            }
            self.time.sleep(MINUTE_MS / 2).await;
        }
        Err(Violation(format!("readers nearby of tenant {tenant} are never answered from KV")))
    }

    /// After a day without readers KV is empty.
    pub fn check_end_of_copies(self: &Rc<Self>) -> Result<(), Violation> {
        self.pass(COPIED_MS + SPREAD_MS + HOUR_MS + MINUTE_MS)?;
        let (kv, now_ms) = (self.kv.borrow(), self.time.now_ms());
        for location in 0..self.locations() {
            let shown = kv.shown_at(location, now_ms).next();
            ensure!(shown.is_none(), "location {location} shows {shown:?} after a day");
        }
        for (number, place) in
            self.places.iter().enumerate().filter(|(number, _)| !self.oracle.borrow().is_closing(*number))
        {
            let rows = place.storage.count("SELECT count(*) FROM copies", &[])?;
            ensure!(rows == 0, "object {number} remembers {rows} copies after a day");
        }
        Ok(())
    }
}
