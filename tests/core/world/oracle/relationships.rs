//! What callers may see of relationships. Each has an id of its own, so that the relationship of a pair which is made
//! again is another one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Asked, Erasure, Moment, Oracle};
use crate::simulation::{Violation, ensure};
use crate::world::clients::{FIRST_AGENT, Scope, user_of};
use crate::world::edge::Answer;

/// Relationships are numbered after people and agents: a thousand for each person, and in it one for each agent.
const FIRST_PAIR: usize = 1_000;

/// The relationship of a person and an agent, as the subject of an erasure.
pub const fn pair(user: usize, agent: usize) -> usize {
    FIRST_PAIR + user * FIRST_PAIR + agent
}

/// The person and the agent of a relationship; `None` for any other subject.
pub fn parts(subject: usize) -> Option<(usize, usize)> {
    let number = subject.checked_sub(FIRST_PAIR)?;
    Some((number / FIRST_PAIR, number % FIRST_PAIR))
}

#[derive(Debug, Clone)]
struct Known {
    pair: usize,
    first: Moment,
    /// It was there at this moment, and no erasure was on its way.
    sure: Option<Moment>,
    /// No later answer shows it.
    gone: Option<Moment>,
}

#[derive(Debug, Clone, Default)]
pub struct Relationships {
    known: BTreeMap<String, Known>,
    /// Turns that are surely counted in the relationship of a pair.
    turns: BTreeMap<usize, Vec<Moment>>,
    /// How many turns of a pair were ever asked for.
    sent: BTreeMap<usize, u64>,
    /// When a turn of a person was last asked for, or answered.
    moved: BTreeMap<usize, Moment>,
    /// People without any mood, and since when.
    without_mood: BTreeMap<usize, Moment>,
}

impl Relationships {
    pub(super) fn asks_to_erase(&mut self, erasure: &Erasure) {
        for known in self.known.values_mut().filter(|known| erasure.ends(known.pair)) {
            known.sure = None;
        }
        self.turns.retain(|pair, _| !erasure.forgets(*pair));
    }

    /// A request to erase was accepted.
    pub(super) fn are_erased(&mut self, erasure: &Erasure, heard: Moment) {
        if erasure.user < FIRST_AGENT && erasure.scope != Scope::Model {
            self.end(erasure, heard);
        }
    }

    /// The relationships of an agent go when its erasure is completed.
    pub(super) fn are_completed(&mut self, erasure: &Erasure, heard: Moment) {
        if parts(erasure.user).is_none() && erasure.scope == Scope::All {
            self.end(erasure, heard);
        }
    }

    fn end(&mut self, erasure: &Erasure, heard: Moment) {
        for known in self.known.values_mut().filter(|known| erasure.ends(known.pair) && known.first < erasure.sent) {
            known.gone.get_or_insert(heard);
        }
    }

    pub(super) fn asks_turn(&mut self, user: usize, agent: usize) {
        *self.sent.entry(pair(user, agent)).or_default() += 1;
    }

    /// A turn is asked for, or answered, so that the person may have a mood.
    pub(super) fn may_move(&mut self, user: usize, at: Moment) {
        self.moved.insert(user, at);
        self.without_mood.remove(&user);
    }

    pub(super) fn hears_turn(&mut self, pair: usize, heard: Moment) {
        self.turns.entry(pair).or_default().push(heard);
    }

    fn are_without_mood(&mut self, asked: &Asked, heard: Moment) {
        if self.moved.get(&asked.user).is_none_or(|moved| *moved < asked.sent) {
            self.without_mood.insert(asked.user, heard);
        }
    }

    /// What is left after the object was restored.
    pub(super) fn restored(self) -> Self {
        Self { sent: self.sent, ..Self::default() }
    }
}

/// A relationship as an answer shows it.
pub struct Shown {
    pub id: String,
    pub user: usize,
    pub agent_id: String,
    turns: u64,
    has_mood: bool,
}

