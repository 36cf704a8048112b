//! Counting turns when answers are late, are lost, or have no caller left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, make_agent};
use crate::client::{Client, Response};
use crate::pages::PageCount;
use crate::respond::{PATH, assert_error, assert_no_room, assert_quota, race, turn, used};
use crate::server::{Options, Server, expect, roomy};
use crate::stores::reserved_turns;
use crate::upstream::{Behaviour, Steps, Upstream};
use crate::wait;

/// A server whose turns an upstream answers, in time or not at all.
pub fn server(upstream: &Upstream, timeout_ms: u32) -> Server {
    let mut vars = roomy();
    vars.push(("RESPONDER_URL", upstream.url()));
    vars.push(("RESPONDER_TIMEOUT_MS", timeout_ms.to_string()));
    Server::start(Options { vars, entry: None })
}

pub fn is_replayed(response: &Response) -> bool {
    response.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

/// The sum of the turns that the relationships report.
pub fn turns_of_relationships(client: &Client) -> u64 {
    let (mut turns, mut cursor, mut pages) = (0, String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, client.get(&format!("/v1/relationships?limit=200{cursor}")));
        let data = page["data"].as_array().expect("data");
        turns += data.iter().map(|one| one["turns"].as_u64().expect("a count")).sum::<u64>();
        let Some(next) = page["next_cursor"].as_str() else { return turns };
        cursor = format!("&cursor={next}");
    }
}

const TURNS: usize = 1_000;
const CLIENTS: usize = 16;
const USERS: usize = 50;
const BUDGET_MS: u32 = 1_000;

/// One turn that a caller wants, with as many requests as it takes.
struct Wanted {
    index: usize,
    body: Value,
    /// Agent and user of a stateful turn.
    pair: Option<(usize, usize)>,
    /// Without a key every answer is a separate turn.
    keyed: bool,
}

impl Wanted {
    fn new(index: usize, agents: &[String], rng: &mut Rng) -> Self {
        let agent = rng.usize(..agents.len());
        // Some users take only this one turn.
        let user = if rng.f32() < 0.1 { USERS + index } else { rng.usize(..USERS) };
        let stateful = rng.f32() < 0.95;
        let mut body = json!({ "message": format!("turn {index:04}"), "personality_id": agents[agent] });
        if stateful {
            body["user_id"] = format!("user {user}").into();
        }
        Self { index, body, pair: stateful.then_some((agent, user)), keyed: rng.f32() < 0.9 }
    }

    fn key(&self) -> String {
        format!("key-{}", self.index)
    }

    fn client(&self, client: &Client) -> Client {
        if self.keyed { client.clone().with_header("Idempotency-Key", &self.key()) } else { client.clone() }
    }
}

/// The result of one wanted turn.
#[derive(Default)]
struct Fate {
    pair: Option<(usize, usize)>,
    keyed: bool,
    body: Value,
    /// The answer, if the caller has received one.
    answer: Option<String>,
    /// Number of answers that were not a replay.
    answers: u64,
    requests: u64,
    hung_up: u64,
    statuses: BTreeMap<u16, u64>,
}

impl Fate {
    fn note(&mut self, response: &Response) {
        self.requests += 1;
        *self.statuses.entry(response.status).or_default() += 1;
        match response.status {
            200 => {
                self.answers += u64::from(!is_replayed(response));
                if self.keyed {
                    let answer = self.answer.get_or_insert_with(|| response.body.clone());
                    assert_eq!(*answer, response.body, "one key, one answer");
                    assert!(self.answers <= 1, "a key is executed once: {response:?}");
                } else {
                    self.answer = Some(response.body.clone());
                }
            }
            409 if self.keyed => drop(assert_error(response, 409, "idempotency_in_flight", "conflict")),
            502 => drop(assert_error(response, 502, "upstream_error", "internal")),
            504 => drop(assert_error(response, 504, "turn_timeout", "internal")),
            _ => panic!("{response:?}"),
        }
    }
}

