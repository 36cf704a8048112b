//! What callers may see, independent of how it is made. The oracle knows what was sent and what was heard, and when.
//!
//! A *text* is what a request writes about a person. It names its tenant, and no two are equal. So whatever shows a text
//! says which request wrote it.

mod erasures;
mod principals;
mod relationships;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use super::clients::Scope;
use super::edge::Answer;
use crate::simulation::{Violation, ensure};
use principals::PrincipalIds;
use relationships::Relationships;
pub use relationships::{Shown, pair};
use turns::TurnsTaken;

/// Marks texts.
const MARK: &str = "tok";
/// After so long no call of a request arrives any more, in milliseconds.
const LATE_MS: i64 = 180_000;

/// When something was sent or heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    number: u64,
    pub ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It may be there, or come later, or never.
    Unknown,
    /// It was written.
    Written,
    /// It was never written, and never will be.
    Void,
}

#[derive(Debug, Clone)]
pub struct Text {
    user: usize,
    /// It is in the answer to a turn, and nowhere else.
    is_of_turn: bool,
    /// The relationship of its turn, if the turn was surely that relationship's.
    pair: Option<usize>,
    /// More than one request may write it.
    is_sent_again: bool,
    fate: Fate,
    heard: Option<Moment>,
    /// The first erasure of whatever was written by then was requested.
    requested: Option<Moment>,
    /// It was erased at once.
    forgotten: Option<Moment>,
    /// Its receipt said that it was completed.
    erased: Option<Moment>,
}

impl Text {
    /// The text was written; `heard` if it is not written once more.
    pub fn is_written(&mut self, heard: Option<Moment>) {
        self.fate = Fate::Written;
        self.heard = self.heard.or(heard);
    }
}

/// A request to erase a person, an agent or a relationship.
#[derive(Debug, Clone)]
struct Erasure {
    user: usize,
    scope: Scope,
    sent: Moment,
    heard: Option<Moment>,
    /// Another call of the same request may come late, and erase once more.
    is_muddled: bool,
    deletion_id: Option<String>,
    /// From then on it erases nothing more.
    over: Option<Moment>,
    /// The receipt said that it is completed.
    completed: Option<Moment>,
}

impl Erasure {
    fn may_come(&self, at: Moment) -> bool {
        match self.over {
            Some(over) => over > at || (self.is_muddled && self.sent.ms + LATE_MS >= at.ms),
            None => self.heard.is_some() || self.sent.ms + LATE_MS >= at.ms,
        }
    }
}

/// A person, as far as the answers say.
#[derive(Debug, Clone, Default)]
struct Person {
    /// Versions that were heard, each greater than the one before, and when.
    heard: Vec<(Moment, i64)>,
    /// The person was there at this moment, and no erasure was on its way.
    sure: Option<Moment>,
    /// The documents of versions.
    states: BTreeMap<i64, String>,
}

impl Person {
    /// The newest version that was heard by a moment.
    fn version_at(&self, moment: Moment) -> i64 {
        self.heard.iter().rev().find(|(heard, _)| *heard < moment).map_or(0, |(_, version)| *version)
    }

    fn version_at_ms(&self, ms: i64) -> i64 {
        self.heard.iter().rev().find(|(heard, _)| heard.ms < ms).map_or(0, |(_, version)| *version)
    }
}

/// What the oracle knows of a tenant.
#[derive(Debug, Clone, Default)]
pub struct TenantOracle {
    people: BTreeMap<usize, Person>,
    texts: BTreeMap<u64, Text>,
    erasures: Vec<Erasure>,
    /// Nobody is promised anything any more.
    closing: Option<Moment>,
    /// Restorations so far. What was asked before one is no longer promised.
    pub era: u32,
    restored_ms: Option<i64>,
    /// Who talked with which agent, both surely there.
    pub met: BTreeSet<(usize, usize)>,
    relationships: Relationships,
    turns: TurnsTaken,
    principals: PrincipalIds,
    /// Agents by their ids, of which each names one for good.
    agent_ids: BTreeMap<String, usize>,
    /// Requests that may change something, and when each was over.
    writes: Vec<(Moment, Option<Moment>)>,
    /// D1 was restored, so that lists and a restored object's copies may be earlier ones until it is repaired.
    pub is_listing_restored: bool,
}

