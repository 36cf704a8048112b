//! The turns of one person in a billing period, whatever interleaving of turns, restarts, limits, months and clocks.

use std::collections::BTreeMap;

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::deletion::Cascade;
use rollcall::directory::identifiers::{DeletionId, RelationshipId, RequestId};
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::directory::quota::Component;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::protocol::{
    Answer, Call, Caller, Command, DeleteEndUser, NewTurn, Outcome, ReadUsage, ReadUserUsage, Rejection, ReleaseTurn,
    ReservedTurn, Resource, Settings, UserUsage,
};
use rollcall::organization::quotas::Period;
use rollcall::organization::turns::KEPT_AFTER_EXPIRY_MS;

use crate::tenant::{Object, START_MS, settings, turn, turn_answer, wide};

const USERS: [&str; 3] = ["ada", "eve", "joe"];
const HISTORIES: u64 = 150;
const STEPS: usize = 150;
const MINUTE_MS: i64 = 60_000;
/// A clock that is set to the end of a period has less until then.
const BEFORE_END_MS: i64 = 3;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

fn id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

/// An organization with one agent, whose people may take so many turns each. 0 is no limit.
struct World {
    object: Object,
    agent: AgentId,
    version: i64,
}

impl World {
    fn new(seed: u64, turns_per_user: u64) -> Self {
        let mut object = Object::new(seed, Limits { turns_per_user, ..wide() });
        let agent = object.agent("tutor").agent.agent_id;
        Self { object, agent, version: 1 }
    }

    fn configure(&mut self, limits: Limits) {
        self.version += 1;
        let settings = Settings { version: self.version, ..settings(self.object.tenant, limits) };
        self.object.operator(Command::Configure(settings)).expect("an answer");
    }

    fn limit(&mut self, turns_per_user: u64) {
        self.configure(Limits { turns_per_user, ..wide() });
    }

    fn call(&mut self, request_id: RequestId, command: Command) -> Outcome {
        let (repeated, caller) = (false, Caller::Operator(None));
        self.object.handle(Call { request_id, repeated, caller, idempotency: None, edge: None, command }).outcome
    }

    fn new_turn(&mut self, user: &str) -> Command {
        let relationship_id = RelationshipId::new(self.object.now(), self.object.bytes());
        turn(AgentRef::Id(self.agent), id(user), relationship_id)
    }

    /// Reserves a turn, under a new id.
    fn reserve(&mut self, user: &str) -> Result<RequestId, Rejection> {
        let (request_id, new) = (self.object.request_id(), self.new_turn(user));
        self.call(request_id, new).map(|_| request_id)
    }

    fn commit(&mut self, turn: RequestId) -> Outcome {
        self.call(turn, Command::CommitTurn(turn_answer()))
    }

    fn release(&mut self, turn: RequestId) {
        self.call(turn, Command::ReleaseTurn(ReleaseTurn)).expect("an answer");
    }

    /// A whole turn.
    fn take(&mut self, user: &str) {
        let turn = self.reserve(user).expect("a turn");
        self.commit(turn).expect("an answer");
    }

    fn usage(&mut self, user: &str) -> Result<UserUsage, Rejection> {
        match self.object.operator(Command::ReadUserUsage(ReadUserUsage { user_id: id(user) }))? {
            Answer::ReadUserUsage(usage) => Ok(usage),
            other => panic!("{other:?}"),
        }
    }

    /// How many turns are counted, and how many are in progress.
    fn turns(&mut self, user: &str) -> (u64, u64) {
        let usage = self.usage(user).expect("the user");
        (usage.used, usage.reserved)
    }

    /// The turns of the organization.
    fn counted(&mut self) -> u64 {
        match self.object.operator(Command::ReadUsage(ReadUsage)) {
            Ok(Answer::ReadUsage(usage)) => usage.quota.turns_used,
            other => panic!("{other:?}"),
        }
    }

    fn period(&self) -> Period {
        Period::containing(Timestamp::from_millis(START_MS), self.object.now())
    }
}

fn assert_used_up(outcome: &Result<RequestId, Rejection>, expected: (u64, u64)) {
    match outcome {
        Err(Rejection::OverUserQuota { used, limit, .. }) => assert_eq!((*used, *limit), expected),
        other => panic!("{other:?}"),
    }
}

