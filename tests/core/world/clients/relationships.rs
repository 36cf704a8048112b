//! The clients that list, read and erase relationships.

use std::rc::Rc;

use super::{AGENTS, FIRST_AGENT, PAGES_MAX, PEOPLE, Scope};
use crate::simulation::{Violation, ensure};
use crate::world::edge::Request;
use crate::world::oracle::{Asked, Shown, pair};
use crate::world::state::World;

impl World {
    /// Walks through the relationships of a person, of an agent, of both, or all.
    pub async fn list_relationships(
        self: &Rc<Self>,
        tenant: usize,
        user: Option<usize>,
        agent: Option<usize>,
    ) -> Result<(), Violation> {
        let begun = self.asks(tenant, 0);
        let is_wanted = |(of, with): &(usize, usize)| {
            user.is_none_or(|user| user == *of) && agent.is_none_or(|agent| FIRST_AGENT + agent == *with)
        };
        let met: Vec<_> = self.oracle.borrow().pairs(tenant).into_iter().filter(is_wanted).collect();
        let of_user = user.map_or(String::new(), |user| format!("&user_id={}", PEOPLE[user].1));
        let of_agent = agent.map_or(String::new(), |agent| format!("&personality_id={}", AGENTS[agent]));
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let asked = self.asks(tenant, 0);
            let path = format!("/v1/relationships?limit=2{of_user}{of_agent}{cursor}");
            let Some(answer) = self.ask(self.api(tenant, "GET", &path)).await else { return Ok(()) };
            if answer.status != 200 {
                return self.hear_refusal(&asked, &answer);
            }
            let page = answer.json();
            for entry in page["data"].as_array().into_iter().flatten() {
                let shown = Shown::read(entry)?;
                let mut oracle = self.oracle.borrow_mut();
                oracle.hears_relationship(&asked, &shown)?;
                ensure!(user.is_none_or(|user| user == shown.user), "a relationship of another person: {entry}");
                let with = oracle.agent_of(tenant, &shown.agent_id);
                let is_right = agent.zip(with).is_none_or(|(wanted, with)| FIRST_AGENT + wanted == with);
                ensure!(is_right, "a relationship with another agent: {entry}");
                seen.push((shown.user, with));
            }
            let Some(next) = page["next_cursor"].as_str() else {
                self.tally("lists of relationships walked to their end");
                return self.check_pairs(&begun, &met, &seen);
            };
            cursor = format!("&cursor={next}");
        }
        Err(Violation("the list of relationships has no end".to_owned()))
    }

    /// Every relationship that stayed is listed exactly once.
    fn check_pairs(
        &self,
        begun: &Asked,
        met: &[(usize, usize)],
        seen: &[(usize, Option<usize>)],
    ) -> Result<(), Violation> {
        let oracle = self.oracle.borrow();
        if !oracle.is_current(begun) {
            return Ok(());
        }
        for (user, agent) in met.iter().copied() {
            let of = |subject| Asked { user: subject, ..*begun };
            let held = &oracle.tenants[begun.tenant];
            if [pair(user, agent), user, agent].into_iter().any(|subject| held.may_end(&of(subject))) {
                continue;
            }
            // The id of the agent may not have been heard of.
            let is_theirs =
                |other: &&(usize, Option<usize>)| other.0 == user && other.1.is_none_or(|with| with == agent);
            let times = seen.iter().filter(is_theirs).count();
            let is_known = seen.iter().all(|(_, with)| with.is_some());
            ensure!(
                times == 1 || (times > 1 && !is_known),
                "user {user} talks with {agent}, and is listed so {times} times: {seen:?}"
            );
        }
        Ok(())
    }

    /// A relationship that was heard of, and its pair.
    fn any_relationship(&self, tenant: usize, which: usize) -> Option<(String, usize)> {
        let mut known = self.oracle.borrow().relationships(tenant);
        // Ids are in the order of time, and the last ones are there most likely.
        known.reverse();
        (!known.is_empty()).then(|| known.swap_remove(which % known.len()))
    }

    fn relationship(&self, tenant: usize, method: &'static str, id: &str) -> Request {
        self.api(tenant, method, &format!("/v1/relationships/{id}"))
    }

    pub async fn read_relationship(self: &Rc<Self>, tenant: usize, which: usize) -> Result<(), Violation> {
        let Some((id, pair)) = self.any_relationship(tenant, which) else { return Ok(()) };
        let asked = self.asks(tenant, pair);
        let Some(answer) = self.ask(self.relationship(tenant, "GET", &id)).await else { return Ok(()) };
        match answer.status {
            200 => {
                let shown = Shown::read(&answer.json())?;
                ensure!(shown.id == id, "{} is shown in the place of {id}", shown.id);
                self.oracle.borrow_mut().hears_relationship(&asked, &shown)
            }
            404 => self.oracle.borrow().hears_no_relationship(&asked, &id),
            _ => self.hear_refusal(&asked, &answer),
        }
    }

    pub async fn erase_relationship(
        self: &Rc<Self>,
        tenant: usize,
        which: usize,
        scope: Scope,
    ) -> Result<(), Violation> {
        let Some((id, pair)) = self.any_relationship(tenant, which) else { return Ok(()) };
        let asked = self.asks(tenant, pair);
        let request = self.relationship(tenant, "DELETE", &id);
        let accepted = self.erase_by(request, tenant, pair, scope).await?;
        if accepted && scope == Scope::All {
            self.tally("relationships erased");
            self.oracle.borrow_mut().hears_relationship_erased(&asked, &id);
        }
        Ok(())
    }
}
