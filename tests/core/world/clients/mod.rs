//! The clients: what each of them asks, and what it makes of the answers.

mod operator;
mod people;
mod principals;
mod turns;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

pub use turns::AGENTS;

use super::edge::{Answer, Request};
use super::oracle::{Asked, Moment, texts_in};
use super::state::{ADMIN_TOKEN, World};
use super::steps::Action;
use super::time::Owner;
use crate::simulation::{Violation, ensure};

/// The people of a tenant: an id, and how it is written in a path. All tenants have the same ids.
pub const PEOPLE: [(&str, &str); 4] =
    [("ada", "ada"), ("b\u{f6}b", "b%C3%B6b"), ("e/ve", "e%2Fve"), ("\u{1F980}", "%F0%9F%A6%80")];
/// How long an answer is surely kept, in milliseconds: a day, less what clocks may do.
pub const KEPT_MS: i64 = 12 * 3_600_000;
/// Pages after which a list has no end.
pub const PAGES_MAX: usize = 20;

/// What the clients of a tenant know.
#[derive(Debug, Default)]
pub struct Tenancy {
    pub organization: String,
    pub keys: Vec<Key>,
    pub service_key: String,
    pub kept: BTreeMap<usize, Kept>,
    /// The receipt of the organization's deletion.
    pub closed_by: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub revoke_sent: bool,
    pub revoked: Option<Moment>,
    /// By true time.
    pub expires_ms: Option<i64>,
}

/// A request with an idempotency key, and its answer.
#[derive(Debug, Clone)]
pub struct Kept {
    pub user: usize,
    pub agent: usize,
    pub text: u64,
    pub body: String,
    pub sent_ms: i64,
    pub era: u32,
    pub answer: Option<(u16, String)>,
}

pub fn admin(method: &'static str, path: &str) -> Request {
    let path = format!("/admin/v1/organizations{path}");
    Request::new(method, path).with("Authorization", format!("Bearer {ADMIN_TOKEN}"))
}

pub fn user_of(record: &Value) -> Option<usize> {
    let id = record["user_id"].as_str()?;
    PEOPLE.iter().position(|(known, _)| *known == id)
}

impl World {
    /// Makes the organizations and their keys.
    pub fn provide(self: &Rc<Self>) -> Result<(), Violation> {
        for organization in 0..2 {
            let world = Rc::clone(self);
            self.time.spawn(Owner::Client, async move { world.provide_one(organization).await });
            self.settle_clients()?;
        }
        ensure!(self.tenancies.borrow().len() == 4, "organizations are not made");
        Ok(())
    }

    async fn provide_one(self: Rc<Self>, organization: usize) {
        let body = json!({ "name": format!("Organization {organization}"), "limits": self.plan.limits() });
        let Some(made) = self.ask(admin("POST", "").json(body.to_string())).await else { return };
        let id = made.json()["id"].as_str().unwrap_or_default().to_owned();
        for mode in ["live", "test"] {
            let mut tenancy = Tenancy { organization: id.clone(), ..Tenancy::default() };
            for kind in ["api", "service"] {
                let body = json!({ "kind": kind, "mode": mode, "name": "key" });
                let request = admin("POST", &format!("/{id}/keys")).json(body.to_string());
                let Some(issued) = self.ask(request).await else { return };
                let issued = issued.json();
                let secret = issued["key"].as_str().unwrap_or_default().to_owned();
                if kind == "api" {
                    tenancy.keys.push(Key { secret, ..Key::default() });
                } else {
                    tenancy.service_key = secret;
                }
            }
            self.tenancies.borrow_mut().push(tenancy);
        }
    }

    pub fn api(&self, tenant: usize, method: &'static str, path: &str) -> Request {
        let keys = &self.tenancies.borrow()[tenant].keys;
        let key = if self.is_faulty() && self.below(2) == 0 { self.pick(keys.len()) } else { 0 };
        let request =
            Request::new(method, path).of(tenant).with("Authorization", format!("Bearer {}", keys[key].secret));
        Request { key: Some(key), ..request }
    }

    /// Does what a step says.
    pub fn act(self: &Rc<Self>, action: &Action) {
        let world = Rc::clone(self);
        let action = action.clone();
        match action {
            Action::Reset { tenant } => {
                self.fault("resets");
                self.reset(tenant);
            }
            Action::DropAlarm { tenant } => self.forget_alarm(tenant),
            Action::SetClock { tenant, millis } => self.set_clock(tenant, millis),
            Action::KvDown { millis } => self.kv_goes_down(millis),
            Action::D1Down { millis } => self.d1_goes_down(millis),
            Action::RestartIsolate { number } => self.restart_isolate(number % self.isolates.len()),
            Action::Tick => self.tick(),
            Action::Snapshot { tenant } => self.take_snapshot(tenant),
            Action::Restore { tenant } => self.restore(tenant),
            asked => drop(self.time.spawn(Owner::Client, async move {
                let checked = world.request(asked).await;
                world.report(checked);
            })),
        }
    }

