//! The mirror of Clerk: it reaches the same rows in any order of events, with any number of repetitions.

use std::collections::BTreeSet;

use rollcall::clerk::event;
use rollcall::clerk::mirror::{ClerkMembership, ClerkOrganization, ClerkPerson, Event};
use rollcall::organization::sql::SqlValue;
use rollcall::projection::Statement;

use crate::clerk::{self, History};
use crate::sqlite::Sqlite;

/// Seeds of every run. Each seed makes `DELIVERIES` deliveries.
const SEEDS: u64 = 4;
const DELIVERIES: usize = 10_000;

/// Faults that the mirror must never show, whatever has arrived: member counts that differ from the number of
/// memberships, and people with two memberships.
const INCONSISTENCIES: &str = "
    SELECT o.id || ' counts ' || o.member_count AS text FROM clerk_organizations o
    WHERE o.member_count <> (
      SELECT count(*) FROM memberships m WHERE m.organization_id = o.id AND m.deleted = 0)
    UNION ALL
    SELECT person_id || ' belongs twice to ' || organization_id FROM memberships WHERE deleted = 0
    GROUP BY person_id, organization_id HAVING count(*) > 1";

fn parse(body: &str) -> Event {
    event::parse(body.as_bytes()).expect("an event").expect("an event that is mirrored")
}

fn apply(database: &Sqlite, event: &Event) {
    database.batch(&event.statements()).expect("a batch");
}

fn texts(database: &Sqlite, sql: &'static str, parameters: Vec<&'static str>) -> BTreeSet<String> {
    let parameters = parameters.into_iter().map(Into::into).collect();
    database.texts(&Statement { sql: sql.into(), parameters }).expect("rows").into_iter().collect()
}

fn rows(database: &Sqlite) -> BTreeSet<String> {
    texts(database, clerk::ROWS, vec!["_"])
}

/// Delivers a history in random order through statements that the test may have changed, and returns the first
/// fault.
fn deliver(seed: u64, steps: usize, deliveries: usize, tamper: impl Fn(&str) -> String) -> Result<(), String> {
    let database = Sqlite::listing();
    let mut history = History::new("h", seed, steps);
    for (index, body) in history.deliveries(deliveries).iter().enumerate() {
        let event = parse(body);
        let mut statements = event.statements();
        for statement in &mut statements {
            statement.sql = tamper(&statement.sql).into();
        }
        database.batch(&statements).unwrap_or_else(|error| panic!("{body}: {error}"));
        if index % (deliveries / 50) == 0 {
            let wrong = texts(&database, INCONSISTENCIES, vec![]);
            if !wrong.is_empty() {
                return Err(format!("after {index} deliveries: {wrong:?}"));
            }
        }
    }
    let (found, expected) = (rows(&database), history.rows());
    let difference: Vec<_> = found.symmetric_difference(&expected).collect();
    if difference.is_empty() { Ok(()) } else { Err(format!("{difference:#?}")) }
}

#[test]
fn any_order_and_repetition_ends_in_the_same_rows() {
    let replay = std::env::var("ROLLCALL_SEED").ok().map(|text| text.parse().expect("ROLLCALL_SEED is a number"));
    let first = replay.unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    for seed in first..first + if replay.is_some() { 1 } else { SEEDS } {
        println!("ROLLCALL_SEED={seed}");
        if let Err(difference) = deliver(seed, 5_000, DELIVERIES, str::to_owned) {
            panic!("{difference}\nreplay: ROLLCALL_SEED={seed} cargo test --test core mirror");
        }
    }
}

/// Removes the guards one at a time, and shows that the test fails each time.
#[test]
fn no_guard_can_be_left_out() {
    let guards = [
        ("deleted = 0 AND (?3, coalesce(?2, ''))", "(?3, coalesce(?2, ''))"),
        ("(?3, coalesce(?2, '')) > (updated_at, coalesce(email, ''))", "?3 || coalesce(?2, '') <> ''"),
        ("WHERE people.updated_at = -1", ""),
        ("email = NULL, updated_at = 0, deleted = 1", "deleted = 1"),
        ("DELETE FROM memberships WHERE person_id = ?1", "DELETE FROM memberships WHERE '' = ?1"),
        ("count(*) FROM memberships WHERE person_id = ?1", "0 * count(*) FROM memberships WHERE person_id = ?1"),
        ("(SELECT count(*) FROM memberships WHERE organization_id = ?1) END", "0 END"),
        ("WHERE clerk_organizations.deleted = 0", "WHERE TRUE"),
        ("> (clerk_organizations.updated_at,", "> (0,"),
        ("DELETE FROM memberships WHERE organization_id = ?1", "DELETE FROM memberships WHERE '' = ?1"),
        (
            "member_count = member_count - (\n      SELECT count(*) FROM memberships WHERE person_id = ?2",
            "member_count = member_count - (\n      SELECT 0 * count(*) FROM memberships WHERE person_id = ?2",
        ),
        ("WHERE NOT EXISTS (SELECT 1 FROM people WHERE id = ?3 AND deleted = 1)", "WHERE TRUE"),
        ("AND NOT EXISTS (SELECT 1 FROM clerk_organizations WHERE id = ?2 AND deleted = 1)", ""),
        ("WHERE memberships.deleted = 0 AND", "WHERE"),
        ("> (memberships.updated_at,", "> (0,"),
        ("AND id <> (", "AND id = 'nobody' AND id <> ("),
        ("created_at DESC, id DESC", "id DESC"),
        ("member_count = member_count - 1", "member_count = member_count"),
    ];
    for (guard, replacement) in guards {
        let tampered = std::cell::Cell::new(false);
        let tamper = |sql: &str| {
            tampered.set(tampered.get() || sql.contains(guard));
            sql.replace(guard, replacement)
        };
        let noticed = (0..20).any(|seed| deliver(seed, 400, 800, tamper).is_err());
        assert!(tampered.get(), "{guard} stands in no statement");
        assert!(noticed, "without {guard} nothing is noticed");
    }
    for seed in 0..20 {
        assert_eq!(deliver(seed, 400, 800, str::to_owned), Ok(()), "seed {seed}");
    }
}

