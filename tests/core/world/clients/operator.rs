//! The operator: keys, limits, repairs and deletions of organizations; and snapshots, to which an object is restored.

use std::rc::Rc;

use serde_json::json;

use rollcall::directory::timestamp::Timestamp;

use super::{Key, PAGES_MAX, admin};
use crate::simulation::{Violation, ensure};
use crate::world::bucket::Bucket;
use crate::world::edge::{Answer, Request};
use crate::world::oracle::{Asked, Moment};
use crate::world::state::{ADMIN_TOKEN, MINUTE_MS, World};
use crate::world::steps::Limits;

/// A lease lasts so long, in milliseconds.
const LEASE_MS: i64 = 5_000;
/// How long the edge repeats a refusal, in milliseconds.
const DENIED_MS: i64 = 1_000;
/// How far clocks may be set in a seed, in milliseconds.
const CLOCK_MS: i64 = 10 * MINUTE_MS;

impl World {
    pub async fn issue_key(self: &Rc<Self>, tenant: usize, lasts_ms: Option<i64>) -> Result<(), Violation> {
        let asked = self.asks(tenant, 0);
        let organization = self.tenancies.borrow()[tenant].organization.clone();
        let mode = if tenant.is_multiple_of(2) { "live" } else { "test" };
        let mut body = json!({ "kind": "api", "mode": mode, "name": "another" });
        if let Some(lasts_ms) = lasts_ms {
            let at = Timestamp::from_millis(self.object_now(tenant).millis() + lasts_ms);
            body["expires_at"] = at.to_string().into();
        }
        let request = admin("POST", &format!("/{organization}/keys")).json(body.to_string());
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        match answer.status {
            201 => {
                let issued = answer.json();
                let text = |name: &str| issued[name].as_str().unwrap_or_default().to_owned();
                let expires_ms = lasts_ms.map(|lasts_ms| asked.sent.ms + lasts_ms);
                let key = Key { id: text("id"), secret: text("key"), expires_ms, ..Key::default() };
                self.tenancies.borrow_mut()[tenant].keys.push(key);
                Ok(())
            }
            // An isolate's clock may be hours ahead.
            422 if lasts_ms.is_some() => Ok(()),
            _ => self.hear_operator(&asked, &answer),
        }
    }

