//! Who is refused, and how: credentials, modes, faulty requests, other origins, session tokens, the rate limit.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::{Answer, QUOTAS, RATE_LIMIT};
use super::client::Client;
use super::life::Life;
use super::people::{ADA, END_USERS};
use super::report::{Checked, Fault};

/// Requests at once, far more than [`BURST`].
const FLOOD: usize = 12;
const BURST: u32 = 2;
/// A token comes each second, so no refusal may say that it takes longer.
const RETRY_AFTER_S_MAX: u64 = 3;

/// Missing, forged and too weak keys, and keys of another kind.
pub fn credentials(life: &Life<'_>) -> Checked {
    let organization = life.organization;
    let missing = life.anonymous.get(END_USERS)?;
    missing.expect_member(401, "/error/code", &"authentication_error".into())?;
    missing.expect_headers(&["www-authenticate"])?;
    let forged = format!("{}x", organization.service_key);
    life.anonymous.bearer(&forged).get(END_USERS)?.expect_member(401, "/error/code", &"invalid_token".into())?;
    life.anonymous.bearer(&organization.service_key).get(END_USERS)?.expect_status(401)?;
    let weak = organization.reader.post(END_USERS, &json!({ "user_id": "eve" }))?;
    weak.expect_member(403, "/error/code", &"permission_denied".into())?;
    weak.expect_headers(QUOTAS)?;
    organization.writer.get("/admin/v1/organizations")?.expect_status(401)
}

/// Every kind of fault has its status and its body.
pub fn faults(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let code =
        |answer: &Answer, status: u16, code: &str| answer.expect_member(status, "/error/code", &code.into()).map(drop);
    code(&writer.get("/v1/nothing")?, 404, "not_found")?;
    let not_allowed = writer.send("PUT", ADA, None)?;
    code(&not_allowed, 405, "method_not_allowed")?;
    not_allowed.expect_headers(&["allow"])?;
    let long = json!({ "user_id": "long", "metadata": { "text": "x".repeat(70_000) } });
    code(&writer.post(END_USERS, &long)?, 413, "payload_too_large")?;
    code(&writer.send("POST", END_USERS, Some(("text/plain", "{}")))?, 415, "unsupported_media_type")?;
    code(&writer.send("POST", END_USERS, Some(("application/json", "{")))?, 400, "invalid_request")?;
    let invalid = writer.post(END_USERS, &json!({ "user_id": 1, "unknown": 2 }))?;
    code(&invalid, 422, "validation_error")?;
    if invalid.json()["error"]["details"]["fields"].as_array().is_none_or(|fields| fields.len() != 2) {
        return Err(invalid.unexpected("422 with both faults"));
    }
    let problem = writer.get("/api/v1/agents/nothing")?;
    problem.expect_member(404, "/status", &404.into())?;
    if problem.header("content-type")?.starts_with("application/problem+json") {
        Ok(())
    } else {
        Err(problem.unexpected("application/problem+json"))
    }
}

/// Test data and live data are apart.
pub fn modes(life: &Life<'_>) -> Checked {
    let test = &life.organization.test;
    test.get(ADA)?.expect_status(404)?;
    test.get(END_USERS)?.expect_member(200, "/data", &json!([])).map(drop)
}

/// A page of an allowed origin may call, and no other.
pub fn cross_origin(life: &Life<'_>) -> Checked {
    let from = |origin: &str| {
        let client = life.anonymous.with("Origin", origin).with("Access-Control-Request-Method", "GET");
        client.send("OPTIONS", END_USERS, None)
    };
    let strange = from("https://stranger.invalid")?;
    if strange.find_header("access-control-allow-origin").is_some() {
        return Err(Fault::new(
            format!("{strange} allows the origin https://stranger.invalid"),
            "let nothing in front of the Worker add Access-Control headers: it has an allow-list of its own",
        ));
    }
    let origins = life.setting("ALLOWED_ORIGINS").unwrap_or_default();
    let Some(origin) = origins.split(',').map(str::trim).find(|origin| !origin.is_empty()) else { return Ok(()) };
    let allowed = from(origin)?;
    if allowed.find_header("access-control-allow-origin") == Some(origin) {
        return Ok(());
    }
    let what = format!("{allowed} does not allow {origin}, which is in ALLOWED_ORIGINS");
    Err(Fault::new(
        what,
        "correct ALLOWED_ORIGINS, and let whatever stands in front of the Worker pass Origin and its answer on",
    ))
}

/// The issuer's keys can be fetched: a token that it did not sign is refused, and not answered by 503.
pub fn session_tokens(life: &Life<'_>) -> Checked {
    let Some(issuer) = life.setting("CLERK_ISSUER") else {
        return life.anonymous.bearer("no-session").get("/api/v1/me")?.expect_status(401);
    };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // Any party may be set: the first that is listed gets as far as the keys.
    let parties = life.setting("CLERK_AUTHORIZED_PARTIES").unwrap_or_default();
    let party = parties.split(',').next().unwrap_or_default().trim().to_owned();
    let head = json!({ "alg": "RS256", "typ": "JWT", "kid": "verify" });
    let claims = json!({
        "iss": issuer.trim(), "sub": "user_verify", "sid": "sess_verify", "azp": party, "iat": 0, "nbf": 0,
        "exp": 4_102_444_800_u64,
    });
    let token = format!("{}.{}.{}", part(&head), part(&claims), URL_SAFE_NO_PAD.encode([0; 256]));
    let answer = life.anonymous.bearer(&token).get("/api/v1/me")?;
    if answer.status == 503 {
        return Err(Fault::new(
            format!("{answer}: the keys of CLERK_ISSUER cannot be fetched"),
            "set CLERK_JWKS_URL to the URL where the issuer publishes its keys, such as https://<issuer>/.well-known/jwks.json",
        ));
    }
    answer.expect_status(401)
}

/// Beyond the bucket 429, and what it says of a retry holds.
pub fn rate_limit(life: &Life<'_>) -> Checked {
    let narrowed = life.organization.set_bucket(1, BURST).and_then(|()| beyond_bucket(&life.organization.test));
    // The checks after this one need a token.
    narrowed.and(life.organization.set_bucket(100, 1_000))
}

fn beyond_bucket(client: &Client) -> Checked {
    let path = "/v1/usage/turns";
    let answers: Checked<Vec<Answer>> = thread::scope(|scope| {
        let sent: Vec<_> = (0..FLOOD).map(|_| scope.spawn(|| client.get(path))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap_or_else(|_| client.get(path))).collect()
    });
    let answers = answers?;
    let Some(refused) = answers.iter().find(|answer| answer.status == 429) else {
        return Err(Fault::new(
            format!("none of {FLOOD} requests at once is refused, although the bucket holds {BURST}"),
            "let no cache in front of the Worker answer, and deploy this build",
        ));
    };
    refused.expect_member(429, "/error/code", &"rate_limit_exceeded".into())?;
    refused.expect_headers(RATE_LIMIT)?;
    refused.expect_headers(QUOTAS)?;
    let seconds = refused.header("retry-after")?.parse::<u64>().ok();
    let Some(seconds) = seconds.filter(|seconds| (1..=RETRY_AFTER_S_MAX).contains(seconds)) else {
        return Err(refused.unexpected("Retry-After: 1"));
    };
    thread::sleep(Duration::from_secs(seconds));
    let retried = client.get(path)?.expect_status(200);
    retried
        .map_err(|fault| Fault { what: format!("{seconds} s after Retry-After: {seconds}, {}", fault.what), ..fault })
}
