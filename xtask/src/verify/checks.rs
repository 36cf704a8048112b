//! The life of an organization, check by check.

use super::life::Life;
use super::report::{Checked, Report};
use super::{dialects, people, refusals};
use crate::{interrupt, step};

type Check = fn(&Life<'_>) -> Checked;

/// In this order. The first makes the user whom the others read.
const CHECKS: &[(&str, Check)] = &[
    ("registering", people::register),
    ("organization", |life| life.organization.check_record()),
    ("rate-limit headers", people::rate_limit_headers),
    ("ids", people::ids),
    ("tags", people::tags),
    ("batch", people::batch),
    ("lists", people::lists),
    ("idempotency", people::idempotency),
    ("credentials", refusals::credentials),
    ("faults", refusals::faults),
    ("modes", refusals::modes),
    ("agents", dialects::agents),
    ("turn", dialects::turn),
    ("principals", dialects::principals),
    ("export", people::export),
    ("other origins", refusals::cross_origin),
    ("session tokens", refusals::session_tokens),
    ("rate limit", refusals::rate_limit),
    ("erasure", people::erase),
];

/// Does every check, and returns whether it came to the end. If no user can be registered, the others would only repeat
/// it.
pub fn go_through(life: &Life<'_>, report: &mut Report) -> bool {
    for (number, (name, check)) in CHECKS.iter().enumerate() {
        step(format!("Checking: {name}"));
        let is_good = report.note(*name, check(life));
        if interrupt::happened() || (number == 0 && !is_good) {
            return false;
        }
    }
    true
}
