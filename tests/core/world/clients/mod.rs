//! The clients: what each of them asks, and what it makes of the answers.

mod agents;
mod nearby;
mod once;
mod operator;
mod people;
mod principals;
mod refusals;
mod relationships;
mod turns;

use std::collections::BTreeMap;
use std::rc::Rc;

use rollcall::organization::answer_bounds::KEPT_MAX;
use serde_json::{Value, json};

pub use agents::AGENTS;
pub use once::Post;
pub use principals::BOTS;

use super::edge::{Answer, Request};
use super::oracle::{Asked, Moment, texts_in};
use super::state::{ADMIN_TOKEN, HOUR_MS, TENANTS, World};
use super::steps::{Action, Limits};
use super::time::Owner;
use crate::simulation::{Violation, ensure};

/// The people of a tenant: an id, and how it is written in a path. All tenants have the same ids.
pub const PEOPLE: [(&str, &str); 4] =
    [("ada", "ada"), ("b\u{f6}b", "b%C3%B6b"), ("e/ve", "e%2Fve"), ("\u{1F980}", "%F0%9F%A6%80")];
/// Agents are numbered after people, as texts are about one or the other.
pub const FIRST_AGENT: usize = 100;
/// How long an answer is surely kept, in milliseconds: a day, less what clocks may do.
pub const KEPT_MS: i64 = 12 * 3_600_000;
/// How many answers more are kept where the limits are small.
const ANSWERS_LEFT: i64 = 2;
/// Pages after which a list has no end.
pub const PAGES_MAX: usize = 20;

/// How much of a person or a relationship is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    All,
    /// What turns have left.
    Memory,
    /// Moods.
    Model,
}

impl Scope {
    fn body(self) -> String {
        let cascade = match self {
            Self::All => return String::new(),
            Self::Memory => "memory_only",
            Self::Model => "model_only",
        };
        json!({ "cascade": cascade }).to_string()
    }
}

/// What the clients of a tenant know.
#[derive(Debug, Default)]
pub struct Tenancy {
    pub organization: String,
    /// The day of the month on which its billing periods begin.
    pub anchor_day: i64,
    pub keys: Vec<Key>,
    pub service_key: String,
    pub kept: BTreeMap<usize, Kept>,
    pub kept_turns: BTreeMap<usize, KeptTurn>,
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
    /// Isolates that have refused it since it was revoked.
    pub refused_by: BTreeMap<usize, Moment>,
}

/// A request with an idempotency key, and its answer.
#[derive(Debug, Clone)]
pub struct Kept {
    pub post: Post,
    /// The texts of its body, each with whom it is about.
    pub texts: Vec<(usize, u64)>,
    pub body: String,
    pub sent_ms: i64,
    pub era: u32,
    pub answer: Option<(u16, String)>,
}

