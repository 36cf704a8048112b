//! The listing's statements: SQLite's plan for each page, and the fence.

use rollcall::directory::agent::AgentId;
use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::{BatchId, Mode, OrganizationId, Tenant};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::{Name, UserId, UserIdPrefix};
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::batches::{Batch, Change, ProjectedRecord};
use rollcall::organization::page::ROWS_BYTES_MAX;
use rollcall::organization::sql::SqlValue;
use rollcall::projection::Statement;
use rollcall::projection::listing::batches::Application;
use rollcall::projection::listing::pages::{Direction, Position, Query, Range};
use rollcall::projection::listing::schema;
use rollcall::projection::listing::{agent_users, page};

use crate::position;
use crate::sqlite::Sqlite;

fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::new(Timestamp::from_millis(1), [1; 10]), mode: Mode::Live }
}

const METADATA: &str = "{\"s\":\"\\u00e9\",\"n\":1e999}";

fn document(version: i64) -> json::Text {
    json::Text::parse(format!("{{\"metadata\":{METADATA},\"v\":{version}}}")).expect("JSON")
}

fn batch(id: u8, from: i64, to: i64, users: &[(&str, i64)]) -> Batch {
    let changes = users.iter().map(|(user_id, version)| Change {
        user_id: UserId::new(*user_id).expect("an id"),
        version: Version::of_sequence(*version),
        is_first: false,
        created_at: Timestamp::from_millis(1),
        record: Some(ProjectedRecord {
            display_name: Some(Name::new("a\"b").expect("a name")),
            metadata: Metadata::from_stored(METADATA.to_owned()).expect("an object"),
            document: document(*version),
        }),
        relationships: None,
    });
    let id = BatchId::new(Timestamp::EPOCH, [id; 10]);
    Batch { id, tenant: tenant(), from: position(from), to: position(to), changes: changes.collect() }
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

#[test]
fn the_migrations_make_the_version_that_the_build_knows() {
    let database = Sqlite::listing();
    let select = Statement { sql: schema::SELECT.into(), parameters: Vec::new() };
    let rows = database.texts(&select).expect("a version");
    assert!(rows[0].starts_with(&format!("{} ", schema::VERSION)), "{rows:?}");
    assert_eq!(schema::check(rows.first().map(String::as_str)), Ok(()));
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
            // A page with the second limit is bounded in bytes too.
            for (after, limit) in [(None, 100), (Some(&position), 100), (None, 200), (Some(&position), 200)] {
                let query = Query { direction, range: range.clone() };
                let plan = database.plan(&query.page(tenant(), after, limit).statement().sql);
                assert!(plan.contains("SEARCH end_users") && plan.contains(index), "{query:?}: {plan}");
                let scans: Vec<&str> = plan.split("; ").filter(|step| step.starts_with("SCAN")).collect();
                let is_of_table = |step: &&&str| !step.contains("(subquery");
                assert_eq!(scans.iter().find(is_of_table), None, "{query:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
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
    batch.changes[2].record = None;
    let application = Application::new(&batch).expect("JSON");
    let statements = application.statements();
    assert_eq!(statements.len(), 7, "the fence, and six for rows");
    for statement in statements {
        let plan = database.plan(&statement.sql);
        // Every search of a table uses the tenant and one more column. `projections` has one row per tenant.
        for search in plan.split("; ").filter(|step| step.starts_with("SEARCH") || step.starts_with("SCAN")) {
            let bounds = ["user_id=?", "projections", "json_each", "CONSTANT ROW"];
            let is_bounded = bounds.iter().any(|bound| search.contains(bound));
            assert!(is_bounded, "{}: {plan}", statement.sql);
        }
    }
}

/// Rows of the greatest length, of which a page has no room for 200.
#[test]
fn a_page_ends_where_its_rows_are_too_long_and_the_next_goes_on_there() {
    let database = Sqlite::listing();
    let metadata = format!("{{\"q\":\"{}\"}}", "\\\"".repeat(8_000));
    let document = |user_id: &str| {
        let document = format!(
            "{{\"user_id\":\"{user_id}\",\"metadata\":{metadata},\"created_at\":\"1970-01-01T00:00:00.001Z\"}}"
        );
        json::Text::parse(document).expect("JSON")
    };
    let ids: Vec<String> = (0..300).map(|index| format!("u{index:03}")).collect();
    for (place, ids) in (0_i64..).zip(ids.chunks(100)) {
        let users: Vec<(&str, i64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
        let mut batch = batch(u8::try_from(place).expect("a few"), place * 100, place * 100 + 100, &users);
        for change in &mut batch.changes {
            let document = document(change.user_id.as_str());
            let metadata = Metadata::from_stored(metadata.clone()).expect("an object");
            change.record = Some(ProjectedRecord { display_name: None, metadata, document });
        }
        assert!(apply(&database, &batch), "more than one parameter has room for");
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        for range in [Range::UserId { prefix: None }, Range::CreatedAt { after: None, before: None }] {
            let query = Query { direction, range };
            let (mut found, mut after, mut pages) = (Vec::new(), None::<Position>, 0);
            loop {
                pages += 1;
                let page = query.page(tenant(), after.as_ref(), 200);
                let rows = database.listed(&page.statement()).expect("a page");
                let (documents, last) = page.read(&rows).expect("documents");
                let bytes: usize = documents.iter().map(|document| document.get().len() + 1).sum();
                assert!(bytes <= ROWS_BYTES_MAX as usize, "{bytes}");
                assert!(last.is_none() || bytes > ROWS_BYTES_MAX as usize - 20_000, "{bytes}");
                let positions = documents.iter().map(|document| serde_json::from_str::<Position>(document.get()));
                found.extend(positions.map(|position| position.expect("a position").user_id.as_str().to_owned()));
                after = last;
                if after.is_none() {
                    break;
                }
            }
            if direction == Direction::Descending {
                found.reverse();
            }
            assert_eq!((&found, pages), (&ids, 3), "{query:?}");
        }
    }
}

/// D1 refuses a longer parameter, and so does the database of this test.
#[test]
fn a_list_of_any_length_is_applied_in_parameters_that_d1_takes() {
    let database = Sqlite::listing();
    let ids: Vec<String> = (0..44).map(|index| format!("{index:02}{}", "\u{1F980}".repeat(253))).collect();
    let users: Vec<(&str, i64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    let mut batch = batch(1, 0, 3, &users);
    let entry = json::Text::parse("[\"user\",1700000000000,1700000000000,[[1,2,3,4],[0,0,0,0],[1,1,1]]]".to_owned());
    let entry = entry.expect("JSON");
    for change in &mut batch.changes {
        let agents = (0_u8..98).map(|agent| (AgentId::new(Timestamp::EPOCH, [agent; 10]), entry.clone()));
        change.relationships = Some(agents.collect());
    }
    let application = Application::new(&batch).expect("JSON");
    let lengths = application.statements().into_iter().flat_map(|statement| {
        statement.parameters.into_iter().map(|parameter| match parameter {
            SqlValue::Text(text) => text.len(),
            SqlValue::Integer(_) | SqlValue::Null => 0,
        })
    });
    let lengths: Vec<usize> = lengths.collect();
    assert!(
        lengths.iter().sum::<usize>() > 4_000_000 && lengths.iter().all(|length| *length < 2_000_000),
        "{lengths:?}"
    );
    assert!(apply(&database, &batch));
    let count = database.rows("SELECT count(*) FROM agent_users", &[]).expect("a count");
    assert_eq!(count, [[SqlValue::Integer(44 * 98)]]);
}

/// What a page may have in rows, it has, unless the rows are long.
#[test]
fn short_entries_never_end_a_page_of_an_agents_users_early() {
    let database = Sqlite::listing();
    let ids: Vec<String> = (0..501).map(|index| format!("u{index:03}")).collect();
    let agent_id = AgentId::new(Timestamp::EPOCH, [1; 10]);
    let users: Vec<(&str, i64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    let mut batch = batch(1, 0, 3, &users);
    for change in &mut batch.changes {
        let entry = json::Text::parse("[\"user\",1700000000000,1700000000000,null]".to_owned()).expect("JSON");
        change.relationships = Some(vec![(agent_id, entry)]);
    }
    assert!(apply(&database, &batch));
    for (offset, found, has_more) in [(0, 500, true), (1, 500, false), (400, 101, false), (501, 0, false)] {
        let statement = agent_users::page(tenant(), agent_id, None, offset, 500);
        let rows = database.listed(&statement).expect("a page");
        let (texts, more) = page::cut(&rows, 500);
        assert_eq!((texts.len(), more), (found, has_more), "{offset}");
        let plan = database.plan(&statement.sql);
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN a") && !plan.contains("SCAN e"), "{plan}");
    }
}
