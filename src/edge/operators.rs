//! Named operators, as D1 holds them, and who is an operator.
//!
//! Invariant: a named operator's token is accepted only while D1 holds its digest and it is not revoked. `ADMIN_TOKEN` needs
//! neither D1 nor a configuration that is usable.

use super::configuration;
use super::exchange::{Exchange, Operator};
use super::runtime::Runtime;
use crate::directory::identifiers::OperatorId;
use crate::directory::operator::{NamedOperator, OperatorToken};
use crate::directory::timestamp::Timestamp;
use crate::fault::{CredentialFault, Fault, internal, store_unavailable};
use crate::projection::{Database, Statement};

/// Checks the token in `Authorization`.
pub async fn authenticate(exchange: &mut Exchange<'_, impl Runtime>) -> Result<Operator, Fault> {
    let Some(token) = exchange.bearer() else { return Err(exchange.refuse_credential(CredentialFault::Missing)) };
    if configuration::is_admin_token(|name| exchange.runtime.setting(name), &token) {
        return Ok(Operator::root());
    }
    let configuration = exchange.runtime.configuration().ok();
    let token = configuration.and_then(|configuration| OperatorToken::parse(&token, &configuration.key_ring));
    let Some(token) = token else { return Err(exchange.refuse_credential(CredentialFault::Invalid)) };
    let Some(named) = find(exchange, &token).await? else {
        return Err(exchange.refuse_credential(CredentialFault::Invalid));
    };
    note_use(exchange, &named).await?;
    exchange.operator_id = Some(named.id);
    Ok(Operator::named(named.id))
}

/// The operator with this token, if it is in force.
async fn find(
    exchange: &mut Exchange<'_, impl Runtime>,
    token: &OperatorToken,
) -> Result<Option<NamedOperator>, Fault> {
    let select = "
        SELECT json_object('id', id, 'name', name, 'created_at', created_at, 'last_used_on', last_used_on) AS text
        FROM operators WHERE id = ?1 AND digest = ?2 AND revoked_at IS NULL";
    let select = Statement::new(select, [token.id().to_string().into(), token.digest().into()]);
    let found = exchange.query(&select).await?;
    found.rows.first().map(read).transpose()
}

/// Notes the day, with one write a day.
async fn note_use(exchange: &Exchange<'_, impl Runtime>, named: &NamedOperator) -> Result<(), Fault> {
    let today = exchange.received_at.date();
    if named.last_used_on.as_ref() == Some(&today) {
        return Ok(());
    }
    let update = "UPDATE operators SET last_used_on = ?2 WHERE id = ?1";
    change(exchange, Statement::new(update, [named.id.to_string().into(), today.into()])).await.map(drop)
}

/// Keeps a new operator.
pub async fn insert(
    exchange: &Exchange<'_, impl Runtime>,
    operator: &NamedOperator,
    digest: String,
) -> Result<(), Fault> {
    let insert = "INSERT INTO operators (id, name, digest, created_at) VALUES (?1, ?2, ?3, ?4)";
    let parameters = [
        operator.id.to_string().into(),
        operator.name.as_str().into(),
        digest.into(),
        operator.created_at.to_string().into(),
    ];
    change(exchange, Statement::new(insert, parameters)).await.map(drop)
}

/// The operators after one, revoked ones too, in the order of their making.
pub async fn list(
    exchange: &mut Exchange<'_, impl Runtime>,
    after: Option<OperatorId>,
    limit: u32,
) -> Result<Vec<NamedOperator>, Fault> {
    let select = "
        SELECT json_object('id', id, 'name', name, 'created_at', created_at, 'revoked_at', revoked_at,
                           'last_used_on', last_used_on) AS text
        FROM operators WHERE id > ?1 ORDER BY id LIMIT ?2";
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let found = exchange.query(&Statement::new(select, [after.into(), i64::from(limit).into()])).await?;
    found.rows.iter().map(read).collect()
}

/// Revokes an operator's token, from the next request on. Says whether there is such an operator.
pub async fn revoke(exchange: &Exchange<'_, impl Runtime>, id: OperatorId, now: Timestamp) -> Result<bool, Fault> {
    let update = "UPDATE operators SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1";
    let changed = change(exchange, Statement::new(update, [id.to_string().into(), now.to_string().into()])).await?;
    Ok(changed > 0)
}

fn read(row: &str) -> Result<NamedOperator, Fault> {
    serde_json::from_str(row).map_err(internal)
}

/// Runs a statement that changes rows. Returns their number.
async fn change(exchange: &Exchange<'_, impl Runtime>, statement: Statement<'_>) -> Result<u64, Fault> {
    let database = exchange.runtime.database().map_err(internal)?;
    let changed = database.batch(&[statement]).await.map_err(store_unavailable)?;
    Ok(changed.iter().sum())
}
