//! The true time, what happens at which instant of it, and the tasks that wait.
//!
//! Everything runs on one thread, in an order that the seed fixes. A task is a future of the shipped code. It waits for
//! a [`Reply`], which an event fills.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::world::World;

/// Whose work a task is. It ends with its owner's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Object,
    Isolate(usize),
}

type Event = Box<dyn FnOnce(&Rc<World>)>;
type Task = (Owner, Pin<Box<dyn Future<Output = ()>>>);

#[derive(Default)]
pub struct Schedule {
    now_ms: Cell<i64>,
    number: Cell<u64>,
    /// By their instant, and in the order in which they were planned.
    events: RefCell<BTreeMap<(i64, u64), Event>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    /// Tasks that can go on.
    ready: RefCell<Vec<u64>>,
    current: Cell<u64>,
}

/// What a task waits for.
pub struct Reply<T>(Rc<RefCell<Option<T>>>);

/// Where the answer goes that a task waits for.
pub struct Slot<T> {
    value: Rc<RefCell<Option<T>>>,
    task: u64,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self { value: Rc::clone(&self.value), task: self.task }
    }
}

impl<T> Future for Reply<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        self.0.borrow_mut().take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Schedule {
    pub fn starting_at(now_ms: i64) -> Self {
        let schedule = Self::default();
        schedule.now_ms.set(now_ms);
        schedule
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
    pub fn after(&self, millis: i64, event: impl FnOnce(&Rc<World>) + 'static) {
        let at_ms = self.now_ms() + millis.max(0);
        self.events.borrow_mut().insert((at_ms, self.next_number()), Box::new(event));
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

    /// A slot for the task that runs now, and what the task waits for.
    pub fn slot<T>(&self) -> (Slot<T>, Reply<T>) {
        let value = Rc::new(RefCell::new(None));
        (Slot { value: Rc::clone(&value), task: self.current.get() }, Reply(value))
    }

    pub fn fill<T>(&self, slot: &Slot<T>, value: T) {
        *slot.value.borrow_mut() = Some(value);
        self.ready.borrow_mut().push(slot.task);
    }

    /// Starts a task. It runs with the next ones that are ready.
    pub fn spawn(&self, owner: Owner, task: impl Future<Output = ()> + 'static) {
        let number = self.next_number();
        self.tasks.borrow_mut().insert(number, (owner, Box::pin(task)));
        self.ready.borrow_mut().push(number);
    }

    /// Ends the tasks of an owner wherever they are.
    pub fn end(&self, owner: Owner) {
        let ended: Vec<Task> =
            self.tasks.borrow_mut().extract_if(.., |_, task| task.0 == owner).map(|(_, task)| task).collect();
        drop(ended);
    }

    pub fn has_task_of(&self, owner: Owner) -> bool {
        self.tasks.borrow().values().any(|task| task.0 == owner)
    }

    /// Lets every task go on that can.
    pub fn run_ready(&self) {
        loop {
            let Some(number) = self.ready.borrow_mut().pop() else { return };
            let Some(mut task) = self.tasks.borrow_mut().remove(&number) else { continue };
            self.current.set(number);
            let is_pending = task.1.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
            if is_pending {
                self.tasks.borrow_mut().insert(number, task);
            }
        }
    }

    /// Drops everything. Tasks and events refer to the world, which refers to them.
    pub fn clear(&self) {
        drop(std::mem::take(&mut *self.events.borrow_mut()));
        drop(std::mem::take(&mut *self.tasks.borrow_mut()));
    }
}
