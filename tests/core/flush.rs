//! The object acknowledges only what a store has confirmed: the stores fail at each of their calls, before it does anything
//! or after it, and what the object takes for written is there.

use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::UserId;
use rollcall::organization::copies::SPREAD_MS;
use rollcall::organization::protocol::{Command, CreateEndUsers, NewEndUser};
use rollcall::organization::sql::{Row, Sql};
use rollcall::projection::listing::fence;
use rollcall::projection::{Cache, Put, StoreError, flush};

use crate::audit::{World, ready};
use crate::closing::Stores;

/// Users of whom the listing and KV know nothing yet, some of them to be copied.
fn world(copies: usize) -> World {
    let world = World::new(1);
    let id = |number: usize| UserId::new(format!("user {number:03}")).expect("an id");
    let new = |number| NewEndUser { user_id: id(number), display_name: None, metadata: Metadata::default() };
    world.object.command(Command::CreateEndUsers(CreateEndUsers { users: (0..230).map(new).collect() }));
    for number in 0..copies {
        world.object.begin_copy(&id(number));
    }
    world
}

/// How far the object believes the listing to be, and how far it is.
fn positions(world: &World) -> (i64, i64) {
    let acknowledged = world.object.transaction(|core, _| Ok(core.acknowledged().expect("a loaded memory")));
    let tenant = world.object.tenant.to_string();
    let found = ready(fence::position(&world.listing, &tenant)).expect("the fence");
    (acknowledged, found.map_or(0, |position| position.sequence))
}

#[test]
fn the_object_acknowledges_a_batch_only_after_the_listing_has_confirmed_it() {
    let mut partly = 0;
    for is_done_all_the_same in [false, true] {
        for failing_from in 0..8 {
            let world = world(30);
            let stores = Stores::sound(&world.listing, &world.kv).failing(failing_from, is_done_all_the_same);
            let flushed = ready(flush::listing(&world.object, &stores));
            let (acknowledged, held) = positions(&world);
            assert!(acknowledged <= held, "call {failing_from}: {acknowledged} acknowledged, and {held} held");
            let is_all = !world.object.transaction(|core, _| Ok(core.is_behind()));
            assert_eq!(flushed.is_ok(), is_all, "call {failing_from}: a flush that failed is not all");
            partly += u32::from(flushed.is_err() && acknowledged > 0);
            ready(flush::listing(&world.object, &world.listing)).expect("the listing is up again");
            let (acknowledged, held) = positions(&world);
            assert!(acknowledged == held && held > 230, "{acknowledged} of {held}");
        }
    }
    assert!(partly > 2, "some failed between two batches");
}

/// The digests of the copies that the object takes for written, and of those that KV holds.
fn copies(world: &World) -> (Vec<String>, Vec<String>) {
    let select = "SELECT digest FROM copies WHERE due_at IS NULL ORDER BY digest";
    let written = world.object.storage.list(select, &[], Row::text).expect("the copies");
    let digest = |key: String| key.rsplit('/').next().map(str::to_owned).expect("a digest");
    let mut held: Vec<String> = world.kv.keys().into_iter().map(digest).collect();
    held.sort();
    (written, held)
}

#[test]
fn the_object_confirms_a_copy_only_after_kv_has_confirmed_its_put() {
    let mut partly = 0;
    for is_done_all_the_same in [false, true] {
        for failing_from in 0..8 {
            let world = world(30);
            ready(flush::listing(&world.object, &world.listing)).expect("a flush");
            let stores = Stores::sound(&world.listing, &world.kv).failing(failing_from, is_done_all_the_same);
            let flushed = ready(flush::copies(&world.object, &stores));
            let (written, held) = copies(&world);
            assert!(written.iter().all(|digest| held.contains(digest)), "put {failing_from}: {written:?} of {held:?}");
            assert_eq!(flushed.is_ok(), written.len() == 30, "put {failing_from}: {} are written", written.len());
            partly += u32::from(flushed.is_err() && !written.is_empty());
            // KV is up again. What it did not answer may still arrive, so it is written once more after that.
            for _ in 0..3 {
                world.pass(SPREAD_MS);
                ready(flush::copies(&world.object, &world.kv)).expect("KV is up again");
            }
            let (written, held) = copies(&world);
            assert_eq!((written.len(), held.len()), (30, 30), "put {failing_from}");
        }
    }
    assert!(partly > 2, "some failed between two puts");
}

/// KV, which answers a put some time after it was asked.
struct Slow<'a>(&'a World, i64);

impl Cache for Slow<'_> {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.0.kv.get(key).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        self.0.kv.get_many(keys).await
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.0.pass(self.1);
        self.0.kv.put_all(puts).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.0.kv.delete_all(keys).await
    }

    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        self.0.kv.list(prefix, cursor, limit).await
    }
}

/// A write that KV did not answer may arrive for five minutes. A put that began before that does not count, however late its
/// answer comes.
#[test]
fn a_put_counts_from_when_it_began() {
    for (begins_after_ms, takes_ms, counted) in [(SPREAD_MS - 1, 0, 0), (SPREAD_MS - 1, 10, 0), (SPREAD_MS, 10, 5)] {
        let world = world(5);
        ready(flush::listing(&world.object, &world.listing)).expect("a flush");
        let down = Stores::sound(&world.listing, &world.kv).failing(0, false);
        assert!(ready(flush::copies(&world.object, &down)).is_err());
        world.pass(begins_after_ms);
        ready(flush::copies(&world.object, &Slow(&world, takes_ms))).expect("KV is up again");
        let (written, held) = copies(&world);
        assert_eq!((written.len(), held.len()), (counted, 5), "after {begins_after_ms} ms, in {takes_ms} ms");
    }
}
