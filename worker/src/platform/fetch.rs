//! Requests to services outside.

use js_sys::{JSON, Promise, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::Response;

use super::bindings::describe;
use super::http::read_body;
use crate::executor::fulfilled;
use rollcall::edge::http::request::BodyError;
use rollcall::fetch::{Fetch, FetchError, Outgoing};
use serde::Serialize;

#[wasm_bindgen]
extern "C" {
    type AbortSignal;

    #[wasm_bindgen(static_method_of = AbortSignal)]
    fn timeout(limit_ms: u32) -> AbortSignal;

    #[wasm_bindgen(method, getter)]
    fn aborted(this: &AbortSignal) -> bool;

    #[wasm_bindgen(catch, js_namespace = globalThis, js_name = fetch)]
    fn start(url: &str, init: &JsValue) -> Result<Promise, JsValue>;
}

/// Sends a request and reads its answer. One signal limits the time of both.
pub async fn fetch(request: Fetch<'_>) -> Result<u16, FetchError> {
    let (url, bearer, body) = match request.outgoing {
        Outgoing::Get { url } => (url, None, None),
        Outgoing::Post { url, bearer, body } => (url, bearer, Some(body)),
        Outgoing::WorkersAi { .. } => return Err(FetchError::Broken("a binding has no URL".to_owned())),
    };
    let signal = AbortSignal::timeout(request.limit_ms);
    let broken = |error: JsValue| {
        if signal.aborted() { FetchError::TimedOut } else { FetchError::Broken(describe(&error)) }
    };
    let started = init(bearer, body, &signal).and_then(|init| start(url, &init)).map_err(broken)?;
    let response: Response = fulfilled(&started).await.map_err(broken)?.unchecked_into();
    let (status, body) = (response.status(), response.body());
    if response.ok() {
        read_body(body, request.bytes_max, request.on_chunk).await.map_err(|error| match error {
            BodyError::Broken(_) if signal.aborted() => FetchError::TimedOut,
            error => error.into(),
        })?;
    } else if let Some(body) = body {
        drop(body.cancel());
    }
    Ok(status)
}

#[derive(Serialize)]
struct RequestInit {
    method: &'static str,
    redirect: &'static str,
    headers: RequestHeaders,
}

#[derive(Serialize)]
struct RequestHeaders {
    #[serde(rename = "Content-Type")]
    content_type: &'static str,
    #[serde(rename = "Authorization", skip_serializing_if = "Option::is_none")]
    authorization: Option<String>,
}

fn init(bearer: Option<&str>, body: Option<&str>, signal: &AbortSignal) -> Result<JsValue, JsValue> {
    let init = RequestInit {
        method: if body.is_some() { "POST" } else { "GET" },
        redirect: "manual",
        headers: RequestHeaders {
            content_type: "application/json",
            authorization: bearer.map(|bearer| ["Bearer ", bearer].concat()),
        },
    };
    let init = serde_json::to_string(&init).map_err(|error| js_sys::Error::new(&error.to_string()))?;
    let init = JSON::parse(&init)?;
    if let Some(body) = body {
        Reflect::set(&init, &"body".into(), &body.into())?;
    }
    Reflect::set(&init, &"signal".into(), signal)?;
    Ok(init)
}