/// What a client notes before it asks.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub tenant: usize,
    pub user: usize,
    pub sent: Moment,
    pub era: u32,
    /// The person is there when the request is sent.
    pub is_sure: bool,
}

#[derive(Debug, Default)]
pub struct Oracle {
    moments: u64,
    texts: u64,
    /// The true time, in milliseconds.
    pub now_ms: i64,
    pub tenants: Vec<TenantOracle>,
}

/// The texts that something shows: each with its tenant.
pub fn texts_in(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let marked = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK.as_bytes());
    marked.filter_map(|(start, _)| {
        let rest = &bytes[start + MARK.len()..];
        let end = rest.iter().take(24).position(|byte| *byte == b'z')?;
        let (tenant, text) = std::str::from_utf8(&rest[..end]).ok()?.split_once('n')?;
        Some((tenant.parse().ok()?, text.parse().ok()?))
    })
}

impl Oracle {
    pub fn of(tenants: usize) -> Self {
        Self { tenants: vec![TenantOracle::default(); tenants], ..Self::default() }
    }

    fn heard(&mut self) -> Moment {
        self.moment(self.now_ms)
    }

    pub fn moment(&mut self, ms: i64) -> Moment {
        self.moments += 1;
        Moment { number: self.moments, ms }
    }

    /// Before a request about a person.
    pub fn asks(&mut self, tenant: usize, user: usize, ms: i64) -> Asked {
        let sent = self.moment(ms);
        let held = &self.tenants[tenant];
        let is_sure = held.people.get(&user).is_some_and(|person| person.sure.is_some());
        Asked { tenant, user, sent, era: held.era, is_sure }
    }

    /// A text of a request about a person.
    pub fn text(&mut self, tenant: usize, user: usize) -> (u64, String) {
        self.texts += 1;
        let text = Text {
            user,
            is_of_turn: false,
            pair: None,
            is_sent_again: false,
            fate: Fate::Unknown,
            heard: None,
            requested: None,
            forgotten: None,
            erased: None,
        };
        self.tenants[tenant].texts.insert(self.texts, text);
        (self.texts, format!("{MARK}{tenant}n{}z", self.texts))
    }

    /// Requests with an idempotency key write a text again and again.
    pub fn sends_again(&mut self, tenant: usize, text: u64) {
        if let Some(text) = self.tenants[tenant].texts.get_mut(&text) {
            text.is_sent_again = true;
        }
    }

    /// A request that may change something. Returns its number.
    pub fn writes(&mut self, tenant: usize, sent: Moment) -> usize {
        let writes = &mut self.tenants[tenant].writes;
        writes.push((sent, None));
        writes.len() - 1
    }

    pub fn has_written(&mut self, tenant: usize, number: usize, answer: &Answer) {
        let heard = self.heard();
        if !answer.is_muddled
            && let Some((_, over)) = self.tenants[tenant].writes.get_mut(number)
        {
            *over = Some(heard);
        }
    }

    /// Whether no other request could change anything from a moment on until now, but the last `own` ones.
    pub fn was_quiet(&self, tenant: usize, since: Moment, own: usize) -> bool {
        let held = &self.tenants[tenant];
        let others = held.writes.len().saturating_sub(own);
        let is_over = |(sent, over): &(Moment, Option<Moment>)| match over {
            Some(over) => *over < since,
            None => sent.ms + LATE_MS < since.ms,
        };
        held.closing.is_none()
            && held.writes[..others].iter().all(is_over)
            && held.erasures.iter().all(|erasure| erasure.completed.is_some() || erasure.is_refused())
    }

    pub fn is_current(&self, asked: &Asked) -> bool {
        self.tenants[asked.tenant].era == asked.era
    }

    /// Nobody could see the text in an answer if it was not written.
    pub fn settle_text(&mut self, asked: &Asked, text: u64, answer: &Answer) {
        let heard = self.heard();
        if !self.is_current(asked) {
            return;
        }
        let Some(held) = self.tenants[asked.tenant].texts.get_mut(&text) else { return };
        if answer.is_success() && texts_in(answer.body.as_bytes()).any(|(_, shown)| shown == text) {
            // Another call of the same request may come late, and write the text once more.
            held.is_written((!answer.is_muddled).then_some(heard));
        } else if held.fate == Fate::Unknown && !held.is_sent_again && !answer.is_muddled && answer.status < 500 {
            held.fate = Fate::Void;
            held.heard = Some(heard);
        }
    }
}