/// A turn in progress.
struct Open {
    turn: RequestId,
    user: usize,
    period_ms: i64,
    ends_ms: i64,
}

/// What must be counted, and what is in progress.
#[derive(Default)]
struct Model {
    counted: BTreeMap<(usize, i64), u64>,
    open: Vec<Open>,
    limit: u64,
    /// The start of the latest period so far.
    latest_ms: i64,
}

impl Model {
    /// The turns of a user that are in progress.
    fn open_of(&self, user: usize, period_ms: i64, now_ms: i64) -> impl Iterator<Item = &Open> {
        let is_of = move |open: &&Open| open.user == user && open.period_ms == period_ms && open.ends_ms > now_ms;
        self.open.iter().filter(is_of)
    }

    /// How many turns of a user are counted, and how many are in progress.
    fn of(&self, user: usize, period_ms: i64, now_ms: i64) -> (u64, u64) {
        let counted = self.counted.get(&(user, period_ms)).copied().unwrap_or_default();
        (counted, self.open_of(user, period_ms, now_ms).count() as u64)
    }
}

/// One step of a history: a turn begins or ends, the object starts anew, the limit or the clock changes.
fn step(world: &mut World, model: &mut Model) {
    let (start_ms, end_ms) = (world.period().start.millis(), world.period().end.millis());
    let now_ms = world.object.now_ms;
    model.latest_ms = model.latest_ms.max(start_ms);
    match world.object.random.u8(0..100) {
        0..50 => {
            let user = world.object.random.usize(0..USERS.len());
            let (counted, reserved) = model.of(user, start_ms, now_ms);
            let outcome = world.reserve(USERS[user]);
            match (&outcome, model.limit) {
                (Ok(turn), limit) => {
                    assert!(limit == 0 || counted + reserved < limit, "{counted} and {reserved} of {limit}");
                    model.open.push(Open { turn: *turn, user, period_ms: start_ms, ends_ms: now_ms + MINUTE_MS });
                }
                (_, limit) if counted >= limit && limit > 0 => assert_used_up(&outcome, (counted + reserved, limit)),
                (Err(Rejection::QuotaReserved { retry_after_ms, .. }), limit) => {
                    assert!(limit > 0 && counted + reserved >= limit, "{counted} and {reserved} of {limit}");
                    let oldest = model.open_of(user, start_ms, now_ms).map(|open| open.ends_ms).min();
                    assert_eq!(Some(*retry_after_ms), oldest.map(|ends_ms| ends_ms - now_ms));
                }
                (other, limit) => panic!("{other:?} with {counted} and {reserved} of {limit}"),
            }
        }
        50..80 if !model.open.is_empty() => {
            let which = world.object.random.usize(0..model.open.len());
            let open = model.open.swap_remove(which);
            if world.object.random.u8(0..4) == 0 {
                world.release(open.turn);
                return;
            }
            match world.commit(open.turn) {
                Ok(_) => {
                    assert!(open.ends_ms > now_ms, "a turn is counted after its end");
                    *model.counted.entry((open.user, open.period_ms)).or_default() += 1;
                }
                Err(Rejection::TurnExpired) => {
                    assert!(open.ends_ms <= now_ms, "a turn ends too early");
                    // It may be in progress again when the clock is set back.
                    model.open.push(open);
                }
                other => panic!("{other:?}"),
            }
        }
        80..86 => {
            world.object.restart();
            // The sweep removes them, wherever the clock is set afterwards.
            model.open.retain(|open| open.ends_ms + KEPT_AFTER_EXPIRY_MS > now_ms);
        }
        86..90 => {
            model.limit = world.object.random.u64(0..6);
            world.limit(model.limit);
        }
        90..95 => world.object.now_ms += world.object.random.i64(0..MINUTE_MS),
        // To one side of the turn of the month or the other, a few times.
        95..98 => world.object.now_ms = end_ms - world.object.random.i64(0..BEFORE_END_MS),
        // The clock is set back into the period before.
        98 if start_ms == model.latest_ms && start_ms > START_MS => {
            world.object.now_ms = start_ms - world.object.random.i64(1..BEFORE_END_MS);
        }
        _ => world.object.now_ms += 3 * DAY_MS,
    }
}

