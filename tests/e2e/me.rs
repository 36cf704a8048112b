//! `GET /api/v1/me`: session tokens, their signing keys, and the signed-in person.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use xtask::session::{SigningKey, key_set};

use crate::client::Response;
use crate::clock::{self, Clock, now_ms, set_ahead};
use crate::faults;
use crate::server::{Options, Server, expect, roomy, shared};
use crate::stores::Store;
use crate::upstream::{Behaviour, Upstream};
use crate::wait;

pub const ME: &str = "/api/v1/me";
pub const ISSUER: &str = "https://clerk.example";

/// The issuer's key, and a key of another.
fn keys() -> &'static [SigningKey; 2] {
    static KEYS: OnceLock<[SigningKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [(); 2].map(|()| SigningKey::generate().expect("a key")))
}

pub fn key() -> &'static SigningKey {
    &keys()[0]
}

fn stranger() -> &'static SigningKey {
    &keys()[1]
}

fn now_s() -> u64 {
    u64::try_from(now_ms() / 1_000).expect("a clock after 1970")
}

/// Claims like Clerk's.
pub fn claims(person: &str) -> Value {
    let now_s = now_s();
    json!({
        "iss": ISSUER, "sub": person, "sid": "sess_1", "azp": "https://app.example", "sts": "active", "v": 2,
        "iat": now_s, "nbf": now_s - 10, "exp": now_s + 3_600,
    })
}

pub fn token(person: &str) -> String {
    key().sign(&claims(person))
}

fn serve(keys: &[Value]) -> Behaviour {
    Behaviour::Body(key_set(keys))
}

/// A Worker whose issuer is a server of the test.
struct World {
    server: Server,
    issuer: Upstream,
}

impl World {
    fn start() -> Self {
        Self::start_with(&[], Some(clock::ENTRY))
    }

    fn start_with(more: &[(&'static str, &str)], entry: Option<&'static str>) -> Self {
        let issuer = Upstream::start();
        issuer.otherwise(|_| serve(&[key().jwk()]));
        let mut vars = roomy();
        vars.extend([("CLERK_ISSUER", ISSUER.to_owned()), ("CLERK_JWKS_URL", issuer.url())]);
        vars.push(("CLERK_AUTHORIZED_PARTIES", "*".to_owned()));
        vars.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { server: Server::start(Options { vars, entry }), issuer }
    }

    fn me(&self, token: &str) -> Response {
        self.server.with_key(token).get(ME)
    }

    /// Number of times that the Worker fetched the keys.
    fn fetches(&self) -> usize {
        self.issuer.asked().len()
    }

    /// Sets the Worker's clock ahead by this much in total.
    fn ahead(&self, by: Duration) {
        set_ahead(&self.server, by);
    }

    /// Changes the mirror as webhooks do.
    fn mirror(&self, sql: &str) {
        let files = Store::D1.files(self.server.state());
        let databases = files.iter().map(|file| Connection::open(file).expect("a database"));
        let has_people = "SELECT count(*) FROM sqlite_schema WHERE name = 'people'";
        let mut holders = databases.filter(|database| database.query_row(has_people, [], |row| row.get(0)) == Ok(1));
        let database = holders.next().expect("the mirror");
        database.busy_timeout(wait::LIMIT).expect("a timeout");
        database.execute_batch(sql).expect("the mirror takes it");
    }
}

/// For tests that change neither the issuer nor the clock.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::start_with(&[("CLERK_AUTHORIZED_PARTIES", "https://app.example")], None))
}

#[track_caller]
fn assert_refused(response: &Response, challenge: &str) {
    assert_eq!(response.status, 401, "{response:?}");
    assert_eq!(response.header("www-authenticate"), challenge, "{response:?}");
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(response.json()["status"], 401);
    assert_eq!(response.header("x-ratelimit-limit"), "1000000");
}

const INVALID: &str = "Bearer error=\"invalid_token\"";
const EXPIRED: &str = "Bearer error=\"token_expired\"";

#[test]
fn a_person_is_told_who_they_are_and_where_they_belong() {
    let world = world();
    world.mirror(
        "INSERT INTO people VALUES ('user_ada', 'ada@example.com', 1, 0), ('user_bob', NULL, 1, 0), ('user_eve', 'e', 1, 1);
         INSERT INTO clerk_organizations VALUES
           ('org_b', 'Beta \"&\" Sons', NULL, 1700000000007, 1, 0, 3), ('org_a', 'Alpha', 'alpha', 0, 1, 0, 1),
           ('org_gone', 'Gone', 'gone', 0, 1, 1, 1), ('org_other', 'Other', 'other', 0, 1, 0, 1);
         INSERT INTO memberships VALUES
           ('m1', 'org_b', 'user_ada', 'org:member', 1, 1, 0), ('m2', 'org_a', 'user_ada', 'org:admin', 1, 1, 0),
           ('m3', 'org_gone', 'user_ada', 'org:member', 1, 1, 0), ('m4', 'org_other', 'user_ada', 'org:member', 1, 1, 1),
           ('m5', 'org_unknown', 'user_ada', 'org:member', 1, 1, 0), ('m6', 'org_b', 'user_ada', 'org:owner', 1, 2, 0),
           ('m7', 'org_other', 'user_bob', 'org:member', 1, 1, 0);
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
           INSERT INTO memberships SELECT 'n' || n, 'org_a', 'user_' || n, 'org:member', 1, 1, 0 FROM n;",
    );
    let mut claims = claims("user_ada");
    // The mirrored row counts, not the token's claim.
    claims["email"] = json!("other@example.com");
    claims["o"] = json!({ "id": "org_c", "slg": "c", "rol": "member" });
    let response = world.me(&key().sign(&claims));
    let expected = json!({
        "$schema": "/api/v1/schemas/Me.json", "user_id": "user_ada", "email": "ada@example.com",
        "orgs": [
            { "id": "org_a", "name": "Alpha", "slug": "alpha", "role": "org:admin", "member_count": 1,
              "created_at": "1970-01-01T00:00:00.000Z" },
            { "id": "org_b", "name": "Beta \"&\" Sons", "slug": null, "role": "org:owner", "member_count": 3,
              "created_at": "2023-11-14T22:13:20.007Z" },
        ],
    });
    assert_eq!(expect(200, response.clone()), expected);
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("link"), "</api/v1/schemas/Me.json>; rel=\"describedBy\"");
    assert_eq!(response.header("cache-control"), "no-store, no-transform");
    let line = world.server.log_line(response.header("x-request-id"));
    assert_eq!((&line["route"], &line["outcome"], &line["organizationId"]), (&json!(ME), &json!("ok"), &Value::Null));