    pub async fn revoke_key(self: &Rc<Self>, tenant: usize, which: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, 0);
        let (organization, id, place) = {
            let mut tenancies = self.tenancies.borrow_mut();
            let held = &mut tenancies[tenant];
            // The first key stays.
            let place = 1 + which % held.keys.len().max(2).saturating_sub(1);
            let Some(key) = held.keys.get_mut(place) else { return Ok(()) };
            key.revoke_sent = true;
            (held.organization.clone(), key.id.clone(), place)
        };
        let Some(answer) = self.ask(admin("DELETE", &format!("/{organization}/keys/{id}"))).await else {
            return Ok(());
        };
        if answer.status != 204 {
            return self.hear_operator(&asked, &answer);
        }
        let heard = self.oracle.borrow_mut().moment(self.time.now_ms());
        if self.oracle.borrow().is_current(&asked) {
            self.tenancies.borrow_mut()[tenant].keys[place].revoked.get_or_insert(heard);
        }
        Ok(())
    }

    /// A revoked or expired key opens nothing.
    pub fn check_key(&self, isolate: usize, request: &Request, answer: &Answer, sent: Moment) {
        let (Some(tenant), Some(key)) = (request.tenant, request.key) else { return };
        let mut tenancies = self.tenancies.borrow_mut();
        let key = &mut tenancies[tenant].keys[key];
        if answer.status == 401 {
            let heard = self.oracle.borrow_mut().moment(self.time.now_ms());
            if key.revoked.is_some() {
                key.refused_by.entry(isolate).or_insert(heard);
            }
            let may_be_over = key.expires_ms.is_some_and(|at_ms| self.time.now_ms() + CLOCK_MS >= at_ms);
            let is_known = key.revoke_sent || may_be_over || self.oracle.borrow().is_closing(tenant);
            let may_be_lost = self.oracle.borrow().was_restored(tenant);
            self.tally("keys refused");
            return self.ensure(is_known || may_be_lost, || format!("a good key is refused: {}", answer.body));
        }
        if answer.status >= 500 || self.oracle.borrow().was_restored(tenant) {
            return;
        }
        let is_nearby = answer.header("X-Rollcall-Source") == Some("edge");
        let knows_better = is_nearby && key.refused_by.get(&isolate).is_some_and(|refused| *refused < sent);
        self.ensure(!knows_better, || format!("isolate {isolate} has refused a key, and serves it: {}", answer.body));
        // The edge repeats a refusal for want of tokens.
        let slack_ms = if is_nearby {
            LEASE_MS
        } else if answer.status == 429 {
            DENIED_MS
        } else {
            0
        };
        // Callers without a good key have a bucket of their own, which is empty while the isolate's clock is behind.
        if answer.status == 429 && self.isolates_went_back() {
            return;
        }
        let is_revoked = key.revoked.is_some_and(|revoked| revoked < sent && revoked.ms + slack_ms <= sent.ms);
        let is_expired = key.expires_ms.is_some_and(|at_ms| at_ms + CLOCK_MS < sent.ms);
        self.ensure(!is_revoked && !is_expired, || {
            format!("a key that is over opens {} {}: {}", request.method, request.path, answer.status)
        });
    }

    pub async fn change_limits(self: &Rc<Self>, organization: usize, limits: Limits) -> Result<(), Violation> {
        let asked = self.asks(organization * 2, 0);
        let id = self.tenancies.borrow()[organization * 2].organization.clone();
        self.note_limits(limits);
        let body = json!({ "limits": limits.json() }).to_string();
        let Some(answer) = self.ask(admin("PATCH", &format!("/{id}")).json(body)).await else { return Ok(()) };
        if answer.status == 200 { Ok(()) } else { self.hear_operator(&asked, &answer) }
    }

    /// Reads an organization, what it has used, and how far its repair is.
    pub async fn read_organization(self: &Rc<Self>, organization: usize) -> Result<(), Violation> {
        let id = self.tenancies.borrow()[organization * 2].organization.clone();
        for rest in ["", "/usage", "/repair"] {
            let asked = [0, 1].map(|mode| self.asks(organization * 2 + mode, 0));
            let Some(answer) = self.ask(admin("GET", &format!("/{id}{rest}"))).await else { continue };
            // There may not have been a repair yet.
            if rest == "/repair" && answer.status == 404 {
                continue;
            }
            if answer.status != 200 {
                self.hear_operator(&asked[0], &answer)?;
                continue;
            }
            let body = answer.json();
            let named = body["id"].as_str().or(body["organization_id"].as_str());
            ensure!(named == Some(&id), "{named:?} is shown in the place of {id}");
            for (asked, usage) in asked.iter().zip(body["modes"].as_array().into_iter().flatten()) {
                let Some(period) = usage["resets_at"].as_str() else { continue };
                for (name, is_of_relationships) in [("turns", false), ("active_relationships", true)] {
                    let used = usage[name]["used"].as_u64().unwrap_or_default();
                    self.check_usage(asked, used, period, is_of_relationships)?;
                }
            }
        }
        Ok(())
    }

    /// Walks through the keys of an organization, in both modes.
    pub async fn list_keys(self: &Rc<Self>, organization: usize) -> Result<(), Violation> {
        let tenants = [organization * 2, organization * 2 + 1];
        let begun = tenants.map(|tenant| self.asks(tenant, 0));
        let id = self.tenancies.borrow()[organization * 2].organization.clone();
        let issued: Vec<String> = {
            let tenancies = self.tenancies.borrow();
            let keys = tenants.iter().flat_map(|tenant| &tenancies[*tenant].keys);
            keys.map(|key| key.id.clone()).filter(|id| !id.is_empty()).collect()
        };
        let seen = self.walk_ids(&format!("/{id}/keys"), &begun[0]).await?;
        let Some(seen) = seen.filter(|_| !begun.iter().any(|asked| self.has_changed_since(asked))) else {
            return Ok(());
        };
        self.tally("lists of keys walked to their end");
        for id in issued {
            let times = seen.iter().filter(|other| **other == id).count();
            ensure!(times == 1, "key {id} is listed {times} times: {seen:?}");
        }
        Ok(())
    }

    /// Whether an object was restored since, or is being closed.
    fn has_changed_since(&self, asked: &Asked) -> bool {
        let oracle = self.oracle.borrow();
        oracle.was_restored(asked.tenant) || !oracle.is_current(asked) || oracle.is_closing(asked.tenant)
    }

    /// Walks through all organizations.
    pub async fn list_organizations(self: &Rc<Self>) -> Result<(), Violation> {
        let asked = self.asks(0, 0);
        let Some(seen) = self.walk_ids("", &asked).await? else { return Ok(()) };
        self.tally("lists of organizations walked to their end");
        for tenant in [0, 2] {
            let oracle = self.oracle.borrow();
            if oracle.is_closing(tenant) || oracle.tenants[tenant].is_listing_restored {
                continue;
            }
            let id = self.tenancies.borrow()[tenant].organization.clone();
            let times = seen.iter().filter(|other| **other == id).count();
            ensure!(times == 1, "organization {id} is listed {times} times: {seen:?}");
        }
        Ok(())
    }

    /// The ids in a list of the operator. `None` when it was given up.
    async fn walk_ids(self: &Rc<Self>, list: &str, begun: &Asked) -> Result<Option<Vec<String>>, Violation> {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let request = admin("GET", &format!("{list}?limit=2{cursor}"));
            let Some(answer) = self.ask(request).await else { return Ok(None) };
            if answer.status != 200 {
                return self.hear_operator(begun, &answer).map(|()| None);
            }
            let page = answer.json();
            let ids = page["data"].as_array().into_iter().flatten().filter_map(|record| record["id"].as_str());
            seen.extend(ids.map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { return Ok(Some(seen)) };
            cursor = format!("&cursor={next}");
        }
        Err(Violation("a list of the operator has no end".to_owned()))
    }

    pub async fn repair(self: &Rc<Self>, organization: usize) -> Result<(), Violation> {
        let asked = self.asks(organization * 2, 0);
        let id = self.tenancies.borrow()[organization * 2].organization.clone();
        let Some(answer) = self.ask(admin("POST", &format!("/{id}/repair"))).await else { return Ok(()) };
        if matches!(answer.status, 200 | 202) { Ok(()) } else { self.hear_operator(&asked, &answer) }
    }

    pub async fn close(self: &Rc<Self>, organization: usize) -> Result<(), Violation> {
        let tenants = [organization * 2, organization * 2 + 1];
        for tenant in tenants {
            self.oracle.borrow_mut().asks_to_close(tenant, self.time.now_ms());
        }
        let asked = self.asks(organization * 2, 0);
        self.listing_snapshot.set(false);
        let id = self.tenancies.borrow()[organization * 2].organization.clone();
        let Some(answer) = self.ask(admin("DELETE", &format!("/{id}"))).await else { return Ok(()) };
        match answer.json()["deletion_id"].as_str() {
            Some(deletion_id) if answer.status == 202 => {
                self.tenancies.borrow_mut()[organization * 2].closed_by = Some(deletion_id.to_owned());
                Ok(())
            }
            _ => self.hear_operator(&asked, &answer),
        }
    }

    /// Whether the receipt of an organization says that its deletion is completed.
    pub async fn is_closed(self: &Rc<Self>, organization: usize) -> Result<bool, Violation> {
        let asked = self.asks(organization * 2, 0);
        let Some(id) = self.tenancies.borrow()[organization * 2].closed_by.clone() else { return Ok(false) };
        let request = Request::new("GET", format!("/admin/v1/deletions/{id}"));
        let request = request.with("Authorization", format!("Bearer {ADMIN_TOKEN}"));
        let Some(answer) = self.ask(request).await else { return Ok(false) };
        if answer.status != 200 {
            return self.hear_operator(&asked, &answer).map(|()| false);
        }
        Ok(answer.json()["status"] == "completed")
    }

    /// An answer to the operator that is no success.
    fn hear_operator(&self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        let oracle = self.oracle.borrow();
        let is_allowed = match answer.status {
            409 | 503 => true,
            404 => oracle.is_closing(asked.tenant) || oracle.is_listing_unsure(asked.tenant),
            _ => false,
        };
        ensure!(is_allowed, "the operator is answered {} {}", answer.status, answer.body);
        Ok(())
    }

    pub fn take_snapshot(&self, tenant: usize) {
        if !self.oracle.borrow().is_closing(tenant) {
            self.places[tenant].storage.execute("SAVEPOINT snapshot");
            let known = self.oracle.borrow().tenants[tenant].clone();
            self.snapshots.borrow_mut()[tenant] = Some(known);
        }
    }

    /// The object is restored to an earlier point. D1 and KV stay as they are.
    pub fn restore(self: &Rc<Self>, tenant: usize) {
        let Some(known) = self.snapshots.borrow()[tenant].clone() else { return };
        if self.oracle.borrow().is_closing(tenant) {
            return;
        }
        self.fault("objects restored to an earlier point");
        self.reset(tenant);
        self.places[tenant].storage.execute("ROLLBACK TO snapshot");
        self.forget_alarm(tenant);
        // Its settings are earlier ones, which the next command replaces.
        self.buckets.borrow_mut()[tenant] = Bucket::default();
        self.oracle.borrow_mut().restore(tenant, &known, self.time.now_ms());
    }

    pub fn take_snapshot_of_listing(&self) {
        self.listing.execute("SAVEPOINT snapshot");
        self.listing_snapshot.set(true);
    }

    /// D1 is restored to an earlier point. The objects and KV stay as they are. What an organization is stays the same, as
    /// the operator has to say anew what was said since.
    pub fn restore_listing(&self) {
        if !self.listing_snapshot.get() {
            return;
        }
        self.fault("D1 restored to an earlier point");
        self.listing.execute("ROLLBACK TO snapshot");
        self.oracle.borrow_mut().restore_listing();
    }
}
