//! The clients that create, read, change, erase, list and export people.

use std::rc::Rc;

use serde_json::json;

use super::{KEPT_MS, Kept, PAGES_MAX, PEOPLE, user_of};
use crate::simulation::{Violation, ensure};
use crate::world::edge::{Answer, Request};
use crate::world::oracle::{Asked, texts_in};
use crate::world::state::World;

impl World {
    fn person(&self, tenant: usize, method: &'static str, user: usize, rest: &str) -> Request {
        self.api(tenant, method, &format!("/v1/end-users/{}{rest}", PEOPLE[user].1))
    }

    fn new_body(&self, tenant: usize, user: usize) -> (u64, String) {
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        (text, json!({ "user_id": PEOPLE[user].0, "display_name": mark, "metadata": { "of": mark } }).to_string())
    }

    pub async fn create(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let (text, body) = self.new_body(tenant, user);
        let Some(answer) = self.ask(self.api(tenant, "POST", "/v1/end-users").json(body)).await else { return Ok(()) };
        self.hear_creation(&asked, text, &answer)
    }

    fn hear_creation(&self, asked: &Asked, text: u64, answer: &Answer) -> Result<(), Violation> {
        let mut oracle = self.oracle.borrow_mut();
        oracle.settle_text(asked, text, answer);
        match answer.status {
            200 | 201 => {
                if answer.status == 201 {
                    oracle.hears_created(asked)?;
                }
                oracle.hears_record(asked, answer, &answer.json())
            }
            409 => oracle.hears_absent(asked, answer),
            _ => self.hear_refusal(asked, answer),
        }
    }

    /// A creation with an idempotency key: every repetition is answered alike.
    pub async fn create_once(self: &Rc<Self>, tenant: usize, user: usize, key: usize) -> Result<(), Violation> {
        let now_ms = self.time.now_ms();
        let era = self.oracle.borrow().tenants[tenant].era;
        let known = self.tenancies.borrow()[tenant].kept.get(&key).cloned();
        let known = known.filter(|kept| kept.sent_ms + KEPT_MS > now_ms && kept.era == era);
        let is_first = known.is_none();
        let kept = known.unwrap_or_else(|| {
            let (text, body) = self.new_body(tenant, user);
            Kept { user, agent: 0, text, body, sent_ms: now_ms, era, answer: None }
        });
        // A key is never used for anything else, so it has the number of its text.
        let name = format!("key-{tenant}-{key}-{}", kept.text);
        if is_first {
            self.tenancies.borrow_mut()[tenant].kept.insert(key, kept.clone());
        }
        let asked = self.asks(tenant, kept.user);
        let request = self.api(tenant, "POST", "/v1/end-users").with("Idempotency-Key", name).json(kept.body.clone());
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        if !self.oracle.borrow().is_current(&asked) {
            return Ok(());
        }
        if matches!(answer.status, 200 | 201) {
            self.check_repetition(&asked, tenant, key, &kept, &answer)?;
            return Ok(());
        }
        if answer.body.contains("idempotency_of_erased") {
            self.tally("repetitions refused: erased since");
            return Ok(());
        }
        if answer.status == 409 {
            self.oracle.borrow_mut().hears_absent(&asked, &answer)
        } else {
            self.hear_refusal(&asked, &answer)
        }
    }

    fn check_repetition(
        &self,
        asked: &Asked,
        tenant: usize,
        key: usize,
        kept: &Kept,
        answer: &Answer,
    ) -> Result<(), Violation> {
        let is_replayed = answer.header("Idempotency-Replayed").is_some();
        let mut tenancies = self.tenancies.borrow_mut();
        let Some(held) = tenancies[tenant].kept.get_mut(&key).filter(|held| held.text == kept.text) else {
            return Ok(());
        };
        let given = (answer.status, answer.body.clone());
        let first = held.answer.get_or_insert_with(|| given.clone());
        ensure!(*first == given, "a repetition is answered {given:?}, not {first:?}");
        drop(tenancies);
        if is_replayed {
            self.tally("answers replayed");
            return self.oracle.borrow().hears_texts(asked, Some(asked.user), &answer.body, false);
        }
        let mut oracle = self.oracle.borrow_mut();
        if answer.status == 201 {
            oracle.settle_text(asked, kept.text, answer);
        }
        oracle.hears_record(asked, answer, &answer.json())
    }

