//! The clients that send requests with an idempotency key: every repetition is answered alike.

use std::rc::Rc;

use serde_json::Value;

use super::{FIRST_AGENT, KEPT_MS, Kept};
use crate::simulation::{Violation, ensure};
use crate::world::edge::{Answer, Request};
use crate::world::oracle::Asked;
use crate::world::state::World;

/// What is made once.
#[derive(Debug, Clone)]
pub enum Post {
    User(usize),
    Batch(Vec<usize>),
    Agent(usize),
    Principal(usize),
    Bot(usize),
}

impl World {
    fn first(&self, tenant: usize, post: Post) -> Kept {
        let (texts, body) = match &post {
            Post::User(user) => {
                let (text, body) = self.new_person(tenant, *user);
                (vec![(*user, text)], body)
            }
            Post::Batch(users) => self.new_batch(tenant, users),
            Post::Agent(agent) => {
                let (text, body) = self.new_agent(tenant, *agent);
                (vec![(FIRST_AGENT + agent, text)], body)
            }
            Post::Principal(user) => {
                let (text, body) = self.new_human(tenant, *user);
                (vec![(*user, text)], body)
            }
            Post::Bot(bot) => {
                let (subject, text, body) = self.new_bot(tenant, *bot);
                (vec![(subject, text)], body)
            }
        };
        let era = self.oracle.borrow().tenants[tenant].era;
        Kept { post, texts, body, sent_ms: self.time.now_ms(), era, answer: None }
    }

    /// Sends a request with a key, or one that was sent before with the key of this slot.
    pub async fn post_once(self: &Rc<Self>, tenant: usize, post: Post, slot: usize) -> Result<(), Violation> {
        let (now_ms, era) = (self.time.now_ms(), self.oracle.borrow().tenants[tenant].era);
        let known = self.tenancies.borrow()[tenant].kept.get(&slot).cloned();
        let known = known.filter(|kept| kept.sent_ms + KEPT_MS > now_ms && kept.era == era);
        let kept = known.unwrap_or_else(|| {
            let kept = self.first(tenant, post);
            self.tenancies.borrow_mut()[tenant].kept.insert(slot, kept.clone());
            kept
        });
        for (_, text) in &kept.texts {
            self.oracle.borrow_mut().sends_again(tenant, *text);
        }
        let asked: Vec<Asked> = kept.texts.iter().map(|(subject, _)| self.asks(tenant, *subject)).collect();
        let request = match &kept.post {
            Post::User(_) => self.api(tenant, "POST", "/v1/end-users"),
            Post::Batch(_) => self.api(tenant, "POST", "/v1/end-users/batch"),
            Post::Agent(_) => self.api(tenant, "POST", "/api/v1/agents"),
            Post::Principal(_) | Post::Bot(_) => self.service(tenant, "POST", ""),
        };
        // A key is never used for anything else, so it has the number of its text.
        let key = format!("key-{tenant}-{slot}-{}", kept.texts[0].1);
        let request: Request = request.with("Idempotency-Key", key).json(kept.body.clone());
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        if !self.oracle.borrow().is_current(&asked[0]) {
            return Ok(());
        }
        if answer.is_of_erased() {
            return Ok(());
        }
        if matches!(answer.status, 200 | 201) {
            self.check_repetition(tenant, slot, &kept, &answer)?;
            if answer.header("Idempotency-Replayed").is_some() {
                self.tally("answers replayed");
                return asked.iter().try_for_each(|asked| {
                    let user = (kept.texts.len() == 1).then_some(asked.user);
                    self.oracle.borrow().hears_texts(asked, user, &answer.body, false)
                });
            }
        }
        self.hear_posted(&asked, &kept, &answer)
    }

    fn hear_posted(&self, asked: &[Asked], kept: &Kept, answer: &Answer) -> Result<(), Violation> {
        let text = kept.texts[0].1;
        match kept.post {
            Post::User(_) => self.hear_creation(&asked[0], text, answer),
            Post::Batch(_) => self.hear_batch(asked, answer),
            Post::Agent(_) => self.hear_saved_agent(&asked[0], text, answer),
            Post::Principal(_) => self.hear_human(&asked[0], text, answer),
            Post::Bot(_) => self.hear_bot(&asked[0], text, answer),
        }
    }

    fn check_repetition(&self, tenant: usize, slot: usize, kept: &Kept, answer: &Answer) -> Result<(), Violation> {
        let mut tenancies = self.tenancies.borrow_mut();
        let held = tenancies[tenant].kept.get_mut(&slot).filter(|held| held.texts == kept.texts);
        let Some(held) = held else { return Ok(()) };
        let given = (answer.status, answer.body.clone());
        let Some(first) = &held.answer else {
            held.answer = Some(given);
            return Ok(());
        };
        let is_same = *first == given || (matches!(kept.post, Post::Batch(_)) && is_same_batch(&first.1, &given.1));
        ensure!(is_same, "a repetition is answered {given:?}, not {first:?}");
        Ok(())
    }
}

/// Whether the rows of a repeated batch are those of the first time, but for people who were erased since. A batch
/// with a row that made nobody is not kept.
fn is_same_batch(first: &str, second: &str) -> bool {
    let rows = |body: &str| -> Vec<u64> {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let rows = body["results"].as_array().into_iter().flatten();
        rows.map(|row| row["status"].as_u64().unwrap_or_default()).collect()
    };
    let (first, second) = (rows(first), rows(second));
    let is_kept = first.iter().all(|status| matches!(status, 200 | 201));
    !is_kept || first.iter().zip(&second).all(|(before, after)| before == after || *after == 409)
}