/// A turn with an idempotency key, and its answer.
#[derive(Debug, Clone)]
pub struct KeptTurn {
    pub user: usize,
    pub agent: usize,
    pub text: u64,
    pub body: String,
    pub sent_ms: i64,
    pub era: u32,
    pub times: u32,
    pub answer: Option<String>,
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
        if self.plan.limits == Limits::Small {
            (0..TENANTS).for_each(|tenant| self.fill_answers(tenant));
        }
        Ok(())
    }

    async fn provide_one(self: Rc<Self>, organization: usize) {
        let body = json!({ "name": format!("Organization {organization}"), "limits": self.plan.limits.json() });
        let Some(made) = self.ask(admin("POST", "").json(body.to_string())).await else { return };
        let id = made.json()["id"].as_str().unwrap_or_default().to_owned();
        let created_at = made.json()["created_at"].as_str().unwrap_or_default().to_owned();
        let anchor_day = created_at.get(8..10).and_then(|day| day.parse().ok()).unwrap_or_default();
        for mode in ["live", "test"] {
            let mut tenancy = Tenancy { organization: id.clone(), anchor_day, ..Tenancy::default() };
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

    /// Leaves room for a few answers that are kept for idempotency keys.
    fn fill_answers(&self, tenant: usize) {
        let expires_ms = self.object_now(tenant).millis() + 24 * HOUR_MS;
        for number in [1, KEPT_MAX - ANSWERS_LEFT] {
            self.places[tenant].storage.execute(&format!(
                "INSERT INTO idempotency (number, digest, fingerprint, request_id, outcome, document, expires_at)
                 VALUES ({number}, 'of another client {number}', '', '', '', '', {expires_ms})"
            ));
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
            Action::SetIsolateClock { number, millis } => self.set_isolate_clock(number % self.isolates.len(), millis),
            Action::KvDown { millis } => self.kv_goes_down(millis),
            Action::D1Down { millis } => self.d1_goes_down(millis),
            Action::RestartIsolate { number } => self.restart_isolate(number % self.isolates.len()),
            Action::Tick => self.tick(),
            Action::Snapshot { tenant } => self.take_snapshot(tenant),
            Action::Restore { tenant } => self.restore(tenant),
            Action::SnapshotListing => self.take_snapshot_of_listing(),
            Action::RestoreListing => self.restore_listing(),
            Action::Burst { tenant, user, times, is_nearby } => self.burst(tenant, user, times, is_nearby),
            asked => drop(self.time.spawn(Owner::Client, async move {
                let checked = world.request(asked).await;
                world.report(checked);
            })),
        }
    }

    async fn request(self: &Rc<Self>, action: Action) -> Result<(), Violation> {
        match action {
            Action::Create { tenant, user } => self.create(tenant, user).await,
            Action::PostOnce { tenant, what, slot } => self.post_once(tenant, what, slot).await,
            Action::Batch { tenant, users } => self.batch(tenant, users).await,
            Action::Read { tenant, user } => self.read(tenant, user).await,
            Action::ReadAgain { tenant, user } => self.read_again(tenant, user).await,
            Action::ReadNearby { tenant, user, times, stale_s } => self.read_nearby(tenant, user, times, stale_s).await,
            Action::Update { tenant, user, form } => self.update(tenant, user, form).await,
            Action::UpdateIfMatch { tenant, user, is_stale } => self.update_if_match(tenant, user, is_stale).await,
            Action::Erase { tenant, user, scope } => self.erase(tenant, user, scope).await,
            Action::Receipts { tenant } => self.read_receipts(tenant).await,
            Action::Walk { tenant, by_creation, descending, limit } => {
                self.walk(tenant, by_creation, descending, limit).await.map(drop)
            }
            Action::Export { tenant, user } => self.export(tenant, user).await,
            Action::SaveAgent { tenant, agent } => self.save_agent(tenant, agent).await,
            Action::UpdateAgent { tenant, agent } => self.update_agent(tenant, agent).await,
            Action::ReadAgent { tenant, agent } => self.read_agent(tenant, agent).await,
            Action::EraseAgent { tenant, agent } => self.erase_agent(tenant, agent).await,
            Action::ListAgents { tenant } => self.list_agents(tenant).await,
            Action::ListAgentUsers { tenant, agent } => self.list_agent_users(tenant, agent).await,
            Action::TakeTurn(turn) => self.take_turn(turn).await,
            Action::ReadUsage { tenant } => self.read_usage(tenant).await,
            Action::ReadUsageOf { tenant, user } => self.read_usage_of(tenant, user).await,
            Action::ListRelationships { tenant, user, agent } => self.list_relationships(tenant, user, agent).await,
            Action::ReadRelationship { tenant, which } => self.read_relationship(tenant, which).await,
            Action::EraseRelationship { tenant, which, scope } => self.erase_relationship(tenant, which, scope).await,
            action => self.request_more(action).await,
        }
    }

    async fn request_more(self: &Rc<Self>, action: Action) -> Result<(), Violation> {
        match action {
            Action::CreatePrincipal { tenant, user } => self.create_principal(tenant, user).await,
            Action::ReadPrincipal { tenant, user } => self.read_principal(tenant, user).await,
            Action::CreateBot { tenant, bot } => self.create_bot(tenant, bot).await,
            Action::ReadBot { tenant, bot } => self.read_bot(tenant, bot).await,
            Action::OwnBot { tenant, bot, owner } => self.own_bot(tenant, bot, owner).await,
            Action::EraseBot { tenant, bot } => self.erase_bot(tenant, bot).await,
            Action::ListPrincipals { tenant, by_offset } => self.list_principals(tenant, by_offset).await,
            Action::IssueKey { tenant, lasts_ms } => self.issue_key(tenant, lasts_ms).await,
            Action::RevokeKey { tenant, which } => self.revoke_key(tenant, which).await,
            Action::ListKeys { organization } => self.list_keys(organization).await,
            Action::ListOrganizations => self.list_organizations().await,
            Action::ReadOrganization { organization } => self.read_organization(organization).await,
            Action::ChangeLimits { organization, limits } => self.change_limits(organization, limits).await,
            Action::Repair { organization } => self.repair(organization).await,
            Action::Close { organization } => self.close(organization).await,
            _ => Ok(()),
        }
    }

    pub fn asks(&self, tenant: usize, user: usize) -> Asked {
        self.oracle.borrow_mut().asks(tenant, user, self.time.now_ms())
    }

    /// What holds for every answer.
    pub fn check_answer(&self, isolate: usize, request: &Request, answer: &Answer, sent: Moment) {
        self.tally(request.tallied());
        self.tally_refusal(answer);
        self.oracle.borrow_mut().now_ms = self.time.now_ms();
        for (tenant, _) in texts_in(answer.body.as_bytes()) {
            self.ensure(request.tenant.is_none_or(|own| own == tenant), || {
                format!("{} {} shows a text of tenant {tenant}: {}", request.method, request.path, answer.body)
            });
        }
        self.check_key(isolate, request, answer, sent);
        let is_restored = request.tenant.is_some_and(|tenant| {
            let oracle = self.oracle.borrow();
            oracle.was_restored(tenant) || oracle.tenants[tenant].is_listing_restored
        });
        let is_restored = is_restored && self.is_faulty();
        // A list that waits for the flush is told so when the object is closed meanwhile.
        let is_closing = request.tenant.is_some_and(|tenant| self.oracle.borrow().is_closing(tenant));
        let has_cause = self.has_cause() || is_restored || is_closing;
        let describe = || format!("{} {}: {} {}", request.method, request.path, answer.status, answer.body);
        match answer.status {
            // A restored object needs some time to bring its listing up to date.
            503 => self.ensure(has_cause && answer.header("Retry-After").is_some(), describe),
            502 | 504 => self.ensure(self.has_cause() && request.path == "/v1/respond", describe),
            // Whoever walks through a list judges this.
            400 if request.path.contains("&cursor=") || request.path.contains("&after=") => {}
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
            429 => self.has_small_limits() || self.clocks_went_back() || self.isolates_went_back(),
            _ => !self.oracle.borrow().is_current(asked),
        };
        ensure!(is_allowed, "{} {}", answer.status, answer.body);
        Ok(())
    }
}
