//! Workers AI, over its binding.
//! <https://developers.cloudflare.com/workers-ai/configuration/bindings/>

use std::pin::pin;

use futures_util::future::{Either, select};
use js_sys::JSON;
use wasm_bindgen::prelude::*;
use web_sys::ReadableStream;

use super::bindings::describe;
use super::clock;
use super::http::read_body;
use crate::executor::{PromiseError, pause, settle};
use rollcall::fetch::{Fetch, FetchError};

#[wasm_bindgen]
extern "C" {
    pub type Ai;

    #[wasm_bindgen(method, catch)]
    fn run(this: &Ai, model: &str, inputs: &JsValue) -> Result<JsValue, JsValue>;
}

/// Runs a model. The binding returns an object or, on demand, a stream of events, and throws if the model
/// refuses. The binding has no limit of time, so this stops waiting after the request's limit. The model may
/// then run until the request ends.
pub async fn run(ai: Ai, model: &str, inputs: &str, request: Fetch<'_>) -> Result<u16, FetchError> {
    let until_ms = clock::now().millis().saturating_add(i64::from(request.limit_ms));
    let started = JSON::parse(inputs).and_then(|inputs| ai.run(model, &inputs));
    let given = settle(request.limit_ms, started).await.map_err(|error| match error {
        PromiseError::TimedOut => FetchError::TimedOut,
        PromiseError::Rejected(error) => FetchError::Broken(refusal(&describe(&error))),
    })?;
    let Some(stream) = given.dyn_ref::<ReadableStream>() else {
        let text = JSON::stringify(&given).ok().and_then(|text| text.as_string()).unwrap_or_default();
        if text.len() > request.bytes_max {
            return Err(FetchError::TooLarge);
        }
        (request.on_chunk)(text.as_bytes());
        return Ok(200);
    };
    let left_ms = until_ms.saturating_sub(clock::now().millis());
    let reading = pin!(read_body(Some(stream.clone()), request.bytes_max, request.on_chunk));
    let limit = pin!(pause(u32::try_from(left_ms).unwrap_or_default()));
    match select(reading, limit).await {
        Either::Left((read, _)) => read.map(|()| 200).map_err(FetchError::from),
        Either::Right(((), _)) => Err(FetchError::TimedOut),
    }
}

/// The reason of an exception for the log: only the code with which it begins, as the rest may repeat what the
/// model said. <https://developers.cloudflare.com/workers-ai/platform/errors/>
fn refusal(message: &str) -> String {
    let code = message.split(':').next().filter(|code| (1..=6).contains(&code.len()));
    let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
    ["Workers AI failed with code ", code.unwrap_or("unknown")].concat()
}
