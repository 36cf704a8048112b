//! A load of mixed requests. Each caller knows from the answers what must be there: nothing acknowledged is lost, and
//! nothing is done twice. While a fault lasts, a caller gets the right answer or 503 with `Retry-After`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, make_agent};
use crate::client::{Client, Response};
use crate::clock::set_ahead;
use crate::delete_end_user::completed;
use crate::edge_reads::near;
use crate::respond::{PATH as TURNS, relationships, used};
use crate::server::{Organization, Server, expect, list};
use crate::stores::{self, Store};
use crate::{repair, wait};

const CALLERS: usize = 4;
/// How many of its people a caller looks at after a kill. The list shows all of them.
const LOOKED_AT: usize = 30;
const USERS: &str = "/v1/end-users";

/// Longer than a turn stays reserved that has no end, and than the object leaves KV alone after it has failed.
const PAUSES_END: Duration = Duration::from_mins(20);

/// The seed of a run: a new one, or an earlier run's to repeat it.
fn seed() -> u64 {
    let seed = std::env::var("ROLLCALL_SEED").map(|text| text.parse().expect("ROLLCALL_SEED is a number"));
    let seed = seed.unwrap_or_else(|_| fastrand::u64(..));
    println!("ROLLCALL_SEED={seed}");
    seed
}

/// A user, as a caller knows them.
enum Person {
    /// The version is not known after a turn, which makes one of its own.
    Active {
        number: u64,
        version: Option<String>,
        turns: u64,
    },
    Erased,
}

/// A turn that has not been answered yet.
struct Turn {
    key: String,
    user_id: String,
    is_streamed: bool,
}

/// An organization under load.
pub struct Load {
    organization: Organization,
    client: Client,
    callers: Vec<Caller>,
    /// How many requests were answered, while they run.
    answers: Arc<AtomicU64>,
    pub seed: u64,
}

struct Caller {
    index: usize,
    client: Client,
    /// The same organization's, in the dialect of principals.
    service: Client,
    operator: Client,
    organization: Organization,
    answers: Arc<AtomicU64>,
    /// Whether the runtime may be killed at any moment. Then a request may get no answer.
    is_killed: bool,
    /// Whether D1 is down. Then nobody changes limits, because no attempt would succeed.
    is_without_d1: bool,
    batches: usize,
    /// The limit of turns that was set last, by the one caller who does that.
    turn_limit: Option<u64>,
    /// Clients whose keys were revoked.
    revoked: Vec<Client>,
    agent: String,
    random: Rng,
    people: BTreeMap<String, Person>,
    agents: usize,
    /// Turns that have been asked for, answered or not.
    turns: usize,
    unanswered: Vec<Turn>,
    receipts: Vec<String>,
    statuses: BTreeMap<u16, u64>,
}

impl Load {
    pub fn new(server: &Server) -> Self {
        let seed = seed();
        // Each restart of the object may take a tenth of the bucket, which is full again after a tenth of a second.
        let organization = server.organization_with(&json!({
            "requests_per_second": 10_000, "burst": 1_000, "turns_per_period": 1_000_000, "active_relationships": 1_000_000,
        }));
        let client = server.client(&organization, "live", "read_write");
        let agent = make_agent(&client, "Echo");
        let answers = Arc::<AtomicU64>::default();
        let service = server.service(&organization, "live", "read_write").sharing(&client);
        let caller = |index: usize| Caller {
            index,
            client: client.clone(),
            service: service.clone(),
            operator: server.admin().sharing(&client),
            organization: organization.clone(),
            answers: Arc::clone(&answers),
            is_killed: false,
            is_without_d1: false,
            batches: 0,
            turn_limit: None,
            revoked: Vec::new(),
            agent: agent.clone(),
            random: Rng::with_seed(seed.wrapping_add(index as u64)),
            people: BTreeMap::new(),
            agents: 0,
            turns: 0,
            unanswered: Vec::new(),
            receipts: Vec::new(),
            statuses: BTreeMap::new(),
        };
        let callers = (0..CALLERS).map(caller).collect();
        Self { organization, client, callers, answers, seed }
    }

    pub const fn client(&self) -> &Client {
        &self.client
    }

    pub fn tenant(&self) -> String {
        format!("{}/live", self.organization.id)
    }

    /// Has each caller send so many requests, one after the other.
    pub fn run(&mut self, requests_each: usize) {
        self.all(|caller| (0..requests_each).for_each(|_| caller.step()));
    }

