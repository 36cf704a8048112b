//! Seeded simulation of everything that ships, over a simulated platform: the edge's pipeline, the object with its
//! flushes, audits and alarms, and the stores' SQL. Clients send HTTP requests; the oracle judges what they are answered.
//!
//! There are two organizations in two modes, one to four isolates at up to three locations of KV, D1, and the network
//! between them. The platform's rules and faults are in `object.rs`, `edge.rs`, `kv.rs` and `d1.rs`.
//!
//! A seed is about everything, or has a focus (`steps.rs`): readers nearby, a bucket that is emptied, or quotas over months.
//!
//! The oracle (`oracle.rs`) knows only what was sent and heard. It checks:
//!
//! 1. **What is acknowledged is there**, in strong reads and in lists, unless somebody asked to erase it. A request whose
//!    answer is lost may have happened or not, and is settled once.
//! 2. **A version names one state** of one person, and no answer goes back behind a version that was heard before it was
//!    asked for. 304 and 412 are answered only where that is so.
//! 3. **An answer from nearby is no older than it says.** KV holds nobody of whom readers have not asked twice, nothing of a
//!    lost future, and is written once a minute for each person; after a day it is empty.
//! 4. **Only one of several creations makes a person.**
//! 5. **A repetition with an idempotency key** is answered as the first time, or as erased if somebody erased it.
//! 6. **Nothing of an erased person** is in any answer after the receipt says so, nor in lists after the acknowledgement; in
//!    the end it is in no row, no value and no free page. Relationships, moods and answers to turns go in the same way, and
//!    nobody who is being erased owns an agent.
//! 7. **A walk by cursors** shows whoever stays exactly once, in order.
//! 8. **Turns and active relationships** are counted once, in the period of a calendar of its own, and are refused only when
//!    as many were asked for. No interval admits more than the bucket holds, leases included.
//! 9. **Tenants never meet**: every text names its tenant, and no answer or row of one shows another's.
//! 10. **5xx** is 503 with `Retry-After`, and only while something fails.
//! 11. **All comes to rest** when faults cease: receipts are completed, lists equal reads, alarms are for the next audit only.
//!
//! A history is a list of steps (`steps.rs`). A failing one is made short before it is printed (`shrink.rs`).
//! `ROLLCALL_WORLD_SEEDS=n` runs that many seeds; `ROLLCALL_SEED=n` replays one and prints its events.

mod alarms;
mod bucket;
mod clients;
mod copies;
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
const CERTAIN: [&str; 93] = [
    "/admin/v1/deletions/{deletion_id}",
    "/admin/v1/organizations",
    "/admin/v1/organizations/{organization_id}",
    "/admin/v1/organizations/{organization_id}/keys",
    "/admin/v1/organizations/{organization_id}/keys/{key_id}",
    "/admin/v1/organizations/{organization_id}/repair",
    "/admin/v1/organizations/{organization_id}/usage",
    "/api/v1/agents",
    "/api/v1/agents/{agent_id}",
    "/api/v1/agents/{agent_id}/users",
    "/api/v1/principals",
    "/api/v1/principals/by-external-id/{external_id}",
    "/api/v1/principals/{principal_id}",
    "/v1/deletions/{deletion_id}",
    "/v1/end-users",
    "/v1/end-users/batch",
    "/v1/end-users/{user_id}",
    "/v1/end-users/{user_id}/export",
    "/v1/relationships",
    "/v1/relationships/{relationship_id}",
    "/v1/respond",
    "/v1/usage/active-relationships",
    "/v1/usage/turns",
    "D1 answers lost or late",
    "D1 batches lost",
    "D1 queries that failed",
    "D1 restored to an earlier point",
    "KV lists that failed",
    "KV reads that failed",
    "KV writes refused: one a second",
    "KV writes that failed",
    "KV writes that land late",
    "agents given to a person",
    "agents left without an owner",
    "alarms",
    "alarms dropped",
    "alarms that failed",
    "answers lost on their way to the client",
    "answers replayed",
    "answers: 503",
    "calls lost",
    "calls that arrive late",
    "calls turned away: overloaded",
    "changes of the version that was read",
    "clocks of isolates set",
    "clocks set",
    "copies compared in the end",
    "erasures accepted: all",
    "erasures accepted: memory_only",
    "erasures accepted: model_only",
    "erasures completed",
    "evictions",
    "exact counts of a person's turns",
    "exact counts of relationships",
    "exact counts of turns",
    "isolates restarted",
    "keys refused",
    "leases given",
    "lists of agents walked to their end",
    "lists of an agent's users walked to their end",
    "lists of keys walked to their end",
    "lists of organizations walked to their end",
    "lists of principals by offset",
    "lists of principals walked to their end",
    "lists of relationships walked to their end",
    "lists walked to their end",
    "models that fail",
    "models that hang",
    "objects restored to an earlier point",
    "organizations deleted",
    "reads answered 304",
    "reads answered from KV",
    "refused: active relationships",
    "refused: bucket",
    "refused: deletion pending",
    "refused: end users",
    "refused: idempotency of erased",
    "refused: key expired",
    "refused: precondition",
    "refused: storage",
    "refused: too many kept answers",
    "refused: turn timeout",
    "refused: turns",
    "refused: turns in progress",
    "refused: turns of a person",
    "relationships erased",
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
