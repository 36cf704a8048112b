//! The ports of the edge: what it needs of the platform.

use std::cell::RefCell;
use std::rc::Rc;

use super::configuration::Configuration;
use super::denial_cache::DenialCache;
use super::http::request::Incoming;
use super::leases::Leases;
use super::metrics::DataPoint;
use super::public_limiter::PublicLimiter;
use super::waiters::Waiters;
use crate::clerk::key::PublicKey;
use crate::clerk::sessions::Sessions;
use crate::directory::identifiers::Tenant;
use crate::directory::placement::LocationHint;
use crate::directory::timestamp::Timestamp;
use crate::fetch::Fetcher;
use crate::projection::{Cache, Database};
use crate::refusal::Refusal;

/// The object's method that a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectMethod {
    /// Answer as soon as the command is committed.
    Handle,
    /// Bring the listing up to date before answering.
    HandleListed,
    /// Go on with the audit for some seconds before answering.
    HandleAudited,
}

/// Why a call to an object failed on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The object has more calls than it can answer. Another call makes it worse.
    pub overloaded: bool,
    /// The platform says that trying again may help.
    pub retryable: bool,
    pub message: String,
}

/// The platform around a request. A clone serves a response whose head is sent.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Runtime: Fetcher + Clone + 'static {
    type Incoming: Incoming;
    type Database: Database;
    type Cache: Cache;
    type Listener: EventListener;

    fn now(&self) -> Timestamp;
    /// Bytes from the platform's cryptographic generator.
    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal>;
    fn configuration(&self) -> Result<Rc<Configuration>, Refusal>;
    /// A variable or secret as the operator has set it.
    fn setting(&self, name: &str) -> Option<String>;
    /// Whether the Worker has the binding of Workers AI.
    fn has_ai(&self) -> bool;
    fn public_limiter(&self) -> &RefCell<PublicLimiter>;
    /// The denials that the isolate remembers.
    fn denial_cache(&self) -> &RefCell<DenialCache>;
    /// The leases that the isolate has.
    fn leases(&self) -> &RefCell<Leases>;
    /// The requests that wait for another request's turn.
    fn turn_waiters(&self) -> &Waiters;
    /// The requests that wait for events.
    fn event_waiters(&self) -> &Waiters;
    /// The sessions and keys that the isolate remembers.
    fn sessions(&self) -> &RefCell<Sessions>;
    /// Whether a key made this signature by RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    async fn verify_rs256(&self, key: &PublicKey, signed: &[u8], signature: &[u8]) -> Result<bool, Refusal>;
    fn database(&self) -> Result<Self::Database, Refusal>;
    fn cache(&self) -> Result<Self::Cache, Refusal>;
    /// Calls the tenant's object, with a fresh stub and a time limit. If there is no object yet, it is made at the location.
    async fn call(
        &self,
        tenant: Tenant,
        location: Option<LocationHint>,
        method: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError>;
    /// Listens for the events of a tenant. The object sleeps while nothing happens.
    async fn listen(&self, tenant: Tenant) -> Result<Self::Listener, CallError>;
    /// Calls any object, to see that objects can be reached.
    async fn ping_object(&self) -> Result<(), CallError>;
    /// Lets other work go first, for at least this long.
    async fn pause(&self, millis: u32);
    /// Ends when the caller of the request hangs up before it has the whole answer, and never otherwise.
    async fn caller_gone(&self);
    fn log(&self, line: &str);
    /// Keeps a data point, if the operator keeps any.
    fn measure<'a>(&self, point: impl FnOnce() -> DataPoint<'a>);
}

/// A connection to an object, which ends when it is dropped.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait EventListener {
    /// Ends when there was an event since the listening began, or when the connection has ended.
    async fn heard(&self);
}

/// Does something, and says how long it took, in milliseconds.
pub async fn timed<T>(runtime: &impl Runtime, work: impl Future<Output = T>) -> (T, i64) {
    let started = runtime.now();
    let done = work.await;
    (done, runtime.now().millis().saturating_sub(started.millis()))
}
