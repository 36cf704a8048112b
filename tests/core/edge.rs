//! The shipped edge, natively: its stores are in memory, its clock is in a test's hand, and objects answer what the test says.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use rollcall::clerk::key::PublicKey;
use rollcall::clerk::sessions::Sessions;
use rollcall::directory::identifiers::Tenant;
use rollcall::directory::names::Name;
use rollcall::directory::organization::{Limits, Organization, Slug};
use rollcall::directory::placement::LocationHint;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::edge::denial_cache::DenialCache;
use rollcall::edge::http::request::{BodyError, Incoming};
use rollcall::edge::http::response::Response;
use rollcall::edge::leases::Leases;
use rollcall::edge::metrics::DataPoint;
use rollcall::edge::pipeline;
use rollcall::edge::public_limiter::PublicLimiter;
use rollcall::edge::runtime::{CallError, EventListener, ObjectMethod, Runtime};
use rollcall::edge::waiters::Waiters;
use rollcall::fetch::{Fetch, FetchError, Fetcher};
use rollcall::organization::protocol::{self, Call, Outcome, Reply};
use rollcall::organization::sql::Sql;
use rollcall::projection::{Database, Statement, StoreError, Texts};
use rollcall::refusal::Refusal;

use crate::audit::{Kv, ready};
use crate::sqlite::Sqlite;
use crate::tenant::{SECRET, START_MS, api_key, tenant};

/// What an object answers to a call.
type ObjectAnswer = Box<dyn Fn(Tenant, Call) -> Result<Outcome, CallError>>;

pub struct State {
    configuration: Rc<Configuration>,
    pub listing: Sqlite,
    answer: ObjectAnswer,
    pub now_ms: Cell<i64>,
    /// How long a call to an object takes.
    pub call_takes_ms: Cell<i64>,
    /// Every call to an object, and when it was made.
    pub calls: RefCell<Vec<(i64, Call)>>,
    /// How often the row of an organization was to be replaced.
    pub replacements: Cell<u32>,
    public_limiter: RefCell<PublicLimiter>,
    denial_cache: RefCell<DenialCache>,
    leases: RefCell<Leases>,
    turn_waiters: Waiters,
    pub event_waiters: Waiters,
    sessions: RefCell<Sessions>,
}

/// The edge, its clock and its stores.
#[derive(Clone)]
pub struct Edge(Rc<State>);

impl Deref for Edge {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

fn setting(name: &str) -> Option<String> {
    matches!(name, "KEY_SECRET" | "ADMIN_TOKEN").then(|| SECRET.to_owned())
}

impl Edge {
    pub fn new(answer: impl Fn(Tenant, Call) -> Result<Outcome, CallError> + 'static) -> Self {
        Self(Rc::new(State {
            configuration: Rc::new(Configuration::read(setting, false).expect("a configuration")),
            listing: Sqlite::listing(),
            answer: Box::new(answer),
            now_ms: Cell::new(START_MS),
            call_takes_ms: Cell::default(),
            calls: RefCell::default(),
            replacements: Cell::default(),
            public_limiter: RefCell::default(),
            denial_cache: RefCell::default(),
            leases: RefCell::default(),
            turn_waiters: Waiters::default(),
            event_waiters: Waiters::default(),
            sessions: RefCell::default(),
        }))
    }

    pub fn serve(&self, request: &Request) -> Response {
        ready(pipeline::serve(self, request))
    }

    pub fn calls(&self) -> usize {
        self.0.calls.borrow().len()
    }

    pub fn count(&self, table: &str) -> u64 {
        self.0.listing.count(&format!("SELECT count(*) FROM {table}"), &[]).expect("a count")
    }
}

impl Database for Edge {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        self.0.listing.batch(statements).map_err(|error| StoreError(error.0))
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let is_replacement = statement.sql.contains("UPDATE OR IGNORE organizations");
        self.0.replacements.set(self.0.replacements.get() + u32::from(is_replacement));
        let rows = self.0.listing.listed(statement).map_err(|error| StoreError(error.0))?;
        Ok(Texts { rows, rows_read: 0 })
    }
}

/// A listener where there is nothing to hear.
pub enum Deaf {}

impl EventListener for Deaf {
    async fn heard(&self) {
        match *self {}
    }
}

