//! D1: the shipped statements over SQLite. A batch arrives late, is lost, or its answer is.

use std::rc::Rc;

use rollcall::projection::{Database, Statement, StoreError, Texts};

use super::world::World;
use crate::sqlite::owned;

/// How long a batch may take that was given up, in milliseconds.
const LATE_MS: i64 = 60_000;

pub struct Listing(pub Rc<World>);

fn down() -> StoreError {
    StoreError("D1: down".to_owned())
}

impl Listing {
    fn lasts_ms(&self) -> i64 {
        if self.0.one_in(8) { self.0.below(10_000) } else { self.0.below(200) }
    }
}

impl Database for Listing {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        let world = &self.0;
        let statements: Vec<Statement<'static>> = statements.iter().map(owned).collect();
        let (slot, reply) = world.schedule.slot();
        let (is_down, lasts_ms) = (world.listing_is_down.get(), self.lasts_ms());
        let fails = is_down || world.one_in(12);
        let arrives_ms = match world.below(3) {
            _ if !fails => world.below(lasts_ms + 1),
            0 if !is_down => world.below(lasts_ms + 1),
            1 if world.one_in(2) => lasts_ms + world.below(LATE_MS),
            _ => i64::MAX,
        };
        if arrives_ms < i64::MAX {
            let slot = slot.clone();
            world.schedule.after(arrives_ms, move |world| {
                let changed = world.listing.batch(&statements);
                world.trace(|| {
                    format!("D1: {:?}: {changed:?}", statements.first().map(|statement| &statement.parameters))
                });
                let changed = changed.map_err(|error| StoreError(error.0));
                if !fails {
                    world.schedule.after(lasts_ms - arrives_ms, move |world| world.schedule.fill(&slot, changed));
                }
            });
        }
        if fails {
            world.schedule.after(lasts_ms, move |world| world.schedule.fill(&slot, Err(down())));
        }
        reply.await
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let world = &self.0;
        let statement = owned(statement);
        let (slot, reply) = world.schedule.slot();
        let fails = world.listing_is_down.get() || world.one_in(12);
        world.schedule.after(self.lasts_ms(), move |world| {
            let rows = world.listing.listed(&statement).map_err(|error| StoreError(error.0));
            let texts = rows.map(|rows| Texts { rows, rows_read: 0 });
            world.schedule.fill(&slot, if fails { Err(down()) } else { texts });
        });
        reply.await
    }
}