    // A thousand other members add no rows.
    assert!(line["rowsRead"].as_u64().is_some_and(|rows| rows <= 30), "{line}");

    let bob = expect(200, world.me(&token("user_bob")));
    assert_eq!((&bob["email"], &bob["orgs"][0]["id"]), (&Value::Null, &json!("org_other")));
    assert_refused(&world.me(&token("user_eve")), INVALID);
    let head = world.server.with_key(&token("user_ada")).send("HEAD", ME, None);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

/// Clerk bounds no name. An answer to one person must not fill the memory that all share.
#[test]
fn a_person_of_many_long_organizations_is_told_of_as_many_as_fit() {
    let world = world();
    world.mirror(
        "INSERT INTO people VALUES ('user_long', printf('%.*c', 250000, 'e'), 1, 0);
         WITH RECURSIVE n(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM n WHERE n < 130)
           INSERT INTO clerk_organizations SELECT 'org_l' || n, printf('%.*c', 100000, '\"'), NULL, 0, 1, 0, 1 FROM n;
         INSERT INTO memberships SELECT 'l' || id, id, 'user_long', 'org:member', 1, 1, 0 FROM clerk_organizations
           WHERE id GLOB 'org_l*';",
    );
    let response = world.me(&token("user_long"));
    assert!(response.body.len() <= 2_000_000, "{} bytes", response.body.len());
    let person = expect(200, response);
    let orgs = person["orgs"].as_array().expect("orgs");
    let ids: Vec<&str> = orgs.iter().map(|org| org["id"].as_str().expect("an id")).collect();
    let expected: Vec<String> = (100..100 + ids.len()).map(|number| format!("org_l{number}")).collect();
    assert_eq!(ids, expected);
    assert!((5..31).contains(&ids.len()), "{ids:?}");
}

#[test]
fn of_a_person_who_is_not_mirrored_the_token_tells() {
    let world = world();
    let bare = expect(200, world.me(&token("user_new")));
    let schema = "/api/v1/schemas/Me.json";
    assert_eq!(bare, json!({ "$schema": schema, "user_id": "user_new", "email": null, "orgs": [] }));
    let mut claims = claims("user_\"new\"");
    claims["email"] = json!("new@example.com");
    claims["o"] = json!({ "id": "org_1", "slg": "acme", "rol": "admin" });
    let expected = json!({
        "$schema": schema, "user_id": "user_\"new\"", "email": "new@example.com",
        "orgs": [{ "id": "org_1", "name": "acme", "slug": "acme", "role": "org:admin", "member_count": null, "created_at": null }],
    });
    assert_eq!(expect(200, world.me(&key().sign(&claims))), expected);
}

#[test]
fn no_credential_and_one_of_another_kind_are_refused() {
    let world = world();
    assert_refused(&world.server.anonymous().get(ME), "Bearer");
    let basic = world.server.anonymous().with_header("Authorization", "Basic dTpw").get(ME);
    assert_refused(&basic, "Bearer");
    assert_eq!(basic.json()["type"], "urn:rollcall:problem:authentication_error");
    let organization = world.server.organization();
    let api_key = world.server.client(&organization, "live", "read_write");
    assert_refused(&api_key.get(ME), INVALID);
    assert_refused(&world.server.admin().get(ME), INVALID);
    let response = world.server.with_key(&token("user_1")).get("/v1/end-users");
    assert_eq!((response.status, response.header("www-authenticate")), (401, INVALID));
    let response = world.server.with_key(&token("user_1")).get("/api/v1/agents");
    assert_eq!((response.status, response.header("www-authenticate")), (401, INVALID));
    // The credential's fault comes before the query's.
    assert_refused(&world.server.with_key("x").get("/api/v1/me?a=b"), INVALID);
    let response = world.server.with_key(&token("user_1")).get("/api/v1/me?a=b");
    assert_eq!((response.status, &response.json()["errors"][0]["location"]), (422, &json!("query.a")));
    let response = world.server.with_key(&token("user_1")).post(ME, &json!({}));
    assert_eq!((response.status, response.header("allow")), (405, "GET, HEAD, OPTIONS"));
}

#[test]
fn each_claim_that_is_wrong_is_enough_to_refuse_a_genuine_token() {
    let world = world();
    let now_s = now_s();
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(null)),
        ("azp", json!("https://evil.example")),
        ("azp", json!(null)),
        ("sts", json!("pending")),
        ("nbf", json!(now_s + 3_600)),
        ("iat", json!(now_s + 3_600)),
        ("exp", json!(null)),
        ("exp", json!(format!("{}", now_s + 60))),
        ("sub", json!("")),
        ("aud", json!("https://other.example")),
    ] {
        let mut claims = claims("user_1");
        claims[name] = value.clone();
        let response = world.me(&key().sign(&claims));
        assert_eq!(response.status, 401, "{name}: {value}");
        assert_refused(&response, INVALID);
        assert_eq!(response.json()["type"], "urn:rollcall:problem:invalid_token");
    }
    for name in ["iss", "azp", "exp", "sub"] {
        let mut claims = claims("user_1");
        claims.as_object_mut().expect("claims").remove(name);
        assert_refused(&world.me(&key().sign(&claims)), INVALID);
    }
    let mut expired = claims("user_1");
    expired["exp"] = json!(now_s - 1);
    let response = world.me(&key().sign(&expired));
    assert_refused(&response, EXPIRED);
    assert_eq!(response.json()["type"], "urn:rollcall:problem:token_expired");
    // Only a genuine token gets the answer that it has expired.
    let forged = stranger().sign_parts(&header(&json!({ "kid": key().id() })), &expired.to_string());
    assert_refused(&world.me(&forged), INVALID);
    let twice = claims("user_1").to_string().replacen('{', "{\"sub\":\"user_2\",", 1);
    assert_refused(&world.me(&key().sign_parts(&header(&json!({})), &twice)), INVALID);
}

