//! The text of each operation, its parameters, bodies, responses and examples.

mod agents;
mod end_users;
mod examples;
mod operator;
mod principals;
mod public;
mod turns;

use super::operation::Operation;

/// Every operation, in the order of the document's tags.
pub fn all() -> Vec<Operation> {
    [end_users::all(), turns::all(), agents::all(), principals::all(), operator::all(), public::all()]
        .into_iter()
        .flatten()
        .collect()
}
