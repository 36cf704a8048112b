//! The callers. Each has at most one request in progress, repeats it when it gets no answer, and remembers its
//! answers.

use rollcall::directory::api_key::{KeyKind, Scope};
use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::DeletionId;
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::Name;
use rollcall::json;
use rollcall::organization::protocol::{
    Admit, Answer, Call, Caller, Command, CreateEndUsers, CreatedEndUser, DeleteEndUser, Denial, EndUserChange,
    EndUserView, ExportPart, IdempotencyKey, NewEndUser, Precondition, ReadDeletion, ReadEndUser, Rejection, Reply,
    UpdateEndUser,
};
use rollcall::projection::listing::pages::{Direction, Query, Range};

use super::oracle::Made;
use super::stores::sent;
use super::world::World;
use super::{Violation, ensure};

/// Keys that the clients of a seed share, so that some are used for two requests.
const KEYS: u8 = 6;

/// Most flushes that a list waits for.
const FLUSHES_AWAITED: usize = 3;

/// A client's request, until the client has its answer or gives up.
#[derive(Debug)]
pub struct Errand {
    /// The author of a creation. Retries with a key have the same author.
    author: u64,
    call: Call,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The call is in flight.
    Sent,
    /// The answer is in flight, with the users that it reports as made.
    Answered(Box<Reply>, Vec<Made>),
    /// The call or its answer is lost.
    Lost,
}