/// A header with members changed or added.
fn header(members: &Value) -> String {
    let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": key().id() });
    for (name, value) in members.as_object().expect("members") {
        header[name] = value.clone();
    }
    header.to_string()
}

#[test]
fn each_way_to_forge_a_token_fails() {
    let world = world();
    let payload = claims("user_1").to_string();
    for members in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "PS256" }),
        json!({ "alg": "RS512" }),
        json!({ "typ": "at+jwt" }),
        json!({ "crit": ["b64"], "b64": true }),
        json!({ "jku": world.issuer.url() }),
        json!({ "x5u": world.issuer.url() }),
        json!({ "jwk": key().jwk() }),
        json!({ "x5c": [] }),
        json!({ "kid": stranger().id() }),
        json!({ "kid": null }),
    ] {
        let response = world.me(&key().sign_parts(&header(&members), &payload));
        assert_eq!(response.status, 401, "{members}");
        assert_refused(&response, INVALID);
    }
    let bare = json!({ "alg": "RS256" }).to_string();
    assert_refused(&world.me(&key().sign_parts(&bare, &payload)), INVALID);
    // A stranger's signature under the issuer's name.
    assert_refused(&world.me(&stranger().sign_parts(&header(&json!({})), &payload)), INVALID);
    let good = token("user_1");
    assert_eq!(world.me(&good).status, 200);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let (header, payload) = signed.split_once('.').expect("a payload");
    let other = key().sign(&claims("user_2"));
    let (_, other_signature) = other.rsplit_once('.').expect("a signature");
    for forged in [
        format!("{signed}."),
        signed.to_owned(),
        format!("{good}."),
        format!("{good}.x"),
        format!("{good}="),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{signed}.{other_signature}"),
        format!("{signed}.{}", &signature[4..]),
        format!("{signed}.AAAA{signature}"),
        format!("{signed}.{}", "A".repeat(signature.len())),
        format!("{signed}.{}", "A".repeat(9_000)),
        good.replace('.', ""),
        "a".repeat(7_000),
        "..".to_owned(),
    ] {
        assert_refused(&world.me(&forged), INVALID);
    }
    // A change in any part of the signature makes it invalid.
    for index in (0..signature.len()).step_by(19) {
        let mut bytes = good.clone().into_bytes();
        let at = signed.len() + 1 + index;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).expect("text");
        if forged != good {
            assert_refused(&world.me(&forged), INVALID);
        }
    }
}

