//! How often the edge tries, and how long it waits: the shipped pipeline, with a clock that moves with each pause and objects
//! that answer what a test says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::StreamExt as _;
use rollcall::clerk::key::PublicKey;
use rollcall::clerk::sessions::Sessions;
use rollcall::directory::api_key::{ApiKey, KeyPrefix};
use rollcall::directory::deletion::Erased;
use rollcall::directory::identifiers::{DeletionId, Mode, OrganizationId, Tenant};
use rollcall::directory::names::Name;
use rollcall::directory::organization::{Limits, Organization, Slug};
use rollcall::directory::placement::LocationHint;
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::edge::denial_cache::DenialCache;
use rollcall::edge::http::request::{BodyError, Incoming};
use rollcall::edge::http::response::{Content, Response};
use rollcall::edge::leases::Leases;
use rollcall::edge::public_limiter::PublicLimiter;
use rollcall::edge::runtime::{CallError, ObjectMethod, Runtime};
use rollcall::edge::turn_waiters::TurnWaiters;
use rollcall::edge::{pipeline, scheduled};
use rollcall::fetch::{Fetch, FetchError, Fetcher};
use rollcall::organization::protocol::{
    self, Answer, Call, Caller, ClosingProgress, Denial, ExportList, ExportPlace, ExportedPart, Outcome, Rejection,
    Reply, Resource,
};
use rollcall::organization::sql::Sql;
use rollcall::projection::{Database, Statement, StoreError, Texts};
use rollcall::refusal::Refusal;

use crate::audit::{Kv, ready};
use crate::sqlite::Sqlite;

const START_MS: i64 = 1_700_000_000_000;
const SECRET: &str = "a secret of more than thirty-two characters";

/// What every object answers.
type ObjectAnswer = fn() -> Result<Outcome, CallError>;

struct State {
    configuration: Rc<Configuration>,
    listing: Sqlite,
    answer: ObjectAnswer,
    now_ms: Cell<i64>,
    /// How long a call to an object takes.
    call_takes_ms: Cell<i64>,
    /// Every call to an object, and when it was made.
    calls: RefCell<Vec<(i64, Call)>>,
    /// How often the row of an organization was to be replaced.
    replacements: Cell<u32>,
    public_limiter: RefCell<PublicLimiter>,
    denial_cache: RefCell<DenialCache>,
    leases: RefCell<Leases>,
    turn_waiters: TurnWaiters,
    sessions: RefCell<Sessions>,
}

/// The edge, its clock and its stores.
#[derive(Clone)]
struct Edge(Rc<State>);

impl Edge {
    fn new(answer: ObjectAnswer) -> Self {
        let variable = |name: &str| match name {
            "KEY_SECRET" | "ADMIN_TOKEN" => Some(SECRET.to_owned()),
            _ => None,
        };
        Self(Rc::new(State {
            configuration: Rc::new(Configuration::read(variable, false).expect("a configuration")),
            listing: Sqlite::listing(),
            answer,
            now_ms: Cell::new(START_MS),
            call_takes_ms: Cell::default(),
            calls: RefCell::default(),
            replacements: Cell::default(),
            public_limiter: RefCell::default(),
            denial_cache: RefCell::default(),
            leases: RefCell::default(),
            turn_waiters: TurnWaiters::default(),
            sessions: RefCell::default(),
        }))
    }

    fn serve(&self, request: &Request) -> Response {
        ready(pipeline::serve(self, request))
    }

    fn calls(&self) -> usize {
        self.0.calls.borrow().len()
    }

    fn count(&self, table: &str) -> u64 {
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

impl Runtime for Edge {
    type Incoming = Request;
    type Database = Self;
    type Cache = Kv;

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now_ms.get())
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        Ok([7; N])
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Refusal> {
        Ok(Rc::clone(&self.0.configuration))
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

    fn turn_waiters(&self) -> &TurnWaiters {
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
        _: Tenant,
        _: Option<LocationHint>,
        _: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let call: Call = protocol::decode(call).expect("a call");
        self.0.calls.borrow_mut().push((self.0.now_ms.get(), call));
        self.0.now_ms.set(self.0.now_ms.get() + self.0.call_takes_ms.get());
        let outcome = (self.0.answer)()?;
        Ok(protocol::encode(&Reply::new(None, outcome)).expect("a reply"))
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
}

impl Fetcher for Edge {
    async fn fetch(&self, _: Fetch<'_>) -> Result<u16, FetchError> {
        Err(FetchError::TimedOut)
    }
}

fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::new(Timestamp::from_millis(START_MS), [3; 10]), mode: Mode::Live }
}

struct Request {
    method: &'static str,
    url: String,
    bearer: String,
    body: &'static str,
}

impl Request {
    /// By the holder of a key.
    fn new(method: &'static str, path: &str, body: &'static str) -> Self {
        let secret = Secret::new(SECRET.to_owned()).expect("a secret");
        let key = ApiKey::mint(&KeyPrefix::default(), tenant(), [1; 32], &secret);
        Self { method, url: format!("https://edge{path}"), bearer: format!("Bearer {}", key.reveal()), body }
    }

