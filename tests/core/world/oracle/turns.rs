//! What callers may see of agents and turns.

use super::{Asked, Moment, Oracle};
use crate::simulation::Violation;
use crate::world::clients::PEOPLE;
use crate::world::edge::Answer;

impl Oracle {
    /// An answer whose version is in its tag only.
    pub fn hears_tag(&mut self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        if !self.is_current(asked) {
            return Ok(());
        }
        self.hears_texts(asked, Some(asked.user), &answer.body, false)?;
        let version = answer.header("ETag").map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
        let Some(version) = version.and_then(|version| version.parse::<i64>().ok()) else {
            return Err(Violation(format!("a record without a tag: {}", answer.body)));
        };
        let heard = self.heard();
        self.tenants[asked.tenant].note_version(asked, version, heard)
    }

    pub fn hears_agent(&mut self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        self.hears_tag(asked, answer)?;
        let heard = self.heard();
        if self.is_current(asked) {
            // An agent that is being erased is gone at once.
            self.tenants[asked.tenant].ends_erasures(asked);
            self.tenants[asked.tenant].note_presence(asked, heard);
        }
        Ok(())
    }

    pub fn was_restored(&self, tenant: usize) -> bool {
        self.tenants[tenant].era > 0
    }

    /// Who talked with an agent.
    pub fn met(&self, tenant: usize, agent: usize) -> Vec<usize> {
        let met = self.tenants[tenant].met.iter();
        met.filter(|(_, other)| *other == agent).map(|(user, _)| *user).collect()
    }

    pub fn asks_turn(&mut self, asked: &Asked, text: u64) {
        let held = &mut self.tenants[asked.tenant];
        if !held.turns.contains_key(&text) {
            held.open_turns.insert(text);
        }
    }

    /// A refusal, before which nothing was counted.
    pub fn hears_no_turn(&mut self, asked: &Asked, text: u64, answer: &Answer, has_key: bool) {
        let is_sure = !answer.is_muddled && answer.status < 500 && !has_key;
        if is_sure && self.is_current(asked) {
            self.tenants[asked.tenant].open_turns.remove(&text);
        }
    }

    pub fn hears_turn(&mut self, asked: &Asked, agent: &Asked, text: u64, period: String, answer: &Answer) {
        let is_replayed = answer.header("Idempotency-Replayed").is_some();
        let heard = self.heard();
        if !self.is_current(asked) {
            return;
        }
        let held = &mut self.tenants[asked.tenant];
        // A replay says in which period it is now, and not in which it was counted.
        if !is_replayed {
            held.open_turns.remove(&text);
            held.turns.insert(text, (heard, period));
        }
        if let Some(text) = held.text_mut(text) {
            text.is_written((!answer.is_muddled && !is_replayed).then_some(heard));
        }
        let is_there = |one: &Asked| !held.is_threatened(one.user, one.sent) && !held.may_end(one);
        if !is_replayed && asked.user < PEOPLE.len() && is_there(asked) && is_there(agent) {
            held.met.insert((asked.user, agent.user));
        }
    }

    /// How many turns are counted in a period: at least, and at most.
    pub fn turns(&self, asked: &Asked, period: &str) -> (u64, u64) {
        let held = &self.tenants[asked.tenant];
        let count = |is_counted: &dyn Fn(&(Moment, String)) -> bool| {
            held.turns.values().filter(|turn| is_counted(turn)).count() as u64
        };
        if !self.is_current(asked) {
            return (0, u64::MAX);
        }
        let least = count(&|(heard, until)| *heard < asked.sent && until == period);
        // What is under way may have been counted in any period.
        let most = count(&|(_, until)| until == period) + held.open_turns.len() as u64;
        (least, most)
    }
}
