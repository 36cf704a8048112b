//! What callers may see of agents and turns.

use std::collections::{BTreeMap, BTreeSet};

use super::relationships::pair;
use super::{Asked, Fate, Moment, Oracle, TenantOracle};
use crate::simulation::{Violation, ensure};
use crate::world::clients::{PEOPLE, Scope};
use crate::world::edge::Answer;

/// A turn that was answered.
#[derive(Debug, Clone)]
struct Counted {
    heard: Moment,
    /// The end of the period.
    until: String,
    user: usize,
    agent: usize,
    /// The pair, and how often either had been asked to be erased; `None` if either may have been erased meanwhile.
    active: Option<(usize, usize)>,
}

/// The turns of a tenant, by their texts.
#[derive(Debug, Clone, Default)]
pub struct TurnsTaken {
    counted: BTreeMap<u64, Counted>,
    /// Turns of which it is not known whether they are counted, with the person and the agent.
    open: BTreeMap<u64, (usize, usize)>,
}

impl TurnsTaken {
    pub(super) fn is_any_open(&self, user: usize) -> bool {
        self.open.values().any(|(other, _)| *other == user)
    }

    /// After the object was restored any turn may be lost.
    pub(super) fn restored(&self) -> Self {
        let counted = self.counted.iter().map(|(text, turn)| (*text, (turn.user, turn.agent)));
        Self { counted: BTreeMap::new(), open: counted.chain(self.open.clone()).collect() }
    }
}

impl TenantOracle {
    /// Whether somebody is surely there from when a request was sent until now.
    fn is_there(&self, asked: &Asked) -> bool {
        !self.is_threatened(asked.user, asked.sent) && !self.may_end(asked)
    }

    fn erasures_of(&self, subject: usize) -> usize {
        self.erasures.iter().filter(|erasure| erasure.ends(subject)).count()
    }
}

impl Oracle {
    /// An answer whose version is in its tag only.
    pub fn hears_tag(&mut self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        if !self.is_current(asked) {
            return Ok(());
        }
        self.hears_texts(asked, Some(asked.user), &answer.body, false)?;
        let Some(version) = answer.version() else {
            return Err(Violation(format!("a record without a tag: {}", answer.body)));
        };
        let heard = self.heard();
        self.tenants[asked.tenant].note_version(asked, version, heard)
    }

