//! The edge: the shipped pipeline in several isolates, each with its own clock, its memory, and a location of KV.

mod http;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rollcall::clerk::key::PublicKey;
use rollcall::clerk::sessions::Sessions;
use rollcall::directory::identifiers::Tenant;
use rollcall::directory::placement::LocationHint;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::edge::denial_cache::DenialCache;
use rollcall::edge::leases::Leases;
use rollcall::edge::metrics::DataPoint;
use rollcall::edge::pipeline;
use rollcall::edge::public_limiter::PublicLimiter;
use rollcall::edge::runtime::{CallError, EventListener, ObjectMethod, Runtime};
use rollcall::edge::waiters::Waiters;
use rollcall::fetch::{Fetch, FetchError, Fetcher, Outgoing};
use rollcall::refusal::Refusal;

pub use http::{Answer, Request};

use super::d1::Listing;
use super::kv::Location;
use super::object::{Reply, failed};
use super::state::{World, setting};
use super::time::{Later, Owner};

/// How long the edge waits for the object, in milliseconds.
const CALL_LIMIT_MS: i64 = 15_000;
/// How late a call may arrive that the edge gave up, in milliseconds.
pub const LATE_MS: i64 = 30_000;
/// After a caller has hung up the platform ends its request so much later, in milliseconds.
const AFTER_HANG_UP_MS: i64 = 30_000;
/// How long word of an event is on its way, in milliseconds.
const HEARD_WITHIN_MS: i64 = 50;
/// How long a client waits, in milliseconds.
const PATIENCE_MS: i64 = 120_000;

#[derive(Default)]
pub struct Isolate {
    pub skew_ms: Cell<i64>,
    /// When its clock was last set back, by true time.
    pub set_back_ms: Cell<i64>,
    location: usize,
    leases: RefCell<Leases>,
    denial_cache: RefCell<DenialCache>,
    public_limiter: RefCell<PublicLimiter>,
    turn_waiters: Waiters,
    event_waiters: Waiters,
    sessions: RefCell<Sessions>,
}

impl Isolate {
    pub fn new(skew_ms: i64, location: usize) -> Self {
        Self { skew_ms: Cell::new(skew_ms), set_back_ms: Cell::new(i64::MIN / 2), location, ..Self::default() }
    }
}

impl World {
    /// Sends a request, and waits for the answer. `None` when the client never learns what came of it.
    pub async fn ask(self: &Rc<Self>, request: Request) -> Option<Answer> {
        let isolate = self.pick(self.isolates.len());
        self.ask_at(isolate, request).await
    }

    pub async fn ask_at(self: &Rc<Self>, isolate: usize, request: Request) -> Option<Answer> {
        self.trace(|| format!("isolate {isolate}: {} {} {}", request.method, request.path, request.body));
        let sent = self.oracle.borrow_mut().moment(self.time.now_ms());
        let writer = request.tenant.filter(|_| request.method != "GET");
        let write = writer.map(|tenant| (tenant, self.oracle.borrow_mut().writes(tenant, sent)));
        let (gone, is_muddled) = (Later::default(), Rc::new(Cell::new(false)));
        let runtime =
            Surroundings { world: Rc::clone(self), isolate, gone: gone.clone(), is_muddled: Rc::clone(&is_muddled) };
        let answered: Later<Option<Answer>> = Later::default();
        let (later, incoming) = (answered.clone(), request.clone());
        let task = self.time.spawn(Owner::Isolate(isolate), async move {
            let response = pipeline::serve(&runtime, &incoming).await;
            later.give(Some(Answer::of(response, &is_muddled).await));
        });
        self.time.limit(&answered, PATIENCE_MS, None);
        if let Some(wait_ms) = request.hangs_up_ms {
            let (world, answered) = (Rc::clone(self), answered.clone());
            self.time.after(wait_ms, move || {
                gone.give(());
                answered.give(None);
                let time = Rc::clone(&world);
                world.time.after(AFTER_HANG_UP_MS, move || time.time.end_task(task));
            });
        }
        let answer = answered.await;
        self.trace(|| match &answer {
            Some(answer) => format!("  {} {}: {} {}", request.method, request.path, answer.status, answer.body),
            None => format!("  {} {}: no answer", request.method, request.path),
        });
        let answer = answer?;
        self.check_answer(isolate, &request, &answer, sent);
        if let Some((tenant, write)) = write {
            self.oracle.borrow_mut().has_written(tenant, write, &answer);
        }
        if self.one_in(40) {
            self.fault("answers lost on their way to the client");
            return None;
        }
        Some(answer)
    }

    /// An isolate ends, with what it knows and whom it serves.
    pub fn restart_isolate(&self, number: usize) {
        self.fault("isolates restarted");
        self.time.end(Owner::Isolate(number));
        let isolate = &self.isolates[number];
        *isolate.leases.borrow_mut() = Leases::default();
        *isolate.denial_cache.borrow_mut() = DenialCache::default();
        *isolate.public_limiter.borrow_mut() = PublicLimiter::default();
    }

    /// The cron trigger, in an isolate.
    pub fn tick(self: &Rc<Self>) {
        let isolate = self.pick(self.isolates.len());
        let (gone, is_muddled) = (Later::default(), Rc::default());
        let runtime = Surroundings { world: Rc::clone(self), isolate, gone, is_muddled };
        self.time.spawn(Owner::Isolate(isolate), async move {
            rollcall::edge::scheduled::tick(&runtime).await;
        });
    }
}