/// A random behaviour of an unreliable upstream.
fn moody(rng: &mut Rng) -> Behaviour {
    let milliseconds = Duration::from_millis;
    match rng.u32(..100) {
        0..55 => Behaviour::say("at once"),
        55..70 => Behaviour::Slow(milliseconds(rng.u64(..60))),
        70..80 => Behaviour::Status(500),
        // Just in time, or just too late.
        80..86 => Behaviour::Slow(milliseconds(u64::from(BUDGET_MS) - 30 + rng.u64(..60))),
        86..91 => Behaviour::Slow(milliseconds(u64::from(BUDGET_MS) * 2)),
        91..93 => Behaviour::SlowBody(milliseconds(u64::from(BUDGET_MS) * 2)),
        93..97 => Behaviour::Drop,
        _ => Behaviour::DropInBody,
    }
}

/// Sends a request and hangs up after a while, whether or not an answer has begun.
fn hang_up(address: &str, key: &str, wanted: &Wanted, wait: Option<Duration>) {
    let body = wanted.body.to_string();
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        wanted.key(),
        body.len(),
    );
    stream.write_all(head.as_bytes()).expect("a server that reads");
    if let Some(wait) = wait {
        stream.set_read_timeout(Some(wait)).expect("a timeout");
        let _ = stream.read(&mut [0; 4_096]);
    }
}

/// Requests a turn until it is answered or the attempts run out.
fn want(client: &Client, address: &str, key: &str, wanted: Wanted, rng: &mut Rng) -> Fate {
    let asking = wanted.client(client);
    let mut fate = Fate { pair: wanted.pair, keyed: wanted.keyed, body: wanted.body.clone(), ..Fate::default() };
    for _ in 0..=rng.usize(..4) {
        match rng.u32(..100) {
            0..20 if wanted.keyed => {
                let wait = rng.bool().then(|| Duration::from_millis(1 + rng.u64(..60)));
                hang_up(address, key, &wanted, wait);
                fate.requests += 1;
                fate.hung_up += 1;
                // Half of the callers give up and never learn the result.
                if rng.bool() {
                    break;
                }
            }
            20..35 if wanted.keyed => {
                let copies = race(3, 1, |_| asking.post(PATH, &wanted.body));
                for copy in &copies {
                    fate.note(copy);
                }
            }
            _ => fate.note(&asking.post(PATH, &wanted.body)),
        }
        // Some callers repeat a request although they have its answer.
        if fate.answer.is_some() && (!wanted.keyed || rng.f32() < 0.8) {
            break;
        }
    }
    fate
}

/// Waits until no turn is reserved, requested or counted, for longer than a turn may take.
fn assert_settles(server: &Server, tenant: &str, upstream: &Upstream, client: &Client) {
    let calm = Duration::from_millis(u64::from(BUDGET_MS) * 3);
    let (mut since, mut seen) = (Instant::now(), None);
    let look = || {
        let now = (reserved_turns(server.state(), tenant), upstream.asked().len(), used(client));
        if now.0 > 0 || seen != Some(now) {
            since = Instant::now();
        }
        seen = Some(now);
        (since.elapsed(), now)
    };
    wait::until("calm in reservations, requests and usage", look, |(unchanged_for, _)| *unchanged_for >= calm);
}

