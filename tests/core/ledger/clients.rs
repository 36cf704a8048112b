//! Callers, and the edge on their behalf. A turn is reserved, then committed or released. A call whose answer is
//! lost is repeated, possibly late, or given up.

use rollcall::directory::identifiers::{RelationshipId, RequestId};
use rollcall::directory::mood::{Affect, Level};
use rollcall::directory::quota::Component;
use rollcall::organization::protocol::{
    Answer, Call, Caller, Command, IdempotencyKey, NewTurn, Outcome, Rejection, ReleaseTurn, Reply, ReservedTurn,
    TurnAnswer,
};
use rollcall::organization::turns::KEPT_AFTER_EXPIRY_MS;

use super::oracle::{AGENTS, Errand, Request, Target, USERS};
use super::world::{World, written};
use crate::simulation::{Violation, ensure};

/// Keys that callers use. They are few, so that callers collide.
const KEYS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    Reserve,
    Commit,
    Release,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The edge repeats the call until it gets the answer.
    Calling(Message),
    /// The edge waits for the responder.
    Reserved,
    Over,
}

#[derive(Debug, Clone, Copy)]
pub struct Client {
    errand: Errand,
    stage: Stage,
    is_repeated: bool,
}

/// A copy of a call in flight. A copy never lives as long as the row of a turn stays after its expiry.
#[derive(Debug, Clone, Copy)]
pub struct Late {
    errand: Errand,
    message: Message,
    until_ms: i64,
}

