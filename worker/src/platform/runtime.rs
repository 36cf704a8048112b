//! The runtime of the edge on Workers.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::{JsCast, JsValue};
use web_sys::Request;
use worker::Env;

use super::bindings::{Bindings, binding};
use super::d1::D1;
use super::http::{HttpRequest, caller_gone};
use super::kv::Kv;
use super::listener::Listener;
use super::rpc::{self, Namespace};
use super::{ai, clock, crypto, entropy, fetch, metrics};
use crate::executor::pause;
use rollcall::clerk::key::PublicKey;
use rollcall::clerk::sessions::Sessions;
use rollcall::directory::identifiers::Tenant;
use rollcall::directory::placement::LocationHint;
use rollcall::directory::timestamp::Timestamp;
use rollcall::edge::configuration::Configuration;
use rollcall::edge::denial_cache::DenialCache;
use rollcall::edge::leases::Leases;
use rollcall::edge::metrics::DataPoint;
use rollcall::edge::public_limiter::PublicLimiter;
use rollcall::edge::runtime::{CallError, ObjectMethod, Runtime};
use rollcall::edge::waiters::Waiters;
use rollcall::fetch::{Fetch, FetchError, Fetcher, Outgoing};
use rollcall::refusal::Refusal;

thread_local! {
    /// Read once per isolate, as variables and secrets change only by a new deployment.
    static CONFIGURATION: RefCell<Option<Rc<Configuration>>> = const { RefCell::new(None) };
    static PUBLIC_LIMITER: &'static RefCell<PublicLimiter> = Box::leak(Box::default());
    static DENIAL_CACHE: &'static RefCell<DenialCache> = Box::leak(Box::default());
    static LEASES: &'static RefCell<Leases> = Box::leak(Box::default());
    static TURN_WAITERS: &'static Waiters = Box::leak(Box::default());
    static EVENT_WAITERS: &'static Waiters = Box::leak(Box::default());
    static SESSIONS: &'static RefCell<Sessions> = Box::leak(Box::default());
}

/// A variable as text. `wrangler.toml` may give numbers. Any other value becomes a text that no setting accepts.
fn variable(env: &Env, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
    if value.is_undefined() || value.is_null() {
        return None;
    }
    // No setting takes a fraction.
    #[expect(clippy::cast_possible_truncation, reason = "a fraction is cut off and then refused")]
    let number = value.as_f64().filter(|number| number.fract() == 0.0).map(|number| (number as i64).to_string());
    Some(value.as_string().or(number).unwrap_or_else(|| "neither text nor a number".to_owned()))
}

fn has_ai(env: &Env) -> bool {
    env.unchecked_ref::<Bindings>().ai().is_object()
}

/// The configuration that the operator set.
pub fn configuration(env: &Env) -> Result<Rc<Configuration>, Refusal> {
    CONFIGURATION.with_borrow_mut(|held| {
        if let Some(configuration) = held {
            return Ok(Rc::clone(configuration));
        }
        let read = |name: &str| variable(env, name);
        let configuration = Configuration::read(read, has_ai(env)).map_err(|wrong| Refusal::new(wrong.to_string()))?;
        let configuration = Rc::new(configuration);
        *held = Some(Rc::clone(&configuration));
        Ok(configuration)
    })
}

/// The bindings, for one request or one run of the cron trigger.
#[derive(Clone)]
pub struct WorkerRuntime {
    env: Env,
    request: Option<Request>,
}

impl WorkerRuntime {
    pub const fn new(env: Env, request: Option<Request>) -> Self {
        Self { env, request }
    }

    fn objects(&self) -> Result<Namespace, CallError> {
        let objects = binding::<Namespace>(&self.env, "ORGANIZATIONS", Bindings::organizations);
        let objects = objects.map_err(|error| rpc::failed(&error.0))?;
        let configuration = configuration(&self.env).map_err(|refusal| rpc::failed(&refusal.0))?;
        objects.within(configuration.jurisdiction)
    }
}

impl Runtime for WorkerRuntime {
    type Incoming = HttpRequest;
    type Database = D1;
    type Cache = Kv;
    type Listener = Listener;

    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        entropy::random()
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Refusal> {
        configuration(&self.env)
    }

    fn setting(&self, name: &str) -> Option<String> {
        variable(&self.env, name)
    }

    fn has_ai(&self) -> bool {
        has_ai(&self.env)
    }

    fn public_limiter(&self) -> &RefCell<PublicLimiter> {
        PUBLIC_LIMITER.with(|limiter| *limiter)
    }

    fn denial_cache(&self) -> &RefCell<DenialCache> {
        DENIAL_CACHE.with(|denial_cache| *denial_cache)
    }

    fn leases(&self) -> &RefCell<Leases> {
        LEASES.with(|leases| *leases)
    }

    fn turn_waiters(&self) -> &Waiters {
        TURN_WAITERS.with(|turn_waiters| *turn_waiters)
    }

    fn event_waiters(&self) -> &Waiters {
        EVENT_WAITERS.with(|event_waiters| *event_waiters)
    }

    fn sessions(&self) -> &RefCell<Sessions> {
        SESSIONS.with(|sessions| *sessions)
    }

    fn verify_rs256(
        &self,
        key: &PublicKey,
        signed: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, Refusal>> {
        crypto::verify_rs256(key, signed, signature)
    }

    fn database(&self) -> Result<D1, Refusal> {
        D1::of(&self.env).map_err(|error| Refusal::new(error.0))
    }

    fn cache(&self) -> Result<Kv, Refusal> {
        Kv::of(&self.env).map_err(|error| Refusal::new(error.0))
    }

    async fn call(
        &self,
        tenant: Tenant,
        location: Option<LocationHint>,
        method: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        self.objects()?.call(tenant, location, method, call).await
    }

    async fn listen(&self, tenant: Tenant) -> Result<Listener, CallError> {
        self.objects()?.listen(tenant).await
    }

    async fn ping_object(&self) -> Result<(), CallError> {
        self.objects()?.ping_object().await
    }

    fn pause(&self, millis: u32) -> impl Future<Output = ()> {
        pause(millis)
    }

    async fn caller_gone(&self) {
        match &self.request {
            Some(request) => caller_gone(request).await,
            None => std::future::pending().await,
        }
    }

    fn log(&self, line: &str) {
        worker::console_log!("{line}");
    }

    fn measure<'a>(&self, point: impl FnOnce() -> DataPoint<'a>) {
        metrics::write_data_point(&self.env, point);
    }
}

impl Fetcher for WorkerRuntime {
    async fn fetch(&self, request: Fetch<'_>) -> Result<u16, FetchError> {
        if let Outgoing::WorkersAi { model, inputs } = request.outgoing {
            let binding = binding(&self.env, "AI", Bindings::ai).map_err(|error| FetchError::Broken(error.0))?;
            return ai::run(binding, model, inputs, request).await;
        }
        fetch::fetch(request).await
    }
}
