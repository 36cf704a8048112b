//! Reads at the edge before they are measured: the users are copied to KV, and the isolates have a lease.

use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use xtask::Result;

use crate::contender::Contender;
use crate::host::PUT_OFF_MAX;
use crate::line::LineWork;
use crate::load::{self, Pace};

/// The least part of the reads at the edge that must come from a copy. Otherwise something else was measured.
const SHARE_MIN: f64 = 0.9;
/// How long a contender may take until its readers find copies.
const WARM_LIMIT: Duration = Duration::from_secs(45);
/// How long it may take where copies are not sure to answer: see [`must_have_copies`].
const WARM_LIMIT_UNSURE: Duration = Duration::from_secs(10);
/// Requests before a turn. Contenders take turns, so each has lost its leases meanwhile. An isolate that is asked all the
/// time has them.
const LEAD_IN: Duration = Duration::from_millis(300);

/// Reads until nearly all answers come from a copy.
pub fn warm(contender: &Contender, work: &Rc<LineWork>, authorities: &[&str], clients: usize) -> Result<()> {
    if *contender == Contender::Twin {
        return Ok(());
    }
    let limit = if must_have_copies(contender, work) { WARM_LIMIT } else { WARM_LIMIT_UNSURE };
    let deadline = Instant::now() + limit;
    loop {
        lead_in(work, authorities, clients)?;
        load::run(work, authorities, clients, Pace::Saturated, LEAD_IN)?;
        let share = work.take_share();
        if share >= SHARE_MIN {
            return Ok(());
        }
        if Instant::now() > deadline {
            return check(contender, work, share);
        }
        sleep(PUT_OFF_MAX);
    }
}

/// Reads for a moment before a turn.
pub fn lead_in(work: &Rc<LineWork>, authorities: &[&str], clients: usize) -> Result<()> {
    load::run(work, authorities, clients, Pace::Saturated, LEAD_IN)?;
    work.take_share();
    Ok(())
}

/// Fails when too few reads at the edge came from a copy.
pub fn check(contender: &Contender, work: &LineWork, share: f64) -> Result<()> {
    if must_have_copies(contender, work) && share < SHARE_MIN {
        let (name, percent) = (contender.name(), share * 100.0);
        return Err(format!("{name}: only {percent:.1} % of the reads at the edge came from a copy").into());
    }
    Ok(())
}

/// The twin has no reads at the edge, and another build may have none. Of many organizations each has a lease of its own,
/// and on a slow machine few requests in the life of a lease. The report says how many reads came from a copy.
fn must_have_copies(contender: &Contender, work: &LineWork) -> bool {
    matches!(contender, Contender::Rollcall | Contender::Floor) && work.directories.len() == 1
}
