use std::cell::Cell;
use std::rc::Rc;

use super::*;

enum Host {}

thread_local! {
    static SCHEDULER: Scheduler<Host> = const { Scheduler::new() };
    static COMPLETED: RefCell<Vec<(u32, Result<i32, i32>)>> = const { RefCell::new(Vec::new()) };
}

impl Platform for Host {
    type Value = i32;

    fn with_scheduler<T>(body: impl FnOnce(&Scheduler<Self>) -> T) -> T {
        SCHEDULER.with(body)
    }

    fn complete(task: u32, result: Result<i32, i32>) {
        COMPLETED.with_borrow_mut(|completed| completed.push((task, result)));
    }
}

fn start(future: impl Future<Output = Result<i32, i32>> + 'static) -> u32 {
    SCHEDULER.with(|scheduler| {
        let task = scheduler.add(Box::pin(future));
        scheduler.run(task);
        task
    })
}

fn settle(wait: u32, result: WaitResult<i32>) {
    SCHEDULER.with(|scheduler| scheduler.settle(wait, result));
}

fn counts() -> (usize, usize) {
    SCHEDULER.with(Scheduler::counts)
}

fn completed() -> Vec<(u32, Result<i32, i32>)> {
    COMPLETED.take()
}

/// A task that ends with what its wait gives, -1 standing for a wait that timed out. Returns both numbers.
fn start_waiting() -> (u32, u32) {
    let number = Rc::new(Cell::new(0));
    let given = Rc::clone(&number);
    let task = start(async move {
        let wait = Wait::<Host>::new();
        given.set(wait.number());
        wait.await.map_err(|error| match error {
            WaitError::Rejected(reason) => reason,
            WaitError::TimedOut => -1,
        })
    });
    (task, number.get())
}

#[test]
fn a_task_runs_at_once_until_it_ends() {
    let task = start(async { Ok(7) });
    assert_eq!(completed(), [(task, Ok(7))]);
    assert_eq!(counts(), (0, 0));
}

#[test]
fn a_task_goes_on_when_its_wait_is_settled() {
    for (result, expected) in
        [(Ok(1), Ok(1)), (Err(WaitError::Rejected(2)), Err(2)), (Err(WaitError::TimedOut), Err(-1))]
    {
        let (task, wait) = start_waiting();
        assert_eq!((completed(), counts()), (vec![], (1, 1)));
        settle(wait, result);
        assert_eq!((completed(), counts()), (vec![(task, expected)], (0, 0)));
    }
}

#[test]
fn tasks_end_in_the_order_in_which_their_waits_are_settled() {
    let (first, second) = (start_waiting(), start_waiting());
    assert!(first.0 != second.0 && first.1 != second.1);
    settle(second.1, Ok(2));
    settle(first.1, Ok(1));
    assert_eq!(completed(), [(second.0, Ok(2)), (first.0, Ok(1))]);
}

#[test]
fn a_wait_is_settled_once() {
    let (task, wait) = start_waiting();
    settle(wait, Err(WaitError::TimedOut));
    settle(wait, Ok(1));
    settle(wait + 1, Ok(1));
    assert_eq!(completed(), [(task, Err(-1))]);
    // The same if nothing has polled the wait in between.
    let unpolled = Wait::<Host>::new();
    settle(unpolled.number(), Ok(3));
    settle(unpolled.number(), Err(WaitError::TimedOut));
    let task = start(async move { unpolled.await.map_err(|_| -1) });
    assert_eq!(completed(), [(task, Ok(3))]);
}

#[test]
fn a_dropped_wait_is_forgotten() {
    let wait = Wait::<Host>::new();
    let number = wait.number();
    drop(wait);
    assert_eq!(counts(), (0, 0));
    settle(number, Ok(1));
    assert_eq!((completed(), counts()), (vec![], (0, 0)));
}

