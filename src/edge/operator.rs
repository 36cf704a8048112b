//! The endpoints for the operator: each is a pure function from what was sent to the
//! first [`Step`] of what it does.

use super::endpoint::{Endpoint, Input};
use super::exchange::{Exchange, Operator};
use super::http::request::Incoming;
use super::http::response::Response;
use super::runtime::{Door, Runtime};
use super::step::{self, Continuation, Next, Step};
use crate::directory::identifiers::{Mode, OrganizationId, Tenant};
use crate::fault::Fault;
use crate::input::both;
use crate::organization::protocol::{Command, Outcome};

pub type StepFunction = for<'a> fn(&mut Input<'a, Operator>) -> Next<'a>;

/// Carries out what an endpoint wants done.
pub async fn serve<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    operator: Operator,
    endpoint: Endpoint<StepFunction>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    // For the log.
    if exchange.target.path.starts_with("/admin/v1/organizations/") {
        exchange.organization_id = parameters.first().and_then(|text| text.parse().ok());
    }
    let configuration = exchange.configuration()?;
    let body = exchange.read_body(endpoint.body).await?;
    let mut input = Input::new(exchange, operator, &configuration, parameters, body)?;
    let step = (endpoint.plan)(&mut input);
    let ((), step) = both(input.query.finish(), step)?;
    step::carry_out(exchange, None, step).await
}

/// Asks one object.
pub fn ask<'a>(
    operator: Operator,
    tenant: Tenant,
    door: Door,
    command: Command,
    then: impl FnOnce(Outcome) -> Next<'a> + 'a,
) -> Step<'a> {
    Step::AskAsOperator(operator, tenant, door, command, Box::new(then))
}

/// Asks the objects of both modes, in the order of [`Mode::ALL`], and goes on with both
/// answers.
pub fn ask_both(
    operator: Operator,
    organization: OrganizationId,
    door: Door,
    commands: [Command; 2],
    then: Continuation<'_, [Outcome; 2]>,
) -> Step<'_> {
    let [live, test] = Mode::ALL.map(|mode| Tenant { organization, mode });
    let [first, second] = commands;
    ask(operator, live, door, first, move |live| Ok(ask(operator, test, door, second, move |test| then([live, test]))))
}
