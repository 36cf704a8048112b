//! Futures, run by the promises that they wait for.
//!
//! Invariants:
//!
//! - A task is polled by one at a time; what wakes it meanwhile has it polled once more.
//! - What a task waits for is heard of once: it is settled or late, whichever is first.
//! - No two that are held have the same number, and what an earlier instance of the module
//!   waited for is not taken for something of this one (`waiting.js`).
//!
//! `wasm-bindgen-futures` would do the same. Measured on workerd it takes 120 µs of a read
//! that takes 760, for its queue of tasks, which is one more turn of the event loop for each
//! promise, and for two closures that are made, registered and finalized for each.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use js_sys::Promise;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/executor/waiting.js")]
extern "C" {
    fn begin();

    /// Has [`settled`] called for a promise, or anything else that has a `then`, that a task waits
    /// for. No limit is 0.
    #[wasm_bindgen(catch)]
    fn wait(task: u32, number: u32, promise: &JsValue, limit_ms: u32) -> Result<(), JsValue>;

    fn rest(number: u32, millis: u32);

    fn forget(number: u32);

    #[wasm_bindgen(js_name = promise)]
    fn promised(task: u32) -> Promise;

    fn keep(task: u32, fulfilled: bool, value: JsValue);
}

type BoxedFuture = Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>>;

struct Task {
    /// Not there while it is polled.
    future: Option<BoxedFuture>,
    /// While it was polled.
    is_woken: bool,
    waker: Waker,
}

enum State {
    Pending(Option<Waker>),
    Settled(Result<JsValue, Unsettled>),
}

#[derive(Default)]
struct Executor {
    /// The one that is being polled. Tasks that it begins are polled within it.
    polled: u32,
    tasks: Numbered<Task>,
    waits: Numbered<State>,
}

/// What has a number, the oldest first. A map is 2 KB of the compressed module.
struct Numbered<T> {
    last: u32,
    held: Vec<(u32, T)>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { last: 0, held: Vec::new() }
    }
}

impl<T> Numbered<T> {
    /// Keeps what is made for a new number.
    fn insert(&mut self, value: impl FnOnce(u32) -> T) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.held.push((self.last, value(self.last)));
        self.last
    }

    fn place(&self, number: u32) -> Option<usize> {
        // By their age, as the numbers of a busy object may begin anew within a week.
        let age = |number| self.last.wrapping_sub(number);
        self.held.binary_search_by(|(held, _)| age(number).cmp(&age(*held))).ok()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let place = self.place(number)?;
        self.held.get_mut(place).map(|(_, value)| value)
    }

    fn remove(&mut self, number: u32) -> Option<T> {
        let place = self.place(number)?;
        Some(self.held.remove(place).1)
    }
}

thread_local! {
    static EXECUTOR: RefCell<Executor> = {
        begin();
        RefCell::default()
    };
}

/// Why a promise gave nothing.
#[derive(Debug)]
pub enum Unsettled {
    Rejected(JsValue),
    /// What it stood for may still happen: nobody waits for it any more, that is all.
    TimedOut,
}

/// Makes a promise of what a future comes to, and begins with it, at once: it has come to its first
/// wait, or to its end, when `promise` is returned to whoever has it by then.
pub fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let (promise, start) = prepare(future);
    start.now();
    promise
}

/// The same in two steps, for a future that wants its promise to be known.
pub fn prepare(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> (Promise, Start) {
    // Boxed, as all that surrounds it would be compiled anew for each.
    enter(Box::pin(future))
}

fn enter(future: BoxedFuture) -> (Promise, Start) {
    let task = EXECUTOR.with_borrow_mut(|executor| {
        executor.tasks.insert(|task| Task {
            future: Some(future),
            is_woken: false,
            waker: Waker::from(Arc::new(Alarm(task))),
        })
    });
    (promised(task), Start(task))
}

/// A task that has not begun.
#[must_use = "it begins with `now`"]
pub struct Start(u32);

impl Start {
    pub fn now(self) {
        run(self.0);
    }
}

struct Alarm(u32);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        run(self.0);
    }
}

