//! D1: the shipped statements over SQLite. A batch arrives late, is lost, or its answer is.

use std::rc::Rc;

use rollcall::projection::{Database, Statement, StoreError, Texts};

use super::state::World;
use super::time::Later;
use crate::sqlite::owned;

/// How long a caller waits for D1, in milliseconds.
const LIMIT_MS: i64 = 10_000;
/// How long a batch may take that was given up, in milliseconds.
const LATE_MS: i64 = 60_000;

pub struct Listing(pub Rc<World>);

fn down() -> StoreError {
    StoreError("D1: no answer in time".to_owned())
}

impl Listing {
    fn lasts_ms(&self, fails: bool) -> i64 {
        if fails && self.0.below(4) == 0 { LIMIT_MS } else { self.0.below(200) }
    }
}

impl Database for Listing {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        let world = &self.0;
        let statements: Vec<Statement<'static>> = statements.iter().map(owned).collect();
        let is_down = world.d1_is_down();
        let fails = is_down || world.one_in(16);
        let lasts_ms = self.lasts_ms(fails);
        let arrives_ms = match world.below(3) {
            _ if !fails => world.below(lasts_ms + 1),
            0 if !is_down => world.below(lasts_ms + 1),
            1 if world.one_in(2) => lasts_ms + world.below(LATE_MS),
            _ => i64::MAX,
        };
        let answer = Later::default();
        if arrives_ms < i64::MAX {
            let (later, world) = (answer.clone(), Rc::clone(world));
            self.0.time.after(arrives_ms, move || {
                let changed = world.listing.batch(&statements).map_err(|error| StoreError(error.0));
                world.trace(|| format!("D1 runs {:?}: {changed:?}", statements.first().map(|one| &one.parameters)));
                if let Err(error) = &changed {
                    world.ensure(false, || format!("D1 refuses: {error}"));
                }
                if !fails {
                    let wait_ms = lasts_ms - arrives_ms;
                    world.time.limit(&later, wait_ms, changed);
                }
            });
        }
        if fails {
            world.fault(if arrives_ms < i64::MAX { "D1 answers lost or late" } else { "D1 batches lost" });
            world.time.limit(&answer, lasts_ms, Err(down()));
        }
        answer.await
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let world = &self.0;
        let statement = owned(statement);
        let fails = world.d1_is_down() || world.one_in(30);
        let answers_ms = self.lasts_ms(fails);
        world.time.sleep(world.below(answers_ms + 1) + world.d1_late_ms.get()).await;
        let rows = world.listing.listed(&statement).map_err(|error| StoreError(error.0));
        world.time.sleep(world.below(20)).await;
        if fails {
            world.fault("D1 queries that failed");
            return Err(down());
        }
        Ok(Texts { rows: rows?, rows_read: 0 })
    }
}