    fn by_operator(self) -> Self {
        Self { bearer: format!("Bearer {SECRET}"), ..self }
    }
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
            "Authorization" => Some(self.bearer.clone()),
            "Content-Type" => Some("application/json".to_owned()),
            "Idempotency-Key" => Some("k".to_owned()),
            _ => None,
        }
    }

    async fn body(&self, _: usize) -> Result<Vec<u8>, BodyError> {
        Ok(self.body.as_bytes().to_vec())
    }
}

fn failed(retryable: bool, overloaded: bool) -> Result<Outcome, CallError> {
    Err(CallError { overloaded, retryable, message: "lost".to_owned() })
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_ref())
}

/// A request whose object answers late is refused after requests that came later. The bucket of the client's address goes by
/// the time of the refusal. By the time of the request it would lack what has flowed back since.
#[test]
fn a_refusal_that_comes_late_finds_the_bucket_as_it_is() {
    let edge = Edge::new(|| Ok(Err(Rejection::Denied(Denial::InvalidKey))));
    let late = Request::new("GET", "/v1/end-users/ada", "");
    let unknown = Request { bearer: String::new(), ..Request::new("GET", "/v1/end-users/ada", "") };
    edge.0.now_ms.set(START_MS + 12_000);
    assert_eq!(edge.serve(&unknown).status, 401);
    edge.0.now_ms.set(START_MS);
    edge.0.call_takes_ms.set(12_000);
    assert_eq!(edge.serve(&late).status, 401);
}

/// A call that was lost is repeated once, if nothing happens twice by it and the object is not overloaded.
#[test]
fn a_lost_call_is_repeated_once_at_most() {
    let read = Request::new("GET", "/v1/end-users/ada", "");
    let create = Request::new("POST", "/v1/end-users", "{\"user_id\":\"ada\"}");
    let change = Request::new("PATCH", "/v1/end-users/ada", "{\"metadata\":{}}");
    let lost: ObjectAnswer = || failed(true, false);
    let late: ObjectAnswer = || failed(false, false);
    let overloaded: ObjectAnswer = || failed(true, true);
    for (answer, request, calls, retry_after) in [
        (lost, &read, 2, "1"),
        (lost, &create, 2, "1"),
        (lost, &change, 1, "1"),
        (late, &read, 1, "1"),
        (overloaded, &read, 1, "5"),
    ] {
        let edge = Edge::new(answer);
        let response = edge.serve(request);
        assert_eq!((response.status, header(&response, "Retry-After")), (503, Some(retry_after)), "{}", request.method);
        let repeated: Vec<bool> = edge.0.calls.borrow().iter().map(|(_, call)| call.repeated).collect();
        assert_eq!(repeated, [false, true][..calls], "{}", request.method);
    }
}

/// The runtime repeats a call by itself for some time. What fails after that has been repeated.
#[test]
fn a_call_that_was_lost_late_is_not_repeated() {
    for (call_takes_ms, calls) in [(2_000, 2), (2_001, 1)] {
        let edge = Edge::new(|| failed(true, false));
        edge.0.call_takes_ms.set(call_takes_ms);
        assert_eq!(edge.serve(&Request::new("GET", "/v1/end-users/ada", "")).status, 503);
        assert_eq!(edge.calls(), calls, "after {call_takes_ms} ms");
    }
}

/// A request that finds the same turn in progress asks for it again, less and less often, without a token, and gives up.
#[test]
fn a_request_waits_for_anothers_turn_for_25_seconds() {
    let edge = Edge::new(|| Ok(Err(Rejection::IdempotencyInFlight)));
    let response =
        edge.serve(&Request::new("POST", "/v1/respond", "{\"message\":\"hi\",\"personality_id\":\"tutor\"}"));
    assert_eq!((response.status, header(&response, "Retry-After")), (409, Some("1")));
    let calls = edge.0.calls.borrow();
    let asked_ms: Vec<i64> = calls.iter().map(|(at_ms, _)| at_ms - START_MS).collect();
    let pauses: Vec<i64> = asked_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..3], [200, 400, 800]);
    assert!(pauses[3..].iter().all(|pause| *pause == 1_000), "{pauses:?}");
    let [.., before, last] = asked_ms[..] else { panic!("{asked_ms:?}") };
    assert!(before < 25_000 && (25_000..26_000).contains(&last), "{asked_ms:?}");
    let cost = |call: &Call| match call.caller {
        Caller::Key { cost, .. } => cost,
        Caller::Operator => 0,
    };
    assert_eq!(calls.iter().map(|(_, call)| cost(call)).sum::<u32>(), 1);
}

/// Makes organizations, whose objects nobody has asked yet.
fn organize(edge: &Edge, count: u8) -> Vec<Organization> {
    let now = Timestamp::from_millis(START_MS);
    let make = |number: u8| Organization {
        id: OrganizationId::new(now, [number; 10]),
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
        edge.0.listing.batch(&[row]).expect("an organization");
    }
    organizations
}