/// A thousand turns by racing clients that retry, send copies and hang up, with an upstream that fails, is late and
/// breaks off. Each answered turn is counted once, whether or not the caller was still connected. No other turn is
/// counted.
#[test]
fn what_is_answered_is_counted_once_whatever_else_happens() {
    let upstream = Upstream::start();
    upstream.otherwise(|_| moody(&mut Rng::new()));
    let server = server(&upstream, BUDGET_MS);
    let organization = server.organization();
    let issued = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "name": "k" }));
    let key = issued["key"].as_str().expect("a key");
    let client = server.with_key(key);
    let address = server.url().strip_prefix("http://").expect("a URL");
    let agents: Vec<String> = (0..3).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let mut fates: Vec<(usize, Fate)> = thread::scope(|scope| {
        let work = || {
            let mut rng = Rng::new();
            let mut fates = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= TURNS {
                    return fates;
                }
                let wanted = Wanted::new(index, &agents, &mut rng);
                fates.push((index, want(&client, address, key, wanted, &mut rng)));
            }
        };
        let racers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        racers.into_iter().flat_map(|racer| racer.join().expect("a racer")).collect()
    });
    let elapsed = started.elapsed();
    assert_settles(&server, &format!("{}/live", organization.id), &upstream, &client);
    let (turns, active) = used(&client);
    let in_relationships = turns_of_relationships(&client);
    let answered = fates.iter().filter(|(_, fate)| fate.answer.is_some()).count();

    // A repeated key shows whether its turn was counted. A counted turn is replayed. Any other turn is executed and
    // counted now.
    upstream.otherwise(|_| Behaviour::say("at last"));
    let (mut counted, mut stateful, mut pairs, mut unseen, mut made_up) = (0, 0, BTreeSet::new(), 0, Vec::new());
    for (index, fate) in &mut fates {
        let mut count = fate.answers;
        if fate.keyed {
            let known = fate.answer.is_some();
            let asking = client.clone().with_header("Idempotency-Key", &format!("key-{index}"));
            let ask = || {
                let again = asking.post(PATH, &fate.body);
                fate.note(&again);
                again
            };
            // On a busy machine a turn can exceed its budget. Such a turn is not counted, and the caller repeats
            // it.
            let again = wait::until("an answer", ask, |again| again.status == 200);
            let was_counted = is_replayed(&again);
            assert!(was_counted || !known, "what was answered is replayed: {again:?}");
            count = u64::from(was_counted);
            unseen += u64::from(was_counted && !known);
            if !was_counted {
                made_up.push(fate.pair);
            }
        }
        counted += count;
        if count > 0
            && let Some(pair) = fate.pair
        {
            stateful += count;
            pairs.insert(pair);
        }
    }

    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    for (status, count) in fates.iter().flat_map(|(_, fate)| &fate.statuses) {
        *statuses.entry(*status).or_default() += count;
    }
    let (requests, hung_up) =
        fates.iter().fold((0, 0), |(requests, hung_up), (_, fate)| (requests + fate.requests, hung_up + fate.hung_up));
    println!(
        "{TURNS} turns wanted by {CLIENTS} clients in {} ms: {requests} requests, {hung_up} hung up, {statuses:?}",
        elapsed.as_millis()
    );
    println!(
        "{answered} were seen answered, {unseen} were answered to nobody; counted: {turns} turns, {active} active \
         relationships, {in_relationships} turns in relationships; expected: {counted}, {}, {stateful}",
        pairs.len()
    );
    assert!(unseen > 0, "some hung up and were counted");
    assert_eq!((turns, active), (counted, u64::try_from(pairs.len()).expect("few")));
    assert_eq!(in_relationships, stateful);
    let more = u64::try_from(made_up.len()).expect("few");
    stateful += u64::try_from(made_up.iter().flatten().count()).expect("few");
    pairs.extend(made_up.into_iter().flatten());
    assert_eq!(used(&client), (counted + more, u64::try_from(pairs.len()).expect("few")));
    assert_eq!(turns_of_relationships(&client), stateful);
}

