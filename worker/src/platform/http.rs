//! Requests and responses of the platform.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use futures_util::StreamExt;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{ReadableStream, Request, Response};

use super::bindings::describe;
use crate::executor::{fulfilled, promise};
use rollcall::edge::http::request::{BodyError, Incoming};
use rollcall::edge::http::response::{self, Content, EventSink, HeaderName, Parts, Producer, Response as EdgeResponse};
use rollcall::fetch::OnChunk;
use rollcall::json::as_map;
use serde::Serialize;

/// How much of a body is read beyond its limit, and ignored, in bytes. A caller who only sends, and does not listen
/// until they are done, would otherwise see a broken connection instead of the answer.
const IGNORED_MAX: usize = 8 * 1024 * 1024;

#[wasm_bindgen(module = "/src/platform/http.js")]
extern "C" {
    fn head(request: &Request) -> String;

    #[wasm_bindgen(js_name = hangUp)]
    fn hang_up(request: &Request) -> Promise;

    #[wasm_bindgen(catch)]
    fn respond(init: &str, bytes: Option<&[u8]>, stream: Option<ReadableStream>) -> Result<Response, JsValue>;

    /// A stream of the parts of a source, each asked for when the reader wants it. Frees the source at the end.
    fn pulled(source: PartSource, context: &Context) -> ReadableStream;
}

#[derive(Debug)]
pub struct HttpRequest {
    request: Request,
    /// The method, the URL and headers, from `http.js`.
    head: String,
}

impl HttpRequest {
    pub fn new(request: Request) -> Self {
        let head = head(&request);
        Self { request, head }
    }

    fn line(&self, number: usize) -> &str {
        self.head.split('\n').nth(number).unwrap_or_default()
    }
}

impl Incoming for HttpRequest {
    fn method(&self) -> &str {
        self.line(0)
    }

    fn url(&self) -> &str {
        self.line(1)
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.head.split('\n').skip(2).filter_map(|line| line.strip_prefix(name));
        match headers.find(|rest| rest.is_empty() || rest.starts_with(':')) {
            Some(rest) => rest.strip_prefix(':').map(str::to_owned),
            None => self.request.headers().get(name).ok().flatten(),
        }
    }

    async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        // A body whose `Content-Length` is within the limit is read in one piece, which costs a quarter of reading
        // it in chunks. The connection ends the body at this length. The check below does not rely on it.
        let length = self.header("Content-Length").and_then(|length| length.parse::<u64>().ok());
        let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if length.is_some_and(|length| length <= bytes_max) {
            let whole = self.request.array_buffer().map_err(|error| broken(&error))?;
            let whole = fulfilled(&whole).await.map_err(|error| broken(&error))?;
            let bytes = Uint8Array::new(&whole).to_vec();
            return if bytes.len() <= bytes_max { Ok(bytes) } else { Err(BodyError::TooLarge) };
        }
        let read_max = bytes_max.saturating_add(IGNORED_MAX);
        if length.is_some_and(|length| length > read_max) {
            return Err(BodyError::TooLarge);
        }
        let mut body = Vec::new();
        let mut is_too_large = false;
        let mut on_chunk = |chunk: &[u8]| {
            is_too_large |= body.len().saturating_add(chunk.len()) > bytes_max;
            if is_too_large {
                body = Vec::new();
            } else {
                body.extend_from_slice(chunk);
            }
            true
        };
        read_body(self.request.body(), read_max, &mut on_chunk).await?;
        if is_too_large { Err(BodyError::TooLarge) } else { Ok(body) }
    }
}

/// Ends when the caller of a request hangs up before it has the whole answer, and never otherwise.
pub async fn caller_gone(request: &Request) {
    // The promise is never rejected.
    drop(fulfilled(&hang_up(request)).await);
}

/// Reads a body in chunks, until its end or until the receiver needs no more. It stops after `bytes_max`,
/// whatever `Content-Length` says, so that a sender cannot fill the memory.
pub async fn read_body(body: Option<ReadableStream>, bytes_max: usize, on_chunk: OnChunk<'_>) -> Result<(), BodyError> {
    let Some(stream) = body else { return Ok(()) };
    let reader: web_sys::ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut left = bytes_max;
    loop {
        let chunk = fulfilled(&reader.read()).await.map_err(|error| broken(&error))?;
        let chunk: web_sys::ReadableStreamReadResult = chunk.unchecked_into();
        if chunk.get_done().unwrap_or(true) {
            return Ok(());
        }
        let bytes = Uint8Array::new(&chunk.get_value());
        let after = left.checked_sub(usize::try_from(bytes.length()).unwrap_or(usize::MAX));
        if after.is_some() && on_chunk(&bytes.to_vec()) {
            left = after.unwrap_or_default();
            continue;
        }
        // A failed cancellation changes nothing.
        drop(reader.cancel());
        return after.map(drop).ok_or(BodyError::TooLarge);
    }
}