    /// Has each caller send requests, one after the other, until it is over.
    pub fn run_until(&mut self, is_over: &AtomicBool) {
        self.all(|caller| {
            while !is_over.load(Ordering::SeqCst) {
                caller.step();
            }
        });
    }

    fn all(&mut self, work: impl Fn(&mut Caller) + Sync) {
        let work = &work;
        thread::scope(|scope| {
            for caller in &mut self.callers {
                scope.spawn(move || work(caller));
            }
        });
    }

    /// How many requests were answered with this status so far.
    pub fn answered(&self, status: u16) -> u64 {
        self.callers.iter().filter_map(|caller| caller.statuses.get(&status)).sum()
    }

    /// How many requests were answered, while they run.
    pub fn answers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.answers)
    }

    /// From now on the runtime may be killed at any moment.
    pub fn expect_kills(&mut self) {
        self.callers.iter_mut().for_each(|caller| caller.is_killed = true);
    }

    /// Says whether D1 is down for as long as the next requests take.
    pub fn set_without_d1(&mut self, is_without: bool) {
        self.callers.iter_mut().for_each(|caller| caller.is_without_d1 = is_without);
    }

    /// Asserts that what was acknowledged is there, that what was erased is not, and that nothing counts twice. What got no
    /// answer may have been done or not.
    pub fn assert_nothing_lost(&mut self) {
        self.all(Caller::assert_nothing_lost);
        let active: BTreeSet<String> = self.callers.iter().flat_map(Caller::active).collect();
        assert_eq!(list(&self.client), active);
        let sum = |count: fn(&Caller) -> usize| self.callers.iter().map(count).sum::<usize>() as u64;
        let (asked, unanswered) = (sum(|caller| caller.turns), sum(|caller| caller.unanswered.len()));
        let counted = used(&self.client).0;
        assert!((asked - unanswered..=asked).contains(&counted), "{counted} turns of {asked}, {unanswered} unanswered");
        let agents = sum(|caller| caller.agents) + 1;
        let listed = expect(200, self.client.get(&format!("{AGENTS}?page_size=1")));
        assert_eq!(listed["total_count"], agents, "each agent is made once");
    }

    /// Asserts that everything is as the callers know it, in every store, after the faults have ceased.
    pub fn assert_right(mut self, server: &Server) {
        set_ahead(server, PAUSES_END);
        self.all(|caller| {
            caller.take_unanswered_turns();
            caller.assert_right();
        });
        let sum = |count: fn(&Caller) -> usize| self.callers.iter().map(count).sum::<usize>();
        let (turns, agents) = (sum(|caller| caller.turns), sum(|caller| caller.agents));
        assert_eq!(used(&self.client).0, turns as u64, "each turn counts once");
        let listed = expect(200, self.client.get(&format!("{AGENTS}?page_size=1")));
        assert_eq!(listed["total_count"], agents + 1, "each agent is made once");

        let active: BTreeSet<String> = self.callers.iter().flat_map(Caller::active).collect();
        assert_eq!(list(&self.client), active);
        let (state, tenant) = (server.state(), self.tenant());
        for store in [Store::Objects, Store::D1] {
            store.assert_users_eventually(state, &tenant, i64::try_from(active.len()).expect("few"));
        }
        let pending = || stores::pending_erasures(state, &tenant);
        wait::until("the end of the erasures", pending, |pending| *pending == 0);
        let under_way = || stores::changes_under_way(state, &tenant);
        wait::until("the listing to be confirmed", under_way, |changes| *changes == 0);
        repair::assert_nothing_differs(server, &self.organization);

        let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
        for (status, count) in self.callers.iter().flat_map(|caller| &caller.statuses) {
            *statuses.entry(*status).or_default() += count;
        }
        println!("{} users and {turns} turns; answers by status: {statuses:?}", active.len());
    }
}

impl Caller {
    /// Sends a request. `None` for a 503, which says when to try again, and when a kill took the answer.
    fn ask(
        &mut self,
        client: &Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
        right: &[u16],
    ) -> Option<Response> {
        let body = body.map(Value::to_string);
        let sent = client.try_send(method, path, body.as_ref().map(|body| ("application/json", body.as_bytes())));
        let response = match sent {
            Ok(response) => response,
            Err(_) if self.is_killed => return None,
            Err(error) => panic!("{method} {path}: {error}"),
        };
        self.answers.fetch_add(1, Ordering::Relaxed);
        *self.statuses.entry(response.status).or_default() += 1;
        if response.status == 503 {
            let seconds: u64 = response.header("retry-after").parse().expect("seconds");
            assert!(seconds > 0, "{response:?}");
            return None;
        }
        assert!(right.contains(&response.status), "{method} {path} {body:?}, not one of {right:?}: {response:?}");
        Some(response)
    }

