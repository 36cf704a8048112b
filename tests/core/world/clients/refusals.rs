//! Refusals by their reason, so that a run reports which limits it reached.

use crate::world::edge::Answer;
use crate::world::state::World;

/// Codes of errors, or what the messages of dialects without codes say; and what the tally says.
const REFUSALS: [(&str, &str, &str); 14] = [
    ("rate_limit_exceeded", "answers are still kept", "refused: too many kept answers"),
    ("rate_limit_exceeded", "Too many requests; retry", "refused: bucket"),
    ("quota_exhausted", "", "refused: turns"),
    ("user_quota_exhausted", "", "refused: turns of a person"),
    ("quota_reserved", "", "refused: turns in progress"),
    ("relationship_limit_reached", "", "refused: active relationships"),
    ("end_user_limit_reached", "as many end users as it may", "refused: end users"),
    ("storage_limit_reached", "stores as much as it may", "refused: storage"),
    ("idempotency_of_erased", "has been erased since", "refused: idempotency of erased"),
    ("idempotency_in_flight", "", "refused: idempotency in flight"),
    ("deletion_pending", "", "refused: deletion pending"),
    ("precondition_failed", "", "refused: precondition"),
    ("turn_timeout", "", "refused: turn timeout"),
    ("token_expired", "", "refused: key expired"),
];

/// Whether an answer refuses for a reason.
fn is_for(answer: &Answer, code: &str, phrase: &str) -> bool {
    let has_phrase = !phrase.is_empty() && answer.body.contains(phrase);
    has_phrase || (phrase.is_empty() && answer.is_error(code))
}

impl Answer {
    /// What the request was used for has been erased since.
    pub fn is_of_erased(&self) -> bool {
        self.status == 409 && is_for(self, "idempotency_of_erased", "has been erased since")
    }
}

impl World {
    pub fn tally_refusal(&self, answer: &Answer) {
        if answer.status >= 400 || answer.body.contains("\"failed\":") {
            let reasons = REFUSALS.iter().filter(|(code, phrase, _)| is_for(answer, code, phrase));
            reasons.for_each(|(_, _, tallied)| self.tally(tallied));
        }
    }
}
