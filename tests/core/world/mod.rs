//! Seeded simulation of everything that ships, over a simulated platform: the edge's pipeline, the object with its
//! flushes, audits and alarms, and the stores' SQL. Clients send HTTP requests; the oracle judges what they are answered.
//!
//! There are two organizations in two modes, one to four isolates at up to three locations of KV, D1, and the network
//! between them. The platform's rules and faults are in `object.rs`, `edge.rs`, `kv.rs` and `d1.rs`.
//!
//! The oracle (`oracle.rs`) knows only what was sent and heard. It checks:
//!
//! 1. **What is acknowledged is there**, in strong reads and in lists, unless somebody asked to erase it. A request whose
//!    answer is lost may have happened or not, and is settled once.
//! 2. **A version names one state** of one person, and no answer goes back behind a version that was heard before it was
//!    asked for. An answer from nearby is no older than it says.
//! 3. **Only one of several creations makes a person.**
//! 4. **A repetition with an idempotency key** is answered as the first time.
//! 5. **Nothing of an erased person** is in any answer after the receipt says so, nor in lists after the acknowledgement; in
//!    the end it is in no row, no value and no free page.
//! 6. **A walk by cursors** shows whoever stays exactly once, in order.
//! 7. **Tenants never meet**: every text names its tenant, and no answer or row of one shows another's.
//! 8. **5xx** is 503 with `Retry-After`, and only while something fails.
//! 9. **All comes to rest** when faults cease: receipts are completed, lists equal reads, alarms are for the next audit only.
//!
//! A history is a list of steps (`steps.rs`). A failing one is made short before it is printed (`shrink.rs`).
//! `ROLLCALL_WORLD_SEEDS=n` runs that many seeds; `ROLLCALL_SEED=n` replays one and prints its events.

mod alarms;
mod bucket;
mod clients;
mod d1;
mod edge;
mod guards;
mod heal;
mod kv;
mod object;
mod oracle;
mod shrink;
mod state;
mod steps;
mod time;

use crate::simulation::tally::Tally;
use crate::simulation::{Seeds, Violation};
use state::Bench;

const SEEDS_DEFAULT: u64 = 1_000;

/// Operations and faults of which a run of a thousand seeds has some.
const CERTAIN: [&str; 55] = [
    "/admin/v1/deletions/{deletion_id}",
    "/admin/v1/organizations",
    "/admin/v1/organizations/{organization_id}",
    "/admin/v1/organizations/{organization_id}/keys",
    "/admin/v1/organizations/{organization_id}/keys/{key_id}",
    "/admin/v1/organizations/{organization_id}/repair",
    "/api/v1/agents",
    "/api/v1/agents/{agent_id}",
    "/api/v1/agents/{agent_id}/users",
    "/api/v1/principals",
    "/api/v1/principals/by-external-id/{external_id}",
    "/v1/deletions/{deletion_id}",
    "/v1/end-users",
    "/v1/end-users/batch",
    "/v1/end-users/{user_id}",
    "/v1/end-users/{user_id}/export",
    "/v1/respond",
    "/v1/usage/turns",
    "D1 answers lost or late",
    "D1 batches lost",
    "D1 queries that failed",
    "KV lists that failed",
    "KV reads that failed",
    "KV writes refused: one a second",
    "KV writes that failed",
    "KV writes that land late",
    "alarms",
    "alarms dropped",
    "alarms that failed",
    "answers lost on their way to the client",
    "answers replayed",
    "answers: 503",
    "calls lost",
    "calls that arrive late",
    "calls turned away: overloaded",
    "clocks set",
    "erasures completed",
    "evictions",
    "isolates restarted",
    "keys refused",
    "lists of an agent's users walked to their end",
    "lists walked to their end",
    "models that fail",
    "models that hang",
    "objects restored to an earlier point",
    "organizations deleted",
    "reads answered from KV",
    "repetitions refused: erased since",
    "replies lost",
    "resets",
    "times without D1",
    "times without KV",
    "transactions that failed",
    "turns answered",
    "turns replayed",
];

fn run(bench: &Bench, seed: u64, is_traced: bool) -> Result<Tally, Violation> {
    let (plan, steps) = steps::history(seed);
    bench.run(&plan, &steps, is_traced).map_err(|violation| {
        let short = shrink::shrink(steps, |steps| bench.run(&plan, steps, false).is_err());
        Violation(format!("{violation}\n{}", shrink::describe(&plan, &short)))
    })
}

#[test]
fn the_world_keeps_its_promises() {
    let seeds =
        Seeds { variable: "ROLLCALL_WORLD_SEEDS", default: SEEDS_DEFAULT, test: "world::the_world", certain: &CERTAIN };
    seeds.run(Bench::ready, run);
}