impl World<'_> {
    pub fn client_acts(&mut self) -> Result<(), Violation> {
        let index = self.random.usize(0..self.clients.len());
        let mut client = match self.clients[index].take() {
            Some(client) if !matches!(client.stage, Stage::Over) => client,
            before => self.begin(before),
        };
        if let Stage::Reserved = client.stage {
            client.is_repeated = false;
            client.stage = match self.random.u8(0..10) {
                0 => Stage::Over,
                1..3 => Stage::Calling(Message::Release),
                _ => Stage::Calling(Message::Commit),
            };
        }
        if let Stage::Calling(message) = client.stage {
            let heard = self.send(&client.errand, message, client.is_repeated)?;
            client.is_repeated = true;
            client.stage = match heard {
                Some(Ok(Answer::ReserveTurn(ReservedTurn::New { .. }))) => Stage::Reserved,
                // Sometimes a call is repeated although its answer arrived.
                Some(Ok(Answer::CommitTurn(_))) if self.one_in(6) => client.stage,
                None if !self.one_in(8) => client.stage,
                _ => Stage::Over,
            };
        }
        self.clients[index] = Some(client);
        Ok(())
    }

    /// Begins a new request, or repeats one under a new id and its old key.
    fn begin(&mut self, before: Option<Client>) -> Client {
        let before = before.map(|client| client.errand.request).filter(|request| request.key.is_some());
        let request = before.filter(|_| self.random.u8(0..3) > 0).unwrap_or_else(|| self.request());
        self.tally.count("requests begun");
        Client { errand: self.errand(request), stage: Stage::Calling(Message::Reserve), is_repeated: false }
    }

    /// The turn of one request.
    pub fn errand(&mut self, request: Request) -> Errand {
        Errand {
            id: RequestId::new(self.now(), self.bytes()),
            request,
            relationship_id: RelationshipId::new(self.now(), self.bytes()),
            expires_in_ms: self.random.i64(1_000..KEPT_AFTER_EXPIRY_MS),
            has_affect: self.random.bool(),
        }
    }

    fn request(&mut self) -> Request {
        let by_name = self.random.bool();
        let target = match self.random.u8(0..24) {
            0 => Target::Ambiguous,
            1 => Target::Unknown,
            _ => Target::Agent(self.random.usize(0..AGENTS.len())),
        };
        let is_ambiguous = matches!(target, Target::Agent(1 | 2));
        Request {
            target,
            by_name: by_name && !is_ambiguous,
            user: (self.random.u8(0..5) > 0).then(|| self.random.usize(0..USERS.len())),
            is_stateful: self.random.u8(0..5) > 0,
            key: (self.random.u8(0..5) < 2).then(|| self.random.usize(0..KEYS)),
        }
    }

    /// Makes a call. `None` when its answer is lost.
    fn send(&mut self, errand: &Errand, message: Message, repeated: bool) -> Result<Option<Outcome>, Violation> {
        if self.one_in(12) {
            self.late.push(Late { errand: *errand, message, until_ms: self.now_ms + errand.expires_in_ms });
            if self.random.bool() {
                self.tally.count("faults: call lost on its way");
                return Ok(None);
            }
        }
        let outcome = self.deliver(errand, message, repeated)?;
        if outcome.is_some() && self.one_in(8) {
            self.tally.count("faults: answer lost");
            return Ok(None);
        }
        Ok(outcome)
    }

    pub fn late_call_arrives(&mut self) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        self.late.retain(|late| late.until_ms > now_ms);
        let Some(Late { errand, message, .. }) = self.late.pop() else { return Ok(()) };
        self.tally.count("late copies arrived");
        self.deliver(&errand, message, true).map(drop)
    }

    /// Executes a call and compares the answer with the oracle's.
    pub fn deliver(&mut self, errand: &Errand, message: Message, repeated: bool) -> Result<Option<Outcome>, Violation> {
        let (command, idempotency) = self.command(errand, message);
        let call =
            Call { request_id: errand.id, repeated, caller: Caller::Operator(None), idempotency, edge: None, command };
        let Some((reply, has_written)) = self.handle(call)? else { return Ok(None) };
        let Reply { outcome, replayed, .. } = reply;
        self.trace(|| format!("{message:?} {errand:?}: {outcome:?} replayed {replayed}"));
        let (expected, was_given) = match message {
            Message::Reserve => self.oracle.reserve(errand, self.now_ms)?,
            Message::Commit => (self.oracle.commit(errand, self.now_ms)?, false),
            Message::Release => (Ok(self.oracle.release(errand.id)), false),
        };
        let is_right = written(&outcome) == written(&expected) && replayed == was_given;
        ensure!(
            is_right,
            "{message:?} of {errand:?} is answered {outcome:?} {replayed} and not {expected:?} {was_given}"
        );
        self.note(message, &outcome, has_written)?;
        self.check()?;
        Ok(Some(outcome))
    }

    fn note(&mut self, message: Message, outcome: &Outcome, has_written: bool) -> Result<(), Violation> {
        let what = match outcome {
            Ok(Answer::ReserveTurn(ReservedTurn::New { .. })) if has_written => "reservations made",
            Ok(Answer::ReserveTurn(ReservedTurn::New { .. })) => "reservations repeated",
            Ok(Answer::ReserveTurn(ReservedTurn::Answered(_))) => "answers replayed",
            Ok(Answer::CommitTurn(_)) if has_written => "commits counted",
            Ok(Answer::CommitTurn(_)) => "commits repeated",
            Ok(Answer::ReleaseTurn(())) => "releases",
            Err(Rejection::OverQuota { component: Component::Turns, .. }) => "reservations refused: turns",
            Err(Rejection::OverQuota { .. }) => "reservations refused: relationships",
            Err(Rejection::OverUserQuota { .. }) => "reservations refused: turns of a person",
            Err(Rejection::QuotaReserved { .. }) => "reservations refused: quota reserved",
            Err(Rejection::DeletionPending { .. }) => "reservations refused: deletion pending",
            Err(Rejection::NotFound(_) | Rejection::Ambiguous) => "reservations refused: no such agent",
            Err(Rejection::IdempotencyInFlight) => "reservations refused: in flight",
            Err(Rejection::IdempotencyMismatch) => "reservations refused: key of another",
            Err(Rejection::IdempotencyOfErased) => "reservations refused: key of an erased person",
            Err(Rejection::TurnExpired) => "commits refused: expired",
            other => return Err(Violation(format!("no answer to {message:?}: {other:?}"))),
        };
        self.tally.count(what);
        let may_write = matches!(what, "reservations made" | "commits counted" | "releases");
        ensure!(may_write || !has_written, "{what}, and rows are written");
        let is_kept = matches!(what, "reservations made" | "commits counted");
        ensure!(!is_kept || self.has_work(), "{what}, and nobody comes for the expiry");
        Ok(())
    }

    fn command(&self, errand: &Errand, message: Message) -> (Command, Option<IdempotencyKey>) {
        let request = &errand.request;
        match message {
            Message::Reserve => {
                let turn = NewTurn {
                    agent: self.agent(request.target, request.by_name),
                    user_id: request.user.map(|user| self.bench.user_ids[user].clone()),
                    is_stateful: request.is_stateful,
                    relationship_id: errand.relationship_id,
                    expires_in_ms: errand.expires_in_ms,
                };
                let fingerprint = request.fingerprint();
                let key = request.digest().map(|digest| IdempotencyKey { digest, fingerprint });
                (Command::ReserveTurn(turn), key)
            }
            Message::Commit => {
                let affect =
                    Affect { valence: Level::MAX, arousal: Level::MIN, tension: None, affiliation: Some(Level::ZERO) };
                let answer = TurnAnswer {
                    response: "yes".to_owned(),
                    state: None,
                    affect: errand.has_affect.then_some(affect),
                    provider: "p".to_owned(),
                    model: "m".to_owned(),
                    latency_ms: 7,
                };
                (Command::CommitTurn(answer), None)
            }
            Message::Release => (Command::ReleaseTurn(ReleaseTurn), None),
        }
    }
}