    pub async fn batch(self: &Rc<Self>, tenant: usize, users: Vec<usize>) -> Result<(), Violation> {
        let asked: Vec<Asked> = users.iter().map(|user| self.asks(tenant, *user)).collect();
        let bodies: Vec<(u64, String)> = users.iter().map(|user| self.new_body(tenant, *user)).collect();
        let rows: Vec<&str> = bodies.iter().map(|(_, body)| body.as_str()).collect();
        let body = format!("{{\"users\":[{}]}}", rows.join(","));
        let Some(answer) = self.ask(self.api(tenant, "POST", "/v1/end-users/batch").json(body)).await else {
            return Ok(());
        };
        if answer.status != 200 {
            return self.hear_refusal(&asked[0], &answer);
        }
        let results = answer.json();
        for (asked, result) in asked.iter().zip(results["results"].as_array().into_iter().flatten()) {
            match result["status"].as_u64() {
                Some(201) => self.oracle.borrow_mut().hears_created(asked)?,
                Some(200) => {}
                Some(409) => self.oracle.borrow_mut().hears_absent(asked, &answer)?,
                Some(403) if self.has_small_limits() => {}
                other => return Err(Violation(format!("a row of a batch is answered {other:?}"))),
            }
        }
        Ok(())
    }

    pub async fn read(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let Some(answer) = self.ask(self.person(tenant, "GET", user, "")).await else { return Ok(()) };
        match answer.status {
            200 => self.oracle.borrow_mut().hears_record(&asked, &answer, &answer.json()),
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn read_nearby(self: &Rc<Self>, tenant: usize, user: usize, times: usize) -> Result<(), Violation> {
        // One isolate, as leases are of an isolate.
        let isolate = self.pick(self.isolates.len());
        for _ in 0..times {
            let asked = self.asks(tenant, user);
            let request = self.person(tenant, "GET", user, "").with("Cache-Control", "max-stale=5");
            let Some(answer) = self.ask_at(isolate, request).await else { continue };
            let now_ms = self.time.now_ms();
            match (answer.status, answer.header("X-Rollcall-Source")) {
                (200, Some("edge")) => {
                    self.tally("reads answered from KV");
                    let age_s = answer.header("Age").and_then(|age| age.parse::<i64>().ok());
                    let Some(age_s) = age_s.filter(|age_s| *age_s <= 5) else {
                        return Err(Violation(format!("the age is {age_s:?}")));
                    };
                    self.oracle.borrow_mut().hears_nearby(&asked, &answer, now_ms, age_s * 1_000)?;
                }
                (200, _) => self.oracle.borrow_mut().hears_record(&asked, &answer, &answer.json())?,
                (404, _) => self.oracle.borrow_mut().hears_absent(&asked, &answer)?,
                _ => self.hear_refusal(&asked, &answer)?,
            }
            self.time.sleep(self.below(1_200)).await;
        }
        Ok(())
    }

    pub async fn update(self: &Rc<Self>, tenant: usize, user: usize, form: u8) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        let request = self.person(tenant, "PATCH", user, "");
        let request = match form {
            0 => request.json(json!({ "metadata": { "of": mark } }).to_string()),
            1 => {
                let body = json!({ "display_name": null, "metadata": { "of": mark, "x": null } }).to_string();
                Request { body, ..request.with("Content-Type", "application/merge-patch+json") }
            }
            2 => request.with("If-Match", "*").json(json!({ "display_name": mark }).to_string()),
            _ => request.json(json!({ "display_name": mark, "metadata": {} }).to_string()),
        };
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        let mut oracle = self.oracle.borrow_mut();
        oracle.settle_text(&asked, text, &answer);
        match answer.status {
            200 => {
                let has_text = texts_in(answer.body.as_bytes()).any(|(_, shown)| shown == text);
                ensure!(has_text, "a change is acknowledged, and not shown: {}", answer.body);
                oracle.hears_record(&asked, &answer, &answer.json())
            }
            404 | 409 | 412 => oracle.hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn erase(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        self.erase_by(self.person(tenant, "DELETE", user, ""), tenant, user).await
    }

    /// Asks to erase a person or an agent.
    pub async fn erase_by(self: &Rc<Self>, request: Request, tenant: usize, subject: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, subject);
        let number = self.oracle.borrow_mut().asks_to_erase(&asked);
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        let receipt = answer.json();
        let deletion_id = receipt["deletion_id"].as_str().filter(|_| answer.status == 202);
        self.oracle.borrow_mut().hears_erasure(&asked, number, &answer, deletion_id);
        match answer.status {
            202 | 404 => Ok(()),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn read_receipts(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        let open = self.oracle.borrow().open_receipts(tenant);
        for (user, deletion_id) in open {
            let asked = self.asks(tenant, user);
            let path = format!("/v1/deletions/{deletion_id}");
            let Some(answer) = self.ask(self.api(tenant, "GET", &path)).await else { continue };
            match answer.status {
                200 if answer.json()["status"] == "completed" => {
                    self.tally("erasures completed");
                    self.oracle.borrow_mut().hears_completed(&asked, &deletion_id);
                }
                200 => {}
                // A restored object may be without it.
                404 => ensure!(self.oracle.borrow().was_restored(tenant), "a receipt is gone: {deletion_id}"),
                _ => self.hear_refusal(&asked, &answer)?,
            }
        }
        Ok(())
    }

    pub async fn export(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let Some(answer) = self.ask(self.person(tenant, "GET", user, "/export")).await else { return Ok(()) };
        match answer.status {
            200 => {
                ensure!(!answer.is_cut_off || self.has_cause(), "an export is cut off: {}", answer.body);
                self.oracle.borrow().hears_texts(&asked, Some(user), &answer.body, false)
            }
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    /// Walks through a list. `None` when it was given up.
    pub async fn walk(
        self: &Rc<Self>,
        tenant: usize,
        by_creation: bool,
        descending: bool,
        limit: usize,
    ) -> Result<Option<Vec<usize>>, Violation> {
        let begun = self.asks(tenant, 0);
        let sure =
            self.oracle.borrow().sure(tenant).into_iter().filter(|user| *user < PEOPLE.len()).collect::<Vec<_>>();
        let order = if descending { "desc" } else { "asc" };
        let by = if by_creation { "&order_by=created_at" } else { "" };
        let (mut seen, mut keys, mut cursor) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let asked = self.asks(tenant, 0);
            let path = format!("/v1/end-users?limit={limit}&order={order}{by}{cursor}");
            let Some(answer) = self.ask(self.api(tenant, "GET", &path)).await else { return Ok(None) };
            if answer.status != 200 {
                self.hear_refusal(&asked, &answer)?;
                return Ok(None);
            }
            let page = answer.json();
            for record in page["data"].as_array().into_iter().flatten() {
                let Some(user) = user_of(record) else { return Err(Violation(format!("nobody: {record}"))) };
                self.oracle.borrow_mut().hears_listed(&Asked { user, ..asked }, record)?;
                seen.push(user);
                let key = if by_creation { &record["created_at"] } else { &record["user_id"] };
                keys.push(key.as_str().unwrap_or_default().to_owned());
            }
            let Some(next) = page["next_cursor"].as_str() else {
                self.tally("lists walked to their end");
                return self.check_walk(&begun, &sure, seen, &keys, descending).map(Some);
            };
            cursor = format!("&cursor={next}");
            self.time.sleep(self.below(400)).await;
        }
        Err(Violation("a list has no end".to_owned()))
    }

    fn check_walk(
        &self,
        begun: &Asked,
        sure: &[usize],
        seen: Vec<usize>,
        keys: &[String],
        descending: bool,
    ) -> Result<Vec<usize>, Violation> {
        let oracle = self.oracle.borrow();
        // After a restoration D1 may show what is lost, until the object has noticed.
        if !oracle.is_current(begun) || (oracle.was_restored(begun.tenant) && self.is_faulty()) {
            return Ok(seen);
        }
        let is_sorted = if descending { keys.is_sorted_by(|a, b| a >= b) } else { keys.is_sorted() };
        ensure!(is_sorted, "a list is out of order: {keys:?}");
        for user in oracle.stayed(begun, sure) {
            let times = seen.iter().filter(|other| **other == user).count();
            ensure!(times == 1, "user {user} stays, and is listed {times} times: {seen:?}");
        }
        Ok(seen)
    }
}