#[test]
fn keys_are_fetched_once_by_whoever_comes_first() {
    let world = World::start();
    world.issuer.next(Behaviour::Trickle(String::new(), Duration::ZERO));
    // The first answer is slow and is not a key set.
    world.issuer.next(serve(&[key().jwk()]));
    let first = world.me(&token("user_1"));
    assert_eq!((first.status, world.fetches()), (503, 1), "{first:?}");
    world.ahead(Duration::from_secs(6));
    let tokens: Vec<String> = (0..32).map(|number| token(&format!("user_{number}"))).collect();
    thread::scope(|scope| {
        for token in &tokens {
            scope.spawn(|| assert_eq!(world.me(token).status, 200));
        }
    });
    assert_eq!(world.fetches(), 2);
    // A token in the cache needs no key.
    world.issuer.otherwise(|_| Behaviour::Drop);
    for token in &tokens {
        assert_eq!(world.me(token).status, 200);
    }
    assert_eq!(world.fetches(), 2);
    assert_eq!(world.issuer.asked()[0].body, Value::Null, "it is a GET");
}

#[test]
fn a_new_key_is_fetched_at_once_and_unknown_ones_once_in_thirty_seconds() {
    let world = World::start();
    let forge = |number: u32| {
        let kid = json!({ "kid": format!("forged-{number}") });
        stranger().sign_parts(&header(&kid), &claims("user_1").to_string())
    };
    let forged: Vec<String> = (0..50).map(forge).collect();
    let refuse_all = || forged.iter().for_each(|token| assert_refused(&world.me(token), INVALID));
    assert_eq!(world.me(&token("user_1")).status, 200);
    assert_eq!(world.fetches(), 1);
    world.issuer.otherwise(|_| serve(&[key().jwk(), stranger().jwk()]));
    let rotated = stranger().sign(&claims("user_2"));
    assert_eq!(world.me(&rotated).status, 200);
    assert_eq!(world.fetches(), 2);
    let mut clock = Clock::stop(&world.server);
    refuse_all();
    assert_eq!(world.fetches(), 2);
    clock.advance(Duration::from_secs(31));
    refuse_all();
    assert_eq!(world.fetches(), 3);
    // A withdrawn key verifies no token after the next fetch of the set.
    world.issuer.otherwise(|_| serve(&[stranger().jwk()]));
    clock.advance(Duration::from_mins(11));
    assert_eq!(world.me(&stranger().sign(&claims("user_3"))).status, 200);
    assert_refused(&world.me(&token("user_4")), INVALID);
}