impl World<'_> {
    /// One move of one client.
    pub fn client_acts(&mut self) -> Result<(), Violation> {
        let client = self.random.usize(0..self.clients.len());
        let errand = match self.clients[client].take() {
            Some(errand) => errand,
            None => self.compose(),
        };
        self.clients[client] = self.advance(errand)?;
        Ok(())
    }

    fn advance(&mut self, errand: Errand) -> Result<Option<Errand>, Violation> {
        let Errand { author, call, phase } = errand;
        match phase {
            Phase::Sent => {
                let phase = self.travel(author, &call)?;
                let waits = matches!(phase, Phase::Lost) || self.random.u8(0..4) == 0;
                let errand = Errand { author, call, phase };
                if waits { Ok(Some(errand)) } else { self.advance(errand) }
            }
            Phase::Answered(..) if self.one_in(10) => {
                self.tally.count("faults: answer lost");
                self.trace(|| format!("the answer to {author} is lost"));
                if self.random.bool() {
                    self.crash();
                }
                Ok(Some(Errand { author, call, phase: Phase::Lost }))
            }
            Phase::Answered(reply, made) => self.hear(author, &reply, &made).map(|()| None),
            Phase::Lost => Ok(self.ask_again(author, call)),
        }
    }

    /// Sends a call: it is lost, it arrives after its sender gave up, or it is executed.
    fn travel(&mut self, author: u64, call: &Call) -> Result<Phase, Violation> {
        if self.one_in(32) {
            self.tally.count("faults: call lost");
            return Ok(Phase::Lost);
        }
        if self.one_in(32) {
            self.tally.count("faults: call late");
            self.network.late_calls.push(sent(call));
            return Ok(Phase::Lost);
        }
        let executed = self.execute(call)?;
        self.trace(|| format!("{author} asks {call:?}: {executed:?}"));
        Ok(executed.map_or(Phase::Lost, |(reply, made)| Phase::Answered(Box::new(reply), made)))
    }

    /// Executes a call that its sender has given up.
    pub fn late_call_arrives(&mut self) -> Result<(), Violation> {
        if self.network.late_calls.is_empty() {
            return Ok(());
        }
        let place = self.random.usize(0..self.network.late_calls.len());
        let call = self.network.late_calls.swap_remove(place);
        let executed = self.execute(&call)?;
        self.trace(|| format!("late comes {call:?}: {executed:?}"));
        Ok(())
    }

    /// The edge repeats a call once where that is allowed. The caller retries or gives up.
    fn ask_again(&mut self, author: u64, mut call: Call) -> Option<Errand> {
        if !call.repeated && call.command.may_be_repeated() && self.random.u8(0..3) > 0 {
            self.tally.count("calls repeated by the edge");
            call.repeated = true;
            return Some(Errand { author, call, phase: Phase::Sent });
        }
        (self.random.u8(0..3) > 0).then(|| self.retry(author, call))
    }

    /// The same request, as the caller repeats it.
    fn retry(&mut self, author: u64, mut call: Call) -> Errand {
        self.tally.count("requests made again by the caller");
        call.request_id = self.request_id();
        call.repeated = false;
        if let Command::DeleteEndUser(DeleteEndUser { deletion_id, .. }) = &mut call.command {
            *deletion_id = DeletionId::new(self.now(), self.bytes());
        }
        Errand { author, call, phase: Phase::Sent }
    }

    fn user(&mut self) -> usize {
        *self.random.choice(&self.population).expect("a user")
    }

    fn compose(&mut self) -> Errand {
        if !self.oracle.requests.is_empty() && self.random.u8(0..20) == 0 {
            // Repeats an old request, possibly long after its answer.
            let (author, call) = self.random.choice(&self.oracle.requests).expect("a request");
            let (author, call) = (*author, sent(call));
            return self.retry(author, call);
        }
        let command = self.command();
        let cost = if matches!(command, Command::CreateEndUsers(CreateEndUsers { .. })) { 2 } else { 1 };
        let idempotency = match &command {
            Command::CreateEndUser(_) | Command::CreateEndUsers(CreateEndUsers { .. }) if self.random.u8(0..5) < 2 => {
                Some(self.key())
            }
            _ => None,
        };
        let call = self.call(cost, idempotency, command);
        self.oracle.composed += 1;
        let author = self.oracle.composed;
        if call.idempotency.is_some() {
            self.oracle.requests.push((author, sent(&call)));
        }
        Errand { author, call, phase: Phase::Sent }
    }

    fn call(&mut self, cost: u32, idempotency: Option<IdempotencyKey>, command: Command) -> Call {
        let caller = Caller::Key { digest: self.bench.key.clone(), kind: KeyKind::Api, scope: Scope::ReadWrite, cost };
        Call { request_id: self.request_id(), repeated: false, caller, idempotency, edge: None, command }
    }

    /// Every new request has its own key; only repetitions share one.
    fn key(&mut self) -> IdempotencyKey {
        let digest = format!("key {}", self.random.u8(0..KEYS));
        IdempotencyKey { digest, fingerprint: format!("request {}", self.oracle.composed) }
    }

    fn command(&mut self) -> Command {
        let user = self.user();
        let user_id = self.bench.user_ids[user].clone();
        match self.random.u8(0..100) {
            0..28 => Command::CreateEndUser(self.new_user(user)),
            28..36 => {
                let users = (0..self.random.usize(1..6)).map(|_| self.user()).collect::<Vec<_>>();
                Command::CreateEndUsers(CreateEndUsers {
                    users: users.into_iter().map(|user| self.new_user(user)).collect(),
                })
            }
            36..56 => {
                let if_match = if self.random.u8(0..5) < 2 { Some(self.precondition(user)) } else { None };
                Command::UpdateEndUser(UpdateEndUser { user_id, change: self.change(), if_match })
            }
            56..66 => {
                let deletion_id = DeletionId::new(self.now(), self.bytes());
                let cascade = *self
                    .random
                    .choice(&[Cascade::All, Cascade::All, Cascade::ModelOnly, Cascade::MemoryOnly])
                    .expect("one");
                let reason = self.random.bool().then(|| "asked".to_owned());
                let if_match = self.one_in(4).then(|| self.precondition(user));
                Command::DeleteEndUser(DeleteEndUser { user_id, deletion_id, cascade, reason, if_match })
            }
            66..72 => {
                let known = self.oracle.deletion_ids();
                let unknown = DeletionId::new(self.now(), self.bytes());
                Command::ReadDeletion(ReadDeletion {
                    deletion_id: self.random.choice(&known).copied().unwrap_or(unknown),
                })
            }
            72..78 => Command::ExportPart(ExportPart::First { user_id }),
            // A list.
            78..84 => Command::Admit(Admit),
            // A read.
            _ => Command::ReadEndUser(ReadEndUser { user_id }),
        }
    }

    fn new_user(&mut self, user: usize) -> NewEndUser {
        let display_name = self.display_name();
        NewEndUser { user_id: self.bench.user_ids[user].clone(), display_name, metadata: self.metadata() }
    }

    fn display_name(&mut self) -> Option<Name> {
        let name = *self.random.choice(&["Ada", "Bo \"B\"", "\u{1F980}"]).expect("a name");
        self.random.bool().then(|| Name::new(name).expect("a name"))
    }

    fn metadata(&mut self) -> Metadata {
        Metadata::from_stored(format!("{{\"n\":{},\"kept\":1e999}}", self.random.u8(0..4))).expect("JSON")
    }

    /// A change. Sometimes it changes nothing, and sometimes it is not allowed.
    fn change(&mut self) -> EndUserChange {
        let display_name = self.random.bool().then(|| self.display_name());
        if self.random.bool() {
            let metadata = (self.random.u8(0..4) > 0).then(|| self.metadata());
            return EndUserChange::Replace { display_name, metadata };
        }
        let patch = match self.random.u8(0..12) {
            0 => "5".to_owned(),
            1 => "null".to_owned(),
            2..4 => "{\"n\":null}".to_owned(),
            _ => format!("{{\"n\":{},\"of\":{{\"a\":null}}}}", self.random.u8(0..4)),
        };
        EndUserChange::Merge { display_name, metadata: Some(json::Text::parse(patch).expect("JSON")) }
    }

    fn precondition(&mut self, user: usize) -> Precondition {
        let first = Version::of_sequence(1);
        let known = self.oracle.acknowledged(user).unwrap_or(first);
        let erased = self.oracle.erased(user).unwrap_or(first);
        match self.random.u8(0..6) {
            0 => Precondition::Any,
            1 => Precondition::Versions(vec![Version::of_sequence(known.sequence() + 1), first]),
            2 => Precondition::Versions(vec![erased]),
            _ => Precondition::Versions(vec![known]),
        }
    }

    /// Handles an answer that has arrived.
    fn hear(&mut self, author: u64, reply: &Reply, made: &[Made]) -> Result<(), Violation> {
        self.tally.count("answers heard");
        self.oracle.tell_made(author, made)?;
        match &reply.outcome {
            Err(Rejection::Denied(Denial::RateLimited { .. })) => self.tally.count("requests refused by the bucket"),
            Err(Rejection::Denied(denial)) => return Err(Violation(format!("the key is good: {denial:?}"))),
            Ok(
                Answer::CreateEndUser(CreatedEndUser { user, .. })
                | Answer::UpdateEndUser(user)
                | Answer::ReadEndUser(EndUserView { user, .. }),
            ) => self.oracle.tell(self.number(&user.user_id), user.version),
            Ok(Answer::CreateEndUsers(_)) => {
                for (user, version) in made {
                    self.oracle.tell(*user, *version);
                }
            }
            Ok(Answer::Admit(())) => return self.list(),
            _ => {}
        }
        self.oracle.check_acknowledged(&self.holdings)
    }

    /// A list in either order, page by page. It runs only when the listing is up to date.
    fn list(&mut self) -> Result<(), Violation> {
        for _ in 0..FLUSHES_AWAITED {
            self.send_to_listing()?;
            self.deliver_to_listing()?;
        }
        // After a crash the object knows nothing until its first call. The edge's own call is that first call.
        if self.object.last_sequence().is_none() || self.object.is_behind() {
            self.tally.count("lists refused: not caught up");
            return Ok(());
        }
        self.tally.count("lists given");
        self.read_list()
    }

    fn read_list(&mut self) -> Result<(), Violation> {
        let direction = if self.random.bool() { Direction::Ascending } else { Direction::Descending };
        let by_creation = self.random.bool();
        let range =
            if by_creation { Range::CreatedAt { after: None, before: None } } else { Range::UserId { prefix: None } };
        let query = Query { direction, range };
        let limit = self.random.u32(1..8);
        let (mut documents, mut position, mut pages) = (Vec::new(), None, 0);
        loop {
            pages += 1;
            ensure!(pages <= self.bench.user_ids.len() + 1, "there is no end to the pages");
            let page = query.page(self.bench.tenant, position.as_ref(), limit);
            let rows = self.bench.listing.listed(&page.statement())?;
            let (read, next) = page.read(&rows).map_err(|error| Violation(error.to_string()))?;
            documents.extend(read.into_iter().map(|document| document.get().to_owned()));
            match next {
                Some(next) => position = Some(next),
                None => break,
            }
        }
        let mut expected: Vec<_> = (self.bench.user_ids.iter().zip(&self.holdings.users).enumerate())
            .filter_map(|(user, (user_id, held))| Some((user, user_id, held.as_ref()?)))
            .filter(|(user, ..)| self.oracle.pending(*user).is_none())
            .map(|(_, user_id, held)| (by_creation.then_some(held.created_at), user_id.as_str(), &held.document))
            .collect();
        expected.sort();
        if direction == Direction::Descending {
            expected.reverse();
        }
        let is_right = documents.iter().eq(expected.iter().map(|(.., document)| *document));
        ensure!(is_right, "a list shows {documents:?}, not {expected:?}");
        Ok(())
    }
}