    /// Sends a request until it is answered. Once it was repeated, other statuses may be right.
    fn insist(
        &mut self,
        client: &Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
        [first, repeated]: [&[u16]; 2],
    ) -> Response {
        let mut right = first;
        let ask = || {
            let response = self.ask(client, method, path, body, right);
            right = repeated;
            response
        };
        wait::until(&format!("an answer to {method} {path}"), ask, Option::is_some).expect("an answer")
    }

    fn step(&mut self) {
        let active: Vec<String> = self.active().collect();
        let someone = self.random.choice(active).filter(|_| self.random.u8(..10) > 2);
        match (someone, self.random.u8(..20)) {
            (None, 0) => self.save_agent(),
            (None, 1..4) => self.create_batch(),
            (None, 4..7) => self.create_principal(),
            (None, 7) => self.issue_and_revoke_key(),
            (None, 8) if !self.is_without_d1 => self.set_limit(),
            (None, _) => self.create(),
            (Some(user_id), 0..5) => self.update(&user_id),
            (Some(user_id), 5) => self.read_nearby(&user_id),
            (Some(user_id), 6) => self.update_a_version_that_never_was(&user_id),
            (Some(user_id), 7..12) => self.take_turn(&user_id),
            (Some(user_id), 12) => self.delete(&user_id),
            (Some(_), 13) => self.list(),
            (Some(user_id), _) => self.read(&user_id),
        }
    }

    fn active(&self) -> impl Iterator<Item = String> {
        let is_active = |(_, person): &(&String, &Person)| matches!(person, Person::Active { .. });
        self.people.iter().filter(is_active).map(|(user_id, _)| user_id.clone())
    }

    /// A new key for a request, and the client that sends it.
    fn keyed(&self, key: &str) -> Client {
        self.client.clone().with_header("Idempotency-Key", &format!("{}-{key}", self.index))
    }

    fn create(&mut self) {
        let user_id = format!("caller{}-{:03}", self.index, self.people.len());
        let body = json!({ "user_id": user_id, "metadata": { "number": 0 } });
        // Without a key a repetition is another request, which finds the user.
        let (client, repeated): (_, &[u16]) =
            if self.random.bool() { (self.keyed(&user_id), &[201]) } else { (self.client.clone(), &[200, 201]) };
        let created = self.insist(&client, "POST", USERS, Some(&body), [&[201], repeated]);
        assert_eq!(created.json()["metadata"]["number"], 0);
        let version = Some(created.header("etag").to_owned());
        self.people.insert(user_id, Person::Active { number: 0, version, turns: 0 });
    }

    fn create_batch(&mut self) {
        let number = self.people.len();
        let ids: Vec<String> = (0..3).map(|n| format!("caller{}-{:03}", self.index, number + n)).collect();
        let users: Vec<Value> = ids.iter().map(|id| json!({ "user_id": id, "metadata": { "number": 0 } })).collect();
        let client = self.keyed(&format!("batch-{}", self.batches));
        self.batches += 1;
        let body = json!({ "users": users });
        let made = self.insist(&client, "POST", &format!("{USERS}/batch"), Some(&body), [&[200], &[200]]).json();
        assert_eq!((&made["created"], &made["failed"]), (&json!(3), &json!(0)), "{made}");
        for user_id in ids {
            self.people.insert(user_id, Person::Active { number: 0, version: None, turns: 0 });
        }
    }

    fn create_principal(&mut self) {
        let user_id = format!("caller{}-{:03}", self.index, self.people.len());
        let body = json!({ "external_id": user_id, "type": "human", "name": "Ada", "metadata": { "number": 0 } });
        let client = self.service.clone().with_header("Idempotency-Key", &format!("{}-{user_id}", self.index));
        let created = self.insist(&client, "POST", "/api/v1/principals", Some(&body), [&[201], &[201]]).json();
        assert_eq!(created["result"]["created"], true, "{created}");
        self.people.insert(user_id, Person::Active { number: 0, version: None, turns: 0 });
    }

    /// A key is good until its revocation is answered, and never afterwards.
    fn issue_and_revoke_key(&mut self) {
        let path = format!("{}/keys", self.organization.path());
        let body = json!({ "kind": "api", "mode": "live", "name": "short-lived" });
        let operator = self.operator.clone();
        // Without an answer nobody has the key.
        let Some(issued) = self.ask(&operator, "POST", &path, Some(&body), &[201]) else { return };
        let issued = issued.json();
        let client = self.client.with_credential(issued["key"].as_str().expect("a key"));
        self.insist(&client, "GET", &format!("{USERS}/nobody"), None, [&[404], &[404]]);
        let path = format!("{path}/{}", issued["id"].as_str().expect("an id"));
        self.insist(&operator, "DELETE", &path, None, [&[204], &[204]]);
        self.insist(&client, "GET", &format!("{USERS}/nobody"), None, [&[401], &[401]]);
        self.revoked.push(client);
    }

