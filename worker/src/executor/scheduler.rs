//! Tasks and the waits in them, without the platform.
//!
//! Invariants:
//!
//! - One call polls a task at a time. A task that is woken while it is polled is polled once more.
//! - A wait is settled once. Whatever settles it later, its promise or its limit, has no effect.
//! - No two tasks, and no two waits, have the same number at the same time.
//! - No borrow of the state lasts while foreign code runs: a future, the drop of a future or of a value, a
//!   waker, or [`Platform::complete`]. All of them may call the scheduler again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// The platform's half of the scheduler.
pub trait Platform: Sized + 'static {
    /// The result of a task or of a wait.
    type Value: 'static;

    /// Gives access to the scheduler of this thread, the only one for this platform.
    fn with_scheduler<T>(body: impl FnOnce(&Scheduler<Self>) -> T) -> T;

    /// Delivers the result of a task. Called once for each task that ends.
    fn complete(task: u32, result: Result<Self::Value, Self::Value>);
}

/// The reason why a wait gave no value.
#[derive(Debug, PartialEq, Eq)]
pub enum WaitError<V> {
    /// The promise was rejected.
    Rejected(V),
    /// The limit passed first. The operation behind the promise may still happen.
    TimedOut,
}

type WaitResult<V> = Result<V, WaitError<V>>;

type BoxedFuture<V> = Pin<Box<dyn Future<Output = Result<V, V>>>>;

struct Task<V> {
    /// `None` while the task is polled.
    future: Option<BoxedFuture<V>>,
    /// Whether the task was woken while it was polled.
    is_woken: bool,
    waker: Waker,
}

enum WaitState<V> {
    Pending(Option<Waker>),
    Settled(WaitResult<V>),
}

struct SchedulerState<V> {
    /// The number of the task that is being polled, or 0. A task that starts another one polls it within its
    /// own poll.
    polled_task: u32,
    last_task: u32,
    last_wait: u32,
    tasks: BTreeMap<u32, Task<V>>,
    waits: BTreeMap<u32, WaitState<V>>,
}

/// The number after `last` that no entry has. Numbers are reused once all of them were given.
fn next_number<T>(last: u32, entries: &BTreeMap<u32, T>) -> u32 {
    let mut number = last.wrapping_add(1);
    while number == 0 || entries.contains_key(&number) {
        number = number.wrapping_add(1);
    }
    number
}

/// The tasks and waits of one thread.
pub struct Scheduler<P: Platform> {
    state: RefCell<SchedulerState<P::Value>>,
}

impl<P: Platform> Scheduler<P> {
    pub const fn new() -> Self {
        Self {
            state: RefCell::new(SchedulerState {
                polled_task: 0,
                last_task: 0,
                last_wait: 0,
                tasks: BTreeMap::new(),
                waits: BTreeMap::new(),
            }),
        }
    }

    /// Adds a task and returns its number. [`Self::run`] starts it.
    pub fn add(&self, future: BoxedFuture<P::Value>) -> u32 {
        let mut state = self.state.borrow_mut();
        let number = next_number(state.last_task, &state.tasks);
        let waker = Waker::from(Arc::new(TaskWaker::<P> { task: number, platform: PhantomData }));
        state.last_task = number;
        state.tasks.insert(number, Task { future: Some(future), is_woken: false, waker });
        number
    }

    /// Polls a task until it waits or ends. If it is being polled already, that poll is followed by another.
    pub fn run(&self, task: u32) {
        let Some((mut future, waker)) = self.begin(task) else { return };
        let mut context = Context::from_waker(&waker);
        loop {
            let outer = std::mem::replace(&mut self.state.borrow_mut().polled_task, task);
            let polled = future.as_mut().poll(&mut context);
            self.state.borrow_mut().polled_task = outer;
            if let Poll::Ready(result) = polled {
                let ended = self.state.borrow_mut().tasks.remove(&task);
                drop((ended, future));
                return P::complete(task, result);
            }
            let Some(woken) = self.rest(task, future) else { return };
            future = woken;
        }
    }

    /// Takes the future of a task in order to poll it. If the task is being polled, notes that it was woken.
    fn begin(&self, task: u32) -> Option<(BoxedFuture<P::Value>, Waker)> {
        let mut state = self.state.borrow_mut();
        let found = state.tasks.get_mut(&task)?;
        let Some(future) = found.future.take() else {
            found.is_woken = true;
            return None;
        };
        Some((future, found.waker.clone()))
    }

    /// Puts the future of a waiting task back. Returns it if the task was woken while it was polled.
    fn rest(&self, task: u32, future: BoxedFuture<P::Value>) -> Option<BoxedFuture<P::Value>> {
        let mut state = self.state.borrow_mut();
        let found = state.tasks.get_mut(&task)?;
        if std::mem::take(&mut found.is_woken) {
            return Some(future);
        }
        found.future = Some(future);
        None
    }

    /// The number of the task that is being polled, or 0.
    pub fn polled_task(&self) -> u32 {
        self.state.borrow().polled_task
    }

    /// Settles a wait and runs the task that waits for it. Does nothing if the wait is settled or was dropped.
    pub fn settle(&self, wait: u32, result: WaitResult<P::Value>) {
        let waker = {
            let mut state = self.state.borrow_mut();
            let Some(found) = state.waits.get_mut(&wait) else { return };
            let WaitState::Pending(waker) = found else { return };
            let waker = waker.take();
            *found = WaitState::Settled(result);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The numbers of tasks and of waits that exist.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.borrow();
        (state.tasks.len(), state.waits.len())
    }
}

struct TaskWaker<P> {
    task: u32,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> Wake for TaskWaker<P> {
    fn wake(self: Arc<Self>) {
        P::with_scheduler(|scheduler| scheduler.run(self.task));
    }
}

/// A future that [`Scheduler::settle`] settles. Dropping it ends the wait.
pub struct Wait<P: Platform> {
    number: u32,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> Wait<P> {
    pub fn new() -> Self {
        let number = P::with_scheduler(|scheduler| {
            let mut state = scheduler.state.borrow_mut();
            let number = next_number(state.last_wait, &state.waits);
            state.last_wait = number;
            state.waits.insert(number, WaitState::Pending(None));
            number
        });
        Self { number, platform: PhantomData }
    }

    pub const fn number(&self) -> u32 {
        self.number
    }
}

impl<P: Platform> Future for Wait<P> {
    type Output = WaitResult<P::Value>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Holds the earlier waker afterwards, so that it is dropped outside of the borrow.
        let mut waker = Some(context.waker().clone());
        P::with_scheduler(|scheduler| {
            let mut state = scheduler.state.borrow_mut();
            if let Some(WaitState::Pending(held)) = state.waits.get_mut(&self.number) {
                std::mem::swap(held, &mut waker);
                return Poll::Pending;
            }
            match state.waits.remove(&self.number) {
                Some(WaitState::Settled(result)) => Poll::Ready(result),
                _ => Poll::Pending,
            }
        })
    }
}

impl<P: Platform> Drop for Wait<P> {
    fn drop(&mut self) {
        let dropped = P::with_scheduler(|scheduler| scheduler.state.borrow_mut().waits.remove(&self.number));
        drop(dropped);
    }
}

#[cfg(test)]
mod tests;
