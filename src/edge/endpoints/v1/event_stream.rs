//! `GET /v1/events` as server-sent events (WHATWG HTML, section 9.2).
//!
//! Invariant: a part of a stream is made when the reader has taken the one before. So a reader who takes nothing has at
//! most one page made for them.

use super::event_views::EventList;
use crate::directory::timestamp::Timestamp;
use crate::edge::following::Follower;
use crate::edge::http::parts::parts;
use crate::edge::http::response::Response;
use crate::edge::log;
use crate::edge::runtime::Runtime;
use crate::edge::waiters::Waiter;
use crate::fault::Fault;
use crate::organization::protocol::EventsRead;

/// How often a stream says something when nothing happens, in milliseconds. Proxies end a connection that is silent.
const SILENT_MAX_MS: i64 = 15_000;
/// How long a stream lasts, in milliseconds.
const LASTS_MS: i64 = 15 * 60 * 1_000;
/// The last words of a stream: after so many milliseconds its reader comes back.
const LAST_WORDS: &str = "retry: 1000\n\n";

/// A stream of events on its way.
pub struct EventStream<R> {
    list: EventList,
    follower: Follower<R>,
    /// Without one the stream ends after its first page.
    waiter: Option<Waiter>,
    began_at: Timestamp,
}

impl<R: Runtime> EventStream<R> {
    pub const fn new(list: EventList, follower: Follower<R>, waiter: Option<Waiter>, began_at: Timestamp) -> Self {
        Self { list, follower, waiter, began_at }
    }

    /// Answers with what was read first, and with all that follows.
    pub fn respond(self, found: EventsRead) -> Result<Response, Fault> {
        let text = self.list.stream_text(found, self.now())?;
        let response = Response::new(200).with("Content-Type", "text/event-stream");
        Ok(response.with_parts(parts(text, Some(self), Self::part)))
    }

    fn now(&self) -> Timestamp {
        self.follower.runtime.now()
    }

    /// The next part, and the stream after it. Whatever ends the stream, its reader may come back.
    async fn part(mut self) -> (Result<String, Fault>, Option<Self>) {
        let ended = match self.follow().await {
            Ok(Some(text)) => return (Ok(text), Some(self)),
            Ok(None) => ("ok", None),
            Err(fault) => (fault.code(), fault.log_reason().map(str::to_owned)),
        };
        let Follower { runtime, request_id, .. } = &self.follower;
        log::end_of_stream(runtime, *request_id, self.began_at, ended.0, ended.1.as_deref());
        (Ok(LAST_WORDS.to_owned()), None)
    }

    /// `None` when the stream has lasted long enough.
    async fn follow(&mut self) -> Result<Option<String>, Fault> {
        let (now_ms, ends_ms) = (self.now().millis(), self.began_at.millis().saturating_add(LASTS_MS));
        if self.waiter.is_none() || now_ms >= ends_ms {
            return Ok(None);
        }
        let found = self.follower.next(now_ms.saturating_add(SILENT_MAX_MS).min(ends_ms)).await?;
        self.list.stream_text(found, self.now()).map(Some)
    }
}
