//! The clients that make agents, take turns, and ask who talks with whom.

use std::rc::Rc;

use serde_json::json;

use super::{KEPT_MS, Kept, PAGES_MAX, PEOPLE};
use crate::simulation::{Violation, ensure};
use crate::world::edge::{Answer, Request};
use crate::world::oracle::{Asked, texts_in};
use crate::world::state::World;
use crate::world::steps::Turn;

/// The agents of a tenant. All tenants have the same names.
pub const AGENTS: [&str; 3] = ["guide", "coach", "tutor"];
/// Agents are numbered after people, as texts are about one or the other.
pub const FIRST_AGENT: usize = 100;
/// A turn without a person.
const NOBODY: usize = 200;

impl World {
    fn agent(&self, tenant: usize, method: &'static str, agent: usize, rest: &str) -> Request {
        self.api(tenant, method, &format!("/api/v1/agents/{}{rest}", AGENTS[agent]))
    }

    pub async fn save_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, FIRST_AGENT + agent);
        let (text, mark) = self.oracle.borrow_mut().text(tenant, FIRST_AGENT + agent);
        let body = json!({ "name": AGENTS[agent], "metadata": { "of": mark } }).to_string();
        let Some(answer) = self.ask(self.api(tenant, "POST", "/api/v1/agents").json(body)).await else { return Ok(()) };
        self.oracle.borrow_mut().settle_text(&asked, text, &answer);
        match answer.status {
            200 | 201 => {
                let has_text = texts_in(answer.body.as_bytes()).any(|(_, shown)| shown == text);
                ensure!(has_text, "an agent is saved, and not shown: {}", answer.body);
                let mut oracle = self.oracle.borrow_mut();
                if answer.status == 201 {
                    oracle.hears_created(&asked)?;
                }
                oracle.hears_agent(&asked, &answer)
            }
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn read_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, FIRST_AGENT + agent);
        let Some(answer) = self.ask(self.agent(tenant, "GET", agent, "")).await else { return Ok(()) };
        match answer.status {
            200 => self.oracle.borrow_mut().hears_agent(&asked, &answer),
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn erase_agent(self: &Rc<Self>, tenant: usize, agent: usize) -> Result<(), Violation> {
        self.erase_by(self.agent(tenant, "DELETE", agent, ""), tenant, FIRST_AGENT + agent).await
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
            for entry in page["users"].as_array().or(page["items"].as_array()).into_iter().flatten() {
                let Some(user) = super::user_of(entry) else {
                    return Err(Violation(format!("nobody: {entry}")));
                };
                if !self.oracle.borrow().was_restored(tenant) {
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
        if !oracle.is_current(begun)
            || oracle.was_restored(begun.tenant)
            || oracle.stayed(begun, &[begun.user]).is_empty()
        {
            return Ok(());
        }
        ensure!(seen.is_sorted_by(|a, b| PEOPLE[*a].0 < PEOPLE[*b].0), "users of an agent are out of order: {seen:?}");
        for user in oracle.stayed(begun, met) {
            ensure!(seen.contains(&user), "user {user} talked with an agent, and is not among its users: {seen:?}");
        }
        Ok(())
    }

    pub async fn take_turn(self: &Rc<Self>, turn: Turn) -> Result<(), Violation> {
        let Turn { tenant, agent, user, key, hangs_up_ms, .. } = turn;
        let about = user.unwrap_or(NOBODY);
        let kept = self.kept_turn(&turn, about);
        let (asked, agent_asked) = (self.asks(tenant, about), self.asks(tenant, FIRST_AGENT + agent));
        let mut request = self.api(tenant, "POST", "/v1/respond").json(kept.body.clone());
        request.hangs_up_ms = hangs_up_ms;
        if key.is_some() {
            request = request.with("Idempotency-Key", format!("turn-{tenant}-{}", kept.text));
        }
        self.oracle.borrow_mut().asks_turn(&asked, kept.text);
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        let is_streamed = kept.body.contains("\"stream\":true");
        let is_answered = answer.status == 200 && (!is_streamed || answer.body.contains("event: completion"));
        if is_answered {
            self.tally("turns answered");
            return self.hear_turn(&asked, &agent_asked, kept.text, &answer);
        }
        if answer.status != 200 {
            self.oracle.borrow_mut().hears_no_turn(&asked, kept.text, &answer, key.is_some());
        }
        match answer.status {
            // The stream tells of a failure.
            200 => Ok(()),
            404 => self.oracle.borrow_mut().hears_absent(&agent_asked, &answer),
            409 if key.is_some() => Ok(()),
            409 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    /// A turn with a key is asked for again with the same body.
    fn kept_turn(&self, turn: &Turn, about: usize) -> Kept {
        let Turn { tenant, agent, user, key, is_streamed, .. } = *turn;
        let (now_ms, era) = (self.time.now_ms(), self.oracle.borrow().tenants[tenant].era);
        let slot = key.map(|key| 10 + key);
        let known = slot.and_then(|slot| self.tenancies.borrow()[tenant].kept.get(&slot).cloned());
        let is_same = |kept: &Kept| {
            kept.sent_ms + KEPT_MS > now_ms && kept.era == era && kept.user == about && kept.agent == agent
        };
        if let Some(kept) = known.filter(is_same) {
            return kept;
        }
        let (text, mark) = self.oracle.borrow_mut().text(tenant, about);
        let affect = json!({ "valence": 0.5, "arousal": -0.25 });
        let mut body = json!({ "message": mark, "personality_id": AGENTS[agent], "affect": affect });
        if let Some(user) = user {
            body["user_id"] = PEOPLE[user].0.into();
        }
        if is_streamed {
            body["stream"] = true.into();
        }
        let kept = Kept { user: about, agent, text, body: body.to_string(), sent_ms: now_ms, era, answer: None };
        if let Some(slot) = slot {
            self.tenancies.borrow_mut()[tenant].kept.insert(slot, kept.clone());
        }
        kept
    }

    fn hear_turn(&self, asked: &Asked, agent: &Asked, text: u64, answer: &Answer) -> Result<(), Violation> {
        let number = |name: &str| answer.header(name).and_then(|text| text.parse::<u64>().ok());
        let (used, limit) = (number("X-Quota-Turns-Used"), number("X-Quota-Turns-Limit"));
        let is_replayed = answer.header("Idempotency-Replayed").is_some();
        ensure!(used.is_some() && limit.is_some(), "a turn without its quota");
        ensure!(is_replayed || self.limits_change() || used <= limit, "{used:?} turns of {limit:?} are used");
        let period = answer.header("X-Quota-Reset").unwrap_or_default().to_owned();
        let mut oracle = self.oracle.borrow_mut();
        oracle.hears_texts(asked, Some(asked.user), &answer.body, false)?;
        if is_replayed {
            self.tally("turns replayed");
        }
        oracle.hears_turn(asked, agent, text, period, answer);
        Ok(())
    }

    /// What is counted is what was answered, and may be what was never heard of.
    pub async fn read_usage(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, NOBODY);
        let Some(answer) = self.ask(self.api(tenant, "GET", "/v1/usage/turns")).await else { return Ok(()) };
        if answer.status != 200 {
            return self.hear_refusal(&asked, &answer);
        }
        let usage = answer.json();
        let used = usage["used"].as_u64().unwrap_or_default();
        let period = usage["resets_at"].as_str().unwrap_or_default();
        let (least, most) = self.oracle.borrow().turns(&asked, period);
        ensure!(used >= least, "{used} turns are counted until {period}, and {least} were answered");
        ensure!(used <= most, "{used} turns are counted until {period}, and at most {most} were taken");
        Ok(())
    }
}
