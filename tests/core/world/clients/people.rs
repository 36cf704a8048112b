//! The clients that create, read, change, erase, list and export people.

use std::rc::Rc;

use serde_json::json;

use super::{PAGES_MAX, PEOPLE, Scope, user_of};
use crate::simulation::{Violation, ensure};
use crate::world::edge::{Answer, Request};
use crate::world::oracle::{Asked, state_of, texts_in};
use crate::world::state::World;

impl World {
    fn person(&self, tenant: usize, method: &'static str, user: usize, rest: &str) -> Request {
        self.api(tenant, method, &format!("/v1/end-users/{}{rest}", PEOPLE[user].1))
    }

    pub(super) fn new_person(&self, tenant: usize, user: usize) -> (u64, String) {
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        (text, json!({ "user_id": PEOPLE[user].0, "display_name": mark, "metadata": { "of": mark } }).to_string())
    }

    pub async fn create(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let (text, body) = self.new_person(tenant, user);
        let Some(answer) = self.ask(self.api(tenant, "POST", "/v1/end-users").json(body)).await else { return Ok(()) };
        self.hear_creation(&asked, text, &answer)
    }

    pub(super) fn hear_creation(&self, asked: &Asked, text: u64, answer: &Answer) -> Result<(), Violation> {
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

    /// The texts and the body of a batch.
    pub(super) fn new_batch(&self, tenant: usize, users: &[usize]) -> (Vec<(usize, u64)>, String) {
        let bodies: Vec<_> = users.iter().map(|user| (*user, self.new_person(tenant, *user))).collect();
        let rows: Vec<&str> = bodies.iter().map(|(_, (_, body))| body.as_str()).collect();
        let body = format!("{{\"users\":[{}]}}", rows.join(","));
        (bodies.iter().map(|(user, (text, _))| (*user, *text)).collect(), body)
    }

    pub async fn batch(self: &Rc<Self>, tenant: usize, users: Vec<usize>) -> Result<(), Violation> {
        let asked: Vec<Asked> = users.iter().map(|user| self.asks(tenant, *user)).collect();
        let (_, body) = self.new_batch(tenant, &users);
        let Some(answer) = self.ask(self.api(tenant, "POST", "/v1/end-users/batch").json(body)).await else {
            return Ok(());
        };
        self.hear_batch(&asked, &answer)
    }

    pub(super) fn hear_batch(&self, asked: &[Asked], answer: &Answer) -> Result<(), Violation> {
        if answer.status != 200 {
            return self.hear_refusal(&asked[0], answer);
        }
        let results = answer.json();
        for (asked, result) in asked.iter().zip(results["results"].as_array().into_iter().flatten()) {
            match result["status"].as_u64() {
                Some(201) => self.oracle.borrow_mut().hears_created(asked)?,
                Some(200) => {}
                Some(409) => self.oracle.borrow_mut().hears_absent(asked, answer)?,
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

    /// A reader who has a version already.
    pub async fn read_again(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let Some(version) = self.oracle.borrow().version(tenant, user) else { return Ok(()) };
        let asked = self.asks(tenant, user);
        let request = self.person(tenant, "GET", user, "").with("If-None-Match", format!("\"{version}\""));
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        match answer.status {
            304 => {
                self.tally("reads answered 304");
                ensure!(answer.version() == Some(version), "304 for {version} has the tag {:?}", answer.version());
                self.oracle.borrow_mut().hears_version(&asked, version)
            }
            200 => {
                let record = answer.json();
                let is_related = record["relationships"].as_array().is_some_and(|all| !all.is_empty());
                let is_same = record["version"].as_i64() == Some(version);
                ensure!(is_related || !is_same, "version {version} is shown to whoever has it: {record}");
                self.oracle.borrow_mut().hears_record(&asked, &answer, &record)
            }
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    /// A writer who has read the version that is to be changed, or an earlier one.
    pub async fn update_if_match(self: &Rc<Self>, tenant: usize, user: usize, is_stale: bool) -> Result<(), Violation> {
        let reading = self.asks(tenant, user);
        let Some(read) = self.ask(self.person(tenant, "GET", user, "")).await else { return Ok(()) };
        if read.status != 200 {
            return if read.status == 404 { Ok(()) } else { self.hear_refusal(&reading, &read) };
        }
        let record = read.json();
        self.oracle.borrow_mut().hears_record(&reading, &read, &record)?;
        let read_version = record["version"].as_i64().unwrap_or_default();
        let version = if is_stale { read_version - 1 } else { read_version };
        let asked = self.asks(tenant, user);
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        let request = self.person(tenant, "PATCH", user, "").with("If-Match", format!("\"{version}\""));
        let Some(answer) = self.ask(request.json(json!({ "display_name": mark }).to_string())).await else {
            return Ok(());
        };
        self.oracle.borrow_mut().settle_text(&asked, text, &answer);
        match answer.status {
            200 => {
                ensure!(!is_stale || !self.oracle.borrow().is_current(&asked), "a change of {version} succeeds late");
                self.tally("changes of the version that was read");
                self.oracle.borrow_mut().hears_record(&asked, &answer, &answer.json())
            }
            412 if is_stale => Ok(()),
            412 => {
                let oracle = self.oracle.borrow();
                let is_alone = oracle.is_current(&reading) && oracle.was_quiet(tenant, reading.sent, 1);
                // A call of this request may have come twice.
                ensure!(!is_alone || answer.is_muddled, "412 for version {version}, which nobody has changed");
                Ok(())
            }
            404 | 409 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn update(self: &Rc<Self>, tenant: usize, user: usize, form: u8) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        let request = self.person(tenant, "PATCH", user, "");
        let merge = |body: serde_json::Value| {
            let request = self.person(tenant, "PATCH", user, "").with("Content-Type", "application/merge-patch+json");
            Request { body: body.to_string(), ..request }
        };
        let request = match form {
            0 => request.json(json!({ "metadata": { "of": mark } }).to_string()),
            1 => merge(json!({ "display_name": null, "metadata": { "of": mark, "x": null } })),
            2 => merge(json!({ "metadata": { "also": mark } })),
            3 => request.with("If-Match", "*").json(json!({ "display_name": mark }).to_string()),
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

    pub async fn erase(self: &Rc<Self>, tenant: usize, user: usize, scope: Scope) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let request = self.person(tenant, "DELETE", user, "");
        let answer = self.ask_to_erase(request, &asked, scope).await?;
        if let (Some(answer), Scope::Model) = (answer, scope) {
            self.oracle.borrow_mut().hears_moods_erased(&asked, &answer);
        }
        Ok(())
    }

    /// Asks to erase an agent or a relationship. Returns whether the request was accepted.
    pub async fn erase_by(
        self: &Rc<Self>,
        request: Request,
        tenant: usize,
        subject: usize,
        scope: Scope,
    ) -> Result<bool, Violation> {
        let asked = self.asks(tenant, subject);
        Ok(self.ask_to_erase(request, &asked, scope).await?.is_some())
    }

    /// Returns the answer to a request to erase that was accepted.
    async fn ask_to_erase(
        self: &Rc<Self>,
        request: Request,
        asked: &Asked,
        scope: Scope,
    ) -> Result<Option<Answer>, Violation> {
        let request = if scope == Scope::All { request } else { request.json(scope.body()) };
        let number = self.oracle.borrow_mut().asks_to_erase(asked, scope);
        let Some(answer) = self.ask(request).await else { return Ok(None) };
        let receipt = answer.json();
        let deletion_id = receipt["deletion_id"].as_str().or(receipt["result"]["deletion_id"].as_str());
        let deletion_id = deletion_id.filter(|_| answer.status == 202);
        self.oracle.borrow_mut().hears_erasure(asked, number, &answer, deletion_id);
        match answer.status {
            202 => {
                ensure!(deletion_id.is_some(), "an erasure without a receipt: {}", answer.body);
                self.tally(match scope {
                    Scope::All => "erasures accepted: all",
                    Scope::Memory => "erasures accepted: memory_only",
                    Scope::Model => "erasures accepted: model_only",
                });
                return Ok(Some(answer));
            }
            404 => {}
            _ => self.hear_refusal(asked, &answer)?,
        }
        Ok(None)
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
                    self.check_gone_from_kv(tenant);
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
    ) -> Result<Option<Vec<(usize, String)>>, Violation> {
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
                seen.push((user, state_of(record)));
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
        seen: Vec<(usize, String)>,
        keys: &[String],
        descending: bool,
    ) -> Result<Vec<(usize, String)>, Violation> {
        let oracle = self.oracle.borrow();
        // After a restoration D1 may show what is lost, until the object has noticed.
        if !oracle.is_current(begun) || (oracle.is_listing_unsure(begun.tenant) && self.is_faulty()) {
            return Ok(seen);
        }
        let is_sorted = if descending { keys.is_sorted_by(|a, b| a >= b) } else { keys.is_sorted() };
        ensure!(is_sorted, "a list is out of order: {keys:?}");
        for user in oracle.stayed(begun, sure) {
            let times = seen.iter().filter(|(other, _)| *other == user).count();
            ensure!(times == 1, "user {user} stays, and is listed {times} times: {seen:?}");
        }
        Ok(seen)
    }
}
