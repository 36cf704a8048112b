//! What callers may see of erasures, of closing, and of an object that is restored.

use std::collections::BTreeSet;

use super::relationships::{pair, parts};
use super::{Asked, Erasure, Fate, LATE_MS, Oracle, TenantOracle, Text, is_active};
use crate::simulation::{Violation, ensure};
use crate::world::clients::{FIRST_AGENT, Scope};
use crate::world::edge::Answer;

impl Erasure {
    /// Whether it ends a person, an agent or a relationship.
    pub(super) fn ends(&self, subject: usize) -> bool {
        match parts(subject) {
            None => self.scope == Scope::All && self.user == subject,
            Some((user, _)) if self.scope == Scope::Memory => self.user == user,
            Some((user, agent)) => self.scope == Scope::All && [user, agent, subject].contains(&self.user),
        }
    }

    /// Whether a relationship begins to count its turns anew.
    pub(super) fn forgets(&self, pair: usize) -> bool {
        self.ends(pair) || (self.scope == Scope::Memory && self.user == pair)
    }

    /// Whether it erases a text.
    fn covers(&self, text: &Text) -> bool {
        match (self.scope, parts(self.user)) {
            (Scope::Model, _) => false,
            (_, Some(_)) => text.pair == Some(self.user),
            (Scope::All, None) => text.user == self.user,
            (Scope::Memory, None) => text.user == self.user && text.is_of_turn,
        }
    }

    /// Everything but a person and an agent is erased at once.
    fn is_done_at_once(&self) -> bool {
        self.scope != Scope::All || parts(self.user).is_some()
    }

    /// Nothing is left to do, and there is no receipt.
    pub(super) fn is_refused(&self) -> bool {
        self.over.is_some() && self.deletion_id.is_none()
    }
}

impl Oracle {
    pub fn asks_to_erase(&mut self, asked: &Asked, scope: Scope) -> usize {
        let held = &mut self.tenants[asked.tenant];
        let (user, sent) = (asked.user, asked.sent);
        let erasure = Erasure {
            user,
            scope,
            sent,
            heard: None,
            is_muddled: false,
            deletion_id: None,
            over: None,
            completed: None,
        };
        if scope == Scope::All
            && let Some(person) = held.people.get_mut(&user)
        {
            person.sure = None;
        }
        held.met.retain(|(user, agent)| !erasure.ends(pair(*user, *agent)));
        held.relationships.asks_to_erase(&erasure);
        if scope == Scope::All && user >= FIRST_AGENT && parts(user).is_none() {
            // The answers to turns stay, and no relationship has them any more.
            let of_agent = |text: &&mut Text| text.pair.and_then(parts).is_some_and(|(_, agent)| agent == user);
            held.texts.values_mut().filter(of_agent).for_each(|text| text.pair = None);
        }
        held.erasures.push(erasure);
        held.erasures.len() - 1
    }

    /// The answer to a request to erase. `deletion_id` when it was accepted.
    pub fn hears_erasure(&mut self, asked: &Asked, number: usize, answer: &Answer, deletion_id: Option<&str>) {
        let heard = self.heard();
        if !self.is_current(asked) {
            return;
        }
        let held = &mut self.tenants[asked.tenant];
        let Some(erasure) = held.erasures.get_mut(number) else { return };
        erasure.is_muddled = answer.is_muddled;
        match deletion_id {
            Some(deletion_id) => {
                erasure.heard = Some(heard);
                erasure.deletion_id = Some(deletion_id.to_owned());
                if erasure.is_done_at_once() && !answer.is_muddled {
                    erasure.over = Some(heard);
                }
                let erasure = &*erasure;
                // While a person is erased as a whole, any request has that receipt.
                let is_whole = erasure.user < FIRST_AGENT && answer.json()["status"] == "deletion_pending";
                let is_at_once = erasure.is_done_at_once() && !is_whole;
                let is_earlier = |text: &Text| {
                    erasure.covers(text) && text.fate == Fate::Written && text.heard.is_some_and(|it| it < asked.sent)
                };
                for text in held.texts.values_mut().filter(|text| is_earlier(text)) {
                    text.requested.get_or_insert(heard);
                    if is_at_once {
                        text.forgotten.get_or_insert(heard);
                    }
                }
                held.relationships.are_erased(erasure, heard);
                if erasure.scope == Scope::All {
                    held.principals.are_erased(asked, heard);
                }
            }
            None if !answer.is_muddled && answer.status < 500 => erasure.over = Some(heard),
            None => {}
        }
    }

    /// The receipts that are not completed.
    pub fn open_receipts(&self, tenant: usize) -> Vec<(usize, String)> {
        let open = self.tenants[tenant].erasures.iter().filter(|erasure| erasure.completed.is_none());
        open.filter_map(|erasure| Some((erasure.user, erasure.deletion_id.clone()?))).collect()
    }