fn broken(error: &JsValue) -> BodyError {
    BodyError::Broken(describe(error))
}

#[derive(Serialize)]
struct ResponseInit {
    status: u16,
    /// An object. A list of pairs takes the platform three times as long (45 µs instead of 15 µs for 14 headers).
    #[serde(serialize_with = "as_map")]
    headers: Vec<(HeaderName, Cow<'static, str>)>,
}

/// Makes the platform's response in one call to JavaScript: a text with the status and every header, and the
/// body. Setting each header by itself costs several times as much.
pub fn into_response(response: EdgeResponse, context: &Context) -> Result<Response, JsValue> {
    let init = ResponseInit { status: response.status, headers: response.headers };
    let init = serde_json::to_string(&init).map_err(|error| js_sys::Error::new(&error.to_string()))?;
    match response.body {
        Content::None => respond(&init, None, None),
        // Bytes. A string would be decoded and encoded again.
        Content::Text(text) => respond(&init, Some(text.as_bytes()), None),
        Content::Parts(parts) => {
            respond(&init, None, Some(pulled(PartSource(Rc::new(RefCell::new(Some(parts)))), context)))
        }
        Content::Events(producer) => respond(&init, None, Some(stream(producer, context)?)),
    }
}

#[wasm_bindgen]
extern "C" {
    /// The context of a request.
    pub type Context;

    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &Context, promise: &Promise);

    /// The controller of a `ReadableStream`.
    #[derive(Clone)]
    type Controller;

    #[wasm_bindgen(method, catch)]
    fn enqueue(this: &Controller, bytes: Uint8Array) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn close(this: &Controller) -> Result<(), JsValue>;
}

impl EventSink for Controller {
    /// A stream without a reader is closed and refuses bytes.
    fn send(&self, event: &str, data: &str) -> bool {
        self.enqueue(Uint8Array::from(response::event(event, data).as_bytes())).is_ok()
    }
}

/// A stream of the events of a producer. The platform waits for the end of the producer, which may be later than
/// the end of the response.
fn stream(producer: Producer, context: &Context) -> Result<ReadableStream, JsValue> {
    let given = Rc::new(RefCell::new(None));
    let start = {
        let given = Rc::clone(&given);
        Closure::once_into_js(move |controller: JsValue| drop(given.replace(Some(controller))))
    };
    let source = js_sys::Object::new();
    js_sys::Reflect::set(&source, &"start".into(), &start)?;
    let stream = ReadableStream::new_with_underlying_source(&source)?;
    // The constructor of the stream has called `start`.
    let controller: Controller = given.take().unwrap_or_default().unchecked_into();
    context.wait_until(&promise(async move {
        producer(Rc::new(controller.clone())).await;
        // This fails if the reader is gone, as the stream is closed then.
        drop(controller.close());
        Ok(JsValue::UNDEFINED)
    }));
    Ok(stream)
}

/// The parts of a body, for `http.js`.
#[wasm_bindgen]
pub struct PartSource(Rc<RefCell<Option<Parts>>>);

#[wasm_bindgen]
impl PartSource {
    /// Promises the next part as bytes, or `undefined` after the last one. The promise is rejected when there is no part,
    /// although the body is not whole. One part is made at a time.
    pub fn next(&self) -> Promise {
        let held = Rc::clone(&self.0);
        promise(async move {
            let Some(mut parts) = held.take() else { return Err(js_sys::Error::new("the body has ended").into()) };
            match parts.next().await {
                Some(Ok(text)) => {
                    held.replace(Some(parts));
                    Ok(Uint8Array::from(text.as_bytes()).into())
                }
                // What is wrong is in the log.
                Some(Err(fault)) => Err(js_sys::Error::new(fault.code()).into()),
                None => Ok(JsValue::UNDEFINED),
            }
        })
    }
}