#[test]
fn a_task_that_is_woken_while_it_is_polled_is_polled_once_more() {
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let task = start(std::future::poll_fn(move |context| {
        counted.set(counted.get() + 1);
        if counted.get() < 3 {
            // Twice: the wakes before the next poll count as one.
            context.waker().wake_by_ref();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if counted.get() == 3 { Poll::Pending } else { Poll::Ready(Ok(4)) }
    }));
    assert_eq!((polls.get(), completed(), counts()), (3, vec![], (1, 0)));
    SCHEDULER.with(|scheduler| scheduler.run(task));
    assert_eq!((polls.get(), completed()), (4, vec![(task, Ok(4))]));
    SCHEDULER.with(|scheduler| scheduler.run(task));
    assert_eq!(polls.get(), 4, "a task that has ended is not polled");
}

#[test]
fn a_wait_that_is_settled_while_its_task_is_polled_is_not_lost() {
    let task = start(async {
        let mut wait = Wait::<Host>::new();
        let number = wait.number();
        let first = std::future::poll_fn(|context| {
            let polled = Pin::new(&mut wait).poll(context);
            settle(number, Ok(5));
            Poll::Ready(polled)
        });
        assert!(first.await.is_pending());
        wait.await.map_err(|_| -1)
    });
    assert_eq!(completed(), [(task, Ok(5))]);
}

#[test]
fn a_task_may_start_another_within_its_poll() {
    let polled_task = || SCHEDULER.with(Scheduler::polled_task);
    assert_eq!(polled_task(), 0);
    let inner = Rc::new(Cell::new((0, 0)));
    let started = Rc::clone(&inner);
    let outer = start(async move {
        let own = polled_task();
        let seen = Rc::new(Cell::new(0));
        let given = Rc::clone(&seen);
        let task = start(async move {
            given.set(polled_task());
            Ok(1)
        });
        assert_eq!(seen.get(), task);
        assert_eq!(polled_task(), own);
        started.set(start_waiting());
        Ok(2)
    });
    assert_eq!(polled_task(), 0);
    let (task, wait) = inner.get();
    let results: Vec<_> = completed().into_iter().map(|(_, result)| result).collect();
    assert_eq!(results, [Ok(1), Ok(2)]);
    settle(wait, Ok(3));
    assert_eq!(completed(), [(task, Ok(3))]);
    assert_ne!(outer, task);
}

#[test]
fn a_value_whose_drop_calls_the_scheduler_finds_it_free() {
    struct StartsOnDrop;
    impl Drop for StartsOnDrop {
        fn drop(&mut self) {
            start(async { Ok(9) });
        }
    }
    let held = StartsOnDrop;
    let task = start(async move {
        drop(held);
        Ok(1)
    });
    let results = completed();
    assert_eq!((results.len(), results.last()), (2, Some(&(task, Ok(1)))));
}

#[test]
fn numbers_begin_anew_and_skip_those_in_use() {
    let (held_task, held_wait) = start_waiting();
    SCHEDULER.with(|scheduler| {
        let mut state = scheduler.state.borrow_mut();
        assert_eq!((state.last_task, state.last_wait), (held_task, held_wait));
        (state.last_task, state.last_wait) = (u32::MAX, u32::MAX);
    });
    let (task, wait) = start_waiting();
    assert!(task != held_task && wait != held_wait && task != 0 && wait != 0);
    settle(wait, Ok(1));
    settle(held_wait, Ok(2));
    assert_eq!(completed(), [(task, Ok(1)), (held_task, Ok(2))]);
}

/// Many tasks with several waits each, settled in an order that a seed decides, some of them twice.
#[test]
fn every_task_ends_once_in_any_order() {
    for seed in 1..=200_u64 {
        let mut random = seed;
        let mut below = move |limit: usize| {
            // Numerical Recipes' constants: any order will do.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % limit
        };
        let open = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<u32> = (0..20)
            .map(|_| {
                let open = Rc::clone(&open);
                start(async move {
                    let mut sum = 0;
                    for _ in 0..3 {
                        let wait = Wait::<Host>::new();
                        open.borrow_mut().push(wait.number());
                        sum += wait.await.unwrap_or(100);
                    }
                    Ok(sum)
                })
            })
            .collect();
        while !open.borrow().is_empty() {
            let place = below(open.borrow().len());
            let wait = open.borrow_mut().swap_remove(place);
            settle(wait, if below(4) == 0 { Err(WaitError::TimedOut) } else { Ok(1) });
            settle(wait, Ok(1_000));
        }
        let mut ended = completed();
        assert!(ended.iter().all(|(_, result)| result.is_ok_and(|sum| (3..=300).contains(&sum))), "seed {seed}");
        ended.sort_unstable_by_key(|(task, _)| *task);
        assert_eq!(ended.into_iter().map(|(task, _)| task).collect::<Vec<_>>(), tasks, "seed {seed}");
        assert_eq!(counts(), (0, 0), "seed {seed}");
    }
}