#[test]
fn a_key_set_that_is_not_there_is_no_fault_of_the_caller() {
    let world = World::start();
    let token = token("user_1");
    let mut clock = Clock::stop(&world.server);
    let large = json!({ "keys": [key().jwk()], "padding": "x".repeat(70_000) }).to_string();
    for behaviour in [
        Behaviour::Drop,
        Behaviour::DropInBody,
        Behaviour::Status(500),
        Behaviour::Status(404),
        Behaviour::Redirect(world.issuer.url()),
        Behaviour::Slow(Duration::from_secs(20)),
        Behaviour::SlowBody(Duration::from_secs(20)),
        Behaviour::Body(large),
        Behaviour::Body("<html>".to_owned()),
        Behaviour::Body("{\"keys\":7}".to_owned()),
        Behaviour::Body(format!("{{\"keys\":[],\"keys\":[{}]}}", key().jwk())),
    ] {
        let fetches = world.fetches();
        world.issuer.next(behaviour.clone());
        let response = world.me(&token);
        assert_eq!(response.status, 503, "{behaviour:?}: {response:?}");
        assert_eq!(response.json()["type"], "urn:rollcall:problem:service_unavailable");
        assert!((1..=5).contains(&response.header("retry-after").parse::<u32>().expect("seconds")));
        // The Worker does not fetch the keys again before `Retry-After`.
        assert_eq!(world.me(&token).status, 503, "{behaviour:?}");
        assert_eq!(world.fetches(), fetches + 1, "{behaviour:?}");
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!(world.me(&token).status, 200);
    // From now on the Worker keeps the last set, for an hour.
    world.issuer.otherwise(|_| Behaviour::Status(500));
    clock.advance(Duration::from_mins(50));
    assert_eq!(world.me(&self::token("user_2")).status, 200);
    clock.advance(Duration::from_mins(11));
    let mut claims = claims("user_3");
    claims["exp"] = json!(now_s() + 100_000);
    let response = world.me(&key().sign(&claims));
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.headers.contains_key("retry-after"));
}

/// A check that fails or never ends says nothing of the token.
#[test]
fn a_signature_that_cannot_be_checked_is_503_in_time() {
    let world = World::start_with(&[], Some("tests/runtime/faults.mjs"));
    let token = token("user_1");
    for fault in [json!(true), json!("hang")] {
        faults::set(&world.server, &json!({ "crypto": fault }));
        let response = world.me(&token);
        assert_eq!((response.status, response.header("retry-after")), (503, "1"), "{fault}: {response:?}");
    }
    faults::set(&world.server, &json!({ "crypto": false }));
    assert_eq!(world.me(&token).status, 200);
    let happened = ["crypto.failed", "crypto.hang"].map(|fault| faults::happened(&world.server, fault));
    assert_eq!(happened, [1, 1]);
}

#[test]
fn a_key_that_is_weak_or_shares_its_name_signs_for_nobody() {
    let world = World::start();
    let weak = SigningKey::generate_with(1_024, 65_537).expect("a key");
    let small = SigningKey::generate_with(2_048, 3).expect("a key");
    let (first, second) = (key().clone(), stranger().clone());
    let mut same = second.jwk();
    same["kid"] = json!(first.id());
    let mut encryption = second.jwk();
    encryption["use"] = json!("enc");
    let large = SigningKey::generate_with(3_072, 65_537).expect("a key");
    let set = [weak.jwk(), small.jwk(), first.jwk(), same, encryption, large.jwk(), json!({ "kty": "EC", "kid": "x" })];
    world.issuer.otherwise(move |_| serve(&set));
    for (key, status) in [(&weak, 401), (&small, 401), (&first, 401), (&second, 401), (&large, 200)] {
        assert_eq!(world.me(&key.sign(&claims("user_1"))).status, status, "{}", key.jwk());
    }
}

