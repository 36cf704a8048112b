//! A body that is made part by part.

use futures_util::stream::unfold;

use super::response::Parts;
use crate::fault::Fault;

/// What follows in a body: a text that is there, or a part that is to be made.
enum Following<S> {
    Made(String, Option<S>),
    ToMake(S),
}

/// A text, and the parts that follow it. `make` makes a part, and says from what the next one is made: `None` after the
/// last part, or after a fault.
pub fn parts<S, F>(first: String, next: Option<S>, make: impl Fn(S) -> F + Clone + 'static) -> Parts
where
    S: 'static,
    F: Future<Output = (Result<String, Fault>, Option<S>)> + 'static,
{
    Box::pin(unfold(Some(Following::Made(first, next)), move |following| {
        let make = make.clone();
        async move {
            let (part, next) = match following? {
                Following::Made(text, next) => (Ok(text), next),
                Following::ToMake(next) => make(next).await,
            };
            Some((part, next.map(Following::ToMake)))
        }
    }))
}
