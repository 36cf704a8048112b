//! Signatures, checked by `WebCrypto`.
//!
//! Keys come from a key set or from PEM. Both forms are read into a [`PublicKey`], which is imported as a JSON
//! Web Key.

use js_sys::{Array, JSON, Uint8Array};
use wasm_bindgen::prelude::*;

use super::bindings::describe;
use crate::executor::{PromiseError, settle};
use rollcall::clerk::key::PublicKey;
use rollcall::refusal::Refusal;
use serde_json::json;

/// The longest wait for one operation, in milliseconds.
const LIMIT_MS: u32 = 5_000;

const RS256: &str = "{\"name\":\"RSASSA-PKCS1-v1_5\",\"hash\":\"SHA-256\"}";

#[wasm_bindgen]
extern "C" {
    type Subtle;

    #[wasm_bindgen(thread_local_v2, js_namespace = crypto, js_name = subtle)]
    static SUBTLE: Subtle;

    #[wasm_bindgen(method, catch, js_name = importKey)]
    fn import_key(
        this: &Subtle,
        format: &str,
        key: &JsValue,
        algorithm: &JsValue,
        extractable: bool,
        usages: Array,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn verify(
        this: &Subtle,
        algorithm: &JsValue,
        key: &JsValue,
        signature: Uint8Array,
        signed: Uint8Array,
    ) -> Result<JsValue, JsValue>;
}

/// Whether a key made a signature.
pub async fn verify_rs256(key: &PublicKey, signed: &[u8], signature: &[u8]) -> Result<bool, Refusal> {
    let verified = async {
        let algorithm = JSON::parse(RS256).map_err(PromiseError::Rejected)?;
        let key = json!({ "kty": "RSA", "e": "AQAB", "n": key.modulus() });
        let key = JSON::parse(&key.to_string()).map_err(PromiseError::Rejected)?;
        let usages = Array::of1(&"verify".into());
        let key = SUBTLE.with(|subtle| subtle.import_key("jwk", &key, &algorithm, false, usages));
        let key = settle(LIMIT_MS, key).await?;
        let (signature, signed) = (Uint8Array::from(signature), Uint8Array::from(signed));
        settle(LIMIT_MS, SUBTLE.with(|subtle| subtle.verify(&algorithm, &key, signature, signed))).await
    };
    match verified.await {
        Ok(genuine) => Ok(genuine.is_truthy()),
        Err(PromiseError::Rejected(error)) => Err(Refusal::new(describe(&error))),
        Err(PromiseError::TimedOut) => Err(Refusal::new("a signature took too long to check")),
    }
}