/// After every step each person has what was counted for them, in this period, and what is in progress.
#[test]
fn counted_and_reserved_turns_of_a_person_never_exceed_the_limit() {
    for seed in 0..HISTORIES {
        let (mut world, mut model) = (World::new(seed, 0), Model::default());
        for user in USERS {
            world.object.create(&id(user));
        }
        for _ in 0..STEPS {
            step(&mut world, &mut model);
            let period = world.period();
            for (user, name) in USERS.iter().enumerate() {
                let (used, reserved) = model.of(user, period.start.millis(), world.object.now_ms);
                let limit = (model.limit > 0).then_some(model.limit);
                let (period_start, resets_at) = (period.start, period.end);
                let expected = UserUsage { used, reserved, limit, period_start, resets_at };
                assert_eq!(world.usage(name), Ok(expected), "{name} with seed {seed}");
            }
        }
    }
}

#[test]
fn one_person_uses_up_their_turns_and_nobody_elses() {
    let mut world = World::new(1, 2);
    for _ in 0..2 {
        world.take("ada");
    }
    assert_used_up(&world.reserve("ada"), (2, 2));
    world.take("eve");
    assert_eq!((world.turns("ada"), world.turns("eve"), world.counted()), ((2, 0), (1, 0), 3));
}

#[test]
fn turns_in_progress_hold_the_rest_until_they_end() {
    let mut world = World::new(1, 1);
    let turn = world.reserve("ada").expect("a turn");
    assert_eq!(world.turns("ada"), (0, 1));
    world.object.now_ms += 10_000;
    match world.reserve("ada") {
        Err(Rejection::QuotaReserved { retry_after_ms, quota }) => {
            assert_eq!((retry_after_ms, quota.turns_used), (50_000, 0), "the organization has used none");
        }
        other => panic!("{other:?}"),
    }
    world.release(turn);
    world.take("ada");
    assert_used_up(&world.reserve("ada"), (1, 1));
}

