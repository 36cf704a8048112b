//! Seeded simulation of reads at the edge: one tenant's object, one to four isolates at up to three locations of KV,
//! D1, and clients who read and write through them. All of it is the shipped code; only the platform is not: the time,
//! the network, KV, and the alarm (`object.rs` follows `src/object` line by line).
//!
//! The clocks of the object and of each isolate differ by hours. Calls and replies take seconds, are lost, or come late.
//! KV shows a write at each location at some moment within five minutes, and lands a write that it did not answer within
//! five minutes, over newer ones too, or never. Reads of KV are slow or fail. KV and D1 are down for a while. The object
//! crashes and is evicted, isolates restart, and the object is restored to an earlier state of its storage while D1 and
//! KV stay as they are. Users are created, changed, erased and made again; keys are issued, expire and are revoked;
//! limits change; audits and repairs run.
//!
//! The oracle alone knows the true time. It checks:
//!
//! 1. **No answer is older than it says.** The record in an answer from KV was the user's at some instant since the edge
//!    asked for the lease. `Age` is not less than that, and not more than `max-stale` and `edge_stale_s` allow. So five
//!    seconds after an erasure, or after a restoration, nothing of the person, or of the lost future, is answered.
//! 2. **The key was in force** at some instant since the edge asked for the lease, and an isolate that knows better does
//!    not serve it at all.
//! 3. **No interval admits more than `burst + rate·t`**, leases and starts included. When the limits change, the interval
//!    begins anew, with what was out then. So it does after a restoration: the object does not know of the leases that it
//!    gave in the lost future.
//! 4. **KV holds nothing that nobody asked for**: a user is copied after two misses, and no copy is written twice within
//!    a minute by the same epoch, unless the object is restored.
//! 5. **A purged person is gone**: KV holds nothing of the person, under any epoch, and nothing is on its way; five
//!    minutes later no location shows anything, unless a restoration brings the person back. After a restoration that holds for the present epoch: of copies under an
//!    earlier one the object may not know, and they end within a day.
//! 6. **All is well in the end.** When faults cease, and without a caller, every copy equals its user, every erasure is
//!    completed, and nothing is left to do; an edge read is answered from KV again; after a day KV is empty.
//!
//! `ROLLCALL_EDGE_SEEDS=n` runs that many seeds; `ROLLCALL_SEED=n` replays one and prints its events.
//! `cargo xtask simulate` runs many.

mod guards;
mod isolate;
mod life;
mod listing;
mod object;
mod oracle;
mod schedule;
mod store;
mod world;

use crate::simulation::Seeds;
use world::Bench;

const SEEDS_DEFAULT: u64 = 2_500;

/// Events that a run of this many seeds must contain. A run without one of them covers too little.
const CERTAIN: [&str; 20] = [
    "calls that arrive late",
    "changes of users with a copy",
    "crashes",
    "crashes while leases are out",
    "epochs begun because the listing was not ours",
    "erasures of users with a copy",
    "evictions",
    "late puts landed",
    "late puts landed over another value",
    "leases given",
    "misses told to the object",
    "purges",
    "purges of somebody whom KV was told of",
    "puts that failed",
    "reads answered from KV",
    "reads of a changed user that the object answered",
    "replies lost",
    "requests refused by the bucket",
    "restores",
    "revocations while leases are out",
];

#[test]
fn no_answer_from_nearby_is_older_than_it_says() {
    let seeds = Seeds {
        variable: "ROLLCALL_EDGE_SEEDS",
        default: SEEDS_DEFAULT,
        test: "edge_reads::no_answer",
        certain: &CERTAIN,
    };
    seeds.run(Bench::ready, Bench::run);
}
