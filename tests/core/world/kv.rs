//! KV, as its documentation lets it be.
//!
//! Each location sees a write at some moment within [`LATE_MS`] of its landing, and until then what it saw before, a
//! miss included. It never goes back to an older write. A list shows a key later still. A confirmed write has landed
//! before its confirmation. A write that was not answered lands within [`LATE_MS`] after its writer gave up or ended, or
//! never, whatever was written since. A value ends everywhere at its end. A key takes one write a second.

use std::collections::BTreeMap;
use std::rc::Rc;

use rollcall::organization::copies::SPREAD_MS;
use rollcall::projection::{Cache, Put, StoreError};

use super::state::World;
use super::time::Later;

/// KV refuses a value that ends sooner, in milliseconds
/// (<https://developers.cloudflare.com/kv/api/write-key-value-pairs/>).
const LAST_MIN_MS: i64 = 60_000;
/// How long the object waits for writes, in milliseconds.
const WRITE_LIMIT_MS: i64 = 10_000;
/// How long the edge waits for a value, in milliseconds.
const READ_LIMIT_MS: i64 = 1_000;
const SECOND_MS: i64 = 1_000;
/// How long writes take at most until they land or are seen, in milliseconds. The object waits for [`SPREAD_MS`] by its
/// clock, which a seed may set forward by so much less.
const LATE_MS: i64 = SPREAD_MS - 60_000;

#[derive(Debug, Clone)]
struct Write {
    key: String,
    /// `None` removes the key.
    value: Option<Rc<str>>,
    /// By true time.
    ends_ms: i64,
}

/// A write that has landed.
#[derive(Debug)]
struct Landed {
    value: Option<Rc<str>>,
    ends_ms: i64,
    at_ms: i64,
    /// When each location sees it.
    seen_ms: Vec<i64>,
    /// When lists see it.
    listed_ms: i64,
}

#[derive(Debug, Default)]
pub struct Kv {
    /// In the order in which they landed.
    landed: BTreeMap<String, Vec<Landed>>,
}

impl Kv {
    fn shown(&self, location: usize, key: &str, at_ms: i64) -> Option<Rc<str>> {
        let landed = self.landed.get(key)?.iter().rev().find(|landed| landed.seen_ms[location] <= at_ms)?;
        landed.value.clone().filter(|_| at_ms < landed.ends_ms)
    }

    fn is_listed(&self, key: &str, at_ms: i64) -> bool {
        let landed = self.landed.get(key).and_then(|landed| landed.iter().rev().find(|one| one.listed_ms <= at_ms));
        landed.is_some_and(|landed| landed.value.is_some() && at_ms < landed.ends_ms)
    }

    /// What a location shows.
    pub fn shown_at(&self, location: usize, at_ms: i64) -> impl Iterator<Item = (&str, Rc<str>)> {
        self.landed.keys().filter_map(move |key| Some((key.as_str(), self.shown(location, key, at_ms)?)))
    }

    /// What KV holds, whatever its locations show.
    pub fn held(&self, at_ms: i64) -> impl Iterator<Item = (&str, Rc<str>)> {
        self.landed.iter().filter_map(move |(key, landed)| {
            let last = landed.last()?;
            Some((key.as_str(), last.value.clone().filter(|_| at_ms < last.ends_ms)?))
        })
    }
}

/// KV, as a caller at one location reads it.
pub struct Location {
    pub world: Rc<World>,
    pub place: usize,
    /// The object that writes.
    pub writer: Option<usize>,
}

impl Location {
    async fn look(&self, keys: Vec<String>, limit_ms: i64) -> Result<Vec<Option<Rc<str>>>, StoreError> {
        let world = &self.world;
        let fails = world.one_in(30) || (world.kv_is_down() && world.one_in(2));
        let lasts_ms = match world.below(8) {
            0 => world.below(limit_ms + 1),
            1 if fails => limit_ms,
            _ => world.below(30),
        };
        let looked_ms = world.time.now_ms() + world.below(lasts_ms + 1);
        world.time.sleep(lasts_ms).await;
        if fails {
            world.fault("KV reads that failed");
            return Err(StoreError("KV: no answer".to_owned()));
        }
        let kv = world.kv.borrow();
        Ok(keys.iter().map(|key| kv.shown(self.place, key, looked_ms)).collect())
    }

