//! KV, as its documentation and ours let it be.
//!
//! Each location sees a write at some moment within [`SPREAD_MS`] of its landing, and until then what it saw before, a
//! miss included. It never goes back to an older write. A confirmed write has landed before its confirmation. A write
//! that was not answered lands until [`SPREAD_MS`] after its writer gave up, or never, whatever was written since. A
//! value ends everywhere at its end.

use std::collections::BTreeMap;
use std::rc::Rc;

use rollcall::organization::copies::SPREAD_MS;
use rollcall::projection::{Cache, Put, StoreError};

use super::schedule::Slot;
use super::world::World;

/// KV refuses a value that ends sooner, in milliseconds
/// (<https://developers.cloudflare.com/kv/api/write-key-value-pairs/>).
const LAST_MIN_MS: i64 = 60_000;
/// How long the object waits for writes, in milliseconds.
const WRITE_LIMIT_MS: i64 = 10_000;
/// How long the edge waits for a value, in milliseconds.
const READ_LIMIT_MS: i64 = 1_000;

/// A write on its way.
#[derive(Debug, Clone)]
pub struct Write {
    pub key: String,
    /// `None` removes the key.
    pub value: Option<Rc<str>>,
    /// By true time.
    ends_ms: i64,
}

/// A write that has landed.
#[derive(Debug)]
struct Landed {
    value: Option<Rc<str>>,
    ends_ms: i64,
    /// When each location sees it.
    seen_ms: Vec<i64>,
}

#[derive(Debug)]
struct Open {
    write: Write,
    /// Whether its writer still waits for the answer.
    is_awaited: bool,
}

#[derive(Debug, Default)]
pub struct Kv {
    /// In the order in which they landed.
    landed: BTreeMap<String, Vec<Landed>>,
    open: BTreeMap<u64, Open>,
    number: u64,
    /// KV takes no write: it is down, or over its quota.
    pub is_down: bool,
    /// Writes that were tried.
    pub tried: u64,
}

impl Kv {
    /// What a location shows under a key at an instant that is not to come.
    pub fn shown(&self, location: usize, key: &str, at_ms: i64) -> Option<Rc<str>> {
        let landed = self.landed.get(key)?.iter().rev().find(|landed| landed.seen_ms[location] <= at_ms)?;
        landed.value.clone().filter(|_| at_ms < landed.ends_ms)
    }

    /// What KV holds under a key, whatever its locations show.
    pub fn held(&self, key: &str, at_ms: i64) -> Option<Rc<str>> {
        let landed = self.landed.get(key)?.last()?;
        landed.value.clone().filter(|_| at_ms < landed.ends_ms)
    }

    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.landed.keys()
    }

    /// Values that may still land under a key, and when they end.
    pub fn open(&self, key: &str) -> impl Iterator<Item = (Rc<str>, i64)> {
        let writes = self.open.values().map(|open| &open.write).filter(move |write| write.key == key);
        writes.filter_map(|write| Some((write.value.clone()?, write.ends_ms)))
    }
}

impl World {
    /// Begins writes. The slot is filled when they are answered or given up.
    fn write(self: &Rc<Self>, writes: Vec<Write>, slot: Slot<Result<(), StoreError>>) {
        self.kv.borrow_mut().tried += 1;
        let is_down = self.kv.borrow().is_down;
        let fails = is_down || self.one_in(12);
        let lasts_ms = match (fails, self.below(8)) {
            (true, 0..4) | (false, 0) => self.below(WRITE_LIMIT_MS),
            _ => self.below(300),
        };
        let numbers: Vec<u64> = writes
            .into_iter()
            .map(|write| {
                let number = self.open(write, true);
                if !fails || (!is_down && self.one_in(3)) {
                    self.land_after(self.below(lasts_ms + 1), number);
                }
                number
            })
            .collect();
        self.schedule.after(lasts_ms, move |world| {
            if fails {
                world.tally("puts that failed");
                for number in &numbers {
                    world.give_up(*number, is_down);
                }
                world.schedule.fill(&slot, Err(StoreError("KV: down".to_owned())));
            } else {
                for number in &numbers {
                    world.land(*number);
                }
                world.schedule.fill(&slot, Ok(()));
            }
        });
    }

    fn open(&self, write: Write, is_awaited: bool) -> u64 {
        let mut kv = self.kv.borrow_mut();
        kv.number += 1;
        let number = kv.number;
        kv.open.insert(number, Open { write, is_awaited });
        number
    }

    /// The writer of an open write will never know what came of it.
    fn give_up(self: &Rc<Self>, number: u64, is_refused: bool) {
        let Some(open) = self.kv.borrow_mut().open.remove(&number) else { return };
        // Mostly it was refused or lost.
        if !self.is_faulty.get() || self.below(if is_refused { 8 } else { 2 }) > 0 {
            return;
        }
        let delay_ms = match self.below(4) {
            0 => SPREAD_MS - self.below(1_000),
            1 => self.below(SPREAD_MS / 4),
            _ => self.below(SPREAD_MS),
        };
        let number = self.open(open.write, false);
        self.land_after(delay_ms, number);
    }

