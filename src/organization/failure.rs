//! Why a command has no answer.

use super::protocol::Rejection;
use super::sql::SqlError;

/// Invariant: a command that rejects has written nothing. So the transaction commits what the admission of the
/// caller wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request does not fit the state. The caller is told.
    Rejected(Rejection),
    /// The transaction is rolled back.
    Sql(SqlError),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}
