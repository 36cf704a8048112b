//! `GET /v1/end-users/{user_id}/export`.
//!
//! Invariant: the edge holds no more than one part of an export. A document that is not whole is no JSON, and its body is
//! cut off.

use crate::directory::identifiers::RequestId;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::{Request, ask_further};
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Exchange, KeyHolder};
use crate::edge::http::parts::parts;
use crate::edge::http::response::Response;
use crate::edge::log;
use crate::edge::runtime::Runtime;
use crate::fault::Fault;
use crate::organization::protocol::{ExportPart, ExportPlace, ExportedPart};

/// Answers with everything that Rollcall holds about a user. The first part is asked for before the head is sent, so that
/// every refusal has its status. Most exports have no other; the rest of a longer one is sent part by part.
pub async fn export(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let user_id = input.path("user_id", UserId::new);
    let planned = input.complete(user_id).map(|user_id| (Request::new(ExportPart::First { user_id }), ()));
    let (ExportedPart { text, next }, ()) = exchange.call(holder, planned).await?;
    let response = Response::new(200).with("Content-Type", "application/json");
    let Some(next) = next else { return Ok(response.with_body(text)) };
    let rest = PersonExport {
        runtime: exchange.runtime.clone(),
        holder: holder.clone(),
        request_id: exchange.request_id,
        received_at: exchange.received_at,
    };
    let make = move |place| {
        let rest = rest.clone();
        async move { rest.part(place).await }
    };
    Ok(response.with_parts(parts(text, Some(next), make)))
}

/// Makes the parts after the first one.
#[derive(Clone)]
struct PersonExport<R> {
    runtime: R,
    holder: KeyHolder,
    request_id: RequestId,
    received_at: Timestamp,
}

impl<R: Runtime> PersonExport<R> {
    /// Asks for a part, and says what follows it.
    async fn part(&self, place: ExportPlace) -> (Result<String, Fault>, Option<ExportPlace>) {
        match ask_further(&self.runtime, self.request_id, &self.holder, ExportPart::Next(place)).await {
            Ok(ExportedPart { text, next: Some(next) }) => (Ok(text), Some(next)),
            Ok(ExportedPart { text, next: None }) => {
                self.log("ok", None);
                (Ok(text), None)
            }
            Err(fault) => {
                self.log(fault.code(), fault.log_reason());
                (Err(fault), None)
            }
        }
    }

    fn log(&self, stream: &'static str, reason: Option<&str>) {
        log::end_of_stream(&self.runtime, self.request_id, self.received_at, stream, reason);
    }
}
