//! The work of one step is bounded, however much there is to do: a step does as much as its bound allows, and leaves what is
//! beyond it to the next one. docs/operating.md lists the bounds.

use std::cell::Cell;
use std::collections::BTreeSet;

use rollcall::clerk::people::{PersonLookup, signed_in};
use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::Cascade;
use rollcall::directory::identifiers::{BatchId, DeletionId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Capacity;
use rollcall::directory::timestamp::Timestamp;
use rollcall::fault::Fault;
use rollcall::input::{Fields, QueryFields};
use rollcall::organization::active_relationships;
use rollcall::organization::copies::SPREAD_MS;
use rollcall::organization::erasure;
use rollcall::organization::idempotency;
use rollcall::organization::limiter::{Limiter, OUT_AFTER_START_MS, Rate};
use rollcall::organization::protocol::{
    Admit, Answer, AuditPhase, AuditReport, Caller, Command, CreateEndUsers, DeleteEndUser, DeleteEndUsers, ListAgents,
    NewEndUser, PrincipalChange, Rejection, StartAudit, UpdatePrincipal,
};
use rollcall::organization::retention::KEPT_MS;
use rollcall::organization::sql::{Row, Sql};
use rollcall::organization::turns::KEPT_AFTER_EXPIRY_MS;
use rollcall::projection::{audit, flush};

use crate::audit::{Listing, Object, World, ready};
use crate::sqlite::Sqlite;
use crate::tenant::{self, START_MS};

fn id(number: usize) -> UserId {
    UserId::new(format!("user {number}")).expect("an id")
}

/// A world with so many users, of whom the listing knows nothing yet.
fn world(users: usize, metadata: &Metadata) -> World {
    let world = World::new(1);
    // The listing knows of the settings and the key.
    world.flush();
    let new = |number| NewEndUser { user_id: id(number), display_name: None, metadata: metadata.clone() };
    world.object.command(Command::CreateEndUsers(CreateEndUsers { users: (0..users).map(new).collect() }));
    world
}

/// A world with so many users, all of whom readers at the edge have looked for twice.
fn copied_world(users: usize) -> World {
    let world = world(users, &Metadata::default());
    for number in 0..users {
        world.object.begin_copy(&id(number));
    }
    world
}

/// The numbers from one to another, as a table `n` with a column `n`.
fn numbers(from: u32, to: u32) -> String {
    format!("WITH RECURSIVE n(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM n WHERE n < {to})")
}

fn count(storage: &Sqlite, table: &str) -> u64 {
    storage.count(&format!("SELECT count(*) FROM {table}"), &[]).expect("a count")
}

#[test]
fn a_batch_has_at_most_a_hundred_rows_of_the_log() {
    for (users, expected) in [(100, vec![100]), (101, vec![100, 1])] {
        let World { object, .. } = world(users, &Metadata::default());
        let mut found = Vec::new();
        for attempt in 0.. {
            let id = BatchId::new(object.now(), [attempt; 10]);
            let Some(batch) = object.transaction(|core, sql| core.next_batch(sql, id, object.now())) else { break };
            found.push(batch.changes.len());
            object.transaction(|core, sql| core.acknowledge(sql, batch.to.clone(), object.now()));
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_flush_has_at_most_eight_batches() {
    let world = world(801, &Metadata::default());
    let listed = || {
        ready(flush::listing(&world.object, &world.listing)).expect("a flush");
        count(&world.listing.0, "end_users")
    };
    assert_eq!([listed(), listed()], [800, 801]);
}

#[test]
fn copies_are_written_five_at_once_and_two_hundred_in_a_flush() {
    let world = copied_world(201);
    ready(flush::listing(&world.object, &world.listing)).expect("a flush");
    let due = world.object.transaction(|core, sql| core.due_copies(sql, world.object.now()));
    assert_eq!(due.len(), 25, "one of eight batches");
    let copied = || {
        ready(flush::copies(&world.object, &world.kv)).expect("a flush");
        world.kv.keys().len()
    };
    assert_eq!([copied(), copied()], [200, 201]);
    assert_eq!(world.kv.most_written.get(), 5);
}

#[test]
fn a_change_is_kept_for_thirty_days_and_a_sweep_takes_500() {
    // With the settings and the key. The newest change stays.
    let world = world(500, &Metadata::default());
    world.flush();
    let kept = |millis: i64| {
        world.pass(millis);
        count(&world.object.storage, "changes")
    };
    assert_eq!([kept(KEPT_MS - 1), kept(1), kept(1)], [502, 2, 1]);
}

#[test]
fn a_turn_is_kept_for_a_minute_after_its_expiry_and_a_sweep_takes_500() {
    let world = World::new(1);
    world.object.storage.execute(&format!(
        "{} INSERT INTO ledger (operation, state, expires_at, period_start, is_new_active)
         SELECT 'o' || n, 'reserved', {}, 0, 0 FROM n",
        numbers(1, 501),
        world.object.now().millis()
    ));
    let kept = |millis: i64| {
        world.pass(millis);
        count(&world.object.storage, "ledger")
    };
    assert_eq!([kept(KEPT_AFTER_EXPIRY_MS - 1), kept(1), kept(1)], [501, 1, 0]);
}

#[test]
fn an_answer_is_kept_for_a_day_and_a_sweep_takes_500() {
    let world = World::new(1);
    world.object.storage.execute(&format!(
        "{} INSERT INTO idempotency (digest, fingerprint, request_id, outcome, document, expires_at)
         SELECT 'd' || n, 'f', '', '', '', {} FROM n",
        numbers(1, 501),
        world.object.now().plus_ms(idempotency::KEPT_MS).millis()
    ));
    let kept = |millis: i64| {
        world.pass(millis);
        count(&world.object.storage, "idempotency")
    };
    assert_eq!([kept(idempotency::KEPT_MS - 1), kept(1), kept(1)], [501, 1, 0]);
}

/// Requests the erasure of the first so many users of a [`world`].
fn request_erasures(object: &Object, users: u8) {
    for number in 0..users {
        object.command(Command::DeleteEndUser(DeleteEndUser {
            user_id: id(number.into()),
            deletion_id: DeletionId::new(object.now(), [number; 10]),
            cascade: Cascade::All,
            reason: None,
            if_match: None,
        }));
    }
}

/// Takes a step of the purge, and returns whether there may be more.
fn purge(object: &Object) -> bool {
    object.transaction(|core, sql| core.purge(sql, object.now()))
}

#[test]
fn a_step_completes_at_most_a_hundred_erasures() {
    let World { object, listing, .. } = world(101, &Metadata::default());
    request_erasures(&object, 101);
    ready(flush::listing(&object, &listing)).expect("a flush");
    let purge = || {
        let has_more = purge(&object);
        (has_more, count(&object.storage, "deletions WHERE completed_at IS NOT NULL"))
    };
    assert_eq!([purge(), purge()], [(true, 100), (false, 101)]);
}

#[test]
fn a_purge_takes_at_most_a_thousand_steps() {
    let (steps, pauses) = (Cell::new(0), Cell::new(0));
    let step = || {
        steps.set(steps.get() + 1);
        Ok(true)
    };
    let pause = async || pauses.set(pauses.get() + 1);
    ready(erasure::purge_in_steps(step, pause)).expect("no step fails");
    assert_eq!((steps.get(), pauses.get()), (1_000, 1_000));
}

fn begin_audit(world: &World) {
    let settings = world.object.settings();
    world.object.command(Command::StartAudit(StartAudit { settings, is_repair: false }));
}

/// Takes a step of the audit, and returns whether there may be more.
fn step(world: &World) -> bool {
    ready(audit::step(&world.object, &world.listing, &world.kv)).expect("a step")
}

fn report(world: &World) -> AuditReport {
    world.object.transaction(|core, sql| core.report(sql, world.object.now())).expect("a report")
}

/// Takes steps of an audit up to this phase.
fn audit_until(world: &World, phase: AuditPhase) {
    begin_audit(world);
    while report(world).phase != Some(phase) {
        assert!(step(world), "the audit ends before {phase:?}");
    }
}

#[test]
fn a_step_of_an_audit_compares_at_most_a_hundred_users_and_keys() {
    let world = copied_world(101);
    world.flush();
    world.pass(2 * SPREAD_MS);
    audit_until(&world, AuditPhase::Users);
    let compared = || {
        step(&world);
        report(&world).users
    };
    assert_eq!([compared(), compared()], [100, 101]);
    assert_eq!(world.kv.most_read.get(), 100);
    audit_until(&world, AuditPhase::Cache);
    step(&world);
    assert_eq!(world.kv.most_listed.get(), 100);
}

/// A step takes no further user when its documents have 512 KiB.
#[test]
fn a_step_of_an_audit_compares_at_most_512_kib() {
    let metadata = format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024 - 8));
    let world = world(40, &Metadata::from_stored(metadata).expect("an object"));
    world.flush();
    audit_until(&world, AuditPhase::Users);
    step(&world);
    // A document has its 16 KiB of metadata, and a little more.
    assert_eq!(report(&world).users, 32);
}

#[test]
fn a_step_of_an_audit_reads_at_most_500_rows_of_the_listing() {
    let world = World::new(1);
    world.listing.0.execute(&format!(
        "{} INSERT INTO end_users SELECT '{}', 'nobody ' || n, 1, n, NULL, '{{}}', '{{}}' FROM n",
        numbers(1, 501),
        world.object.tenant
    ));
    audit_until(&world, AuditPhase::Listing);
    let left = || {
        step(&world);
        count(&world.listing.0, "end_users")
    };
    assert_eq!([left(), left()], [1, 0]);
}

#[test]
fn an_audit_runs_for_five_seconds() {
    let world = world(601, &Metadata::default());
    world.flush();
    audit_until(&world, AuditPhase::Users);
    let compared = || {
        // Each step takes a second.
        let flush = async || world.pass(1_000);
        ready(audit::run(&world.object, &world.listing, &world.kv, flush)).expect("steps");
        report(&world).users
    };
    assert_eq!([compared(), compared()], [500, 601]);
}

#[test]
fn an_audit_waits_for_the_flush_of_a_thousand_changes() {
    let world = world(999, &Metadata::default());
    begin_audit(&world);
    assert!(step(&world));
    world.create(&id(999));
    assert!(!step(&world), "a thousand changes are pending");
    world.flush();
    assert!(step(&world));
}

#[test]
fn an_object_audits_itself_once_a_day() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let world = world(1, &Metadata::default());
    world.flush();
    let is_audited_after = |millis: i64| {
        world.pass(millis);
        world.object.transaction(|core, _| Ok(core.is_audited()))
    };
    // The first one is due a day after the alarm first asks.
    assert_eq!([0, DAY_MS - 1, 1].map(is_audited_after), [false, false, true]);
    while step(&world) {}
    assert_eq!([0, DAY_MS - 1, 1].map(is_audited_after), [false, false, true]);
}

#[test]
fn a_list_counts_at_most_10000_agents() {
    let World { object, .. } = World::new(1);
    let total_with = |from: u32, to: u32| {
        object.storage.execute(&format!(
            "{} INSERT INTO agents SELECT n, printf('20000000-0000-7000-8000-%012d', n), NULL, NULL, 'agent', 'd', '{{}}',
               1, 1, 1, NULL FROM n",
            numbers(from, to)
        ));
        let list = Command::ListAgents(ListAgents { after: 0, offset: 0, limit: 1 });
        match object.send(Caller::Operator(None), None, list).outcome {
            Ok(Answer::ListAgents(page)) => page.total,
            other => panic!("{other:?}"),
        }
    };
    let totals = [total_with(1, 9_999), total_with(10_000, 10_000), total_with(10_001, 10_001)];
    assert_eq!(totals, [9_999, 10_000, 10_000]);
}

/// Makes agents with relationships to a user, or owned by one, without the calls that make them.
fn insert_agents(storage: &Sqlite, numbers: &str, owner: Option<i64>) {
    let owner = owner.map_or("NULL".to_owned(), |owner| owner.to_string());
    storage.execute(&format!(
        "{numbers} INSERT INTO agents SELECT 1000000 + n, printf('20000000-0000-7000-8000-%012d', n), NULL, NULL, 'agent',
           'd', '{{}}', 1, 1, 1, {owner} FROM n"
    ));
}

fn insert_relationships(storage: &Sqlite, numbers: &str, user: i64) {
    storage.execute(&format!(
        "{numbers} INSERT INTO relationships (number, relationship_id, user, agent, role, turns, created_at)
         SELECT {user} * 1000000 + n, printf('2%07d-0000-7000-8000-%012d', {user}, n), {user}, 1000000 + n, 'user', 0, 1
         FROM n"
    ));
}

fn agent(number: u32) -> AgentId {
    format!("20000000-0000-7000-8000-{number:012}").parse().expect("an id")
}

fn number_of(object: &Object, user_id: &UserId) -> i64 {
    let select = "SELECT number FROM users WHERE user_id = ?";
    let found = object.storage.find(select, &[user_id.as_str().into()], Row::integer);
    found.expect("an answer").expect("a user")
}

/// The refusal of a turn of a user with an agent.
fn turn(object: &Object, user_id: &UserId, agent: AgentId) -> Option<Rejection> {
    let turn = tenant::turn(AgentRef::Id(agent), user_id.clone(), object.relationship_id());
    object.send(Caller::Operator(None), None, turn).outcome.err()
}

#[test]
fn a_user_has_at_most_5000_relationships() {
    let World { object, .. } = world(2, &Metadata::default());
    let user = number_of(&object, &id(0));
    insert_agents(&object.storage, &numbers(1, 5_001), None);
    insert_relationships(&object.storage, &numbers(1, 4_999), user);
    assert_eq!(turn(&object, &id(0), agent(5_000)), None);
    let refusal = Some(Rejection::OverCapacity(Capacity::RelationshipsOfUser));
    assert_eq!(turn(&object, &id(0), agent(5_001)), refusal);
    assert_eq!(turn(&object, &id(0), agent(1)), None, "an old relationship goes on");
    assert_eq!(turn(&object, &id(1), agent(5_001)), None, "and so does another user");
}

#[test]
fn a_human_owns_at_most_5000_agents() {
    let World { object, .. } = world(2, &Metadata::default());
    insert_agents(&object.storage, &numbers(1, 4_999), Some(number_of(&object, &id(0))));
    insert_agents(&object.storage, &numbers(5_000, 5_001), None);
    let principal = |user: usize| {
        let select = "SELECT principal_id FROM users WHERE user_id = ?";
        let found = object.storage.find(select, &[id(user).as_str().into()], |row| row.parsed("principal id"));
        found.expect("an answer").expect("a user")
    };
    let own = |number: u32, user: usize| {
        let change = PrincipalChange { name: None, metadata: None, owner: Some(Some(principal(user))) };
        let update = UpdatePrincipal { id: agent(number), change, if_match: None };
        object.send(Caller::Operator(None), None, Command::UpdatePrincipal(update)).outcome.err()
    };
    assert_eq!(own(5_000, 0), None);
    assert_eq!(own(5_001, 0), Some(Rejection::OverCapacity(Capacity::AgentsOfOwner)));
    assert_eq!([own(1, 0), own(5_001, 1)], [None, None], "who owns an agent goes on to, and so may another human");
}

/// Each agent changes when its owner is erased. One owner may have all of them; two may not have more.
#[test]
fn one_request_erases_the_owners_of_at_most_5000_agents() {
    let World { object, .. } = world(2, &Metadata::default());
    insert_agents(&object.storage, &numbers(1, 4_999), Some(number_of(&object, &id(0))));
    insert_agents(&object.storage, &numbers(5_000, 5_001), Some(number_of(&object, &id(1))));
    let erase = |users: Vec<UserId>| {
        let first_deletion_id = DeletionId::new(Timestamp::from_millis(START_MS), [9; 10]);
        let delete = DeleteEndUsers { user_ids: users, first_deletion_id, reason: None };
        object.send(Caller::Operator(None), None, Command::DeleteEndUsers(delete)).outcome
    };
    let refused = erase(vec![id(0), id(1)]);
    assert!(matches!(&refused, Err(Rejection::Invalid { field, .. }) if field == "user_ids"), "{refused:?}");
    let owned = || object.storage.count("SELECT count(*) FROM agents WHERE owner IS NOT NULL", &[]).expect("a count");
    assert_eq!(owned(), 5_001, "nothing is half done");
    let erased = erase(vec![id(0), id(0), UserId::new("nobody").expect("an id")]);
    let Ok(Answer::DeleteEndUsers(erasures)) = erased else { panic!("{erased:?}") };
    assert!(erasures[0].is_some() && erasures[0] == erasures[1] && erasures[2].is_none(), "{erasures:?}");
    assert_eq!(owned(), 2);
}

/// A step completes no further erasure when the persons have a thousand relationships.
#[test]
fn a_step_erases_a_thousand_relationships_and_those_of_one_more_person() {
    let World { object, listing, .. } = world(3, &Metadata::default());
    insert_agents(&object.storage, &numbers(1, 999), None);
    for number in 0..3 {
        insert_relationships(&object.storage, &numbers(1, 999), number_of(&object, &id(number)));
    }
    request_erasures(&object, 3);
    ready(flush::listing(&object, &listing)).expect("a flush");
    let purge = || {
        let has_more = purge(&object);
        (has_more, count(&object.storage, "relationships"))
    };
    assert_eq!([purge(), purge()], [(true, 999), (false, 0)]);
}

#[test]
fn a_relationship_is_in_the_set_of_the_active_for_100_days_and_a_sweep_takes_500() {
    let world = World::new(1);
    world.object.storage.execute(&format!(
        "{} INSERT INTO active_relationships SELECT {}, n, n FROM n",
        numbers(1, 501),
        world.object.now().millis()
    ));
    let kept = |millis: i64| {
        world.pass(millis);
        count(&world.object.storage, "active_relationships")
    };
    assert_eq!([kept(active_relationships::KEPT_MS - 1), kept(1), kept(1)], [501, 1, 0]);
}

/// A key that the object does not remember costs a read of its row.
#[test]
fn an_object_remembers_at_most_64_keys() {
    let World { object, .. } = World::new(1);
    let issue = |number: u8| object.command(tenant::issue(object.settings(), number));
    let keys: Vec<u8> = (100..165).collect();
    for number in &keys {
        issue(*number);
    }
    let is_read = |number: &&u8| {
        *object.storage.recorded.borrow_mut() = Some(BTreeSet::new());
        let caller = tenant::holder(object.tenant, **number, Scope::Read);
        object.send(caller, None, Command::Admit(Admit)).outcome.expect("the key is good");
        let ran = object.storage.recorded.borrow_mut().take().unwrap_or_default();
        ran.iter().any(|statement| statement.contains("FROM keys WHERE digest"))
    };
    let reads = |keys: &[u8]| keys.iter().filter(is_read).count();
    assert_eq!([reads(&keys[..64]), reads(&keys[..64])], [64, 0]);
    assert!(reads(&keys) > 0, "the last one is new");
    assert!(reads(&keys) > 0, "and another one has made room for it");
}

/// A lease has a twentieth of the bucket, all of them have half of it, and no more than 64 are out. None outlasts 5 s.
#[test]
fn leases_are_few_small_and_short() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let storage = || {
        let sql = Sqlite::new();
        sql.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID");
        sql
    };
    let sql = storage();
    let mut limiter = Limiter::load(&sql, Rate::new(1, 1_000), now).expect("a limiter");
    let mut lease = || limiter.lease(&sql, now, 1_000, OUT_AFTER_START_MS).expect("an answer");
    let given: Vec<u32> = (0..11).map(|_| lease()).collect();
    assert_eq!(given, [[50; 10].as_slice(), &[0]].concat());

    let sql = storage();
    let mut limiter = Limiter::load(&sql, Rate::new(1, 1_000_000), now).expect("a limiter");
    let mut lease = |after_ms: i64| limiter.lease(&sql, now.plus_ms(after_ms), 1, 60_000).expect("an answer");
    let given: u32 = (0..65).map(|_| lease(0)).sum();
    assert_eq!((given, lease(OUT_AFTER_START_MS - 1), lease(OUT_AFTER_START_MS)), (64, 0, 1));
}