    async fn request(self: &Rc<Self>, action: Action) -> Result<(), Violation> {
        match action {
            Action::Create { tenant, user, key: None } => self.create(tenant, user).await,
            Action::Create { tenant, user, key: Some(key) } => self.create_once(tenant, user, key).await,
            Action::Batch { tenant, users } => self.batch(tenant, users).await,
            Action::Read { tenant, user } => self.read(tenant, user).await,
            Action::ReadNearby { tenant, user, times } => self.read_nearby(tenant, user, times).await,
            Action::Update { tenant, user, form } => self.update(tenant, user, form).await,
            Action::Erase { tenant, user } => self.erase(tenant, user).await,
            Action::Receipts { tenant } => self.read_receipts(tenant).await,
            Action::Walk { tenant, by_creation, descending, limit } => {
                self.walk(tenant, by_creation, descending, limit).await.map(drop)
            }
            Action::Export { tenant, user } => self.export(tenant, user).await,
            Action::SaveAgent { tenant, agent } => self.save_agent(tenant, agent).await,
            Action::ReadAgent { tenant, agent } => self.read_agent(tenant, agent).await,
            Action::EraseAgent { tenant, agent } => self.erase_agent(tenant, agent).await,
            Action::ListAgentUsers { tenant, agent } => self.list_agent_users(tenant, agent).await,
            Action::TakeTurn(turn) => self.take_turn(turn).await,
            Action::ReadUsage { tenant } => self.read_usage(tenant).await,
            Action::IssueKey { tenant, lasts_ms } => self.issue_key(tenant, lasts_ms).await,
            Action::RevokeKey { tenant, which } => self.revoke_key(tenant, which).await,
            Action::ChangeLimits { organization, is_small } => self.change_limits(organization, is_small).await,
            Action::Repair { organization } => self.repair(organization).await,
            Action::Close { organization } => self.close(organization).await,
            Action::CreatePrincipal { tenant, user } => self.create_principal(tenant, user).await,
            Action::ReadPrincipal { tenant, user } => self.read_principal(tenant, user).await,
            _ => Ok(()),
        }
    }

    pub fn asks(&self, tenant: usize, user: usize) -> Asked {
        self.oracle.borrow_mut().asks(tenant, user, self.time.now_ms())
    }

    /// What holds for every answer.
    pub fn check_answer(&self, request: &Request, answer: &Answer, sent: Moment) {
        self.tally(request.tallied());
        self.oracle.borrow_mut().now_ms = self.time.now_ms();
        for (tenant, _) in texts_in(answer.body.as_bytes()) {
            self.ensure(request.tenant.is_none_or(|own| own == tenant), || {
                format!("{} {} shows a text of tenant {tenant}: {}", request.method, request.path, answer.body)
            });
        }
        self.check_key(request, answer, sent);
        let is_restored = request.tenant.is_some_and(|tenant| self.oracle.borrow().was_restored(tenant));
        let is_restored = is_restored && self.is_faulty();
        let describe = || format!("{} {}: {} {}", request.method, request.path, answer.status, answer.body);
        match answer.status {
            // A restored object needs some time to bring its listing up to date.
            503 => self.ensure((self.has_cause() || is_restored) && answer.header("Retry-After").is_some(), describe),
            502 | 504 => self.ensure(self.has_cause() && request.path == "/v1/respond", describe),
            // Whoever walks through a list judges this.
            400 if request.path.contains("&cursor=") => {}
            400 | 405 | 413 | 415 | 500.. => self.ensure(false, describe),
            _ => {}
        }
        if answer.status == 503 {
            self.tally("answers: 503");
        }
    }

    /// An answer that says nothing of the person.
    pub fn hear_refusal(&self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        let is_allowed = match answer.status {
            // A 401 is checked where every answer is.
            401 | 503 | 502 | 504 => true,
            403 => self.has_small_limits(),
            // After the clock was set back, a bucket that starts is empty until the clock is there again.
            429 => self.has_small_limits() || self.clocks_went_back(),
            _ => !self.oracle.borrow().is_current(asked),
        };
        ensure!(is_allowed, "{} {}", answer.status, answer.body);
        Ok(())
    }
}