/// A connection to an object.
struct Listener {
    world: Rc<World>,
    number: usize,
    /// How often the object had told of events when the listening began.
    since: u64,
}

impl EventListener for Listener {
    async fn heard(&self) {
        while self.world.places[self.number].announced.get() == self.since {
            self.world.time.sleep(HEARD_WITHIN_MS).await;
        }
    }
}

/// The ports of the edge.
#[derive(Clone)]
struct Surroundings {
    world: Rc<World>,
    isolate: usize,
    gone: Later<()>,
    is_muddled: Rc<Cell<bool>>,
}

impl Surroundings {
    fn isolate(&self) -> &Isolate {
        &self.world.isolates[self.isolate]
    }

    fn muddle(&self, what: &'static str) {
        self.world.fault(what);
        self.is_muddled.set(true);
    }
}

impl Runtime for Surroundings {
    type Incoming = Request;
    type Database = Listing;
    type Cache = Location;
    type Listener = Listener;

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world.time.now_ms() + self.isolate().skew_ms.get())
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        Ok(self.world.random_bytes())
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Refusal> {
        Ok(Rc::clone(&self.world.configuration))
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

    fn event_waiters(&self) -> &Waiters {
        &self.isolate().event_waiters
    }

    fn turn_waiters(&self) -> &Waiters {
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
        let isolate = self.isolate();
        Ok(Location { world: Rc::clone(&self.world), place: isolate.location, writer: None })
    }

    async fn call(
        &self,
        tenant: Tenant,
        _: Option<LocationHint>,
        method: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let world = &self.world;
        let number = world.number_of(tenant);
        let way_ms = || if world.one_in(10) { world.below(3_000) } else { world.below(40) };
        let (there_ms, back_ms, bytes) = (way_ms(), way_ms(), call.to_vec());
        let answer = Reply::default();
        let lot = if world.is_faulty() { world.below(120) } else { i64::MAX };
        if lot == 0 {
            self.world.fault("calls turned away: overloaded");
            return Err(failed(true, true, "overloaded"));
        }
        if lot < 3 {
            let gives_up_ms = if world.one_in(2) { CALL_LIMIT_MS } else { world.below(500) };
            if world.one_in(2) {
                self.muddle("calls that arrive late");
                let late = Rc::clone(world);
                world
                    .time
                    .after(gives_up_ms + world.below(LATE_MS), move || drop(late.execute(number, method, &bytes)));
            } else {
                self.muddle("calls lost");
            }
            world.time.limit(&answer, gives_up_ms, Err(failed(false, world.one_in(2), "lost")));
            return answer.await;
        }
        world.time.limit(&answer, CALL_LIMIT_MS, Err(failed(false, false, "the object did not answer in time")));
        let (given, arrives) = (answer.clone(), Rc::clone(world));
        let is_lost = lot == 3;
        if is_lost {
            self.muddle("replies lost");
        }
        world.time.after(there_ms, move || {
            let reply = arrives.execute(number, method, &bytes);
            let world = Rc::clone(&arrives);
            arrives.time.spawn(Owner::Client, async move {
                let reply = reply.await;
                world.time.sleep(back_ms).await;
                given.give(if is_lost { Err(failed(false, true, "lost")) } else { reply });
            });
        });
        let answered = answer.await;
        if answered.is_err() {
            self.is_muddled.set(true);
        }
        answered
    }

    async fn listen(&self, tenant: Tenant) -> Result<Listener, CallError> {
        self.world.time.sleep(self.world.below(40)).await;
        if self.world.is_faulty() && self.world.one_in(20) {
            self.world.fault("readers who cannot listen");
            return Err(failed(false, false, "no connection"));
        }
        let number = self.world.number_of(tenant);
        let since = self.world.places[number].announced.get();
        Ok(Listener { world: Rc::clone(&self.world), number, since })
    }

    async fn ping_object(&self) -> Result<(), CallError> {
        Ok(())
    }

    async fn pause(&self, millis: u32) {
        self.world.time.sleep(i64::from(millis)).await;
    }

    async fn caller_gone(&self) {
        self.gone.clone().await;
    }

    fn log(&self, line: &str) {
        if line.contains("\"reason\"") {
            self.world.trace(|| format!("  log {line}"));
        }
    }

    fn measure<'a>(&self, _: impl FnOnce() -> DataPoint<'a>) {}
}

impl Fetcher for Surroundings {
    /// The model.
    async fn fetch(&self, request: Fetch<'_>) -> Result<u16, FetchError> {
        let world = &self.world;
        let Outgoing::Post { body, .. } = request.outgoing else { return Err(FetchError::Broken("no".to_owned())) };
        match world.below(30) {
            0 if world.is_faulty() => {
                world.fault("models that hang");
                world.time.sleep(i64::from(request.limit_ms)).await;
                return Err(FetchError::TimedOut);
            }
            1 if world.is_faulty() => {
                world.fault("models that fail");
                return Ok(500);
            }
            _ => world.time.sleep(world.below(4_000)).await,
        }
        // The answer repeats what the model was told of the person.
        let told: String = body
            .split("tok")
            .nth(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect())
            .unwrap_or_default();
        let content = format!("I see tok{told}");
        let is_streamed = body.contains("\"stream\":true");
        let answer = if is_streamed {
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\ndata: [DONE]\n\n")
        } else {
            format!("{{\"choices\":[{{\"message\":{{\"content\":\"{content}\"}}}}]}}")
        };
        (request.on_chunk)(answer.as_bytes());
        Ok(200)
    }
}
