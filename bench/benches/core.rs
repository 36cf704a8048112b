//! The core by itself, natively: what the platform adds is measured by `cargo bench-edge`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hint::black_box;

use bench::sqlite::Sqlite;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rollcall::directory::api_key::{ApiKey, KeyKind, KeyPrefix, Scope};
use rollcall::directory::cursor::{self, Binding};
use rollcall::directory::identifiers::{BatchId, KeyId, Mode, OrganizationId, RequestId, Tenant};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::mood::HALF_LIFE_MS_DEFAULT;
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::secret::{KeyRing, Secret};
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::limiter::{Rate, Tat};
use rollcall::organization::protocol::{
    Admit, Call, Caller, Command, IssueKey, KeyRecord, NewEndUser, Reply, Settings,
};
use rollcall::projection::listing::batches::Application;
use rollcall::projection::listing::pages::{Direction, Query, Range};
use rusqlite::Connection;

const START_MS: i64 = 1_700_000_000_000;
const LISTED: usize = 2_000;

/// A database with the listing's migrations.
fn listing() -> Connection {
    let connection = Connection::open_in_memory().expect("SQLite");
    let folder = xtask::root().join("migrations");
    let files = std::fs::read_dir(folder).expect("the migrations").map(|file| file.expect("a migration").path());
    for file in files.collect::<BTreeSet<_>>() {
        connection.execute_batch(&std::fs::read_to_string(file).expect("a migration")).expect("tables");
    }
    connection
}

/// An object with a key, and what its users are listed in.
struct Object {
    sql: Sqlite,
    listing: Sqlite,
    tenant: Tenant,
    ring: KeyRing,
    key: ApiKey,
    text: String,
    core: RefCell<(OrganizationCore, i64)>,
}

impl Object {
    fn new() -> Self {
        let tenant =
            Tenant { organization: OrganizationId::new(Timestamp::from_millis(START_MS), [3; 10]), mode: Mode::Live };
        let secret = || Secret::new("s".repeat(32)).expect("a secret");
        let minted = ApiKey::mint(&KeyPrefix::default(), tenant, [7; 32], &secret());
        let text = minted.reveal().to_owned();
        let ring = KeyRing { current: secret(), previous: None };
        let key = ApiKey::parse(&text, &ring).expect("a key");
        let core = RefCell::new((OrganizationCore::new(HALF_LIFE_MS_DEFAULT), START_MS));
        let object = Self { sql: Sqlite::new(), listing: Sqlite::over(listing()), tenant, ring, key, text, core };
        let limits = Limits { requests_per_second: 1_000_000, burst: 10_000_000, ..Limits::default() };
        let settings = Settings { tenant, version: 1, limits, anchor: Timestamp::from_millis(START_MS), record: None };
        let record = KeyRecord {
            key_id: KeyId::new(Timestamp::from_millis(START_MS), [1; 10]),
            kind: KeyKind::Api,
            scope: Scope::ReadWrite,
            prefix: KeyPrefix::default(),
            name: Name::new("bench").expect("a name"),
            created_at: Timestamp::from_millis(START_MS),
            expires_at: None,
            revoked_at: None,
            last_used_on: None,
        };
        object.call(
            Caller::Operator(None),
            Command::IssueKey(IssueKey { settings, digest: object.key.digest(), key: record }),
        );
        for number in 0..LISTED {
            object.call(Caller::Operator(None), Command::CreateEndUser(new_user(number)));
        }
        object.list();
        object
    }

    fn caller(&self) -> Caller {
        Caller::Key { digest: self.key.digest(), kind: KeyKind::Api, scope: Scope::ReadWrite, cost: 1 }
    }

    fn call(&self, caller: Caller, command: Command) -> Reply {
        let (core, now_ms) = &mut *self.core.borrow_mut();
        *now_ms += 1;
        let now = Timestamp::from_millis(*now_ms);
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        let call = Call {
            request_id: RequestId::new(now, random),
            repeated: false,
            caller,
            idempotency: None,
            edge: None,
            command,
        };
        self.sql.transaction(|sql| core.handle(sql, call, now)).expect("a reply")
    }

    fn list(&self) {
        let (core, now_ms) = &mut *self.core.borrow_mut();
        let now = Timestamp::from_millis(*now_ms);
        loop {
            let mut random = [0; 10];
            fastrand::fill(&mut random);
            let id = BatchId::new(now, random);
            let batch = self.sql.transaction(|sql| core.next_batch(sql, id, now)).expect("a batch");
            let Some(batch) = batch else { return };
            self.listing.batch(&Application::new(&batch).expect("JSON").statements()).expect("applied");
            let acknowledge = |sql: &Sqlite| core.acknowledge(sql, batch.to.clone(), now);
            self.sql.transaction(acknowledge).expect("acknowledged");
        }
    }
}

fn new_user(number: usize) -> NewEndUser {
    NewEndUser {
        user_id: UserId::new(format!("user-{number:09}")).expect("an id"),
        display_name: Some(Name::new("Ada Lovelace").expect("a name")),
        metadata: Metadata::new(serde_json::from_str(r#"{"plan":"pro","seats":3}"#).expect("JSON")).expect("metadata"),
    }
}

fn core(criterion: &mut Criterion) {
    let rate = Rate::new(100, 1_000);
    let (mut tat, mut now) = (Tat::default(), START_MS * 1_000);
    criterion.bench_function("a step of the bucket", |bencher| {
        bencher.iter(|| {
            now += 10_000;
            black_box(rate.take(&mut tat, now, 1))
        });
    });

    let object = Object::new();
    criterion.bench_function("a key's tag checked", |bencher| {
        bencher.iter(|| black_box(ApiKey::parse(black_box(&object.text), &object.ring)));
    });
    criterion.bench_function("a key's digest", |bencher| bencher.iter(|| black_box(object.key.digest())));
    let binding = Binding::new(&[&object.tenant.to_string(), "end-users", "asc", "user_id", ""]);
    criterion.bench_function("a cursor written and read", |bencher| {
        bencher.iter(|| {
            let cursor = cursor::encode("user-000000001", &binding, &object.ring);
            black_box(cursor::decode(&cursor, &binding, &object.ring))
        });
    });
    criterion.bench_function("a call that is only let in", |bencher| {
        bencher.iter(|| black_box(object.call(object.caller(), Command::Admit(Admit))));
    });
    let mut number = LISTED;
    criterion.bench_function("a user made in the object", |bencher| {
        let next = || {
            number += 1;
            (object.caller(), Command::CreateEndUser(new_user(number)))
        };
        bencher.iter_batched(next, |(caller, command)| black_box(object.call(caller, command)), BatchSize::SmallInput);
    });
    criterion.bench_function("a page of 500 users read", |bencher| {
        let query = Query { direction: Direction::Ascending, range: Range::UserId { prefix: None } };
        let page = query.page(object.tenant, None, 500);
        bencher.iter(|| {
            let rows = object.listing.listed(&page.statement()).expect("a page");
            black_box(page.read(&rows).expect("documents").0.len())
        });
    });
}

criterion_group!(benches, core);
criterion_main!(benches);
