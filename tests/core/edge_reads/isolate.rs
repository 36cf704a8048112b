//! The edge: the shipped pipeline in several isolates, each with its own clock, its leases, and a location of KV.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use rollcall::clerk::key::PublicKey;
use rollcall::clerk::sessions::Sessions;
use rollcall::directory::identifiers::Tenant;
use rollcall::directory::placement::LocationHint;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::edge::denial_cache::DenialCache;
use rollcall::edge::http::request::{BodyError, Incoming};
use rollcall::edge::http::response::{Content, Response};
use rollcall::edge::leases::Leases;
use rollcall::edge::pipeline;
use rollcall::edge::public_limiter::PublicLimiter;
use rollcall::edge::runtime::{CallError, ObjectMethod, Runtime};
use rollcall::edge::turn_waiters::TurnWaiters;
use rollcall::fetch::{Fetch, FetchError, Fetcher};
use rollcall::organization::protocol::{self, Call, Caller};
use rollcall::refusal::Refusal;

use super::listing::Listing;
use super::schedule::Owner;
use super::store::Location;
use super::world::{World, setting};

/// How long the edge waits for the object, in milliseconds.
const CALL_LIMIT_MS: i64 = 15_000;
/// The longest way of a call, or of its reply, in milliseconds.
const WAY_MAX_MS: i64 = 7_000;
/// How late a call may arrive that the edge gave up, in milliseconds.
const LATE_MS: i64 = 30_000;

#[derive(Default)]
pub struct Isolate {
    skew_ms: i64,
    location: usize,
    leases: RefCell<Leases>,
    denial_cache: RefCell<DenialCache>,
    public_limiter: RefCell<PublicLimiter>,
    turn_waiters: TurnWaiters,
    sessions: RefCell<Sessions>,
    /// The number of its starts.
    life: Cell<u64>,
}

impl Isolate {
    pub fn new(skew_ms: i64, location: usize) -> Self {
        Self { skew_ms, location, ..Self::default() }
    }
}

/// A request of a client.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub user: usize,
    pub key: usize,
    /// How old the answer may be, in seconds; `None` asks for a strong one.
    pub max_stale_s: Option<u32>,
    pub body: String,
    url: String,
    authorization: String,
}

impl Request {
    pub fn new(world: &World, method: &'static str, user: usize, key: usize) -> Self {
        let path = if method == "POST" { "" } else { world.bench.user_ids[user].as_str() };
        Self {
            method,
            user,
            key,
            max_stale_s: None,
            body: String::new(),
            url: format!("https://edge/v1/end-users{}{path}", if path.is_empty() { "" } else { "/" }),
            authorization: format!("Bearer {}", world.bench.keys[key].reveal()),
        }
    }

    pub fn with_body(self, body: String) -> Self {
        Self { body, ..self }
    }

    pub fn stale(self, max_stale_s: u32) -> Self {
        Self { max_stale_s: Some(max_stale_s), ..self }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, user, key, max_stale_s, body, .. } = self;
        write!(formatter, "{method} user {user} by key {key}, max-stale {max_stale_s:?} {body}")
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
            "Authorization" => Some(self.authorization.clone()),
            "Cache-Control" => self.max_stale_s.map(|seconds| format!("max-stale={seconds}")),
            "Content-Type" if !self.body.is_empty() => Some("application/json".to_owned()),
            _ => None,
        }
    }

    async fn body(&self, _: usize) -> Result<Vec<u8>, BodyError> {
        Ok(self.body.clone().into_bytes())
    }
}

/// What a client is answered.
pub struct Answered {
    pub status: u16,
    /// How old it says it is, in seconds; `None` when the object has answered.
    pub age_s: Option<i64>,
    pub body: String,
}

impl fmt::Display for Answered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.body.split("\"display_name\":").nth(1).and_then(|rest| rest.split(',').next());
        write!(formatter, "{} {:?} age {:?}", self.status, record.unwrap_or_default(), self.age_s)
    }
}

impl Answered {
    fn of(response: Response) -> Self {
        let header = |name| response.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_ref());
        let age = header("Age").map(|text| text.parse().expect("a number of seconds"));
        let age_s = (header("X-Rollcall-Source") == Some("edge")).then(|| age.expect("the age of a copy"));
        let Content::Text(body) = response.body else { panic!("a body that is no text") };
        Self { status: response.status, age_s, body }
    }
}

impl World {
    /// Sends a request to an isolate.
    pub fn request(self: &Rc<Self>, isolate: usize, request: Request) {
        let runtime = SimulatedRuntime { world: Rc::clone(self), isolate };
        let world = Rc::clone(self);
        self.schedule.spawn(Owner::Isolate(isolate), async move {
            let answered = Answered::of(pipeline::serve(&runtime, &request).await);
            world.note_answer(isolate, &request, &answered);
        });
    }

