//! The clients of the other dialect: people and agents as principals.

use std::rc::Rc;

use serde_json::{Value, json};

use super::agents::AGENTS;
use super::{FIRST_AGENT, PAGES_MAX, PEOPLE, Scope};
use crate::simulation::{Violation, ensure};
use crate::world::edge::{Answer, Request};
use crate::world::oracle::Asked;
use crate::world::state::World;

/// Agents that have an external id, in this dialect alone. Their numbers follow those of the other agents.
pub const BOTS: [&str; 2] = ["bot-1", "bot-2"];
const FIRST_BOT: usize = FIRST_AGENT + AGENTS.len();

/// Who has an external id.
fn subject_of(principal: &Value) -> Option<usize> {
    let id = principal["external_id"].as_str()?;
    let human = PEOPLE.iter().position(|(known, _)| *known == id);
    let agent = || AGENTS.iter().chain(&BOTS).position(|known| *known == id).map(|number| FIRST_AGENT + number);
    human.or_else(agent)
}

impl World {
    pub(super) fn service(&self, tenant: usize, method: &'static str, path: &str) -> Request {
        let key = self.tenancies.borrow()[tenant].service_key.clone();
        Request::new(method, format!("/api/v1/principals{path}")).of(tenant).with("X-Assistant-Service-Key", key)
    }

    pub(super) fn new_human(&self, tenant: usize, user: usize) -> (u64, String) {
        let (text, mark) = self.oracle.borrow_mut().text(tenant, user);
        let body = json!({ "external_id": PEOPLE[user].0, "type": "human", "name": mark, "metadata": { "of": mark } });
        (text, body.to_string())
    }

    pub async fn create_principal(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let (text, body) = self.new_human(tenant, user);
        let Some(answer) = self.ask(self.service(tenant, "POST", "").json(body)).await else { return Ok(()) };
        self.hear_human(&asked, text, &answer)
    }

    pub(super) fn hear_human(&self, asked: &Asked, text: u64, answer: &Answer) -> Result<(), Violation> {
        self.oracle.borrow_mut().settle_text(asked, text, answer);
        match answer.status {
            200 | 201 => {
                if answer.status == 201 {
                    self.oracle.borrow_mut().hears_created(asked)?;
                }
                self.oracle.borrow_mut().hears_tag(asked, answer)?;
                self.hear_principal(asked, &answer.json()["result"])
            }
            409 => self.oracle.borrow_mut().hears_absent(asked, answer),
            _ => self.hear_refusal(asked, answer),
        }
    }

    /// What holds for every principal that an answer shows.
    fn hear_principal(&self, asked: &Asked, principal: &Value) -> Result<(), Violation> {
        let (id, subject) = (principal["id"].as_str(), subject_of(principal));
        let (Some(id), Some(subject)) = (id, subject) else {
            return Err(Violation(format!("no principal: {principal}")));
        };
        let mut oracle = self.oracle.borrow_mut();
        oracle.hears_principal_id(asked, subject, id)?;
        principal["owner_principal_id"].as_str().map_or(Ok(()), |owner| oracle.hears_owner(asked, owner))
    }

