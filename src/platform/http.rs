//! Requests and responses of the Workers runtime.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{Headers, Request, Response, ResponseBuilder};

use super::describe;
use crate::edge::http::{BodyError, Incoming, Response as EdgeResponse};

#[derive(Debug)]
pub struct HttpRequest(pub Request);

impl Incoming for HttpRequest {
    fn method(&self) -> String {
        self.0.inner().method()
    }

    fn url(&self) -> String {
        self.0.inner().url()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).ok().flatten()
    }

    /// Reads chunk by chunk: `Content-Length` is the sender's word, and reading
    /// all before looking would hold it all.
    async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let broken = |error: &JsValue| BodyError::Broken(describe(error));
        let Some(stream) = self.0.inner().body() else { return Ok(Vec::new()) };
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

pub fn into_response(response: EdgeResponse) -> worker::Result<Response> {
    let headers = Headers::new();
    for (name, value) in &response.headers {
        headers.set(name, value)?;
    }
    let builder = ResponseBuilder::new().with_status(response.status).with_headers(headers);
    Ok(match response.body {
        Some(body) => builder.fixed(body.into_bytes()),
        None => builder.empty(),
    })
}
