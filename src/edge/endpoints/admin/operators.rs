//! `/admin/v1/operators`: for the operator who has `ADMIN_TOKEN`. A named one could otherwise outlive its revocation by
//! making others.

use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::OperatorId;
use crate::directory::names::Name;
use crate::directory::operator::{NamedOperator, OperatorToken};
use crate::edge::endpoint::AdminInput;
use crate::edge::exchange::Exchange;
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::operators;
use crate::edge::runtime::Runtime;
use crate::fault::{Fault, internal};
use crate::input::string;

fn check_root(exchange: &mut Exchange<'_, impl Runtime>, input: &AdminInput<'_>) -> Result<(), Fault> {
    if input.caller.is_root() { Ok(()) } else { Err(exchange.refuse_caller(Fault::ScopeTooSmall { quota: None })) }
}

/// `POST /admin/v1/operators`.
pub async fn create(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    check_root(exchange, &input)?;
    let read = input.body.fields().and_then(|mut fields| {
        let name = fields.required("name", |value| Name::new(string(value)?));
        fields.finish()?;
        name.ok_or_else(|| internal("a required field is missing without a fault"))
    });
    let name = input.complete(read)?;
    let id = OperatorId::new(input.received_at, input.random);
    let token = OperatorToken::mint(id, input.secret, &input.configuration.key_ring.current);
    let operator =
        NamedOperator { id, token: None, name, created_at: input.received_at, revoked_at: None, last_used_on: None };
    operators::insert(exchange, &operator, token.digest()).await?;
    let shown = NamedOperator { token: Some(token.reveal()), ..operator };
    Ok(Response::json(201, &shown)?.with("Location", format!("/admin/v1/operators/{id}")))
}

/// `GET /admin/v1/operators`: in the order of their making, revoked ones too.
pub async fn list(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    check_root(exchange, &input)?;
    let limit = pages::limit(&mut input.query);
    let cursor = input.query.text("cursor");
    input.complete(Ok(()))?;
    let binding = Binding::new(&["admin", "operators"]);
    let after = input.cursor(cursor, &binding)?.map(|id| id.parse()).transpose().map_err(internal)?;
    let mut found = operators::list(exchange, after, limit.saturating_add(1)).await?;
    let has_more = pages::cut(&mut found, limit);
    let last = found.last().filter(|_| has_more);
    let next_cursor = last.map(|last| cursor::encode(&last.id.to_string(), &binding, &input.configuration.key_ring));
    pages::respond(found, next_cursor)
}

/// `DELETE /admin/v1/operators/{operator_id}`: the token is refused from the next request on. A repetition is answered 204
/// too.
pub async fn revoke(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    check_root(exchange, &input)?;
    let id = input.path("operator_id", |text| text.parse());
    let id = input.complete(id)?;
    if operators::revoke(exchange, id, input.received_at).await? {
        Ok(Response::new(204))
    } else {
        Err(Fault::NotFound("operator"))
    }
}
