//! The true time, the tasks that run, and what happens at which instant. Everything runs on one thread, in an order that
//! the seed fixes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Whose work a task is. It ends with its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Client,
    Isolate(usize),
    Object(usize),
}

type Event = Box<dyn FnOnce()>;
type Future<T = ()> = Pin<Box<dyn std::future::Future<Output = T>>>;

struct Task {
    owner: Owner,
    /// `None` while the task is polled.
    future: Option<Future>,
    waker: Waker,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().expect("one thread").push(self.task);
    }
}

#[derive(Default)]
pub struct Time {
    now_ms: Cell<i64>,
    number: Cell<u64>,
    /// By their instant, and in the order in which they were planned.
    events: RefCell<BTreeMap<(i64, u64), Event>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    /// Tasks that can go on.
    ready: Arc<Mutex<Vec<u64>>>,
}

/// A value that comes later.
pub struct Later<T>(Rc<RefCell<Waiting<T>>>);

struct Waiting<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Clone for Later<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Waiting { value: None, waker: None })))
    }
}

impl<T> Later<T> {
    /// Gives the value. Only the first counts.
    pub fn give(&self, value: T) {
        let waker = {
            let mut waiting = self.0.borrow_mut();
            waiting.value.get_or_insert(value);
            waiting.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> std::future::Future for Later<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut waiting = self.0.borrow_mut();
        let value = waiting.value.take();
        if value.is_none() {
            waiting.waker = Some(context.waker().clone());
        }
        value.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Time {
    pub fn starting_at(now_ms: i64) -> Self {
        let time = Self::default();
        time.now_ms.set(now_ms);
        time
    }

    /// The true time.
    pub fn now_ms(&self) -> i64 {
        self.now_ms.get()
    }

    fn next_number(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    /// Plans an event for some milliseconds from now.
    pub fn after(&self, millis: i64, event: impl FnOnce() + 'static) {
        let at_ms = self.now_ms() + millis.max(0);
        self.events.borrow_mut().insert((at_ms, self.next_number()), Box::new(event));
    }

    pub async fn sleep(&self, millis: i64) {
        let over = Later::default();
        let end = over.clone();
        self.after(millis, move || end.give(()));
        over.await;
    }

    /// Gives a value, unless so much time passes first.
    pub fn limit<T: 'static>(&self, later: &Later<T>, millis: i64, otherwise: T) {
        let later = later.clone();
        self.after(millis, move || later.give(otherwise));
    }

    /// Takes the next event until an instant, and moves to its time.
    pub fn next_until(&self, until_ms: i64) -> Option<Event> {
        let mut events = self.events.borrow_mut();
        let next = events.first_entry().filter(|entry| entry.key().0 <= until_ms)?;
        self.now_ms.set(self.now_ms().max(next.key().0));
        Some(next.remove())
    }

    pub fn move_to(&self, now_ms: i64) {
        self.now_ms.set(self.now_ms().max(now_ms));
    }

    /// Starts a task. It reaches its first wait before this returns. Returns its number.
    pub fn spawn(&self, owner: Owner, future: impl std::future::Future<Output = ()> + 'static) -> u64 {
        let task = self.next_number();
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.ready) }));
        self.tasks.borrow_mut().insert(task, Task { owner, future: Some(Box::pin(future)), waker });
        self.poll(task);
        task
    }

    fn poll(&self, number: u64) {
        let taken = self.tasks.borrow_mut().get_mut(&number).and_then(|task| {
            let future = task.future.take()?;
            Some((future, task.waker.clone()))
        });
        let Some((mut future, waker)) = taken else { return };
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            // It may have been ended meanwhile.
            if let Some(task) = self.tasks.borrow_mut().get_mut(&number) {
                task.future = Some(future);
            }
        } else {
            drop(future);
            let ended = self.tasks.borrow_mut().remove(&number);
            drop(ended);
        }
    }

    /// Ends tasks wherever they are.
    fn end_where(&self, is_ended: impl Fn(u64, &Task) -> bool) {
        let ended: Vec<Task> = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.extract_if(.., |number, task| is_ended(*number, task)).map(|(_, task)| task).collect()
        };
        drop(ended);
    }

    pub fn end(&self, owner: Owner) {
        self.end_where(|_, task| task.owner == owner);
    }

    pub fn end_task(&self, number: u64) {
        self.end_where(|task, _| task == number);
    }

    pub fn has_task_of(&self, owner: Owner) -> bool {
        self.tasks.borrow().values().any(|task| task.owner == owner)
    }

    /// Lets every task go on that can, in an order that `pick` chooses: a number below the given one.
    pub fn run_ready(&self, pick: impl Fn(usize) -> usize) {
        loop {
            let next = {
                let mut ready = self.ready.lock().expect("one thread");
                if ready.is_empty() {
                    return;
                }
                let place = pick(ready.len());
                ready.swap_remove(place)
            };
            self.poll(next);
        }
    }

    /// Drops everything. Tasks and events refer to the world, which refers to them.
    pub fn clear(&self) {
        drop(std::mem::take(&mut *self.events.borrow_mut()));
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
    }
}