/// Polls a task, unless it is being polled: then it will be once more.
fn run(task: u32) {
    let begun = EXECUTOR.with_borrow_mut(|executor| {
        let found = executor.tasks.get_mut(task)?;
        let Some(future) = found.future.take() else {
            found.is_woken = true;
            return None;
        };
        Some((future, found.waker.clone()))
    });
    let Some((mut future, waker)) = begun else { return };
    let mut context = Context::from_waker(&waker);
    loop {
        let outer = EXECUTOR.with_borrow_mut(|executor| std::mem::replace(&mut executor.polled, task));
        let polled = future.as_mut().poll(&mut context);
        EXECUTOR.with_borrow_mut(|executor| executor.polled = outer);
        if let Poll::Ready(result) = polled {
            drop(EXECUTOR.with_borrow_mut(|executor| executor.tasks.remove(task)));
            return match result {
                Ok(value) => keep(task, true, value),
                Err(error) => keep(task, false, error),
            };
        }
        let again = EXECUTOR.with_borrow_mut(|executor| {
            let found = executor.tasks.get_mut(task)?;
            if found.is_woken {
                found.is_woken = false;
                return Some(future);
            }
            found.future = Some(future);
            None
        });
        let Some(awake) = again else { return };
        future = awake;
    }
}

/// Hears what came of a wait: 0 what it was fulfilled with, 1 the reason of its rejection,
/// 2 that it is late.
#[wasm_bindgen]
pub fn settled(wait: u32, how: u32, value: JsValue) {
    let waker = EXECUTOR.with_borrow_mut(|executor| {
        let state = executor.waits.get_mut(wait)?;
        let State::Pending(waker) = state else { return None };
        let waker = waker.take();
        *state = State::Settled(match how {
            0 => Ok(value),
            1 => Err(Unsettled::Rejected(value)),
            _ => Err(Unsettled::TimedOut),
        });
        waker
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Something that will be heard of.
struct Wait(u32);

impl Wait {
    fn new() -> Self {
        Self(EXECUTOR.with_borrow_mut(|executor| executor.waits.insert(|_| State::Pending(None))))
    }
}

impl Future for Wait {
    type Output = Result<JsValue, Unsettled>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        EXECUTOR.with_borrow_mut(|executor| {
            if let Some(State::Pending(waker)) = executor.waits.get_mut(self.0) {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            match executor.waits.remove(self.0) {
                Some(State::Settled(result)) => Poll::Ready(result),
                _ => Poll::Pending,
            }
        })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        drop(EXECUTOR.with_borrow_mut(|executor| executor.waits.remove(self.0)));
    }
}

/// Waits for what a method gave, a promise or something that can be waited for like
/// one, but not longer than this.
pub async fn settle(limit_ms: u32, given: Result<JsValue, JsValue>) -> Result<JsValue, Unsettled> {
    begun(given, limit_ms)?.await
}

/// Waits for a promise, however long it takes.
pub async fn fulfilled(promise: &JsValue) -> Result<JsValue, JsValue> {
    let settled = match begun(Ok(promise.clone()), 0) {
        Ok(wait) => wait.await,
        Err(error) => Err(error),
    };
    settled.map_err(|error| match error {
        Unsettled::Rejected(reason) => reason,
        Unsettled::TimedOut => JsValue::UNDEFINED,
    })
}

fn begun(given: Result<JsValue, JsValue>, limit_ms: u32) -> Result<Wait, Unsettled> {
    let given = given.map_err(Unsettled::Rejected)?;
    let settled = Wait::new();
    let task = EXECUTOR.with_borrow(|executor| executor.polled);
    wait(task, settled.0, &given, limit_ms).map_err(Unsettled::Rejected)?;
    Ok(settled)
}

/// Lets everything else that waits for this thread go first, for at least this long.
pub async fn pause(millis: u32) {
    let pause = Pause(Wait::new());
    rest(pause.0.0, millis);
    pause.await;
}

/// Its timer is gone with whoever waits for it.
struct Pause(Wait);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        forget(self.0.0);
    }
}