#[test]
fn a_key_from_the_settings_needs_no_network() {
    let pem = key().public_pem().expect("a PEM");
    let world = World::start_with(&[("CLERK_JWT_KEY", &pem.replace('\n', "\\n"))], None);
    world.issuer.otherwise(|_| Behaviour::Drop);
    assert_eq!(world.me(&token("user_1")).status, 200);
    // The set has one key, so the Worker uses it under any name.
    let nameless = key().sign_parts("{\"alg\":\"RS256\"}", &claims("user_1").to_string());
    assert_eq!(world.me(&nameless).status, 200);
    assert_refused(&world.me(&stranger().sign(&claims("user_1"))), INVALID);
    assert_refused(&world.me(&stranger().sign_parts(&header(&json!({})), &claims("user_1").to_string())), INVALID);
    assert_eq!(world.fetches(), 0);
}

#[test]
fn a_token_is_believed_until_it_expires() {
    let world = World::start();
    let mut claims = claims("user_1");
    claims["exp"] = json!(now_s() + 60);
    let token = key().sign(&claims);
    assert_eq!(world.me(&token).status, 200);
    assert_eq!(world.me(&token).status, 200);
    world.ahead(Duration::from_secs(61));
    assert_refused(&world.me(&token), EXPIRED);
    assert_refused(&world.me(&token), EXPIRED);
}

#[test]
fn without_an_issuer_nobody_is_signed_in() {
    assert_refused(&shared().anonymous().get(ME), "Bearer");
    assert_refused(&shared().with_key(&token("user_1")).get(ME), INVALID);
}

#[test]
fn only_failures_cost_a_token_of_the_address() {
    let more = [("PUBLIC_REQUESTS_PER_SECOND", "1"), ("PUBLIC_BURST", "5")];
    let world = World::start_with(&more, Some(clock::ENTRY));
    let good = token("user_1");
    Clock::stop(&world.server);
    let ask =
        |address: &str, token: &str| world.server.with_key(token).with_header("CF-Connecting-IP", address).get(ME);
    for _ in 0..7 {
        let told = ask("192.0.2.1", &good);
        assert_eq!(told.status, 200, "{told:?}");
        assert!(!told.headers.contains_key("x-ratelimit-limit"), "no token is taken: {told:?}");
    }
    let forged = stranger().sign(&claims("user_1"));
    for (address, tokens) in [("192.0.2.1", ["x", "y"]), ("192.0.2.2", [forged.as_str(), "x"])] {
        let statuses: Vec<u16> = (0..7).map(|index| ask(address, tokens[index % 2]).status).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429], "{address}");
        for person in ["user_1", "user_2"] {
            assert_eq!(ask(address, &token(person)).status, 200, "failures of one lock out no other");
        }
    }
}

#[test]
fn neither_tokens_nor_keys_are_logged_or_answered() {
    let world = World::start();
    let n = key().jwk()["n"].as_str().expect("a modulus").to_owned();
    let tokens = [token("user_canary"), stranger().sign(&claims("user_canary")), {
        let mut claims = claims("user_canary");
        claims["exp"] = json!(1);
        key().sign(&claims)
    }];
    let mut responses: Vec<Response> = tokens.iter().map(|token| world.me(token)).collect();
    world.issuer.otherwise(|_| Behaviour::Body(format!("{{\"keys\":[{}", key().jwk())));
    world.ahead(Duration::from_mins(90));
    responses.extend(tokens.iter().map(|token| world.me(token)));
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    let mut claims = claims("user_canary");
    claims["exp"] = json!(now_s() + 100_000);
    let last = key().sign(&claims);
    responses.push(world.me(&last));
    assert_eq!(responses.last().map(|response| response.status), Some(503), "{statuses:?}");
    for response in &responses {
        let line = world.server.log_line(response.header("x-request-id")).to_string();
        for secret in tokens.iter().chain([&last]) {
            for part in secret.split('.') {
                assert!(!line.contains(part) && !format!("{response:?}").contains(part), "{line}: {response:?}");
            }
        }
        assert!(!line.contains(&n[..20]) && !response.body.contains(&n[..20]), "{line}");
        assert!(!line.contains("user_canary"), "{line}");
    }
}