/// Whether a record says that its person is there and is not being erased.
fn is_active(record: &serde_json::Value) -> bool {
    record["status"] == "active"
}

/// The part of a record that a version names.
pub fn state_of(record: &serde_json::Value) -> String {
    let mut record = record.clone();
    if let Some(members) = record.as_object_mut() {
        members.remove("relationships");
        members.remove("relationships_has_more");
    }
    record.to_string()
}

impl TenantOracle {
    pub fn may_end(&self, asked: &Asked) -> bool {
        let sent_since = |erasure: &Erasure| erasure.ends(asked.user) && erasure.sent > asked.sent;
        self.closing.is_some() || self.erasures.iter().any(sent_since)
    }

    /// Whether an erasure of a person, an agent or a relationship may still come.
    pub fn is_threatened(&self, subject: usize, at: Moment) -> bool {
        self.closing.is_some() || self.erasures.iter().any(|erasure| erasure.ends(subject) && erasure.may_come(at))
    }

    /// Whether a relationship may still be asked to count its turns anew.
    fn is_reset_later(&self, pair: usize, at: Moment) -> bool {
        self.erasures.iter().any(|erasure| erasure.forgets(pair) && erasure.may_come(at))
    }

    /// Checks what an answer shows. `is_list` for answers that never show whoever is being erased.
    fn check_texts(&self, asked: &Asked, user: Option<usize>, body: &str, is_list: bool) -> Result<(), Violation> {
        for (tenant, number) in texts_in(body.as_bytes()) {
            ensure!(tenant == asked.tenant, "tenant {} is shown a text of tenant {tenant}: {body}", asked.tenant);
            let Some(text) = self.texts.get(&number) else {
                ensure!(self.era > 0, "a text that nobody wrote: {body}");
                continue;
            };
            let by = |moment: Option<Moment>| moment.is_some_and(|moment| moment < asked.sent);
            ensure!(user.is_none_or(|user| user == text.user), "a text about another person: {body}");
            let is_void = text.fate == Fate::Void && by(text.heard);
            ensure!(!is_void, "text {number} was never written: {body}");
            ensure!(!by(text.erased), "text {number} is erased: {body}");
            ensure!(!by(text.forgotten), "text {number} is of a turn that is erased: {body}");
            ensure!(!is_list || !by(text.requested), "text {number} is being erased, and listed: {body}");
        }
        Ok(())
    }

    fn note_record(&mut self, asked: &Asked, record: &serde_json::Value, heard: Moment) -> Result<i64, Violation> {
        let Some(version) = record["version"].as_i64() else {
            return Err(Violation(format!("a record without a version: {record}")));
        };
        self.note_version(asked, version, heard)?;
        let state = state_of(record);
        let known = self.people.entry(asked.user).or_default().states.entry(version).or_insert_with(|| state.clone());
        ensure!(*known == state, "version {version} names {known} and {state}");
        if is_active(record) {
            self.note_presence(asked, heard);
        }
        Ok(version)
    }

    pub fn note_version(&mut self, asked: &Asked, version: i64, heard: Moment) -> Result<(), Violation> {
        let person = self.people.entry(asked.user).or_default();
        let least = person.version_at(asked.sent);
        ensure!(version >= least, "version {version} of user {} after {least}", asked.user);
        if person.heard.last().is_none_or(|(_, last)| *last < version) {
            person.heard.push((heard, version));
        }
        Ok(())
    }

    /// The answer says that somebody is there, and is not being erased.
    pub fn note_presence(&mut self, asked: &Asked, heard: Moment) {
        if !self.is_threatened(asked.user, asked.sent) && !self.may_end(asked) {
            self.people.entry(asked.user).or_default().sure = Some(heard);
        }
    }

