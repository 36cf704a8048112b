//! The text of each operation, its parameters, bodies, responses and examples.

mod agents;
mod end_users;
mod events;
mod examples;
mod operator;
mod operators;
mod principals;
mod public;
mod transfer;
mod turns;

use super::operation::Operation;

/// Every operation, in the order of the document's tags.
pub fn all() -> Vec<Operation> {
    let of_callers = [end_users::all(), turns::all(), events::all(), agents::all(), principals::all()];
    let of_operators = [operator::all(), operators::all(), transfer::all(), public::all()];
    of_callers.into_iter().chain(of_operators).flatten().collect()
}
