//! The buckets: no interval admits more than `burst + rate·t`, leases included. A lease lasts no longer than answers from
//! nearby may be old.

use rollcall::organization::limiter::Rate;
use rollcall::organization::protocol::{Call, Caller, Command, Rejection, Reply, Settings};

use super::state::{SECOND_MS, World};
use crate::limiter::Bound;

/// The bucket of a tenant, by the settings that its object has.
#[derive(Default)]
pub struct Bucket {
    version: i64,
    rate: Option<Rate>,
    edge_stale_s: Option<u32>,
    bound: Option<Bound>,
}

impl Bucket {
    /// What was out before concerns nobody any more.
    fn begin(&mut self, now_us: i64) {
        self.bound = self.rate.map(|rate| Bound::new(rate, now_us));
    }
}

fn settings_of(command: &Command) -> Option<&Settings> {
    match command {
        Command::Configure(settings) => Some(settings),
        Command::IssueKey(issue) => Some(&issue.settings),
        Command::StartAudit(start) => Some(&start.settings),
        _ => None,
    }
}

impl World {
    /// Counts what a call took.
    pub fn note_bucket(&self, number: usize, call: &Call, reply: &Reply) {
        let (mut buckets, now_us) = (self.buckets.borrow_mut(), self.object_now(number).micros());
        let bucket = &mut buckets[number];
        if let Some(settings) = settings_of(&call.command).filter(|settings| settings.version > bucket.version) {
            bucket.version = settings.version;
            bucket.edge_stale_s = Some(settings.limits.edge_stale_s);
            bucket.rate = Some(Rate::new(settings.limits.requests_per_second, settings.limits.burst));
            bucket.begin(now_us);
        }
        if let Some(lease) = &reply.lease {
            self.tally("leases given");
            let lasts_ms = bucket.edge_stale_s.map(|seconds| i64::from(seconds) * SECOND_MS);
            self.ensure(lasts_ms.is_none_or(|most_ms| lease.lasts_ms <= most_ms), || {
                format!("a lease lasts {} ms, and answers may be {lasts_ms:?} old", lease.lasts_ms)
            });
        }
        let leased = reply.lease.as_ref().map_or(0, |lease| lease.tokens);
        let taken = match (&call.caller, &reply.outcome) {
            (Caller::Operator(_), _) | (_, Err(Rejection::Denied(_))) => 0,
            // It may have been paid for the first time.
            _ if call.repeated => 0,
            (Caller::Key { cost, .. }, _) => *cost,
        };
        let Some(bound) = &mut bucket.bound else { return };
        let is_within = bound.grant(now_us, taken + leased);
        // A clock that is set back gives some tokens twice.
        self.ensure(is_within || self.clocks_went_back(), || {
            format!("object {number} admits more than its bucket holds")
        });
    }
}