    async fn write(&self, write: Write) -> Result<(), StoreError> {
        let world = &self.world;
        let is_too_soon = world
            .kv
            .borrow()
            .landed
            .get(&write.key)
            .and_then(|landed| landed.last())
            .is_some_and(|last| last.at_ms + SECOND_MS > world.time.now_ms());
        if is_too_soon {
            // A late write may have landed a moment ago.
            world.tally("KV writes refused: one a second");
            return Err(StoreError("KV: 429 Too Many Requests".to_owned()));
        }
        let is_down = world.kv_is_down();
        let fails = is_down || world.one_in(14);
        let lasts_ms = if world.below(8) == 0 { world.below(WRITE_LIMIT_MS) } else { world.below(300) };
        let lands = !fails || (!is_down && world.one_in(3));
        let done = Later::default();
        if lands {
            let (later, world, write) = (done.clone(), Rc::clone(world), write.clone());
            let lands_ms = world.below(lasts_ms + 1);
            let writer = self.writer.map(|number| (number, world.places[number].life.get()));
            self.world.time.after(lands_ms, move || {
                let has_ended = writer.is_some_and(|(number, life)| world.places[number].life.get() != life);
                if has_ended && world.one_in(2) {
                    return land_late(&world, write);
                }
                land(&world, write);
                let time = Rc::clone(&world);
                time.time.after(lasts_ms - lands_ms, move || later.give(!fails));
            });
        } else {
            world.time.limit(&done, lasts_ms, false);
        }
        if done.await {
            return Ok(());
        }
        world.fault("KV writes that failed");
        // Mostly it was refused or lost.
        if !lands && world.one_in(4) {
            land_late(world, write);
        }
        Err(StoreError("KV: no answer in time".to_owned()))
    }

    async fn write_all(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let all = futures_util::future::join_all(writes.into_iter().map(|write| self.write(write))).await;
        all.into_iter().collect()
    }
}

fn land_late(world: &Rc<World>, write: Write) {
    world.fault("KV writes that land late");
    let late = Rc::clone(world);
    world.time.after(world.below(LATE_MS), move || land(&late, write));
}

fn land(world: &Rc<World>, write: Write) {
    let Write { key, value, ends_ms } = write;
    let now_ms = world.time.now_ms();
    world.trace(|| format!("KV holds {key}: {value:?}"));
    let spread_ms = |world: &World| match world.below(8) {
        0..4 => 0,
        4 => world.below(LATE_MS),
        _ => world.below(60_000),
    };
    let mut kv = world.kv.borrow_mut();
    let landed = kv.landed.entry(key).or_default();
    // No location goes back to an older write.
    let seen_ms = (0..world.locations()).map(|_| now_ms + spread_ms(world)).collect::<Vec<_>>();
    let listed_ms = now_ms + if world.one_in(2) { world.below(SPREAD_MS) } else { 0 };
    landed.push(Landed { value, ends_ms, at_ms: now_ms, seen_ms, listed_ms });
}

impl Cache for Location {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let values = self.look(vec![key.to_owned()], READ_LIMIT_MS).await?;
        Ok(values.first().cloned().flatten().map(|value| value.to_string()))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        self.world.ensure(keys.len() <= 100, || format!("KV reads at most 100 values at once, not {}", keys.len()));
        let values = self.look(keys.to_vec(), READ_LIMIT_MS).await?;
        Ok(values.into_iter().map(|value| value.map(|value| value.to_string())).collect())
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        let now_ms = self.world.time.now_ms();
        let skew_ms = self.writer.map_or(0, |number| self.world.places[number].skew_ms.get());
        for put in puts {
            self.world.check_put(&put.key);
        }
        let write = |Put { key, value, expires_at }: &Put| {
            // KV reads whole seconds.
            let ends_ms = expires_at.millis().div_euclid(1_000) * 1_000 - skew_ms;
            self.world.ensure(ends_ms >= now_ms + LAST_MIN_MS, || {
                format!("KV refuses a value that ends in {} ms", ends_ms - now_ms)
            });
            Write { key: key.clone(), value: Some(Rc::from(value.as_str())), ends_ms }
        };
        let written = self.write_all(puts.iter().map(write).collect()).await;
        if let (Ok(()), Some(number)) = (&written, self.writer) {
            for put in puts {
                self.world.check_confirmed_put(number, &put.key, now_ms);
            }
        }
        written
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let write = |key: &String| Write { key: key.clone(), value: None, ends_ms: i64::MAX };
        self.write_all(keys.iter().map(write).collect()).await
    }

    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        let world = &self.world;
        world.time.sleep(world.below(100)).await;
        if world.kv_is_down() || world.one_in(30) {
            world.fault("KV lists that failed");
            return Err(StoreError("KV: no answer".to_owned()));
        }
        let (kv, now_ms) = (world.kv.borrow(), world.time.now_ms());
        let shown = kv.landed.keys().filter(|key| key.starts_with(prefix) && key.as_str() > cursor);
        let shown = shown.filter(|key| kv.is_listed(key, now_ms));
        let mut keys: Vec<String> = shown.take(limit as usize + 1).cloned().collect();
        let is_full = keys.len() > limit as usize;
        keys.truncate(limit as usize);
        let next = keys.last().filter(|_| is_full).cloned();
        Ok((keys, next))
    }
}
