//! The clients that make, change, read, erase and list agents, and ask who talks with them.

use std::rc::Rc;

use serde_json::json;

use super::{FIRST_AGENT, PAGES_MAX, PEOPLE, Scope, user_of};
use crate::simulation::{Violation, ensure};
use crate::world::edge::{Answer, Request};
use crate::world::oracle::{Asked, texts_in};
use crate::world::state::World;

/// The agents of a tenant. All tenants have the same names.
pub const AGENTS: [&str; 3] = ["guide", "coach", "tutor"];

/// The agent of a name.
fn agent_named(name: Option<&str>) -> Option<usize> {
    let all = AGENTS.iter().chain(&super::BOTS);
    all.enumerate().find(|(_, known)| Some(**known) == name).map(|(number, _)| FIRST_AGENT + number)
}

impl World {
    fn agent(&self, tenant: usize, method: &'static str, agent: usize, rest: &str) -> Request {
        self.api(tenant, method, &format!("/api/v1/agents/{}{rest}", AGENTS[agent]))
    }

    pub(super) fn new_agent(&self, tenant: usize, agent: usize) -> (u64, String) {
        let (text, mark) = self.oracle.borrow_mut().text(tenant, FIRST_AGENT + agent);
        (text, json!({ "name": AGENTS[agent], "metadata": { "of": mark } }).to_string())
    }

