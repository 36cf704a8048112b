//! What must hold of every answer, whatever it answers.
//!
//! An answer from a cache has the request id of an earlier one, so no id may come twice.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::answer::Answer;
use super::report::{Checked, Fault};

/// The characters of a ULID.
const REQUEST_ID_CHARACTERS: usize = 26;

const IN_FRONT: &str = "find what stands in front of the Worker (a proxy, a CDN, a rule of the zone) and let it pass answers on \
    as they are";

/// What is seen of all answers: the first fault of each kind.
#[derive(Debug, Default)]
pub struct Observations(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    request_ids: BTreeSet<String>,
    request_id: Option<Fault>,
    cache: Option<Fault>,
    security: Option<Fault>,
}

impl Observations {
    pub fn observe(&self, answer: &Answer) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache_fault(answer, &seen.request_ids);
        let ids: Vec<&str> = answer.headers("x-request-id").collect();
        seen.request_ids.extend(ids.iter().map(|id| (*id).to_owned()));
        seen.request_id = seen.request_id.take().or_else(|| request_id_fault(answer, &ids));
        seen.cache = seen.cache.take().or(cached);
        seen.security = seen.security.take().or_else(|| security_fault(answer));
    }

    /// The checks of what was seen, by their names.
    pub fn checks(&self) -> [(&'static str, Checked); 3] {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = |fault: &Option<Fault>| fault.clone().map_or(Ok(()), Err);
        [
            ("request ids", checked(&seen.request_id)),
            ("nothing is cached", checked(&seen.cache)),
            ("security headers", checked(&seen.security)),
        ]
    }
}

fn request_id_fault(answer: &Answer, ids: &[&str]) -> Option<Fault> {
    match ids {
        [id] if id.len() == REQUEST_ID_CHARACTERS => None,
        [] => Some(Fault::new(format!("{answer} has no X-Request-Id"), IN_FRONT)),
        ids => Some(Fault::new(format!("{answer} has the X-Request-Id {}", ids.join(" and ")), IN_FRONT)),
    }
}

fn cache_fault(answer: &Answer, earlier: &BTreeSet<String>) -> Option<Fault> {
    let repeated = answer.headers("x-request-id").find(|id| earlier.contains(*id));
    if let Some(id) = repeated {
        let what = format!("{answer} has the X-Request-Id {id} of an earlier answer, so it comes from a cache");
        return Some(Fault::new(what, "have no cache in front of the Worker keep answers that say no-store"));
    }
    let directives = answer.headers("cache-control").collect::<Vec<_>>().join(", ");
    let is_missing = |directive: &str| !directives.split(',').any(|given| given.trim() == directive);
    if is_missing("no-store") || is_missing("no-transform") {
        let what = format!("{answer} says Cache-Control: {directives:?}, and not no-store, no-transform");
        return Some(Fault::new(what, IN_FRONT));
    }
    None
}

fn security_fault(answer: &Answer) -> Option<Fault> {
    let mut expected = vec![("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")];
    if answer.is_secure {
        expected.push(("strict-transport-security", "max-age="));
    }
    expected.push(("content-security-policy", "default-src 'none'"));
    let missing =
        expected.into_iter().find(|(name, beginning)| !answer.headers(name).any(|value| value.starts_with(beginning)));
    missing.map(|(name, _)| Fault::new(format!("{answer} lacks the header {name} of the Worker"), IN_FRONT))
}