    pub async fn read_principal(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let request = self.service(tenant, "GET", &format!("/by-external-id/{}", PEOPLE[user].1));
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        match answer.status {
            200 => {
                self.oracle.borrow_mut().hears_tag(&asked, &answer)?;
                self.hear_principal(&asked, &answer.json()["result"])
            }
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub(super) fn new_bot(&self, tenant: usize, bot: usize) -> (usize, u64, String) {
        let subject = FIRST_BOT + bot;
        let (text, mark) = self.oracle.borrow_mut().text(tenant, subject);
        let body = json!({ "external_id": BOTS[bot], "type": "agent", "name": BOTS[bot], "metadata": { "of": mark } });
        (subject, text, body.to_string())
    }

    pub async fn create_bot(self: &Rc<Self>, tenant: usize, bot: usize) -> Result<(), Violation> {
        let (subject, text, body) = self.new_bot(tenant, bot);
        let asked = self.asks(tenant, subject);
        let Some(answer) = self.ask(self.service(tenant, "POST", "").json(body)).await else { return Ok(()) };
        self.hear_bot(&asked, text, &answer)
    }

    pub(super) fn hear_bot(&self, asked: &Asked, text: u64, answer: &Answer) -> Result<(), Violation> {
        self.oracle.borrow_mut().settle_text(asked, text, answer);
        match answer.status {
            200 | 201 => {
                if answer.status == 201 {
                    self.oracle.borrow_mut().hears_created(asked)?;
                }
                self.hear_present_bot(asked, answer)
            }
            _ => self.hear_refusal(asked, answer),
        }
    }

    fn hear_present_bot(&self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        let principal = &answer.json()["result"];
        self.hear_principal(asked, principal)?;
        self.oracle.borrow_mut().hears_agent(asked, answer, principal["id"].as_str().unwrap_or_default())
    }

    pub async fn read_bot(self: &Rc<Self>, tenant: usize, bot: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, FIRST_BOT + bot);
        let request = self.service(tenant, "GET", &format!("/by-external-id/{}", BOTS[bot]));
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        match answer.status {
            200 => self.hear_present_bot(&asked, &answer),
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    /// Gives an agent to a person, or to nobody.
    pub async fn own_bot(self: &Rc<Self>, tenant: usize, bot: usize, owner: Option<usize>) -> Result<(), Violation> {
        let (id, owner_id) = {
            let oracle = self.oracle.borrow();
            (oracle.principal_id(tenant, FIRST_BOT + bot), owner.and_then(|owner| oracle.principal_id(tenant, owner)))
        };
        let Some(id) = id.filter(|_| owner.is_some() == owner_id.is_some()) else { return Ok(()) };
        let asked = self.asks(tenant, FIRST_BOT + bot);
        let asked_owner = owner.map(|owner| self.asks(tenant, owner));
        let body = json!({ "owner_principal_id": owner_id }).to_string();
        let request = self.service(tenant, "PATCH", &format!("/{id}")).json(body);
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        match answer.status {
            200 => {
                let shown = &answer.json()["result"]["owner_principal_id"];
                ensure!(shown.as_str() == owner_id.as_deref(), "{id} is given to {owner_id:?}, and belongs to {shown}");
                self.tally(if owner.is_some() { "agents given to a person" } else { "agents left without an owner" });
                self.hear_present_bot(&asked, &answer)
            }
            404 if self.oracle.borrow().is_id_unsure(&asked, &id) => Ok(()),
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer),
            422 => {
                let (Some(asked), Some(owner_id)) = (asked_owner, owner_id) else {
                    return Err(Violation(format!("an agent has to have an owner: {}", answer.body)));
                };
                let is_unsure = self.oracle.borrow().is_id_unsure(&asked, &owner_id);
                if is_unsure { Ok(()) } else { self.oracle.borrow_mut().hears_absent(&asked, &answer) }
            }
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn erase_bot(self: &Rc<Self>, tenant: usize, bot: usize) -> Result<(), Violation> {
        let Some(id) = self.oracle.borrow().principal_id(tenant, FIRST_BOT + bot) else { return Ok(()) };
        let request = self.service(tenant, "DELETE", &format!("/{id}"));
        self.erase_by(request, tenant, FIRST_BOT + bot, Scope::All).await.map(drop)
    }

    /// Walks through all principals, by cursors or by offsets.
    pub async fn list_principals(self: &Rc<Self>, tenant: usize, by_offset: bool) -> Result<(), Violation> {
        let begun = self.asks(tenant, 0);
        let sure = self.oracle.borrow().sure(tenant);
        let (mut seen, mut ids, mut place) = (Vec::new(), Vec::new(), String::new());
        for page in 0..PAGES_MAX {
            let asked = self.asks(tenant, 0);
            if by_offset {
                place = format!("&offset={}", 3 * page);
            }
            let request = self.service(tenant, "GET", &format!("?limit=3{place}"));
            let Some(answer) = self.ask(request).await else { return Ok(()) };
            if answer.status != 200 {
                return self.hear_refusal(&asked, &answer);
            }
            let page = answer.json();
            for principal in page["result"].as_array().into_iter().flatten() {
                self.hear_principal(&asked, principal)?;
                let subject = subject_of(principal).unwrap_or_default();
                let text = principal.to_string();
                self.oracle.borrow().hears_texts(&Asked { user: subject, ..asked }, Some(subject), &text, true)?;
                seen.push(subject);
                ids.push(principal["id"].as_str().unwrap_or_default().to_owned());
            }
            if page["meta"]["has_more"] == true {
                place = format!("&after={}", page["meta"]["after"].as_str().unwrap_or_default());
                continue;
            }
            if by_offset {
                // Whoever is erased meanwhile moves the others.
                self.tally("lists of principals by offset");
                return Ok(());
            }
            self.tally("lists of principals walked to their end");
            ensure!(ids.is_sorted(), "principals are out of order: {ids:?}");
            return self.check_seen(&begun, &sure, &seen, "principal");
        }
        Err(Violation("the list of principals has no end".to_owned()))
    }
}
