//! Requests and responses of the Workers runtime.

use std::borrow::Cow;

use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, Response, ResponseInit};

use super::describe;
use crate::edge::http::{BodyError, HeaderName, Incoming, Response as EdgeResponse};

#[derive(Debug)]
pub struct HttpRequest(pub Request);

impl Incoming for HttpRequest {
    fn method(&self) -> String {
        self.0.method()
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).ok().flatten()
    }

    /// Reads chunk by chunk: `Content-Length` is the sender's word, and reading
    /// all before looking would hold it all.
    async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let broken = |error: &JsValue| BodyError::Broken(describe(error));
        let Some(stream) = self.0.body() else { return Ok(Vec::new()) };
        let reader: web_sys::ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
        let mut body = Vec::new();
        loop {
            let chunk = JsFuture::from(reader.read()).await.map_err(|error| broken(&error))?;
            let chunk: web_sys::ReadableStreamReadResult = chunk.unchecked_into();
            if chunk.get_done().unwrap_or(true) {
                return Ok(body);
            }
            let bytes = js_sys::Uint8Array::new(&chunk.get_value());
            let length = usize::try_from(bytes.length()).unwrap_or(usize::MAX);
            if body.len().saturating_add(length) > bytes_max {
                // Nothing more is wanted; whether the sender hears of it does not matter.
                drop(reader.cancel());
                return Err(BodyError::TooLarge);
            }
            body.append(&mut bytes.to_vec());
        }
    }
}

/// Two crossings for all of a response: one text with the status and every header,
/// and the body. Header by header a response costs several times as much.
pub fn into_response(response: &EdgeResponse) -> Result<Response, JsValue> {
    #[derive(Serialize)]
    struct Init<'a> {
        status: u16,
        headers: &'a [(HeaderName, Cow<'static, str>)],
    }
    let init = Init { status: response.status, headers: &response.headers };
    let init = serde_json::to_string(&init).map_err(|error| js_sys::Error::new(&error.to_string()))?;
    let init: ResponseInit = js_sys::JSON::parse(&init)?.unchecked_into();
    Response::new_with_opt_str_and_init(response.body.as_deref(), &init)
}