#[test]
fn a_tick_begins_at_most_a_hundred_audits() {
    let edge = Edge::new(|| Ok(Ok(Answer::StartAudit(None))));
    organize(&edge, 101);
    let begun = || {
        ready(scheduled::tick(&edge));
        (edge.calls(), edge.count("organizations WHERE live_audited_at > 0"))
    };
    // Both objects of each are called.
    assert_eq!([begun(), begun(), begun()], [(200, 100), (202, 101), (202, 101)]);
}

/// The others are told at the next tick, and it is told again after an hour.
#[test]
fn an_object_that_cannot_be_reached_holds_no_other_up() {
    let edge = Edge::new(|| failed(false, false));
    organize(&edge, 101);
    let calls_at = |minutes: i64| {
        edge.0.now_ms.set(START_MS + minutes * 60_000);
        ready(scheduled::tick(&edge));
        edge.calls()
    };
    assert_eq!([calls_at(0), calls_at(15), calls_at(59), calls_at(60)], [100, 101, 101, 201]);
}

#[test]
fn an_object_that_has_not_audited_itself_for_26_hours_is_told_to() {
    const OVERDUE_MS: i64 = 26 * 60 * 60 * 1_000;
    let edge = Edge::new(|| Ok(Ok(Answer::StartAudit(None))));
    organize(&edge, 1);
    edge.0.listing.execute(&format!("UPDATE organizations SET live_audited_at = {START_MS}"));
    edge.0.listing.execute(&format!("UPDATE organizations SET test_audited_at = {}", START_MS + 1));
    let calls_at = |millis: i64| {
        edge.0.now_ms.set(START_MS + millis);
        ready(scheduled::tick(&edge));
        edge.calls()
    };
    assert_eq!([calls_at(OVERDUE_MS - 1), calls_at(OVERDUE_MS)], [0, 2]);
}

#[test]
fn a_tick_goes_on_with_at_most_a_hundred_deletions() {
    let edge = Edge::new(|| {
        let now = Timestamp::from_millis(START_MS);
        Ok(Ok(Answer::Close(ClosingProgress { completed_at: Some(now), erased: Erased::default() })))
    });
    let now = Timestamp::from_millis(START_MS);
    for number in 0..101_u8 {
        let insert =
            "INSERT INTO organization_deletions (deletion_id, organization_id, requested_at) VALUES (?1, ?2, ?3)";
        let deletion_id = DeletionId::new(now, [number; 10]).to_string();
        let organization_id = OrganizationId::new(now, [number; 10]).to_string();
        let row = Statement::new(insert, [deletion_id.into(), organization_id.into(), now.to_string().into()]);
        edge.0.listing.batch(&[row]).expect("a deletion");
    }
    let completed = || {
        ready(scheduled::tick(&edge));
        edge.count("organization_deletions WHERE completed_at IS NOT NULL")
    };
    assert_eq!([completed(), completed()], [100, 101]);
}

/// Another request changes the organization between each look at it and each change.
#[test]
fn a_change_of_an_organization_is_tried_five_times() {
    let edge = Edge::new(|| Ok(Err(Rejection::NotFound(Resource::Organization))));
    let organizations = organize(&edge, 1);
    edge.0.listing.execute("UPDATE organizations SET version = 2");
    let path = format!("/admin/v1/organizations/{}", organizations[0].id);
    let response = edge.serve(&Request::new("PATCH", &path, "{\"name\":\"Other\"}").by_operator());
    assert_eq!((response.status, edge.0.replacements.get(), edge.calls()), (409, 5, 0));
}

/// A part of an export that never ends.
fn part() -> Answer {
    let list = ExportList::KeptAnswers { after: 7 };
    let exported_at = Timestamp::from_millis(START_MS);
    let next = Some(ExportPlace { user: 1, exported_at, last_answer: 9, last_change: 9, list });
    Answer::ExportPart(ExportedPart { text: "x".to_owned(), next })
}

/// So the edge holds no more than one part.
#[test]
fn an_export_asks_for_a_part_when_the_one_before_is_taken() {
    let edge = Edge::new(|| Ok(Ok(part())));
    let Response { status, body, .. } = edge.serve(&Request::new("GET", "/v1/end-users/ada/export", ""));
    let Content::Parts(mut parts) = body else { panic!("more parts follow") };
    assert_eq!((status, edge.calls()), (200, 1));
    for calls in 1..20 {
        let taken = ready(parts.next()).expect("a part").expect("a part");
        assert_eq!((taken.as_str(), edge.calls()), ("x", calls));
    }
    let costs = edge
        .0
        .calls
        .borrow()
        .iter()
        .map(|(_, call)| match call.caller {
            Caller::Key { cost, .. } => cost,
            Caller::Operator => panic!("the key may be revoked"),
        })
        .collect::<Vec<_>>();
    assert!(costs[0] == 1 && costs[1..].iter().all(|cost| *cost == 0), "one token: {costs:?}");
    // Without a reader nothing happens.
    drop(parts);
    assert_eq!(edge.calls(), costs.len());
}
