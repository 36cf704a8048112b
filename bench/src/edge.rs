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
/// How long another build of Rollcall may take. One that knows no reads at the edge never does.
const WARM_LIMIT_BUILD: Duration = Duration::from_secs(10);
/// Requests before a turn. Contenders take turns, so each has lost its leases meanwhile. An isolate that is asked all the
/// time has them.
const LEAD_IN: Duration = Duration::from_millis(300);

/// Reads until nearly all answers come from a copy.
pub fn warm(contender: &Contender, work: &Rc<LineWork>, authorities: &[&str], clients: usize) -> Result<()> {
    if *contender == Contender::Twin {
        return Ok(());
    }
    let is_build = matches!(contender, Contender::Build { .. });
    let deadline = Instant::now() + if is_build { WARM_LIMIT_BUILD } else { WARM_LIMIT };
    loop {
        lead_in(work, authorities, clients)?;
        load::run(work, authorities, clients, Pace::Saturated, LEAD_IN)?;
        let share = work.take_share();
        if share >= SHARE_MIN {
            return Ok(());
        }
        if Instant::now() > deadline {
            return if is_build { Ok(()) } else { check(contender, share) };
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

/// Fails when too few reads at the edge came from a copy. The twin has no such reads, and neither may another build.
pub fn check(contender: &Contender, share: f64) -> Result<()> {
    let has_copies = matches!(contender, Contender::Rollcall | Contender::Floor);
    if has_copies && share < SHARE_MIN {
        let (name, percent) = (contender.name(), share * 100.0);
        return Err(format!("{name}: only {percent:.1} % of the reads at the edge came from a copy").into());
    }
    Ok(())
}