fn permutations<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let rest = |index: usize| [&of[..index], &of[index + 1..]].concat();
    let each = |index: usize| {
        let first = of[index].clone();
        permutations(&rest(index)).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
    };
    (0..of.len()).flat_map(each).collect()
}

/// Of two changes in one millisecond an arbitrary one wins, but always the same one.
#[test]
fn a_tie_is_settled_by_the_content() {
    let person = |email: Option<&str>, updated_at| {
        Event::Person(ClerkPerson { id: "u".into(), email: email.map(str::to_owned), updated_at })
    };
    let organization = |name: &str, slug: Option<&str>, created_at| {
        let (name, slug) = (name.to_owned(), slug.map(str::to_owned));
        Event::Organization(ClerkOrganization { id: "o".into(), name, slug, created_at, updated_at: 5 })
    };
    let membership = |role: &str, created_at| {
        let (id, organization_id, person_id) = ("m".into(), "o".into(), "u".into());
        let role = role.to_owned();
        Event::Membership(ClerkMembership { id, organization_id, person_id, role, created_at, updated_at: 5 }, None)
    };
    let ties = [
        vec![person(Some("long@example.org"), 5), person(Some(" "), 5), person(None, 5), person(Some("z"), 4)],
        vec![
            organization("a", Some("a"), 1),
            organization("a", None, 1),
            organization("b", None, 1),
            organization("b", None, 2),
        ],
        vec![membership("a", 1), membership("a", 2), membership("b", 1), organization("o", None, 1)],
    ];
    for events in ties {
        let ends: BTreeSet<_> = permutations(&events)
            .iter()
            .map(|events| {
                let database = Sqlite::listing();
                for event in events {
                    apply(&database, event);
                }
                texts(&database, clerk::ROWS, vec![""])
            })
            .collect();
        assert_eq!(ends.len(), 1, "{ends:#?}");
    }
}

/// The cost of an event does not grow with the organization.
#[test]
fn an_event_in_a_large_organization_costs_what_it_does_in_a_small_one() {
    let database = Sqlite::listing();
    let organization = |updated_at| {
        let (name, created_at) = ("Large".to_owned(), 1);
        ClerkOrganization { id: "org_large".into(), name, slug: None, created_at, updated_at }
    };
    let membership = |number: u32, updated_at| ClerkMembership {
        id: format!("orgmem_{number}"),
        organization_id: "org_large".into(),
        person_id: format!("user_{number}"),
        role: "org:member".into(),
        created_at: 1,
        updated_at,
    };
    let person = |number: u32, updated_at| {
        Event::Person(ClerkPerson { id: format!("user_{number}"), email: Some("a@example.org".into()), updated_at })
    };
    apply(&database, &Event::Organization(organization(1)));
    for number in 0..10_000 {
        apply(&database, &Event::Membership(membership(number, 1), None));
    }
    for event in [
        person(1, 1),
        person(1, 2),
        Event::Organization(organization(2)),
        Event::Organization(organization(2)),
        Event::Membership(membership(2, 2), Some(organization(3))),
        Event::Membership(membership(2, 2), None),
        Event::Membership(membership(10_000, 1), None),
        Event::MembershipDeleted { id: "orgmem_3".into() },
        Event::MembershipDeleted { id: "orgmem_3".into() },
        Event::PersonDeleted { id: "user_4".into() },
    ] {
        let steps = database.steps(&event.statements());
        assert!(steps < 1_000, "{event:?} takes {steps} steps");
    }
    let count = |database: &Sqlite| {
        database.rows("SELECT member_count FROM clerk_organizations", &[]).expect("the organization")
    };
    assert_eq!(count(&database), [[SqlValue::Integer(9_999)]]);
    apply(&database, &Event::OrganizationDeleted { id: "org_large".into() });
    assert_eq!(count(&database), [[SqlValue::Integer(0)]]);
    // One tombstone is left, and no row of the other 9,999.
    let left: BTreeSet<_> = [r#"["membership","orgmem_3","","","",0,0,1]"#.to_owned()].into();
    let memberships = rows(&database).into_iter().filter(|row| row.starts_with("[\"membership"));
    assert_eq!(memberships.collect::<BTreeSet<_>>(), left);
}
