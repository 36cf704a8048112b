//! Work that several callers wait for and that runs once.
//!
//! Invariant: while the work runs, every caller that starts it joins it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Work that runs at most once at a time. Only for objects: all requests to one object share its I/O context,
/// so one request may wait for the work of another.
#[derive(Clone, Default)]
pub struct SharedWork(Rc<RefCell<Option<Rc<RunningWork>>>>);

#[derive(Default)]
struct RunningWork {
    succeeded: Cell<Option<bool>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Waits for shared work, and gives whether it succeeded. Dropping it does not end the work.
pub struct JoinedWork(Rc<RunningWork>);

impl SharedWork {
    /// Joins the work while it runs. Otherwise also returns what to spawn, which runs the work.
    pub fn join_or_begin(
        &self,
        work: impl Future<Output = bool> + 'static,
    ) -> (JoinedWork, Option<impl Future<Output = ()> + 'static>) {
        if let Some(running) = &*self.0.borrow() {
            return (JoinedWork(Rc::clone(running)), None);
        }
        let running = Rc::new(RunningWork::default());
        self.0.replace(Some(Rc::clone(&running)));
        let (joined, this) = (JoinedWork(Rc::clone(&running)), self.clone());
        let run = async move {
            let succeeded = work.await;
            this.0.replace(None);
            running.succeeded.set(Some(succeeded));
            // Whoever is woken may begin the work again, so nothing is borrowed here.
            let waiting = running.waiting.take();
            waiting.into_iter().for_each(Waker::wake);
        };
        (joined, Some(run))
    }
}

impl Future for JoinedWork {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if let Some(succeeded) = self.0.succeeded.get() {
            return Poll::Ready(succeeded);
        }
        let mut waiting = self.0.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_comes_while_the_work_runs_joins_it() {
        let (shared, gate) = (SharedWork::default(), SharedWork::default());
        let (opened, open) = gate.join_or_begin(ready(true));
        let (mut first, run) = shared.join_or_begin(async move { !opened.await });
        let mut run = Box::pin(run.expect("nothing runs yet"));
        assert_eq!(poll(&mut run), Poll::Pending);
        let (mut second, none) = shared.join_or_begin(pending());
        assert!(none.is_none());
        assert_eq!((poll(&mut first), poll(&mut second)), (Poll::Pending, Poll::Pending));
        assert_eq!(poll(&mut Box::pin(open.expect("nothing runs yet"))), Poll::Ready(()));
        assert_eq!(poll(&mut run), Poll::Ready(()));
        assert_eq!((poll(&mut first), poll(&mut second)), (Poll::Ready(false), Poll::Ready(false)));
    }

    #[test]
    fn work_that_has_ended_begins_anew() {
        let shared = SharedWork::default();
        for succeeds in [true, false] {
            let (mut joined, run) = shared.join_or_begin(ready(succeeds));
            assert_eq!(poll(&mut Box::pin(run.expect("nothing runs"))), Poll::Ready(()));
            assert_eq!(poll(&mut joined), Poll::Ready(succeeds));
        }
    }

    #[test]
    fn whoever_waits_is_woken_once_the_work_may_begin_again() {
        let shared = SharedWork::default();
        let (mut joined, run) = shared.join_or_begin(ready(true));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert_eq!(Pin::new(&mut joined).poll(&mut Context::from_waker(&waker)), Poll::Pending);
        assert_eq!(poll(&mut Box::pin(run.expect("nothing runs"))), Poll::Ready(()));
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(shared.join_or_begin(ready(true)).1.is_some());
    }
}