#[test]
fn a_person_is_told_of_at_most_500_organizations() {
    let listing = Listing(Sqlite::listing());
    listing.0.execute(&format!(
        "INSERT INTO people VALUES ('ada', NULL, 1, 0);
         {} INSERT INTO clerk_organizations SELECT printf('org_%03d', n), 'O', NULL, 0, 1, 0, 1 FROM n;
         INSERT INTO memberships SELECT 'm' || id, id, 'ada', 'org:member', 1, 1, 0 FROM clerk_organizations;",
        numbers(1, 501)
    ));
    let told = || match ready(signed_in(&listing, "ada")).expect("an answer").0 {
        PersonLookup::Known(person) => person.orgs.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(), 500);
    listing.0.execute("DELETE FROM memberships WHERE id = 'morg_501'");
    assert_eq!(told(), 500, "all of them");
}

#[test]
fn a_query_has_at_most_32_parameters() {
    let query = |count: usize| (0..count).map(|number| format!("p{number}=1")).collect::<Vec<_>>().join("&");
    assert!(QueryFields::parse(&query(32)).is_ok());
    assert!(matches!(QueryFields::parse(&query(33)), Err(Fault::Malformed(_))));
}

/// A refusal does not grow with the request: it names 50 unknown fields, and repeats values of 256 bytes.
#[test]
fn a_refusal_repeats_little_of_the_request() {
    let refused = |members: &[String]| {
        let body = format!("{{{}}}", members.join(","));
        match Fields::of_body(body.as_bytes()).expect("an object").finish() {
            Err(Fault::Invalid(faults)) => faults,
            other => panic!("{other:?}"),
        }
    };
    let named = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!("\"f{number}\":1")).collect();
        refused(&members).len()
    };
    assert_eq!([named(50), named(51)], [50, 50]);
    // A string has two quotes.
    let repeated = |bytes: usize| refused(&[format!("\"f\":\"{}\"", "x".repeat(bytes - 2))])[0].value.is_some();
    assert_eq!([repeated(256), repeated(257)], [true, false]);
}