    /// One caller sets the limit of turns, again and again.
    fn set_limit(&mut self) {
        if self.index > 0 {
            return;
        }
        let limit = self.turn_limit.unwrap_or(1_000_000) + 1;
        let body = json!({ "limits": { "turns_per_period": limit } });
        let operator = self.operator.clone();
        let path = self.organization.path();
        let set = self.insist(&operator, "PATCH", &path, Some(&body), [&[200], &[200]]).json();
        assert_eq!(set["limits"]["turns_per_period"], limit, "{set}");
        self.turn_limit = Some(limit);
    }

    /// An answer from nearby is some seconds old at most, so it may show an earlier number.
    fn read_nearby(&mut self, user_id: &str) {
        let client = near(&self.client, 5);
        if let (Some(read), Some(Person::Active { number, .. })) =
            (self.ask(&client, "GET", &format!("{USERS}/{user_id}"), None, &[200]), self.people.get(user_id))
        {
            let found = read.json()["metadata"]["number"].as_u64().expect("a number");
            assert!(found <= *number, "{user_id} has never had {found}, but {number}");
        }
    }

    fn save_agent(&mut self) {
        let name = format!("agent of {} {}", self.index, self.agents);
        let body = json!({ "name": name, "external_id": name });
        let client = self.client.clone();
        self.insist(&client, "POST", AGENTS, Some(&body), [&[201], &[200, 201]]);
        self.agents += 1;
    }

    fn update(&mut self, user_id: &str) {
        let Some(Person::Active { number, version, .. }) = self.people.get(user_id) else { return };
        let (before, after) = (*number, *number + 1);
        let mut client = self.client.clone();
        if let Some(version) = version.as_ref().filter(|_| self.random.bool()) {
            client = client.with_header("If-Match", version);
        }
        let body = json!({ "metadata": { "number": after } });
        match self.ask(&client, "PATCH", &format!("{USERS}/{user_id}"), Some(&body), &[200]) {
            Some(updated) => self.note(user_id, &updated, &[after]),
            // It was done or was not done.
            None => self.look(user_id, &[before, after]),
        }
    }

    fn update_a_version_that_never_was(&mut self, user_id: &str) {
        let client = self.client.clone().with_header("If-Match", "\"1000000000\"");
        self.ask(&client, "PATCH", &format!("{USERS}/{user_id}"), Some(&json!({ "metadata": {} })), &[412]);
    }

    fn take_turn(&mut self, user_id: &str) {
        let is_streamed = self.random.u8(..3) == 0;
        let turn = Turn { key: format!("turn-{}", self.turns), user_id: user_id.to_owned(), is_streamed };
        self.turns += 1;
        if let Some(Person::Active { version, .. }) = self.people.get_mut(user_id) {
            *version = None;
        }
        if !self.take(&turn, &[200]) {
            self.unanswered.push(turn);
        }
    }

    /// Whether the turn was answered.
    fn take(&mut self, turn: &Turn, right: &[u16]) -> bool {
        let Turn { key, user_id, is_streamed } = turn;
        let body =
            json!({ "message": "hello", "personality_id": self.agent, "user_id": user_id, "stream": is_streamed });
        let answered = self.ask(&self.keyed(key), "POST", TURNS, Some(&body), right);
        let is_whole = |response: &Response| !is_streamed || response.body.contains("event: completion");
        let is_answered = answered.is_some_and(|response| response.status == 200 && is_whole(&response));
        if let (true, Some(Person::Active { turns, .. })) = (is_answered, self.people.get_mut(&turn.user_id)) {
            *turns += 1;
        }
        is_answered
    }

    fn take_unanswered_turns(&mut self) {
        for turn in std::mem::take(&mut self.unanswered) {
            let is_answered = || self.take(&turn, &[200, 409]);
            wait::until("the answer to a turn", is_answered, |is_answered| *is_answered);
        }
    }

