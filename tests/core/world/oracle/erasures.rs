//! What callers may see of erasures, of closing, and of an object that is restored.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, Erasure, Fate, LATE_MS, Oracle, TenantOracle, Text, is_active};
use crate::simulation::{Violation, ensure};
use crate::world::edge::Answer;

impl Oracle {
    pub fn asks_to_erase(&mut self, asked: &Asked) -> usize {
        let held = &mut self.tenants[asked.tenant];
        if let Some(person) = held.people.get_mut(&asked.user) {
            person.sure = None;
        }
        held.met.retain(|(user, agent)| *user != asked.user && *agent != asked.user);
        let (user, sent) = (asked.user, asked.sent);
        held.erasures.push(Erasure { user, sent, heard: None, is_muddled: false, deletion_id: None, over: None });
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
                let is_earlier = |text: &Text| {
                    text.user == asked.user
                        && text.fate == Fate::Written
                        && text.heard.is_some_and(|it| it < asked.sent)
                };
                for text in held.texts.values_mut().filter(|text| is_earlier(text)) {
                    text.requested.get_or_insert(heard);
                }
            }
            None if !answer.is_muddled && answer.status < 500 => erasure.over = Some(heard),
            None => {}
        }
    }

    /// The receipts that are not completed.
    pub fn open_receipts(&self, tenant: usize) -> Vec<(usize, String)> {
        let open = self.tenants[tenant].erasures.iter().filter(|erasure| erasure.over.is_none());
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
            let requested = erasure.heard;
            let is_erased = |text: &&mut Text| text.user == erasure.user && text.requested <= requested;
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

    /// A record in a list.
    pub fn hears_listed(&mut self, asked: &Asked, record: &serde_json::Value) -> Result<(), Violation> {
        let heard = self.heard();
        if !self.is_current(asked) || self.tenants[asked.tenant].era > 0 {
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
            let lost = Text { fate: Fate::Unknown, heard: None, requested: None, erased: None, ..text.clone() };
            texts.entry(*number).or_insert(lost);
        }
        // Whatever was on its way may arrive.
        let mut erasures = snapshot.erasures.clone();
        let is_new = |erasure: &&Erasure| erasure.over.is_none_or(|over| over.ms + LATE_MS > now.ms);
        erasures.extend(held.erasures.iter().filter(is_new).map(|erasure| Erasure {
            sent: now,
            heard: None,
            deletion_id: None,
            over: None,
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
            open_turns: held.turns.keys().chain(&held.open_turns).copied().collect(),
            turns: BTreeMap::new(),
        };
    }
}
