//! The port of the object: what it needs of the platform.

use crate::directory::timestamp::Timestamp;
use crate::organization::sql::{Sql, SqlError};
use crate::projection::{Cache, Database, StoreError};
use crate::refusal::Refusal;

/// The platform around one object.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait ObjectPlatform: 'static {
    type Sql: Sql;
    type Database: Database;
    type Cache: Cache;

    fn now(&self) -> Timestamp;
    /// Bytes from the platform's cryptographic generator.
    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal>;
    /// The object's storage.
    fn sql(&self) -> &Self::Sql;
    /// Runs a body in one transaction of the storage, which is rolled back if the body fails.
    fn transaction(&self, body: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError>;
    /// Sets the alarm, in milliseconds since the epoch. Within a transaction it belongs to the transaction.
    fn set_alarm(&self, at_ms: i64) -> Result<(), SqlError>;
    /// When the alarm comes, in milliseconds since the epoch; `None` when none is set, or while it runs.
    async fn alarm_at_ms(&self) -> Result<Option<i64>, StoreError>;
    /// Deletes all data of the object and its alarm. It must not run within a transaction. Writes after it, without a
    /// wait between, become durable together with it.
    fn delete_all(&self) -> Result<(), StoreError>;
    fn database(&self) -> Result<Self::Database, StoreError>;
    fn cache(&self) -> Result<Self::Cache, StoreError>;
    /// Lets other work go first, for at least this long.
    async fn pause(&self, millis: u32);
    /// Runs a future beside the call that starts it. It reaches its first wait before this returns.
    fn spawn(&self, work: impl Future<Output = ()> + 'static);
    /// Tells the readers who wait that there is an event, once it is durable.
    fn announce(&self);
    fn log(&self, line: &str);
    fn log_error(&self, line: &str);
}