    fn delete(&mut self, user_id: &str) {
        // A turn of theirs that is answered afterwards would make them anew.
        if self.unanswered.iter().any(|turn| turn.user_id == user_id) {
            return;
        }
        let client = self.client.clone();
        let deleted = self.insist(&client, "DELETE", &format!("{USERS}/{user_id}"), None, [&[202], &[202, 404]]);
        if deleted.status == 202 {
            self.receipts.push(deleted.json()["deletion_id"].as_str().expect("an id").to_owned());
        }
        self.people.insert(user_id.to_owned(), Person::Erased);
    }

    fn read(&mut self, user_id: &str) {
        let client = self.client.clone();
        if let (Some(read), Some(Person::Active { number, .. })) =
            (self.ask(&client, "GET", &format!("{USERS}/{user_id}"), None, &[200]), self.people.get(user_id))
        {
            let number = *number;
            self.note(user_id, &read, &[number]);
        }
    }

    /// Learns how a user is.
    fn look(&mut self, user_id: &str, numbers: &[u64]) {
        let client = self.client.clone();
        let read = self.insist(&client, "GET", &format!("{USERS}/{user_id}"), None, [&[200], &[200]]);
        self.note(user_id, &read, numbers);
    }

    /// Notes how a user is. They must have one of these numbers, and the version goes up with it.
    fn note(&mut self, user_id: &str, response: &Response, numbers: &[u64]) {
        let record = response.json();
        let found = record["metadata"]["number"].as_u64().expect("a number");
        assert!(numbers.contains(&found), "{user_id} is not one of {numbers:?}: {record}");
        let Some(Person::Active { number, version, .. }) = self.people.get_mut(user_id) else { return };
        let found_version = format!("\"{}\"", record["version"]);
        if let Some(version) = version {
            assert_eq!(found == *number, found_version == *version, "one change, one version: {record}, was {version}");
        }
        (*number, *version) = (found, Some(found_version));
    }

    fn list(&mut self) {
        let client = self.client.clone();
        let path = format!("{USERS}?limit=200&user_id_prefix=caller{}-", self.index);
        let Some(page) = self.ask(&client, "GET", &path, None, &[200]) else { return };
        let page = page.json();
        let listed = page["data"].as_array().expect("data").iter();
        let listed: Vec<&str> = listed.map(|user| user["user_id"].as_str().expect("an id")).collect();
        assert_eq!(listed, self.active().take(200).collect::<Vec<_>>());
    }

    /// Looks at some of the people, at the keys that were revoked last, and at the limit.
    fn assert_nothing_lost(&mut self) {
        let people: Vec<String> = self.people.keys().cloned().collect();
        for user_id in self.random.choose_multiple(people, LOOKED_AT) {
            let path = format!("{USERS}/{user_id}");
            let Some(Person::Active { turns, .. }) = self.people.get(&user_id) else {
                let read = self.client.get(&path);
                let is_gone = read.status == 404 || read.json()["status"] == "deletion_pending";
                assert!(is_gone, "{user_id} was erased: {read:?}");
                continue;
            };
            let least = *turns;
            let most = least + self.unanswered.iter().filter(|turn| turn.user_id == user_id).count() as u64;
            self.read(&user_id);
            let taken = relationships(&self.client, &format!("user_id={user_id}"));
            let taken: u64 = taken.iter().map(|one| one["turns"].as_u64().expect("a count")).sum();
            assert!((least..=most).contains(&taken), "{taken} turns of {user_id}, not {least} to {most}");
        }
        for client in self.revoked.iter().rev().take(3) {
            assert_eq!(client.get(&format!("{USERS}/nobody")).status, 401, "a revoked key");
        }
        if let Some(limit) = self.turn_limit {
            let organization = expect(200, self.operator.get(&self.organization.path()));
            assert_eq!(organization["limits"]["turns_per_period"], limit, "{organization}");
        }
    }

    fn assert_right(&mut self) {
        for user_id in self.people.keys().cloned().collect::<Vec<_>>() {
            let client = &self.client;
            match &self.people[&user_id] {
                Person::Active { number, turns, .. } => {
                    let read = expect(200, client.get(&format!("{USERS}/{user_id}")));
                    assert_eq!(read["metadata"]["number"], *number, "{read}");
                    let taken = relationships(client, &format!("user_id={user_id}"));
                    let taken: u64 = taken.iter().map(|one| one["turns"].as_u64().expect("a count")).sum();
                    assert_eq!(taken, *turns, "the turns of {user_id}");
                }
                Person::Erased => {
                    let gone = || client.get(&format!("{USERS}/{user_id}"));
                    wait::until("the end of an erasure", gone, |response| response.status == 404);
                }
            }
        }
        for receipt in &self.receipts {
            completed(&self.client, receipt);
        }
    }
}