/// Only the end of Ada's own turn makes room for her.
#[test]
fn a_person_waits_for_the_end_of_their_own_turn() {
    let mut world = World::new(1, 1);
    world.reserve("eve").expect("a turn");
    world.object.now_ms += 20_000;
    world.reserve("ada").expect("a turn");
    match world.reserve("ada") {
        Err(Rejection::QuotaReserved { retry_after_ms, .. }) => assert_eq!(retry_after_ms, MINUTE_MS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_limit_that_is_set_later_knows_what_was_used() {
    let mut world = World::new(1, 0);
    for _ in 0..3 {
        world.take("ada");
    }
    world.limit(3);
    assert_used_up(&world.reserve("ada"), (3, 3));
    world.limit(4);
    world.take("ada");
    world.limit(2);
    assert_used_up(&world.reserve("ada"), (4, 2));
    world.limit(0);
    world.take("ada");
    assert_eq!(world.turns("ada"), (5, 0));
}

#[test]
fn the_quotas_of_the_organization_win() {
    for turns in [1, 10] {
        let mut world = World::new(1, 1);
        world.take("ada");
        // A second agent, with whom Ada's relationship would be a new one.
        world.agent = world.object.agent("coach").agent.agent_id;
        world.configure(Limits { turns_per_user: 1, turns_per_period: turns, active_relationships: 1, ..wide() });
        let component = if turns == 1 { Component::Turns } else { Component::ActiveRelationships };
        match world.reserve("ada") {
            Err(Rejection::OverQuota { component: refused, .. }) => assert_eq!(refused, component),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_turn_without_a_person_counts_for_nobody() {
    let mut world = World::new(1, 1);
    world.take("ada");
    for user_id in [None, Some(id("ada"))] {
        let relationship_id = RelationshipId::new(world.object.now(), world.object.bytes());
        let agent = AgentRef::Id(world.agent);
        let new = NewTurn { agent, user_id, is_stateful: false, relationship_id, expires_in_ms: MINUTE_MS };
        let request_id = world.object.request_id();
        world.call(request_id, Command::ReserveTurn(new)).expect("a turn");
        assert_eq!(world.turns("ada"), (1, 0));
        world.commit(request_id).expect("an answer");
    }
    assert_eq!((world.turns("ada"), world.counted()), ((1, 0), 3));
}

/// The relationship goes while a turn is in progress. The turn is answered, so it counts.
#[test]
fn a_turn_counts_for_its_person_although_its_relationship_is_erased() {
    let mut world = World::new(1, 2);
    let turn = world.reserve("ada").expect("a turn");
    let deletion_id = DeletionId::new(world.object.now(), world.object.bytes());
    let (cascade, reason) = (Cascade::MemoryOnly, None);
    let delete = DeleteEndUser { user_id: id("ada"), deletion_id, cascade, reason, if_match: None };
    world.object.operator(Command::DeleteEndUser(delete)).expect("a receipt");
    assert_eq!(world.turns("ada"), (0, 1));
    world.commit(turn).expect("an answer");
    assert_eq!(world.turns("ada"), (1, 0));
    world.take("ada");
    assert_used_up(&world.reserve("ada"), (2, 2));
}

#[test]
fn who_is_made_again_begins_at_0_and_the_organization_does_not() {
    let mut world = World::new(1, 1);
    world.take("ada");
    let late = world.reserve("eve").expect("a turn");
    world.object.erase(&id("ada"));
    world.object.erase(&id("eve"));
    assert_eq!(world.turns("ada"), (1, 0), "as long as the erasure lasts");
    world.object.purge();
    assert_eq!(world.usage("ada"), Err(Rejection::NotFound(Resource::EndUser)));
    world.object.create(&id("eve"));
    world.commit(late).expect("an answer");
    assert_eq!(world.turns("eve"), (0, 0), "the turn was that of another person");
    world.take("ada");
    world.take("eve");
    assert_eq!((world.turns("ada"), world.turns("eve"), world.counted()), ((1, 0), (1, 0), 4));
}

#[test]
fn a_repetition_gets_its_answer_after_the_turns_are_used_up() {
    let mut world = World::new(1, 1);
    let (first, new) = (world.object.request_id(), world.new_turn("ada"));
    world.object.keyed(first, "k", new).outcome.expect("a turn");
    world.commit(first).expect("an answer");
    assert_used_up(&world.reserve("ada"), (1, 1));
    let (again, new) = (world.object.request_id(), world.new_turn("ada"));
    let repeated = world.object.keyed(again, "k", new);
    let is_kept = matches!(repeated.outcome, Ok(Answer::ReserveTurn(ReservedTurn::Answered(_))));
    assert!(is_kept && repeated.replayed, "{repeated:?}");
    let (request_id, new) = (world.object.request_id(), world.new_turn("ada"));
    let refused = world.object.keyed(request_id, "other", new).outcome;
    assert!(matches!(refused, Err(Rejection::OverUserQuota { .. })), "{refused:?}");
    world.limit(2);
    let new = world.new_turn("ada");
    world.object.keyed(request_id, "other", new).outcome.expect("a refusal is not kept");
}

/// A turn of the last minute counts in the period in which it began, although one of the next period is counted first.
/// When the clock is set back, the period before has what it had.
#[test]
fn a_turn_counts_in_the_period_in_which_it_began() {
    let mut world = World::new(1, 2);
    world.take("ada");
    let end_ms = world.period().end.millis();
    world.object.now_ms = end_ms - 1;
    let late = world.reserve("ada").expect("a turn");
    world.object.now_ms = end_ms;
    assert_eq!(world.turns("ada"), (0, 0), "nothing is used of the new period");
    world.take("ada");
    world.commit(late).expect("an answer");
    assert_eq!(world.turns("ada"), (1, 0));
    world.object.now_ms = end_ms - 1;
    assert_eq!(world.turns("ada"), (2, 0));
    assert_used_up(&world.reserve("ada"), (2, 2));
}

/// What a turn costs is what it writes, and the count is in the row of the user, which it writes anyway.
#[test]
fn a_limit_costs_no_row() {
    let mut world = World::new(1, 0);
    let rows = |world: &mut World, user: &str| {
        world.take(user);
        let before = world.object.storage.rows_written();
        world.take(user);
        world.object.storage.rows_written() - before
    };
    let without = rows(&mut world, "ada");
    world.limit(1_000);
    assert_eq!(rows(&mut world, "eve"), without);
}