    /// Whoever exists again after an erasure was erased by it.
    pub fn ends_erasures(&mut self, asked: &Asked) {
        for erasure in &mut self.erasures {
            let is_before = erasure.heard.is_some_and(|heard| heard < asked.sent);
            if erasure.ends(asked.user) && is_before && erasure.over.is_none() {
                erasure.over = Some(asked.sent);
            }
        }
    }
}

impl Oracle {
    /// A strong answer with a person's record.
    pub fn hears_record(
        &mut self,
        asked: &Asked,
        answer: &Answer,
        record: &serde_json::Value,
    ) -> Result<(), Violation> {
        let heard = self.heard();
        if !self.is_current(asked) {
            return Ok(());
        }
        let held = &mut self.tenants[asked.tenant];
        held.check_texts(asked, Some(asked.user), &answer.body, false)?;
        if is_active(record) {
            held.ends_erasures(asked);
        }
        let version = held.note_record(asked, record, heard)?;
        let tag = answer.version();
        ensure!(tag.is_none_or(|tag| tag == version), "the tag {tag:?} is not version {version}");
        Ok(())
    }

    /// The newest version of a person that was heard of.
    pub fn version(&self, tenant: usize, user: usize) -> Option<i64> {
        let heard = &self.tenants[tenant].people.get(&user)?.heard;
        heard.last().map(|(_, version)| *version)
    }

    /// An answer says which version the person has.
    pub fn hears_version(&mut self, asked: &Asked, version: i64) -> Result<(), Violation> {
        let heard = self.heard();
        if self.is_current(asked) { self.tenants[asked.tenant].note_version(asked, version, heard) } else { Ok(()) }
    }

    /// Nobody created a person who was there all the time.
    pub fn hears_created(&mut self, asked: &Asked) -> Result<(), Violation> {
        let held = &self.tenants[asked.tenant];
        let was_there = self.is_current(asked) && asked.is_sure && !held.may_end(asked);
        ensure!(!was_there, "user {} is created, and was there", asked.user);
        Ok(())
    }

    /// The answer says that the person is not there, or is being erased.
    pub fn hears_absent(&mut self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        let held = &self.tenants[asked.tenant];
        let was_there = self.is_current(asked) && asked.is_sure && !held.may_end(asked);
        ensure!(!was_there, "user {} is gone, and nobody erased them: {} {}", asked.user, answer.status, answer.body);
        Ok(())
    }

    /// A read that may be so old, in milliseconds.
    pub fn hears_nearby(&mut self, asked: &Asked, answer: &Answer, now_ms: i64, age_ms: i64) -> Result<(), Violation> {
        let held = &self.tenants[asked.tenant];
        let is_lost = held.restored_ms.is_some_and(|restored_ms| now_ms - age_ms <= restored_ms);
        // If D1 was restored too, nothing shows that the object was.
        if !self.is_current(asked) || is_lost || (held.era > 0 && held.is_listing_restored) {
            return Ok(());
        }
        let record = answer.json();
        let version = record["version"].as_i64().unwrap_or_default();
        let person = held.people.get(&asked.user);
        let least = person.map_or(0, |person| person.version_at_ms(now_ms - age_ms));
        ensure!(
            version >= least,
            "version {version} of user {} from nearby, {age_ms} ms old, after {least}",
            asked.user
        );
        let known = person.and_then(|person| person.states.get(&version));
        let state = state_of(&record);
        ensure!(
            known.is_none_or(|known| *known == state),
            "version {version} names {known:?}, and from nearby {state}"
        );
        for (tenant, number) in texts_in(answer.body.as_bytes()) {
            ensure!(tenant == asked.tenant, "tenant {} is shown a text of tenant {tenant}", asked.tenant);
            let Some(text) = held.texts.get(&number) else { continue };
            let is_over = text.requested.is_some_and(|requested| requested.ms < now_ms - age_ms);
            ensure!(!is_over, "text {number} is being erased, and shown from nearby, {age_ms} ms old");
            ensure!(text.fate != Fate::Void, "text {number} is not there, and is shown from nearby");
        }
        Ok(())
    }

    /// Any other answer about a person.
    pub fn hears_texts(&self, asked: &Asked, user: Option<usize>, body: &str, is_list: bool) -> Result<(), Violation> {
        if self.is_current(asked) { self.tenants[asked.tenant].check_texts(asked, user, body, is_list) } else { Ok(()) }
    }
}
