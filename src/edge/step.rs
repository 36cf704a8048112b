//! What an endpoint wants done next, and the one loop that does it.
//!
//! One driver instead of a function that waits for each endpoint: the waiting is what is
//! large when compiled (about a kilobyte each, compressed), and a pure function is tested
//! by calling it.

use super::endpoints::admin::deletions::{self, Receipt, Settling};
use super::endpoints::v1::respond;
use super::exchange::{Exchange, KeyHolder, Operator};
use super::http::request::Incoming;
use super::http::response::Response;
use super::runtime::{Door, Runtime};
use crate::directory::identifiers::Tenant;
use crate::fault::Fault;
use crate::fault::{internal, store_unavailable};
use crate::organization::protocol::{Command, Outcome};
use crate::projection::{Bound, Database, Texts};

/// What comes next.
pub enum Step<'a> {
    Respond(Response),
    /// Read from D1, or change what is there.
    Query(Bound, Continuation<'a, Texts>),
    /// Ask the object of the key's holder once more.
    Ask(Command, Continuation<'a, Outcome>),
    /// Ask any object; who has an [`Operator`] may.
    AskAsOperator(Operator, Tenant, Door, Command, Continuation<'a, Outcome>),
    /// Have a reserved turn answered.
    Turn(Box<respond::Reserved>),
    /// Bring the deletion of an organization as far as it goes.
    Settle(Box<Settling>, Continuation<'a, Receipt>),
}

/// What is made of an answer.
pub type Continuation<'a, A> = Box<dyn FnOnce(A) -> Next<'a> + 'a>;

/// The next step, or why there is none.
pub type Next<'a> = Result<Step<'a>, Fault>;

impl<'a> Step<'a> {
    pub fn query(statement: Bound, then: impl FnOnce(Texts) -> Next<'a> + 'a) -> Self {
        Self::Query(statement, Box::new(then))
    }

    pub fn settle(settling: Settling, then: impl FnOnce(Receipt) -> Next<'a> + 'a) -> Self {
        Self::Settle(Box::new(settling), Box::new(then))
    }

    /// Ask the object once more, for what is then the answer.
    pub fn ask(command: Command, respond: impl FnOnce(Outcome) -> Result<Response, Fault> + 'a) -> Self {
        Self::Ask(command, Box::new(|outcome| respond(outcome).map(Step::Respond)))
    }
}

/// Takes step after step until there is a response.
pub async fn carry_out<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: Option<&KeyHolder>,
    mut step: Step<'_>,
) -> Result<Response, Fault> {
    loop {
        let holder = || holder.ok_or_else(|| internal("a step for the holder of a key, and there is none"));
        let (caller, tenant, door, command, then) = match step {
            Step::Respond(response) => return Ok(response),
            Step::Turn(reserved) => return respond::answer(exchange, holder()?.tenant, *reserved).await,
            Step::Query(statement, then) => {
                let database = exchange.runtime.database().map_err(internal)?;
                let texts = database.query(&statement.statement()).await.map_err(store_unavailable)?;
                exchange.rows_read = Some(exchange.rows_read.unwrap_or_default().saturating_add(texts.rows_read));
                step = then(texts)?;
                continue;
            }
            Step::Settle(settling, then) => {
                step = then(deletions::settled(exchange, &settling).await?)?;
                continue;
            }
            Step::Ask(command, then) => (holder()?.caller(0), holder()?.tenant, Door::Handle, command, then),
            Step::AskAsOperator(operator, tenant, door, command, then) => {
                (operator.caller(), tenant, door, command, then)
            }
        };
        let reply = exchange.ask(caller, tenant, door, command, None).await?;
        step = then(exchange.let_in(reply.outcome)?)?;
    }
}