/// 400 racing attempts at a quota of 100 turns, with a slow upstream.
#[test]
fn turns_under_way_count_against_the_quota() {
    const LIMIT: u64 = 100;
    const RELATIONSHIPS: u64 = 1_000;
    let upstream = Upstream::start();
    upstream.otherwise(|_| Behaviour::Slow(Duration::from_millis(20)));
    let server = server(&upstream, 30_000);
    let organization = server.organization_with_quota(LIMIT, RELATIONSHIPS);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Slow");
    let body = |index: usize| json!({ "message": "x", "personality_id": agent, "user_id": format!("u{}", index % 10) });
    let answers = race(CLIENTS, 25, |index| client.post(PATH, &body(index)));
    let (answered, refused): (Vec<&Response>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    let number = |response: &Response, name: &str| response.header(name).parse::<u64>().expect("a number");
    let resets_at = answers[0].header("x-quota-reset");
    for refused in &refused {
        assert_no_room(refused, (429, "quota_exhausted"));
        // `used` includes turns in progress, for the caller that is refused because of them.
        let pairs = number(refused, "x-quota-relationships-used");
        assert!(pairs <= 10, "{refused:?}");
        assert_quota(refused, (LIMIT, LIMIT), (pairs, RELATIONSHIPS));
        assert_eq!(refused.header("x-quota-reset"), resets_at);
        let error = refused.json()["error"].clone();
        if error["code"] == "quota_exhausted" {
            let details = json!({ "component": "turns", "used": LIMIT, "limit": LIMIT, "resets_at": resets_at });
            assert_eq!(error["details"], details);
        }
    }
    let each: BTreeSet<u64> = answered.iter().map(|answer| number(answer, "x-quota-turns-used")).collect();
    println!(
        "{} attempts at {LIMIT} turns: {} answered, {} refused; {} were under way at once",
        answers.len(),
        answered.len(),
        refused.len(),
        upstream.most_at_once(),
    );
    assert_eq!((answered.len(), refused.len()), (100, 300));
    assert_eq!(each, (1..=LIMIT).collect(), "every answer counts itself");
    assert!(upstream.most_at_once() > 1, "turns overlap");
    assert_eq!(upstream.asked().len(), 100, "who is refused costs nothing");
    assert_eq!((used(&client), turns_of_relationships(&client)), ((LIMIT, 10), LIMIT));
    let late = client.post(PATH, &body(0));
    assert_error(&late, 429, "quota_exhausted", "quota");
    assert_quota(&late, (LIMIT, LIMIT), (10, RELATIONSHIPS));
}

/// One turn is in progress in a quota of one, and fails. Until then others are told when to try again, and not that the
/// quota is used up for a month.
#[test]
fn a_quota_that_a_turn_in_progress_holds_comes_back() {
    for (turns, relationships) in [(1, 10), (10, 1)] {
        let upstream = Upstream::start();
        let server = server(&upstream, 30_000);
        let organization = server.organization_with_quota(turns, relationships);
        let client = server.client(&organization, "live", "read_write");
        let agent = make_agent(&client, "Held");
        let body = |user: &str| json!({ "message": user, "personality_id": agent, "user_id": user });
        let (permit, steps) = Steps::new();
        upstream.when("ada", Behaviour::Held(steps));
        thread::scope(|scope| {
            let held = scope.spawn(|| client.post(PATH, &body("ada")));
            let is_asked = || upstream.asked_about("ada").len();
            wait::until("the responder is asked", is_asked, |asked| *asked == 1);
            let refused = client.post(PATH, &body("eve"));
            let details = assert_error(&refused, 429, "quota_reserved", "rate_limit");
            let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
            assert!((1..=120).contains(&seconds), "a turn ends soon: {refused:?}");
            let millis = details["retry_after_ms"].as_u64().expect("a time");
            assert_eq!(seconds, millis.div_ceil(1_000).max(1));
            assert_quota(&refused, (u64::from(turns == 1), turns), (u64::from(turns != 1), relationships));
            drop(permit);
            assert_eq!(held.join().expect("an answer").status, 502);
        });
        expect(200, client.post(PATH, &body("eve")));
    }
}

/// The first page and the last page of an agent's users read equally many rows.
#[test]
fn a_page_of_an_agents_users_costs_the_same_at_any_depth() {
    const PEOPLE: usize = 1_500;
    const PAGE: usize = 500;
    let server = Server::start(Options { vars: roomy(), entry: None });
    let client = server.client(&server.organization_with_quota(10_000, 10_000), "live", "read_write");
    let (agent, other) = (make_agent(&client, "Popular"), make_agent(&client, "Other"));
    thread::scope(|scope| {
        for writer in 0..CLIENTS {
            let (client, agent, other) = (&client, &agent, &other);
            scope.spawn(move || {
                for index in (writer..PEOPLE).step_by(CLIENTS) {
                    turn(client, if index % 10 == 0 { other } else { agent }, &format!("user-{index:05}"));
                    if index % 10 == 0 {
                        turn(client, agent, &format!("user-{index:05}"));
                    }
                }
            });
        }
    });
    let (mut rows, mut cursor, mut pages) = (Vec::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let response = client.get(&format!("{AGENTS}/{agent}/users?page_size={PAGE}{cursor}"));
        assert_eq!(response.status, 200, "{response:?}");
        rows.push(server.log_line(response.header("x-request-id"))["rowsRead"].as_u64().expect("rowsRead"));
        let page = response.json();
        assert_eq!(page["users"].as_array().map(Vec::len), Some(PAGE));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    println!("{PEOPLE} users of an agent in pages of {PAGE}: the pages read {rows:?} rows");
    assert_eq!(rows.len(), PEOPLE / PAGE);
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    assert!(first.abs_diff(last) * 100 <= first, "within a hundredth: {rows:?}");
}
