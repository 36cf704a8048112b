//! The oracle's view of the object from outside: its commits, the answers that each caller received, and what the
//! object may do and answer next.
//!
//! Invariant: the oracle learns only from calls, answers and stored rows. It repeats no rule of the core except
//! those that the core promises.

use std::collections::BTreeMap;

use rollcall::directory::deletion::{Cascade, Receipt, ReceiptStatus};
use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::{DeletionId, RequestId};
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::idempotency::KEPT_MS;
use rollcall::organization::protocol::{Answer, Call, Creation, IdempotencyKey, Outcome, Rejection, Reply};

use super::stores::{Held, Holdings, written};
use super::{Violation, ensure};

/// The changes that a transaction may have made. Everything else must be unchanged.
#[derive(Debug)]
pub enum Effect {
    Nothing,
    /// Made some of these users, for this request.
    Make(RequestId, Vec<usize>),
    Change(usize),
    /// Marked this user for erasure.
    Mark(usize),
    /// Removed exactly these users.
    Purge(Vec<usize>),
}

/// A user that an answer reports as made: number and first version.
pub type Made = (usize, Version);

/// An answer that is kept for repetitions.
#[derive(Debug)]
pub struct Kept {
    fingerprint: String,
    pub request_id: RequestId,
    outcome: Vec<u8>,
    pub user: Option<usize>,
    /// Whether the user was erased, so that only the key is left.
    is_erased: bool,
    /// The rows of a batch: each user, and what came of the row.
    rows: Vec<(usize, Creation)>,
    made: Vec<Made>,
    pub expires_at: Timestamp,
}

/// A requested erasure.
#[derive(Debug)]
struct Erasure {
    user: usize,
    cascade: Cascade,
    reason: Option<String>,
    requested_at: Timestamp,
    /// The object's last change at the time of the request.
    sequence: i64,
    is_completed: bool,
}

#[derive(Debug)]
pub struct Oracle {
    /// The user and the record of every version that ever existed.
    documents: BTreeMap<Version, (usize, String)>,
    /// The newest version in any received answer, until the user's erasure is requested.
    acknowledged: Vec<Option<Version>>,
    /// The newest version before the last completed erasure.
    erased: Vec<Option<Version>>,
    /// The complete erasure in progress, for each user.
    pending: Vec<Option<DeletionId>>,
    erasures: BTreeMap<DeletionId, Erasure>,
    /// By key. Contains expired answers until they are swept.
    kept: BTreeMap<String, Kept>,
    /// The author whose answer reported each user as made.
    authors: BTreeMap<Made, u64>,
    /// Requests with a key and their authors, for repetitions.
    pub requests: Vec<(u64, Call)>,
    /// Number of requests so far.
    pub composed: u64,
}

impl Oracle {
    pub fn new(users: usize) -> Self {
        Self {
            documents: BTreeMap::new(),
            acknowledged: vec![None; users],
            erased: vec![None; users],
            pending: vec![None; users],
            erasures: BTreeMap::new(),
            kept: BTreeMap::new(),
            authors: BTreeMap::new(),
            requests: Vec::new(),
            composed: 0,
        }
    }

    pub fn pending(&self, user: usize) -> Option<DeletionId> {
        self.pending[user]
    }

    pub fn is_any_erasure_open(&self) -> bool {
        self.erasures.values().any(|erasure| !erasure.is_completed)
    }

    pub fn deletion_ids(&self) -> Vec<DeletionId> {
        self.erasures.keys().copied().collect()
    }

    /// The ids of a user's open erasures, as an export lists them.
    pub fn open_erasures(&self, user: usize) -> Vec<String> {
        let open = self.erasures.iter().filter(|(_, erasure)| erasure.user == user && !erasure.is_completed);
        open.map(|(deletion_id, _)| deletion_id.to_string()).collect()
    }

    /// The kept answers about a user, as an export lists them.
    pub fn answers_about(&self, user: usize, now: Timestamp) -> Vec<String> {
        let about = self.kept.values().filter(|kept| kept.user == Some(user) && kept.expires_at > now);
        let mut requests: Vec<_> = about.map(|kept| kept.request_id.to_string()).collect();
        requests.sort();
        requests
    }

