//! One call in the object, and the rules for its answer, given the object's rows before and after it.
//!
//! Invariant: every answer is judged when it is committed, whether or not a caller ever receives it.

use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::EndUser;
use rollcall::directory::identifiers::{DeletionId, RequestId};
use rollcall::organization::protocol::{
    Answer, Call, Caller, Command, CreateEndUsers, CreatedEndUser, Creation, DeleteEndUser, EndUserChange, ExportPart,
    ExportedPart, NewEndUser, Outcome, Precondition, ReadDeletion, ReadEndUser, Rejection, Reply, UpdateEndUser,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::oracle::{Effect, Made};
use super::stores::{Held, Holdings, answered, sent};
use super::world::World;
use super::{Violation, ensure};

/// The judged members of an export.
#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow)]
    end_user: &'a RawValue,
    kept_answers: Vec<KeptAnswer>,
    deletions: Vec<OpenErasure>,
}

#[derive(Deserialize)]
struct KeptAnswer {
    request_id: String,
}

#[derive(Deserialize)]
struct OpenErasure {
    deletion_id: String,
}

impl World<'_> {
    /// Executes a call and judges its answer. `None` when storage failed.
    pub fn execute(&mut self, call: &Call) -> Result<Option<(Reply, Vec<Made>)>, Violation> {
        self.tally.count("operations");
        let is_paid = self.is_paid(call);
        let arrived = sent(call);
        let now = self.now();
        let Some(reply) = self.handle(arrived)? else {
            self.settle(&Effect::Nothing)?;
            return Ok(None);
        };
        let reply = answered(&reply);
        if matches!(reply.outcome, Err(Rejection::Denied(_))) {
            self.settle(&Effect::Nothing)?;
            return Ok(Some((reply, Vec::new())));
        }
        self.judge_admission(call, &reply, is_paid)?;
        if let Some(key) = &call.idempotency
            && let Some(made) = self.oracle.judge_key(key, call, &reply, now)?
        {
            self.tally.count(match (&reply.outcome, reply.replayed) {
                (Err(Rejection::IdempotencyMismatch), _) => "keys used for two requests",
                (Err(Rejection::IdempotencyOfErased), _) => "keys refused: user erased",
                (Err(_), _) => "keys refused: erasure pending",
                (_, true) => "answers replayed",
                (_, false) => "answers repeated to the edge",
            });
            self.settle(&Effect::Nothing)?;
            return Ok(Some((reply, made)));
        }
        ensure!(!reply.replayed, "replayed without a key: {reply:?}");
        let effect = self.effect(call, &reply.outcome);
        let before = self.settle(&effect)?;
        let made = self.judge(call, &reply.outcome, &before)?;
        if let Some(key) = &call.idempotency {
            let users = match &call.command {
                Command::CreateEndUser(new) => vec![self.number(&new.user_id)],
                Command::CreateEndUsers(new) => new.users.iter().map(|new| self.number(&new.user_id)).collect(),
                _ => Vec::new(),
            };
            self.oracle.keep(key, call.request_id, &users, &reply.outcome, &made, now);
        }
        Ok(Some((reply, made)))
    }

    /// A repetition of a request that was executed and paid for is free.
    fn is_paid(&self, call: &Call) -> bool {
        let users = match &call.command {
            Command::CreateEndUser(new) => std::slice::from_ref(new),
            Command::CreateEndUsers(CreateEndUsers { users }) => users.as_slice(),
            _ => &[],
        };
        let request_id = call.request_id.to_string();
        let is_made = |new: &NewEndUser| {
            self.holdings.users[self.number(&new.user_id)].as_ref().is_some_and(|held| held.created_by == request_id)
        };
        call.repeated && users.iter().any(is_made)
    }

    /// No window admits more than the bucket holds and gains.
    fn judge_admission(&mut self, call: &Call, reply: &Reply, is_paid: bool) -> Result<(), Violation> {
        let Caller::Key { cost, .. } = call.caller else { return Ok(()) };
        ensure!(reply.admission.is_some(), "admitted by no bucket: {reply:?}");
        let now_us = self.now().micros();
        let Some((rate, bound)) = self.bucket.as_mut().filter(|_| !is_paid) else { return Ok(()) };
        ensure!(bound.grant(now_us, cost.min(rate.burst())), "more than {rate:?} was admitted");
        Ok(())
    }

    /// The changes that a call with this answer may have made.
    fn effect(&self, call: &Call, outcome: &Outcome) -> Effect {
        match (&call.command, outcome) {
            (Command::CreateEndUser(new), Ok(Answer::CreateEndUser(CreatedEndUser { created: true, .. }))) => {
                Effect::Make(call.request_id, vec![self.number(&new.user_id)])
            }
            (Command::CreateEndUsers(CreateEndUsers { users }), Ok(_)) => {
                Effect::Make(call.request_id, users.iter().map(|new| self.number(&new.user_id)).collect())
            }
            (Command::DeleteEndUser(DeleteEndUser { user_id, cascade: Cascade::All, .. }), Ok(_)) => {
                Effect::Mark(self.number(user_id))
            }
            // A partial erasure makes a new version too, because the record's relationships have changed.
            (
                Command::UpdateEndUser(UpdateEndUser { user_id, .. })
                | Command::DeleteEndUser(DeleteEndUser { user_id, .. }),
                Ok(_),
            ) => Effect::Change(self.number(user_id)),
            _ => Effect::Nothing,
        }
    }

    /// Judges the answer of an executed call. Returns the users that it reports as made.
    fn judge(&mut self, call: &Call, outcome: &Outcome, before: &Holdings) -> Result<Vec<Made>, Violation> {
        match &call.command {
            Command::CreateEndUser(new) => self.judge_creation(call.request_id, new, outcome, before),
            Command::CreateEndUsers(CreateEndUsers { users }) => {
                self.judge_batch(call.request_id, users, outcome, before)
            }
            command => {
                match command {
                    Command::UpdateEndUser(UpdateEndUser { user_id, change, if_match }) => {
                        self.judge_update(self.number(user_id), change, if_match.as_ref(), outcome, before)?;
                    }
                    Command::DeleteEndUser(DeleteEndUser { .. }) => self.judge_erasure(command, outcome, before)?,
                    Command::ReadDeletion(ReadDeletion { deletion_id }) => {
                        let receipt =
                            if let Ok(Answer::ReadDeletion(receipt)) = outcome { Some(receipt) } else { None };
                        self.oracle.judge_receipt(*deletion_id, receipt)?;
                    }
                    Command::ExportPart(ExportPart::First { user_id }) => {
                        self.judge_export(self.number(user_id), outcome)?;
                    }
                    Command::ReadEndUser(ReadEndUser { user_id }) => self.judge_read(self.number(user_id), outcome)?,
                    _ => {}
                }
                Ok(Vec::new())
            }
        }
    }

    fn judge_creation(
        &mut self,
        request_id: RequestId,
        new: &NewEndUser,
        outcome: &Outcome,
        before: &Holdings,
    ) -> Result<Vec<Made>, Violation> {
        let user = self.number(&new.user_id);
        let was = before.users[user].as_deref();
        let is = self.holdings.users[user].as_deref();
        let is_own = |held: &Held| held.is_first() && held.created_by == request_id.to_string();
        match outcome {
            Ok(Answer::CreateEndUser(CreatedEndUser { created: true, user: made })) => {
                ensure!(was.is_none_or(is_own), "user {user} was made already: {was:?}");
                ensure!(self.oracle.pending(user).is_none(), "user {user} is being erased, and told to be made");
                ensure!(is.is_some_and(is_own), "user {user} was told to be made, and is not: {is:?}");
                ensure!(is_record(is, made), "user {user}: not {made:?} but {is:?}");
                self.tally.count("users created");
                Ok(vec![(user, made.version)])
            }
            Ok(Answer::CreateEndUser(CreatedEndUser { created: false, user: found })) => {
                ensure!(self.oracle.pending(user).is_none(), "user {user} is being erased, and was found");
                ensure!(!was.is_some_and(is_own), "user {user}'s creator was told 200");
                ensure!(is_record(was, found), "user {user}: not {found:?} but {was:?}");
                self.tally.count("users found existing");
                Ok(Vec::new())
            }
            Err(Rejection::DeletionPending { deletion_id }) => {
                self.judge_refusal(user, *deletion_id).map(|()| Vec::new())
            }
            other => Err(Violation(format!("a creation is answered {other:?}"))),
        }
    }

    fn judge_refusal(&mut self, user: usize, deletion_id: DeletionId) -> Result<(), Violation> {
        ensure!(self.oracle.pending(user) == Some(deletion_id), "user {user}: {deletion_id} does not erase them");
        self.tally.count("writes refused: erasure pending");
        Ok(())
    }

    /// A batch is a series of creations. A second row with an id finds the user of the first.
    fn judge_batch(
        &mut self,
        request_id: RequestId,
        users: &[NewEndUser],
        outcome: &Outcome,
        before: &Holdings,
    ) -> Result<Vec<Made>, Violation> {
        let Ok(Answer::CreateEndUsers(creations)) = outcome else {
            return Err(Violation(format!("a batch is answered {outcome:?}")));
        };
        ensure!(creations.len() == users.len(), "{} rows, {} answers", users.len(), creations.len());
        let mut made: Vec<Made> = Vec::new();
        for (place, (new, creation)) in users.iter().zip(creations).enumerate() {
            let user = self.number(&new.user_id);
            let was = before.users[user].as_deref();
            let is_own = |held: &Held| held.is_first() && held.created_by == request_id.to_string();
            let expected = if let Some(deletion_id) = self.oracle.pending(user) {
                Creation::DeletionPending { deletion_id }
            } else if users[..place].iter().any(|earlier| earlier.user_id == new.user_id) || !was.is_none_or(is_own) {
                Creation::Existing
            } else {
                Creation::Created
            };
            ensure!(*creation == expected, "row {place}, user {user}: {creation:?}, not {expected:?}");
            if expected == Creation::Created {
                let Some(is) = &self.holdings.users[user] else {
                    return Err(Violation(format!("user {user} was told to be made, and is not")));
                };
                made.push((user, is.version));
            }
        }
        self.tally.count("batches executed");
        Ok(made)
    }

    fn judge_update(
        &mut self,
        user: usize,
        change: &EndUserChange,
        if_match: Option<&Precondition>,
        outcome: &Outcome,
        before: &Holdings,
    ) -> Result<(), Violation> {
        let Some(was) = before.users[user].as_deref() else {
            ensure!(matches!(outcome, Err(Rejection::NotFound(_))), "user {user} is not there: {outcome:?}");
            return Ok(());
        };
        if self.oracle.pending(user).is_some() {
            let Err(Rejection::DeletionPending { deletion_id }) = outcome else {
                return Err(Violation(format!("user {user} is being erased: {outcome:?}")));
            };
            return self.judge_refusal(user, *deletion_id);
        }
        let holds = Precondition::permits(if_match, was.version);
        match outcome {
            Ok(Answer::UpdateEndUser(updated)) => {
                ensure!(holds, "user {user}: {was:?} is not what {if_match:?} is about");
                let is = self.holdings.users[user].as_deref();
                ensure!(is_record(is, updated), "user {user}: not {updated:?} but {is:?}");
                judge_change(change, updated)?;
                self.tally.count(if updated.version == was.version {
                    "updates that change nothing"
                } else {
                    "updates"
                });
            }
            Err(Rejection::PreconditionFailed) => {
                ensure!(!holds, "user {user}: {was:?} is what {if_match:?} is about");
                self.tally.count("preconditions failed");
            }
            Err(Rejection::Invalid { .. }) => {
                let is_patch_to_no_object = matches!(
                    change, EndUserChange::Merge { metadata: Some(patch), .. } if patch.as_str() == "5"
                );
                ensure!(is_patch_to_no_object, "refused: {change:?}");
                self.tally.count("changes refused");
            }
            other => return Err(Violation(format!("user {user}: an update is answered {other:?}"))),
        }
        Ok(())
    }

    fn judge_erasure(&mut self, command: &Command, outcome: &Outcome, before: &Holdings) -> Result<(), Violation> {
        let Command::DeleteEndUser(DeleteEndUser { user_id, deletion_id, cascade, reason, if_match }) = command else {
            return Ok(());
        };
        let user = self.number(user_id);
        match outcome {
            Ok(Answer::DeleteEndUser(receipt)) => {
                let is_new = !self.oracle.knows_erasure(*deletion_id) && self.oracle.pending(user).is_none();
                let is_asked = receipt.cascade == *cascade && receipt.reason == *reason;
                let holds = |held: &Held| Precondition::permits(if_match.as_ref(), held.version);
                ensure!(!is_new || before.users[user].as_deref().is_some_and(holds), "{command:?}: {before:?}");
                ensure!(!is_new || is_asked, "{command:?} is answered {receipt:?}");
                let (sequence, now) = (self.object.last_sequence().unwrap_or_default(), self.now());
                self.oracle.judge_erasure(user, *deletion_id, receipt, sequence, now)?;
                let is_marked = |holdings: &Holdings| holdings.users[user].as_ref().is_some_and(|held| held.is_pending);
                let is_marked = [before, &self.holdings].map(is_marked);
                let expected = is_new && receipt.cascade == Cascade::All;
                ensure!(is_marked == [is_marked[0], is_marked[0] || expected], "user {user}: marked, {is_marked:?}");
                self.tally.count(if is_new { "erasures requested" } else { "erasures asked for again" });
            }
            Err(Rejection::PreconditionFailed) => {
                let held = before.users[user].as_deref();
                let holds = held.is_none_or(|held| Precondition::permits(if_match.as_ref(), held.version));
                ensure!(!holds && self.oracle.pending(user).is_none(), "{command:?} is refused for {held:?}");
                self.tally.count("erasures refused: precondition failed");
            }
            Err(Rejection::NotFound(_)) => {
                ensure!(before.users[user].is_none(), "user {user} is there, and was not found");
                ensure!(
                    !self.oracle.knows_erasure(*deletion_id),
                    "user {user}: the receipt is there, and was not found"
                );
            }
            other => return Err(Violation(format!("an erasure is answered {other:?}"))),
        }
        Ok(())
    }

    fn judge_read(&self, user: usize, outcome: &Outcome) -> Result<(), Violation> {
        let is = self.holdings.users[user].as_deref();
        let is_right = match outcome {
            Ok(Answer::ReadEndUser(view)) => is_record(is, &view.user),
            Err(Rejection::NotFound(_)) => is.is_none(),
            _ => false,
        };
        ensure!(is_right, "user {user} is {is:?}, and is read as {outcome:?}");
        Ok(())
    }

    /// An export is the record, the kept answers about it, and its open erasures.
    fn judge_export(&mut self, user: usize, outcome: &Outcome) -> Result<(), Violation> {
        let is = self.holdings.users[user].as_deref();
        let (Ok(Answer::ExportPart(ExportedPart { text: document, next: None })), Some(is)) = (outcome, is) else {
            ensure!(
                matches!(outcome, Err(Rejection::NotFound(_))) && is.is_none(),
                "user {user}: {is:?}, exported as {outcome:?}"
            );
            return Ok(());
        };
        let export: Export<'_> =
            serde_json::from_str(document).map_err(|error| Violation(format!("an export: {error}")))?;
        let mut kept: Vec<_> = export.kept_answers.into_iter().map(|answer| answer.request_id).collect();
        kept.sort();
        let mut open: Vec<_> = export.deletions.into_iter().map(|receipt| receipt.deletion_id).collect();
        open.sort();
        ensure!(export.end_user.get() == is.document, "user {user} is {is:?}, and exported as {document}");
        let answers = self.oracle.answers_about(user, self.now());
        ensure!(kept == answers, "not {answers:?} is kept: {document}");
        let erasures = self.oracle.open_erasures(user);
        ensure!(open == erasures, "not {erasures:?} are open: {document}");
        self.tally.count("exports");
        Ok(())
    }
}

fn is_record(held: Option<&Held>, user: &EndUser) -> bool {
    held.is_some_and(|held| held.user == *user)
}

/// The record shows the acknowledged change.
fn judge_change(change: &EndUserChange, user: &EndUser) -> Result<(), Violation> {
    let metadata = user.metadata.as_str();
    let (EndUserChange::Replace { display_name, .. } | EndUserChange::Merge { display_name, .. }) = change;
    if let Some(wanted) = display_name {
        ensure!(user.display_name == *wanted, "the display name is not {wanted:?}: {user:?}");
    }
    let shows = match change {
        EndUserChange::Replace { metadata: wanted, .. } => {
            wanted.as_ref().is_none_or(|wanted| wanted.as_str() == metadata)
        }
        EndUserChange::Merge { metadata: None, .. } => true,
        EndUserChange::Merge { metadata: Some(patch), .. } => match patch.as_str() {
            "null" => metadata == "{}",
            "{\"n\":null}" => !metadata.contains("\"n\":"),
            patch => metadata.contains(&patch[1..6]),
        },
    };
    ensure!(shows, "the metadata does not show {change:?}: {user:?}");
    Ok(())
}