impl Shown {
    pub fn read(entry: &Value) -> Result<Self, Violation> {
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        match (text("id"), user_of(entry), text("personality_id"), entry["turns"].as_u64()) {
            (Some(id), Some(user), Some(agent_id), Some(turns)) => {
                Ok(Self { id, user, agent_id, turns, has_mood: !entry["mood"].is_null() })
            }
            _ => Err(Violation(format!("no relationship: {entry}"))),
        }
    }
}

impl Oracle {
    /// The agent with an id, if an answer has told it.
    pub fn agent_of(&self, tenant: usize, agent_id: &str) -> Option<usize> {
        self.tenants[tenant].agent_ids.get(agent_id).copied()
    }

    /// The ids of relationships that were heard of.
    pub fn relationships(&self, tenant: usize) -> Vec<(String, usize)> {
        self.tenants[tenant].relationships.known.iter().map(|(id, known)| (id.clone(), known.pair)).collect()
    }

    /// An answer shows a relationship.
    pub fn hears_relationship(&mut self, asked: &Asked, shown: &Shown) -> Result<(), Violation> {
        let heard = self.heard();
        if !self.is_current(asked) {
            return Ok(());
        }
        let held = &mut self.tenants[asked.tenant];
        let Shown { id, user, agent_id, turns, has_mood } = shown;
        let without_mood = held.relationships.without_mood.get(user).is_some_and(|since| *since < asked.sent);
        ensure!(!has_mood || !without_mood, "relationship {id} has a mood, and the moods of user {user} are erased");
        let Some(agent) = held.agent_ids.get(agent_id).copied() else { return Ok(()) };
        let pair = pair(*user, agent);
        let of_pair = Asked { user: pair, ..*asked };
        let is_sure = !held.is_threatened(pair, asked.sent) && !held.may_end(&of_pair);
        let known = Known { pair, first: heard, sure: None, gone: None };
        let known = held.relationships.known.entry(id.clone()).or_insert(known);
        ensure!(known.pair == pair, "relationship {id} is of {:?} and of {:?}", parts(known.pair), parts(pair));
        ensure!(known.gone.is_none_or(|gone| gone > asked.sent), "relationship {id} is erased, and shown");
        if is_sure {
            known.sure = Some(heard);
        }
        let counted = held.relationships.turns.get(&pair).into_iter().flatten();
        let least = counted.filter(|heard| **heard < asked.sent).count() as u64;
        let most = held.relationships.sent.get(&pair).copied().unwrap_or_default();
        ensure!(*turns >= least || held.may_end(&of_pair), "{turns} turns of {id}, and {least} were answered");
        ensure!(*turns <= most, "{turns} turns of {id}, and {most} were asked for");
        Ok(())
    }

    /// An answer says that there is no such relationship.
    pub fn hears_no_relationship(&self, asked: &Asked, id: &str) -> Result<(), Violation> {
        let held = &self.tenants[asked.tenant];
        let known = held.relationships.known.get(id).filter(|_| self.is_current(asked));
        let is_sure = |sure: Moment| sure < asked.sent && !held.may_end(asked);
        let was_there = known.and_then(|known| known.sure).is_some_and(is_sure);
        ensure!(!was_there, "relationship {id} is gone, and nobody erased it");
        Ok(())
    }

    /// A request to erase a relationship was accepted.
    pub fn hears_relationship_erased(&mut self, asked: &Asked, id: &str) {
        let heard = self.heard();
        if self.is_current(asked)
            && let Some(known) = self.tenants[asked.tenant].relationships.known.get_mut(id)
        {
            known.gone.get_or_insert(heard);
        }
    }

    /// A request to erase the moods of a person was accepted.
    pub fn hears_moods_erased(&mut self, asked: &Asked, answer: &Answer) {
        let heard = self.heard();
        let held = &mut self.tenants[asked.tenant];
        if held.era == asked.era && !answer.is_muddled && !held.turns.is_any_open(asked.user) {
            held.relationships.are_without_mood(asked, heard);
        }
    }

    /// Pairs who surely have a relationship.
    pub fn pairs(&self, tenant: usize) -> Vec<(usize, usize)> {
        self.tenants[tenant].met.iter().copied().collect()
    }
}
