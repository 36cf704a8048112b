//! The listing's statements: SQLite's plan for each page, and the fence.

use rollcall::directory::end_user::Revision;
use rollcall::directory::identifiers::{BatchId, Mode, OrganizationId, Tenant};
use rollcall::directory::names::{UserId, UserIdPrefix};
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::outbox::{Batch, Change};
use rollcall::projection::listing::batches::Application;
use rollcall::projection::listing::pages::{Direction, Position, Query, Range};

use crate::sqlite::Sqlite;

fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::new(Timestamp::from_millis(1), [1; 10]), mode: Mode::Live }
}

fn document(version: i64) -> json::Text {
    let text =
        format!("{{\"display_name\":\"a\\\"b\",\"metadata\":{{\"s\":\"\\u00e9\",\"n\":1e999}},\"v\":{version}}}");
    json::Text::parse(text).expect("JSON")
}

fn batch(id: u8, from: i64, to: i64, users: &[(&str, i64)]) -> Batch {
    let changes = users.iter().map(|(user_id, version)| Change {
        user_id: UserId::new(*user_id).expect("an id"),
        revision: Revision { incarnation: 1, version: *version },
        created_at: Timestamp::from_millis(1),
        document: Some(document(*version)),
        relationships: None,
    });
    Batch { id: BatchId::new(Timestamp::EPOCH, [id; 10]), tenant: tenant(), from, to, changes: changes.collect() }
}

fn apply(database: &Sqlite, batch: &Batch) -> bool {
    database.batch(&Application::new(batch).expect("JSON").statements()).expect("a batch")[0] > 0
}

fn documents(database: &Sqlite) -> Vec<String> {
    let query = Query { direction: Direction::Ascending, range: Range::UserId { prefix: None } };
    database.texts(&query.page(tenant(), None, 10).statement()).expect("a page")
}

#[test]
fn the_fence_turns_away_what_comes_late_twice_or_too_early() {
    let database = Sqlite::listing();
    let (first, second) = (batch(1, 0, 2, &[("a", 1), ("b", 1)]), batch(2, 2, 3, &[("a", 2)]));
    assert!(!apply(&database, &second), "too early");
    assert!(documents(&database).is_empty());
    assert!(apply(&database, &first));
    assert!(!apply(&database, &first), "twice");
    assert!(apply(&database, &second));
    assert!(!apply(&database, &first), "late");
    assert!(!apply(&database, &batch(3, 0, 9, &[("a", 9)])), "late, and further");
    let expected = [2, 1].map(|version| document(version).as_str().to_owned());
    assert_eq!(documents(&database), expected, "to the letter");
}

/// Every page is one search of one index, bounded at both ends.
#[test]
fn every_page_is_a_range_of_an_index() {
    let database = Sqlite::listing();
    let prefix = Some(UserIdPrefix::new("ab").expect("a prefix"));
    let instant = Some(Timestamp::from_millis(5));
    let position = Position { user_id: UserId::new("abc").expect("an id"), created_at: Timestamp::from_millis(7) };
    let ranges = [
        (Range::UserId { prefix: None }, "PRIMARY KEY (tenant=? AND user_id>"),
        (Range::UserId { prefix }, "PRIMARY KEY (tenant=? AND user_id>? AND user_id<?)"),
        (Range::CreatedAt { after: None, before: None }, "(tenant=? AND created_at>? AND created_at<?)"),
        (Range::CreatedAt { after: instant, before: instant }, "(tenant=? AND created_at>? AND created_at<?)"),
    ];
    for (range, index) in ranges {
        for direction in [Direction::Ascending, Direction::Descending] {
            for after in [None, Some(&position)] {
                let query = Query { direction, range: range.clone() };
                let plan = database.plan(&query.page(tenant(), after, 100).statement());
                assert!(plan.starts_with("SEARCH end_users") && plan.contains(index), "{query:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{query:?}: {plan}");
            }
        }
    }
}

/// The cost of a batch does not depend on the number of other users: none of its statements scans all rows of a
/// tenant.
#[test]
fn a_batch_touches_no_rows_but_its_own() {
    let database = Sqlite::listing();
    let mut batch = batch(1, 0, 3, &[("a", 1), ("b", 2), ("c", 3)]);
    batch.changes[1].relationships = Some(vec![(
        "01900000-0000-7000-8000-000000000000".parse().expect("an id"),
        json::Text::parse("[\"user\",1,null,null]".to_owned()).expect("JSON"),
    )]);
    batch.changes[2].document = None;
    let application = Application::new(&batch).expect("JSON");
    let statements = application.statements();
    assert_eq!(statements.len(), 6, "the fence, and five for rows");
    for statement in statements {
        let plan = database.plan(&statement);
        // Every search of a table uses the tenant and one more column. `projections` has one row per tenant.
        for search in plan.split("; ").filter(|step| step.starts_with("SEARCH") || step.starts_with("SCAN")) {
            let bounds = ["user_id=?", "projections", "json_each", "CONSTANT ROW"];
            let is_bounded = bounds.iter().any(|bound| search.contains(bound));
            assert!(is_bounded, "{}: {plan}", statement.sql);
        }
    }
}
