//! The operator: keys, limits, repairs and deletions of organizations; and snapshots, to which an object is restored.

use std::rc::Rc;

use serde_json::json;

use rollcall::directory::timestamp::Timestamp;

use super::{Key, admin};
use crate::simulation::{Violation, ensure};
use crate::world::bucket::Bucket;
use crate::world::edge::{Answer, Request};
use crate::world::oracle::{Asked, Moment};
use crate::world::state::{ADMIN_TOKEN, MINUTE_MS, World};

/// A lease lasts so long, in milliseconds.
const LEASE_MS: i64 = 5_000;
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
    pub fn check_key(&self, request: &Request, answer: &Answer, sent: Moment) {
        let (Some(tenant), Some(key)) = (request.tenant, request.key) else { return };
        let tenancies = self.tenancies.borrow();
        let key = &tenancies[tenant].keys[key];
        if answer.status == 401 {
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
        let slack_ms = if is_nearby { LEASE_MS } else { 0 };
        let is_revoked = key.revoked.is_some_and(|revoked| revoked < sent && revoked.ms + slack_ms <= sent.ms);
        let is_expired = key.expires_ms.is_some_and(|at_ms| at_ms + CLOCK_MS < sent.ms);
        self.ensure(!is_revoked && !is_expired, || {
            format!("a key that is over opens {} {}: {}", request.method, request.path, answer.status)
        });
    }

    pub async fn change_limits(self: &Rc<Self>, organization: usize, is_small: bool) -> Result<(), Violation> {
        let asked = self.asks(organization * 2, 0);
        let id = self.tenancies.borrow()[organization * 2].organization.clone();
        let mut plan = self.plan.clone();
        plan.is_small = is_small;
        self.note_small_limits(is_small);
        let body = json!({ "limits": plan.limits() }).to_string();
        let Some(answer) = self.ask(admin("PATCH", &format!("/{id}")).json(body)).await else { return Ok(()) };
        if answer.status == 200 { Ok(()) } else { self.hear_operator(&asked, &answer) }
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
            404 => oracle.is_closing(asked.tenant) || oracle.was_restored(asked.tenant),
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
}