    pub async fn save_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, FIRST_AGENT + agent);
        let (text, body) = self.new_agent(tenant, agent);
        let Some(answer) = self.ask(self.api(tenant, "POST", "/api/v1/agents").json(body)).await else { return Ok(()) };
        self.hear_saved_agent(&asked, text, &answer)
    }

    pub(super) fn hear_saved_agent(&self, asked: &Asked, text: u64, answer: &Answer) -> Result<(), Violation> {
        self.oracle.borrow_mut().settle_text(asked, text, answer);
        match answer.status {
            200 | 201 => {
                let has_text = texts_in(answer.body.as_bytes()).any(|(_, shown)| shown == text);
                ensure!(has_text, "an agent is saved, and not shown: {}", answer.body);
                if answer.status == 201 {
                    self.oracle.borrow_mut().hears_created(asked)?;
                }
                self.hear_agent(asked, answer)
            }
            _ => self.hear_refusal(asked, answer),
        }
    }

    fn hear_agent(&self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        let record = answer.json();
        let Some(id) = record["agent_id"].as_str() else { return Err(Violation(format!("no agent: {record}"))) };
        self.oracle.borrow_mut().hears_agent(asked, answer, id)
    }

    pub async fn update_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, FIRST_AGENT + agent);
        let (text, mark) = self.oracle.borrow_mut().text(tenant, FIRST_AGENT + agent);
        let request = self.agent(tenant, "PATCH", agent, "").json(json!({ "metadata": { "of": mark } }).to_string());
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        if answer.status == 404 {
            self.oracle.borrow_mut().settle_text(&asked, text, &answer);
            return self.oracle.borrow_mut().hears_absent(&asked, &answer);
        }
        self.hear_saved_agent(&asked, text, &answer)
    }

    pub async fn read_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, FIRST_AGENT + agent);
        let Some(answer) = self.ask(self.agent(tenant, "GET", agent, "")).await else { return Ok(()) };
        match answer.status {
            200 => self.hear_agent(&asked, &answer),
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn erase_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        self.erase_by(self.agent(tenant, "DELETE", agent, ""), tenant, FIRST_AGENT + agent, Scope::All).await.map(drop)
    }

    /// Walks through all agents.
    pub async fn list_agents(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        let begun = self.asks(tenant, FIRST_AGENT);
        let sure = self.sure_agents(tenant);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let asked = self.asks(tenant, FIRST_AGENT);
            let request = self.api(tenant, "GET", &format!("/api/v1/agents?page_size=2{cursor}"));
            let Some(answer) = self.ask(request).await else { return Ok(()) };
            if answer.status != 200 {
                return self.hear_refusal(&asked, &answer);
            }
            let page = answer.json();
            for entry in page["items"].as_array().into_iter().flatten() {
                let Some(agent) = agent_named(entry["name"].as_str()) else {
                    return Err(Violation(format!("no agent: {entry}")));
                };
                let id = entry["agent_id"].as_str().unwrap_or_default();
                self.oracle.borrow_mut().hears_principal_id(&asked, agent, id)?;
                seen.push(agent);
            }
            let Some(next) = page["next_cursor"].as_str() else {
                self.tally("lists of agents walked to their end");
                return self.check_seen(&begun, &sure, &seen, "agent");
            };
            cursor = format!("&cursor={next}");
        }
        Err(Violation("the list of agents has no end".to_owned()))
    }

    pub(super) fn sure_agents(&self, tenant: usize) -> Vec<usize> {
        self.oracle.borrow().sure(tenant).into_iter().filter(|subject| *subject >= FIRST_AGENT).collect()
    }

    /// Whoever stayed is seen exactly once in a list that the object makes.
    pub(super) fn check_seen(
        &self,
        begun: &Asked,
        sure: &[usize],
        seen: &[usize],
        what: &str,
    ) -> Result<(), Violation> {
        let oracle = self.oracle.borrow();
        if !oracle.is_current(begun) {
            return Ok(());
        }
        for one in oracle.stayed(begun, sure) {
            let times = seen.iter().filter(|other| **other == one).count();
            ensure!(times == 1, "{what} {one} stays, and is listed {times} times: {seen:?}");
        }
        Ok(())
    }

    /// Walks through the users of an agent.
    pub async fn list_agent_users(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        let begun = self.asks(tenant, FIRST_AGENT + agent);
        let met = self.oracle.borrow().met(tenant, FIRST_AGENT + agent);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let asked = self.asks(tenant, FIRST_AGENT + agent);
            let request = self.agent(tenant, "GET", agent, &format!("/users?page_size=1{cursor}"));
            let Some(answer) = self.ask(request).await else { return Ok(()) };
            match answer.status {
                200 => {}
                404 => return self.oracle.borrow_mut().hears_absent(&asked, &answer),
                // Another agent has the name by now.
                400 if self.oracle.borrow().stayed(&begun, &[begun.user]).is_empty() => return Ok(()),
                _ => return self.hear_refusal(&asked, &answer),
            }
            let page = answer.json();
            for entry in page["users"].as_array().into_iter().flatten() {
                let Some(user) = user_of(entry) else { return Err(Violation(format!("nobody: {entry}"))) };
                if !self.oracle.borrow().is_listing_unsure(tenant) {
                    let texts = entry.to_string();
                    self.oracle.borrow().hears_texts(&asked, Some(user), &texts, true)?;
                }
                seen.push(user);
            }
            let Some(next) = page["next_cursor"].as_str() else {
                self.tally("lists of an agent's users walked to their end");
                return self.check_met(&begun, &met, &seen);
            };
            cursor = format!("&cursor={next}");
        }
        Err(Violation("the list of an agent's users has no end".to_owned()))
    }

    fn check_met(&self, begun: &Asked, met: &[usize], seen: &[usize]) -> Result<(), Violation> {
        let oracle = self.oracle.borrow();
        let is_agent_gone = oracle.stayed(begun, &[begun.user]).is_empty();
        if !oracle.is_current(begun) || oracle.is_listing_unsure(begun.tenant) || is_agent_gone {
            return Ok(());
        }
        ensure!(seen.is_sorted_by(|a, b| PEOPLE[*a].0 < PEOPLE[*b].0), "users of an agent are out of order: {seen:?}");
        for user in oracle.stayed_with(begun, met, begun.user) {
            ensure!(seen.contains(&user), "user {user} talked with an agent, and is not among its users: {seen:?}");
        }
        Ok(())
    }
}
