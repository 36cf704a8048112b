//! A batch for the listing counts everything that it carries.

use rollcall::directory::identifiers::{BatchId, RequestId};
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{Call, Caller, Command};
use rollcall::organization::sql::SqlValue;
use rollcall::projection::listing::batches::Application;

use crate::sqlite::Sqlite;
use crate::tenant::{settings, tenant};

/// Users with ids of the greatest length, each with this many agents, who all changed.
const USERS: i64 = 44;
const AGENTS: i64 = 98;
/// What a batch may carry, a user beyond it included, in bytes of parameters. Escapes double it at most.
const BATCH_BYTES_MAX: usize = 2 * (256 + 17 + 128) * 1024;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn object() -> Sqlite {
    let object = Sqlite::new();
    let settings = settings(tenant(3), Limits::default());
    let call = Call {
        request_id: RequestId::new(NOW, [0; 10]),
        repeated: false,
        caller: Caller::Operator(None),
        idempotency: None,
        edge: None,
        command: Command::Configure(settings),
    };
    object.transaction(|sql| OrganizationCore::default().handle(sql, call, NOW)).expect("settings");
    let uuid = |group: u8, number: &str| format!("printf('{group}0000000-0000-7000-8000-%012d', {number})");
    let emoji = "\u{1F980}".repeat(253);
    object.execute(&format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {USERS})
           INSERT INTO users SELECT n, 'd' || n, {}, printf('%02d', n) || '{emoji}', n, 'active', NULL, '{{}}', 1, 1, 1, 'r', 0, 0, 0, 0
           FROM n;
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {AGENTS})
           INSERT INTO agents SELECT 1000 + n, {}, NULL, NULL, 'agent', 'd', '{{}}', 1, 1, 1, NULL FROM n;
         INSERT INTO relationships SELECT 1000 * u.number + a.number, {}, u.number, a.number, 'user', 1, 1, 1, NULL
           FROM users u JOIN agents a;
         INSERT INTO changes SELECT 1 + number, 'turn', 1, 'system', NULL, NULL, number, 'r', number, 1 FROM users;",
        uuid(1, "n"),
        uuid(2, "n"),
        uuid(3, "1000 * u.number + a.number"),
    ));
    object
}

#[test]
fn a_batch_is_bounded_in_bytes_whatever_it_carries() {
    let (object, listing) = (object(), Sqlite::listing());
    let mut core = OrganizationCore::default();
    for attempt in 0.. {
        let id = BatchId::new(NOW, [attempt; 10]);
        let next = |sql: &Sqlite| core.next_batch(sql, id, NOW);
        let Some(batch) = object.transaction(next).expect("a batch") else { break };
        let application = Application::new(&batch).expect("JSON");
        let length = |value: &SqlValue<'_>| match value {
            SqlValue::Text(text) => text.len(),
            SqlValue::Integer(_) | SqlValue::Null => 0,
        };
        let statements = application.statements();
        let bytes: usize = statements.iter().flat_map(|statement| statement.parameters.iter().map(length)).sum();
        assert!(bytes < BATCH_BYTES_MAX, "{bytes} bytes of {} users", batch.changes.len());
        assert!(listing.batch(&statements).expect("D1 takes it")[0] > 0);
        let acknowledge = |sql: &Sqlite| core.acknowledge(sql, batch.to.clone(), NOW);
        object.transaction(acknowledge).expect("an acknowledgement");
    }
    let count = listing.rows("SELECT count(*) FROM agent_users", &[]).expect("a count");
    assert_eq!(count, [[SqlValue::Integer(USERS * AGENTS)]]);
}