    /// The object crashes: it waits for no write any more.
    pub fn give_up_all_writes(self: &Rc<Self>) {
        let awaited: Vec<u64> =
            self.kv.borrow().open.iter().filter(|(_, open)| open.is_awaited).map(|(number, _)| *number).collect();
        for number in awaited {
            self.tally("puts whose writer crashed");
            self.give_up(number, false);
        }
    }

    fn land_after(&self, millis: i64, number: u64) {
        self.schedule.after(millis, move |world| world.land(number));
    }

    fn land(self: &Rc<Self>, number: u64) {
        let Some(Open { write, is_awaited }) = self.kv.borrow_mut().open.remove(&number) else { return };
        let Write { key, value, ends_ms } = write;
        let now_ms = self.schedule.now_ms();
        let seen_ms = self.plan.locations().map(|_| now_ms + self.spread_ms()).collect();
        if !is_awaited {
            self.tally("late puts landed");
            let older = self.kv.borrow().held(&key, now_ms);
            if older.is_some() && older != value {
                self.tally("late puts landed over another value");
            }
        }
        self.trace(|| format!("KV holds {key}: {value:?}, seen {seen_ms:?}"));
        self.kv.borrow_mut().landed.entry(key).or_default().push(Landed { value, ends_ms, seen_ms });
    }

    fn spread_ms(&self) -> i64 {
        if !self.is_faulty.get() {
            return self.below(60_000);
        }
        match self.below(8) {
            0..3 => 0,
            3 => self.below(60_000),
            4 => SPREAD_MS - self.below(2_000),
            _ => self.below(SPREAD_MS),
        }
    }
}

/// KV, as a caller at one location reads it.
pub struct Location {
    pub world: Rc<World>,
    pub location: usize,
}

impl Location {
    async fn look(&self, keys: Vec<String>, limit_ms: i64) -> Result<Vec<Option<Rc<str>>>, StoreError> {
        let (world, location) = (&self.world, self.location);
        let (slot, reply) = world.schedule.slot();
        let lasts_ms = match world.below(8) {
            0 => world.below(limit_ms + 1),
            1 if world.is_faulty.get() => limit_ms,
            _ => world.below(30),
        };
        let fails = world.one_in(30);
        let looked_ms = world.schedule.now_ms() + world.below(lasts_ms + 1);
        world.schedule.after(lasts_ms, move |world| {
            let kv = world.kv.borrow();
            let values = keys.iter().map(|key| kv.shown(location, key, looked_ms)).collect();
            let answer = if fails { Err(StoreError("KV: no answer".to_owned())) } else { Ok(values) };
            world.schedule.fill(&slot, answer);
        });
        reply.await
    }

    async fn change(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let (slot, reply) = self.world.schedule.slot();
        self.world.write(writes, slot);
        reply.await
    }
}

impl Cache for Location {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let values = self.look(vec![key.to_owned()], READ_LIMIT_MS).await?;
        Ok(values.first().cloned().flatten().map(|value| value.to_string()))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let values = self.look(keys.to_vec(), READ_LIMIT_MS).await?;
        Ok(values.into_iter().map(|value| value.map(|value| value.to_string())).collect())
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        let world = &self.world;
        let now_ms = world.schedule.now_ms();
        let writes: Vec<Write> = puts
            .iter()
            .map(|Put { key, value, expires_at }| {
                // KV reads whole seconds.
                let ends_ms = world.object.true_ms(expires_at.millis().div_euclid(1_000) * 1_000);
                Write { key: key.clone(), value: Some(Rc::from(value.as_str())), ends_ms }
            })
            .collect();
        for write in &writes {
            world.ensure(write.ends_ms >= now_ms + LAST_MIN_MS, || {
                format!("KV refuses a value that ends in {} ms", write.ends_ms - now_ms)
            });
        }
        let answer = self.change(writes.clone()).await;
        if answer.is_ok() {
            for write in &writes {
                world.check(|oracle| oracle.put(write, now_ms));
            }
        }
        answer
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let write = |key: &String| Write { key: key.clone(), value: None, ends_ms: i64::MAX };
        self.change(keys.iter().map(write).collect()).await
    }

    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        let (slot, reply) = self.world.schedule.slot::<()>();
        self.world.schedule.after(self.world.below(100), move |world| world.schedule.fill(&slot, ()));
        reply.await;
        let (kv, now_ms) = (self.world.kv.borrow(), self.world.schedule.now_ms());
        let shown = kv.landed.keys().filter(|key| key.starts_with(prefix) && key.as_str() > cursor);
        let shown = shown.filter(|key| kv.shown(self.location, key, now_ms).is_some());
        let mut keys: Vec<String> = shown.take(limit as usize + 1).cloned().collect();
        let is_full = keys.len() > limit as usize;
        keys.truncate(limit as usize);
        let next = keys.last().filter(|_| is_full).cloned();
        Ok((keys, next))
    }
}
