//! Kept answers: how long they last, and what the edge's own repetition of a call gets.

use rollcall::directory::api_key::Scope;
use rollcall::directory::identifiers::RequestId;
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::audit;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::idempotency::KEPT_MS;
use rollcall::organization::protocol::{Answer, Call, Command, CreatedEndUser, IdempotencyKey, NewEndUser, Reply};
use rollcall::organization::sql::Sql;

use crate::tenant::{Object, START_MS};

struct Fixture {
    object: Object,
}

fn request_id(number: u8) -> RequestId {
    RequestId::new(Timestamp::from_millis(START_MS), [number; 10])
}

impl Fixture {
    fn new() -> Self {
        Self { object: Object::new(1, Limits::default()) }
    }

    fn create(&mut self, number: u8, repeated: bool, idempotency: Option<&str>, now_ms: i64) -> Reply {
        let caller = self.object.holder(Scope::ReadWrite);
        let idempotency =
            idempotency.map(|key| IdempotencyKey { digest: key.to_owned(), fingerprint: "the request".to_owned() });
        let user_id = UserId::new("ada").expect("an id");
        let command = Command::CreateEndUser(NewEndUser { user_id, display_name: None, metadata: Metadata::default() });
        let call = Call { request_id: request_id(number), repeated, caller, idempotency, edge: None, command };
        self.object.now_ms = now_ms;
        self.object.handle(call)
    }

    fn kept(&self) -> i64 {
        let row = self.object.storage.first("SELECT count(*) FROM idempotency", &[]).expect("the answers");
        row.expect("a row").integer().expect("a number")
    }
}

fn created(reply: &Reply) -> bool {
    matches!(reply.outcome, Ok(Answer::CreateEndUser(CreatedEndUser { created: true, .. })))
}

#[test]
fn an_answer_is_kept_for_a_day_and_swept_afterwards() {
    let mut fixture = Fixture::new();
    assert!(created(&fixture.create(1, false, Some("k"), START_MS)));
    let work_at = fixture.object.core.work_at();
    assert!(work_at.is_some_and(|at| at <= Timestamp::from_millis(START_MS)), "the alarm comes for the expiry");
    let last = fixture.create(2, false, Some("k"), START_MS + KEPT_MS - 1);
    assert!(created(&last) && last.replayed);
    let sweep = |fixture: &mut Fixture, now_ms: i64| {
        fixture.object.now_ms = now_ms;
        fixture.object.transact(OrganizationCore::sweep)
    };
    assert_eq!(sweep(&mut fixture, START_MS + KEPT_MS - 1), Some(Timestamp::from_millis(START_MS + KEPT_MS)));
    assert_eq!(fixture.kept(), 1);
    let expired = fixture.create(3, false, Some("k"), START_MS + KEPT_MS);
    assert!(!created(&expired) && !expired.replayed, "as if it were never asked");
    let last_ms = START_MS + 2 * KEPT_MS;
    let next_audit = Timestamp::from_millis(last_ms + audit::INTERVAL_MS);
    assert_eq!(sweep(&mut fixture, last_ms), Some(next_audit), "no answer is left to wait for");
    assert_eq!(fixture.kept(), 0);
}

#[test]
fn an_answer_survives_a_restart() {
    let mut fixture = Fixture::new();
    fixture.create(1, false, Some("k"), START_MS);
    fixture.object.restart();
    assert!(fixture.create(2, false, Some("k"), START_MS).replayed);
}

/// The edge repeats a call when the answer is lost. The caller has not retried, so it gets the answer as the first
/// one, and pays once.
#[test]
fn a_repeated_call_is_no_retry() {
    for idempotency in [None, Some("k")] {
        let mut fixture = Fixture::new();
        let first = fixture.create(1, false, idempotency, START_MS);
        let again = fixture.create(1, true, idempotency, START_MS);
        assert!(created(&first) && created(&again) && !again.replayed);
        let remaining = |reply: &Reply| reply.admission.expect("an admission").remaining;
        assert_eq!(remaining(&first), remaining(&again), "paid once");
        let other = fixture.create(2, false, None, START_MS);
        assert!(!created(&other));
        assert_eq!(remaining(&other), remaining(&first) - 1);
    }
}