    /// An isolate ends, with what it knows and whom it serves.
    pub fn restart_isolate(&self, isolate: usize) {
        self.trace(|| format!("isolate {isolate} restarts"));
        self.schedule.end(Owner::Isolate(isolate));
        let Isolate { leases, denial_cache, life, .. } = &self.isolates[isolate];
        life.set(life.get() + 1);
        *leases.borrow_mut() = Leases::default();
        *denial_cache.borrow_mut() = DenialCache::default();
        self.oracle.borrow_mut().restart_isolate(isolate);
    }
}

/// The ports of the edge.
#[derive(Clone)]
struct SimulatedRuntime {
    world: Rc<World>,
    isolate: usize,
}

impl SimulatedRuntime {
    fn isolate(&self) -> &Isolate {
        &self.world.isolates[self.isolate]
    }
}

fn failed(retryable: bool) -> CallError {
    CallError { overloaded: false, retryable, message: "lost".to_owned() }
}

impl Runtime for SimulatedRuntime {
    type Incoming = Request;
    type Database = Listing;
    type Cache = Location;

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world.schedule.now_ms() + self.isolate().skew_ms)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        Ok(self.world.random_bytes())
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Refusal> {
        Ok(Rc::clone(&self.world.bench.configuration))
    }

    fn setting(&self, name: &str) -> Option<String> {
        setting(name)
    }

    fn has_ai(&self) -> bool {
        false
    }

    fn public_limiter(&self) -> &RefCell<PublicLimiter> {
        &self.isolate().public_limiter
    }

    fn denial_cache(&self) -> &RefCell<DenialCache> {
        &self.isolate().denial_cache
    }

    fn leases(&self) -> &RefCell<Leases> {
        &self.isolate().leases
    }

    fn turn_waiters(&self) -> &TurnWaiters {
        &self.isolate().turn_waiters
    }

    fn sessions(&self) -> &RefCell<Sessions> {
        &self.isolate().sessions
    }

    async fn verify_rs256(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, Refusal> {
        Err(Refusal::new("no session here"))
    }

    fn database(&self) -> Result<Listing, Refusal> {
        Ok(Listing(Rc::clone(&self.world)))
    }

    fn cache(&self) -> Result<Location, Refusal> {
        Ok(Location { world: Rc::clone(&self.world), location: self.isolate().location })
    }

    async fn call(
        &self,
        _: Tenant,
        _: Option<LocationHint>,
        _: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let (world, isolate) = (&self.world, self.isolate);
        let read: Call = protocol::decode(call).expect("a call");
        let Caller::Key { digest, .. } = &read.caller else { panic!("only key holders call from an isolate") };
        let key = world.bench.key_of(digest);
        let asks = read.edge.as_ref().is_some_and(|edge| edge.used.is_some());
        if asks && !read.repeated {
            world.oracle.borrow_mut().asks(isolate, key, world.schedule.now_ms());
        }
        let life = self.isolate().life.get();
        let (slot, reply) = world.schedule.slot();
        let way_ms = || if world.one_in(6) { world.below(WAY_MAX_MS) } else { world.below(world.plan.way_ms) };
        let (there_ms, back_ms, bytes) = (way_ms(), way_ms(), call.to_vec());
        match world.below(60) {
            0 | 1 if world.is_faulty.get() => {
                let gives_up_ms = if world.one_in(2) { CALL_LIMIT_MS } else { world.below(500) };
                if world.one_in(2) {
                    world.tally("calls that arrive late");
                    world.schedule.after(gives_up_ms + world.below(LATE_MS), move |world| {
                        world.require(world.execute(&bytes));
                    });
                }
                let error = failed(world.one_in(2));
                world.schedule.after(gives_up_ms, move |world| world.schedule.fill(&slot, Err(error)));
            }
            lot => world.schedule.after(there_ms, move |world| {
                let Some(answer) = world.require(world.execute(&bytes)) else { return };
                let is_lost = world.is_faulty.get() && lot == 2;
                world.schedule.after(back_ms, move |world| {
                    if is_lost {
                        world.tally("replies lost");
                        world.schedule.fill(&slot, Err(failed(true)));
                    } else if world.isolates[isolate].life.get() == life {
                        world.oracle.borrow_mut().receives(isolate, key, &answer);
                        world.schedule.fill(&slot, Ok(answer));
                    }
                });
            }),
        }
        reply.await
    }

    async fn ping_object(&self) -> Result<(), CallError> {
        Ok(())
    }

    async fn pause(&self, millis: u32) {
        self.world.sleep(i64::from(millis)).await;
    }

    async fn caller_gone(&self) {
        std::future::pending::<()>().await;
    }

    fn log(&self, _: &str) {}
}

impl Fetcher for SimulatedRuntime {
    async fn fetch(&self, _: Fetch<'_>) -> Result<u16, FetchError> {
        Err(FetchError::TimedOut)
    }
}