    pub fn hears_agent(&mut self, asked: &Asked, answer: &Answer, id: &str) -> Result<(), Violation> {
        self.hears_tag(asked, answer)?;
        self.hears_principal_id(asked, asked.user, id)?;
        let heard = self.heard();
        if self.is_current(asked) {
            let held = &mut self.tenants[asked.tenant];
            held.agent_ids.insert(id.to_owned(), asked.user);
            // An agent that is being erased is gone at once.
            held.ends_erasures(asked);
            held.note_presence(asked, heard);
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

    pub fn asks_turn(&mut self, asked: &Asked, agent: &Asked, text: u64) {
        let held = &mut self.tenants[asked.tenant];
        let is_new = !held.turns.counted.contains_key(&text) && !held.turns.open.contains_key(&text);
        if is_new {
            held.turns.open.insert(text, (asked.user, agent.user));
            held.relationships.asks_turn(asked.user, agent.user);
        }
        held.relationships.may_move(asked.user, asked.sent);
        if let Some(text) = held.texts.get_mut(&text) {
            text.is_of_turn = asked.user < PEOPLE.len();
        }
    }

    /// A refusal, before which nothing was counted.
    pub fn hears_no_turn(&mut self, asked: &Asked, text: u64, answer: &Answer, has_key: bool) {
        let is_sure = !answer.is_muddled && answer.status < 500 && !has_key;
        if is_sure && self.is_current(asked) {
            self.tenants[asked.tenant].turns.open.remove(&text);
        }
    }

    /// A turn with an idempotency key is answered, and not replayed.
    pub fn hears_first(&self, asked: &Asked, text: u64) -> Result<(), Violation> {
        let turn = self.tenants[asked.tenant].turns.counted.get(&text).filter(|_| self.is_current(asked));
        ensure!(turn.is_none_or(|turn| turn.heard > asked.sent), "a turn with a key is taken twice");
        Ok(())
    }

    /// The answer to a turn is refused because of an erasure. Somebody must have asked for one.
    pub fn hears_of_erased(&self, asked: &Asked, agent: &Asked) -> Result<(), Violation> {
        let held = &self.tenants[asked.tenant];
        let pair = pair(asked.user, agent.user);
        let is_cause = |user: usize, scope: Scope| (user == asked.user && scope != Scope::Model) || user == pair;
        let has_cause = held.erasures.iter().any(|erasure| is_cause(erasure.user, erasure.scope));
        ensure!(has_cause || !self.is_current(asked), "an answer is refused as erased, and nobody erased anything");
        Ok(())
    }

    /// `until` is the end of the period, if the turn surely counts in one.
    pub fn hears_turn(
        &mut self,
        asked: &Asked,
        agent: &Asked,
        text: u64,
        until: Option<String>,
        answer: &Answer,
    ) -> Result<(), Violation> {
        let is_replayed = answer.header("Idempotency-Replayed").is_some();
        let heard = self.heard();
        if !self.is_current(asked) {
            return Ok(());
        }
        let held = &mut self.tenants[asked.tenant];
        held.relationships.may_move(asked.user, heard);
        let is_first = !is_replayed && !answer.is_muddled;
        let pair = pair(asked.user, agent.user);
        let of_pair = Asked { user: pair, ..*asked };
        let has_person = asked.user < PEOPLE.len();
        let is_met = !is_replayed && has_person && [asked, agent, &of_pair].iter().all(|one| held.is_there(one));
        // A replay says in which period it is now, and not in which it was counted.
        if let Some(until) = until.filter(|_| !is_replayed) {
            held.turns.open.remove(&text);
            let active = is_met.then(|| (pair, held.erasures_of(asked.user) + held.erasures_of(agent.user)));
            let (user, agent) = (asked.user, agent.user);
            held.turns.counted.insert(text, Counted { heard, until, user, agent, active });
        }
        let is_reset = held.erasures.iter().any(|erasure| erasure.forgets(pair) && erasure.sent > asked.sent);
        if let Some(text) = held.texts.get_mut(&text) {
            ensure!(
                text.requested.is_none_or(|requested| requested > asked.sent),
                "a turn is answered, and its answer was erased: {}",
                answer.body
            );
            // Whoever is answered 200 with the same key later is told of the same turn.
            let is_void = text.fate == Fate::Void && text.heard.is_some_and(|heard| heard < asked.sent);
            ensure!(!is_void, "a turn is answered that was lost: {}", answer.body);
            text.is_written(is_first.then_some(heard));
            if is_met && is_first {
                text.pair = Some(pair);
            }
        }
        if is_met {
            held.met.insert((asked.user, agent.user));
            if is_first && !is_reset && !held.is_reset_later(pair, asked.sent) {
                held.relationships.hears_turn(pair, heard);
            }
        }
        Ok(())
    }

    /// How many turns are counted in a period: at least, and at most.
    pub fn turns(&self, asked: &Asked, period: &str) -> (u64, u64) {
        let held = &self.tenants[asked.tenant];
        if !self.is_current(asked) {
            return (0, u64::MAX);
        }
        let counted = held.turns.counted.values().filter(|turn| turn.until == period);
        let least = counted.clone().filter(|turn| turn.heard < asked.sent).count() as u64;
        // What is under way may have been counted in any period.
        (least, counted.count() as u64 + held.turns.open.len() as u64)
    }

    /// How many turns of a person are counted in a period: at least, and at most. Whoever is erased and made again begins
    /// at 0.
    pub fn turns_of(&self, asked: &Asked, period: &str) -> (u64, u64) {
        let held = &self.tenants[asked.tenant];
        if !self.is_current(asked) {
            return (0, u64::MAX);
        }
        let counted = held.turns.counted.values().filter(|turn| turn.until == period && turn.user == asked.user);
        let least = counted.clone().filter(|turn| turn.heard < asked.sent).count();
        let least = if held.erasures_of(asked.user) == 0 { least } else { 0 };
        let open = held.turns.open.values().filter(|(user, _)| *user == asked.user).count();
        (least as u64, (counted.count() + open) as u64)
    }

    /// How many relationships are active in a period: at least, and at most. A pair of which either was erased and made
    /// again counts twice.
    pub fn active(&self, asked: &Asked, period: &str) -> (u64, u64) {
        let held = &self.tenants[asked.tenant];
        if !self.is_current(asked) {
            return (0, u64::MAX);
        }
        let with_person = |turn: &&Counted| turn.until == period && turn.user < PEOPLE.len();
        let turns: Vec<&Counted> = held.turns.counted.values().filter(with_person).collect();
        let sure = turns.iter().filter(|turn| turn.heard < asked.sent).filter_map(|turn| turn.active);
        let least: BTreeSet<usize> = sure.map(|(pair, _)| pair).collect();
        let most: BTreeSet<(usize, usize)> = turns.iter().filter_map(|turn| turn.active).collect();
        let unsure = turns.iter().filter(|turn| turn.active.is_none()).count();
        let open = held.turns.open.values().filter(|(user, _)| *user < PEOPLE.len()).count();
        (least.len() as u64, (most.len() + unsure + open) as u64)
    }
}