    pub fn hears_completed(&mut self, asked: &Asked, deletion_id: &str) {
        let heard = self.heard();
        if !self.is_current(asked) {
            return;
        }
        let held = &mut self.tenants[asked.tenant];
        for erasure in held.erasures.iter_mut().filter(|it| it.deletion_id.as_deref() == Some(deletion_id)) {
            erasure.over.get_or_insert(heard);
            erasure.completed.get_or_insert(heard);
            let erasure = &*erasure;
            held.relationships.are_completed(erasure, heard);
            let requested = erasure.heard;
            let is_erased = |text: &&mut Text| erasure.covers(text) && text.requested <= requested;
            for text in held.texts.values_mut().filter(|text| text.requested.is_some()).filter(is_erased) {
                text.erased.get_or_insert(heard);
            }
        }
    }

    /// Whether a text must be nowhere any more.
    pub fn is_erased(&self, tenant: usize, text: u64) -> bool {
        self.tenants.get(tenant).and_then(|held| held.texts.get(&text)).is_some_and(|text| text.erased.is_some())
    }

    pub fn asks_to_close(&mut self, tenant: usize, ms: i64) {
        let moment = self.moment(ms);
        let held = &mut self.tenants[tenant];
        held.closing.get_or_insert(moment);
        for person in held.people.values_mut() {
            person.sure = None;
        }
        held.met.clear();
    }

    pub fn is_closing(&self, tenant: usize) -> bool {
        self.tenants[tenant].closing.is_some()
    }

    /// Everybody who is surely there.
    pub fn sure(&self, tenant: usize) -> Vec<usize> {
        let held = &self.tenants[tenant];
        held.people.iter().filter(|(_, person)| person.sure.is_some()).map(|(user, _)| *user).collect()
    }

    /// Who was sure at the beginning, and has not been erased since.
    pub fn stayed(&self, asked: &Asked, sure: &[usize]) -> Vec<usize> {
        let held = &self.tenants[asked.tenant];
        sure.iter().copied().filter(|user| !held.may_end(&Asked { user: *user, ..*asked })).collect()
    }

    /// Who of some people stayed, and still talks with an agent.
    pub fn stayed_with(&self, asked: &Asked, users: &[usize], agent: usize) -> Vec<usize> {
        let held = &self.tenants[asked.tenant];
        let stays = |user: &usize| !held.may_end(&Asked { user: pair(*user, agent), ..*asked });
        self.stayed(asked, users).into_iter().filter(stays).collect()
    }

    /// Whether D1 may show what is not so: the object or D1 was restored.
    pub fn is_listing_unsure(&self, tenant: usize) -> bool {
        let held = &self.tenants[tenant];
        held.era > 0 || held.is_listing_restored
    }

    /// D1 is as it was earlier.
    pub fn restore_listing(&mut self) {
        for held in &mut self.tenants {
            held.is_listing_restored = true;
        }
    }

    /// A record in a list.
    pub fn hears_listed(&mut self, asked: &Asked, record: &serde_json::Value) -> Result<(), Violation> {
        let heard = self.heard();
        if !self.is_current(asked) || self.is_listing_unsure(asked.tenant) {
            return Ok(());
        }
        let held = &mut self.tenants[asked.tenant];
        held.check_texts(asked, Some(asked.user), &record.to_string(), true)?;
        ensure!(is_active(record), "a list shows {record}");
        held.note_record(asked, record, heard).map(drop)
    }

    /// The object is as it was at a snapshot. What was written since may still show.
    pub fn restore(&mut self, tenant: usize, snapshot: &TenantOracle, ms: i64) {
        let now = self.moment(ms);
        let held = &mut self.tenants[tenant];
        let mut texts = snapshot.texts.clone();
        for (number, text) in &held.texts {
            // What was surely written by then is lost, unless another request writes it again.
            let is_gone = text.heard.is_some() && !text.is_sent_again;
            let (fate, heard) = if is_gone { (Fate::Void, Some(now)) } else { (Fate::Unknown, None) };
            let lost = Text { fate, heard, requested: None, forgotten: None, erased: None, ..text.clone() };
            texts.entry(*number).and_modify(|text| text.is_sent_again |= lost.is_sent_again).or_insert(lost);
        }
        // Whatever was on its way may arrive.
        let mut erasures = snapshot.erasures.clone();
        let is_new = |erasure: &&Erasure| erasure.over.is_none_or(|over| over.ms + LATE_MS > now.ms);
        erasures.extend(held.erasures.iter().filter(is_new).map(|erasure| Erasure {
            sent: now,
            heard: None,
            deletion_id: None,
            over: None,
            completed: None,
            ..erasure.clone()
        }));
        let mut people = snapshot.people.clone();
        for person in people.values_mut() {
            person.sure = None;
        }
        *held = TenantOracle {
            people,
            texts,
            erasures,
            closing: held.closing,
            era: held.era + 1,
            restored_ms: Some(ms),
            met: BTreeSet::new(),
            relationships: std::mem::take(&mut held.relationships).restored(),
            turns: held.turns.restored(),
            principals: std::mem::take(&mut held.principals).restored(),
            agent_ids: held.agent_ids.clone(),
            writes: std::mem::take(&mut held.writes),
            is_listing_restored: held.is_listing_restored,
        };
    }
}