impl Runtime for Edge {
    type Incoming = Request;
    type Database = Self;
    type Cache = Kv;
    type Listener = Deaf;

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now_ms.get())
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        Ok([7; N])
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Refusal> {
        Ok(Rc::clone(&self.0.configuration))
    }

    fn setting(&self, name: &str) -> Option<String> {
        setting(name)
    }

    fn has_ai(&self) -> bool {
        false
    }

    fn public_limiter(&self) -> &RefCell<PublicLimiter> {
        &self.0.public_limiter
    }

    fn denial_cache(&self) -> &RefCell<DenialCache> {
        &self.0.denial_cache
    }

    fn leases(&self) -> &RefCell<Leases> {
        &self.0.leases
    }

    fn event_waiters(&self) -> &Waiters {
        &self.0.event_waiters
    }

    fn turn_waiters(&self) -> &Waiters {
        &self.0.turn_waiters
    }

    fn sessions(&self) -> &RefCell<Sessions> {
        &self.0.sessions
    }

    async fn verify_rs256(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, Refusal> {
        Err(Refusal::new("no session here"))
    }

    fn database(&self) -> Result<Self, Refusal> {
        Ok(self.clone())
    }

    fn cache(&self) -> Result<Kv, Refusal> {
        Ok(Kv::default())
    }

    async fn call(
        &self,
        tenant: Tenant,
        _: Option<LocationHint>,
        method: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let decode = || protocol::decode::<Call>(call).expect("a call");
        self.0.calls.borrow_mut().push((self.0.now_ms.get(), decode()));
        self.0.now_ms.set(self.0.now_ms.get() + self.0.call_takes_ms.get());
        let outcome = (self.0.answer)(tenant, decode())?;
        Ok(protocol::encode(&Reply {
            listed: matches!(method, ObjectMethod::HandleListed).then_some(true),
            ..Reply::new(None, outcome)
        })
        .expect("a reply"))
    }

    async fn listen(&self, _: Tenant) -> Result<Deaf, CallError> {
        Err(CallError { overloaded: false, retryable: false, message: "nothing to hear".to_owned() })
    }

    async fn ping_object(&self) -> Result<(), CallError> {
        Ok(())
    }

    async fn pause(&self, millis: u32) {
        self.0.now_ms.set(self.0.now_ms.get() + i64::from(millis));
    }

    async fn caller_gone(&self) {
        std::future::pending::<()>().await;
    }

    fn log(&self, _: &str) {}

    fn measure<'a>(&self, _: impl FnOnce() -> DataPoint<'a>) {}
}

impl Fetcher for Edge {
    async fn fetch(&self, _: Fetch<'_>) -> Result<u16, FetchError> {
        Err(FetchError::TimedOut)
    }
}

pub struct Request {
    pub method: &'static str,
    url: String,
    /// The header that holds the credential, and the credential.
    credential: (&'static str, String),
    accept: &'static str,
    body: &'static str,
}

impl Request {
    /// By the holder of a key of the tenant with the number 3.
    pub fn new(method: &'static str, path: &str, body: &'static str) -> Self {
        let credential = bearer(api_key(tenant(3), 1).reveal());
        Self { method, url: format!("https://edge{path}"), credential, accept: "*/*", body }
    }

    /// By a caller who takes this media type.
    pub fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    /// By nobody: without a credential.
    pub fn by_nobody(self) -> Self {
        Self { credential: ("", String::new()), ..self }
    }

    pub fn by_operator(self) -> Self {
        Self { credential: bearer(SECRET), ..self }
    }

    /// By the holder of the key of a tenant with a number.
    pub fn by(self, tenant: Tenant, number: u8) -> Self {
        Self { credential: bearer(api_key(tenant, number).reveal()), ..self }
    }

    /// The same with a key for services.
    pub fn by_service(self, tenant: Tenant, number: u8) -> Self {
        Self { credential: ("X-Assistant-Service-Key", api_key(tenant, number).reveal().to_owned()), ..self }
    }
}

fn bearer(credential: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {credential}"))
}

impl Incoming for Request {
    fn method(&self) -> &str {
        self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn header(&self, name: &str) -> Option<String> {
        match name {
            _ if name == self.credential.0 => Some(self.credential.1.clone()),
            "Accept" => Some(self.accept.to_owned()),
            "Content-Type" => Some("application/json".to_owned()),
            "Idempotency-Key" => Some("k".to_owned()),
            _ => None,
        }
    }

    async fn body(&self, _: usize) -> Result<Vec<u8>, BodyError> {
        Ok(self.body.as_bytes().to_vec())
    }
}

pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_ref())
}

/// Makes organizations, whose objects nobody has asked yet.
pub fn organize(edge: &Edge, count: u8) -> Vec<Organization> {
    let now = Timestamp::from_millis(START_MS);
    let make = |number: u8| Organization {
        id: tenant(number).organization,
        name: Name::new("Acme").expect("a name"),
        slug: Slug::new(format!("acme-{number}")).expect("a slug"),
        clerk_org_id: None,
        location: None,
        limits: Limits::default(),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let organizations: Vec<Organization> = (0..count).map(make).collect();
    for organization in &organizations {
        let document = serde_json::to_string(organization).expect("JSON");
        let (id, slug) = (organization.id.to_string(), organization.slug.as_str());
        let insert = "INSERT INTO organizations (id, slug, version, document) VALUES (?1, ?2, 1, ?3)";
        let row = Statement::new(insert, [id.into(), slug.into(), document.into()]);
        edge.listing.batch(&[row]).expect("an organization");
    }
    organizations
}