    pub fn answers_stored(&self) -> usize {
        self.kept.len()
    }

    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.kept.values().map(|kept| kept.expires_at).min()
    }

    /// Forgets expired answers and returns their number.
    pub fn sweep(&mut self, now: Timestamp) -> usize {
        let before = self.kept.len();
        self.kept.retain(|_, kept| kept.expires_at > now);
        before - self.kept.len()
    }

    /// Checks that every difference between two states of the object has its reason.
    pub fn explain(&mut self, effect: &Effect, before: &Holdings, after: &Holdings) -> Result<(), Violation> {
        ensure!(
            before.confirmed <= after.confirmed,
            "what was confirmed goes back from {:?} to {:?}",
            before.confirmed,
            after.confirmed
        );
        for (user, (was, is)) in before.users.iter().zip(&after.users).enumerate() {
            match (was.as_deref(), is.as_deref()) {
                (None, None) => {}
                (was, Some(is)) => {
                    if was.is_none_or(|was| !is.is_same(was)) {
                        self.explain_one(effect, user, was, is)?;
                    }
                }
                (Some(_), None) => match effect {
                    Effect::Purge(purged) if purged.contains(&user) => {}
                    other => return Err(Violation(format!("user {user} is lost after {other:?}"))),
                },
            }
        }
        if let Effect::Purge(purged) = effect {
            for user in purged {
                ensure!(after.users[*user].is_none(), "user {user}: the receipt says completed, the row is there");
                ensure!(!before.unlisted[*user], "user {user} is purged before the listing has confirmed");
            }
        }
        Ok(())
    }

    fn explain_one(&mut self, effect: &Effect, user: usize, was: Option<&Held>, is: &Held) -> Result<(), Violation> {
        let version = is.version;
        let is_next = |was: &Held| {
            !was.is_pending && version > was.version && was.number == is.number && was.created_by == is.created_by
        };
        let is_explained = match (effect, was) {
            (Effect::Make(request_id, users), None) => {
                let is_theirs = is.created_by == request_id.to_string() && users.contains(&user);
                is_theirs && is.is_first() && Some(version) > self.erased[user] && !is.is_pending
            }
            (Effect::Change(changed), Some(was)) => *changed == user && is_next(was) && !is.is_pending,
            (Effect::Mark(marked), Some(was)) => *marked == user && is_next(was) && is.is_pending,
            _ => false,
        };
        ensure!(is_explained, "{effect:?} does not explain user {user}: {was:?} became {is:?}");
        let state = (user, is.document.clone());
        let first = self.documents.entry(version).or_insert_with(|| state.clone());
        ensure!(*first == state, "{first:?} and {state:?} have the same version, {version:?}");
        Ok(())
    }

    /// Checks that no acknowledged change is lost.
    pub fn check_acknowledged(&self, holdings: &Holdings) -> Result<(), Violation> {
        for (user, acknowledged) in self.acknowledged.iter().enumerate() {
            let Some(acknowledged) = acknowledged else { continue };
            let held = holdings.users[user].as_ref().map(|held| held.version);
            ensure!(held >= Some(*acknowledged), "user {user}: {acknowledged:?} was told and is lost: {held:?}");
        }
        Ok(())
    }

    /// Records that a caller received a version. Newer ones may exist by then.
    pub fn tell(&mut self, user: usize, version: Version) {
        if Some(version) > self.erased[user] {
            self.acknowledged[user] = self.acknowledged[user].max(Some(version));
        }
    }

    /// The newest version that an erased user had.
    pub fn erased(&self, user: usize) -> Option<Version> {
        self.erased[user]
    }

    pub fn acknowledged(&self, user: usize) -> Option<Version> {
        self.acknowledged[user]
    }

    /// Records that a caller received the answer that it made these users.
    pub fn tell_made(&mut self, author: u64, made: &[Made]) -> Result<(), Violation> {
        for made in made {
            let first = *self.authors.entry(*made).or_insert(author);
            ensure!(first == author, "{made:?} was made twice, says 201 to {first} and to {author}");
        }
        Ok(())
    }

    /// The right answer to a call with a key: the kept one, or a refusal because the key was used for another
    /// request. `None` when the call must be executed.
    pub fn judge_key(
        &self,
        key: &IdempotencyKey,
        call: &Call,
        reply: &Reply,
        now: Timestamp,
    ) -> Result<Option<Vec<Made>>, Violation> {
        let is_mismatch = matches!(reply.outcome, Err(Rejection::IdempotencyMismatch));
        let Some(kept) = self.kept.get(&key.digest).filter(|kept| kept.expires_at > now) else {
            ensure!(!reply.replayed && !is_mismatch, "nothing was kept for {key:?}: {reply:?}");
            return Ok(None);
        };
        if kept.is_erased {
            let is_refused = matches!(reply.outcome, Err(Rejection::IdempotencyOfErased));
            ensure!(is_refused && !reply.replayed, "{key:?} is of an erased user: {reply:?}");
            return Ok(Some(Vec::new()));
        }
        if kept.fingerprint != key.fingerprint {
            ensure!(is_mismatch, "{key:?} was used for another request: {reply:?}");
            return Ok(Some(Vec::new()));
        }
        if let Some(deletion_id) = kept.user.and_then(|user| self.pending[user]) {
            let is_refused = reply.outcome.as_ref().err() == Some(&Rejection::DeletionPending { deletion_id });
            ensure!(is_refused && !reply.replayed, "{key:?} is of a user who is being erased: {reply:?}");
            return Ok(Some(Vec::new()));
        }
        let rows = kept.rows.iter().map(|(user, creation)| match (creation, self.pending[*user]) {
            (Creation::Created | Creation::Existing, Some(deletion_id)) => Creation::DeletionPending { deletion_id },
            (creation, _) => *creation,
        });
        let first = if kept.rows.is_empty() {
            kept.outcome.clone()
        } else {
            written(&Ok(Answer::CreateEndUsers(rows.clone().collect())))
        };
        ensure!(written(&reply.outcome) == first, "{key:?}: {reply:?} is not the first answer, {kept:?}");
        ensure!(reply.replayed == (kept.request_id != call.request_id), "{key:?}: replayed or not? {reply:?}");
        let is_there = |made: &&Made| {
            let is_it = |(now, (user, _)): (Creation, &(usize, Creation))| *user == made.0 && now == Creation::Created;
            kept.rows.is_empty() || rows.clone().zip(&kept.rows).any(is_it)
        };
        Ok(Some(kept.made.iter().filter(is_there).copied().collect()))
    }

    /// Keeps the answer of an executed call.
    pub fn keep(
        &mut self,
        key: &IdempotencyKey,
        request_id: RequestId,
        users: &[usize],
        outcome: &Outcome,
        made: &[Made],
        now: Timestamp,
    ) {
        if is_kept(outcome) {
            let (user, rows) = match outcome {
                Ok(Answer::CreateEndUsers(creations)) => {
                    (None, users.iter().copied().zip(creations.iter().copied()).collect())
                }
                _ => (users.first().copied(), Vec::new()),
            };
            let kept = Kept {
                fingerprint: key.fingerprint.clone(),
                request_id,
                outcome: written(outcome),
                user,
                is_erased: false,
                rows,
                made: made.to_vec(),
                expires_at: Timestamp::from_millis(now.millis() + KEPT_MS),
            };
            self.kept.insert(key.digest.clone(), kept);
        }
    }

    /// Judges the receipt that answers a request for an erasure.
    pub fn judge_erasure(
        &mut self,
        user: usize,
        deletion_id: DeletionId,
        receipt: &Receipt,
        sequence: i64,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let is_asked_again = self.erasures.contains_key(&deletion_id);
        if is_asked_again || self.pending[user].is_some() {
            let expected = if is_asked_again { Some(deletion_id) } else { self.pending[user] };
            ensure!(expected == Some(receipt.deletion_id), "user {user}: not the receipt that there is: {receipt:?}");
            return self.judge_receipt(receipt.deletion_id, Some(receipt));
        }
        ensure!(receipt.deletion_id == deletion_id, "user {user}: another's receipt, {receipt:?}");
        let erasure = Erasure {
            user,
            cascade: receipt.cascade,
            reason: receipt.reason.clone(),
            requested_at: now,
            sequence,
            is_completed: false,
        };
        self.erasures.insert(deletion_id, erasure);
        if receipt.cascade == Cascade::All {
            self.pending[user] = Some(deletion_id);
        }
        self.judge_receipt(deletion_id, Some(receipt))
    }

    pub fn knows_erasure(&self, deletion_id: DeletionId) -> bool {
        self.erasures.contains_key(&deletion_id)
    }

    /// Judges a receipt, from whichever answer it comes.
    pub fn judge_receipt(&self, deletion_id: DeletionId, receipt: Option<&Receipt>) -> Result<(), Violation> {
        let Some(erasure) = self.erasures.get(&deletion_id) else {
            ensure!(receipt.is_none(), "a receipt of an erasure that nobody requested: {receipt:?}");
            return Ok(());
        };
        let Some(receipt) = receipt else { return Err(Violation(format!("the receipt of {erasure:?} is lost"))) };
        let status = if erasure.is_completed { ReceiptStatus::Completed } else { ReceiptStatus::DeletionPending };
        let records = i64::from(erasure.is_completed && erasure.cascade == Cascade::All);
        let is_right = receipt.status == status
            && receipt.completed_at.is_some() == erasure.is_completed
            && receipt.erased.records == records
            && receipt.cascade == erasure.cascade
            && receipt.reason == erasure.reason
            && receipt.requested_at == erasure.requested_at;
        ensure!(is_right, "{receipt:?} is not the receipt of {erasure:?}");
        Ok(())
    }

    /// Handles a committed purge: it has completed every erasure that the listing has confirmed. Returns the
    /// removed users.
    pub fn purge(&mut self, object: &OrganizationCore) -> Vec<usize> {
        let confirmed = object.acknowledged();
        let mut purged = Vec::new();
        for erasure in self.erasures.values_mut() {
            if !erasure.is_completed && Some(erasure.sequence) <= confirmed {
                erasure.is_completed = true;
                if erasure.cascade == Cascade::All {
                    purged.push(erasure.user);
                }
            }
        }
        for user in &purged {
            let versions = self.documents.iter().filter(|(_, (of, _))| of == user);
            self.erased[*user] = versions.map(|(version, _)| *version).max();
            self.pending[*user] = None;
            self.acknowledged[*user] = None;
            for kept in self.kept.values_mut() {
                kept.is_erased |= kept.user == Some(*user);
                kept.user = kept.user.filter(|held| held != user);
                for (of, creation) in &mut kept.rows {
                    if of == user && *creation != Creation::OtherType {
                        *creation = Creation::Erased;
                    }
                }
            }
        }
        purged
    }
}

/// Whether an outcome is the answer of an executed call.
const fn is_kept(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Answer::CreateEndUser(_) | Answer::CreateEndUsers(_)))
}
