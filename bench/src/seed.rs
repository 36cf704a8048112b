//! Makes a large organization in seconds, while its contender is stopped.
//!
//! Rollcall's core makes Rollcall's users. It runs natively on the object's file, and its own statements list the
//! users in D1's file, so the shipped code writes all of the data. Another build of Rollcall gets its users from
//! this core too, so it must store the same formats. The twin and the floor have no core, so SQL fills their
//! tables.

use std::fs;
use std::path::{Path, PathBuf};

use rollcall::directory::agent::AgentRef;
use rollcall::directory::identifiers::{BatchId, RelationshipId, RequestId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::mood::{Affect, HALF_LIFE_MS_DEFAULT, Level};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{Call, Caller, Command, CreateEndUsers, NewEndUser, NewTurn, TurnAnswer};
use rollcall::projection::listing::batches::Application;
use rusqlite::Connection;
use serde_json::json;
use xtask::Result;

use crate::contender::{Artefact, Contender};
use crate::setup::Directory;
use crate::sqlite::Sqlite;

/// Users made in one command.
const ROWS_AT_ONCE: usize = 500;

const SEED_USER: &str = "INSERT INTO end_users
    (organization_id, mode, user_id, principal_id, display_name, metadata, created_at, updated_at)
    VALUES (?1, 'live', ?2, ?3, 'Ada Lovelace', ?4, '2026-01-31T09:30:00.000Z', '2026-01-31T09:30:00.000Z')";
const SEED_AGENT_USER: &str = "INSERT INTO agent_users
    (organization_id, mode, agent_id, user_id, relationship_id, turns, created_at, last_interaction_at,
     valence, arousal, tension, affiliation, baseline_valence, baseline_arousal, baseline_tension, baseline_affiliation,
     mood_created_at, mood_updated_at, mood_decayed_at, mood_interaction_at)
    VALUES (?1, 'live', ?2, ?3, '01KG8S3V7R0000000000000000', 1, '2026-01-31T09:30:00.000Z', '2026-01-31T09:30:00.000Z',
     0.7, -0.3, 0.1, 0.9, 0, 0, 0, 0,
     '2026-01-31T09:30:00.000Z', '2026-01-31T09:30:00.000Z', '2026-01-31T09:30:00.000Z', '2026-01-31T09:30:00.000Z')";

/// The id of a seeded user. Ids follow the order of the numbers, and sort after all other ids.
pub fn user_id(number: usize) -> String {
    format!("user-{number:08}")
}

fn metadata(number: usize) -> String {
    json!({ "plan": "pro", "seats": 3, "email": format!("{number}@example.com") }).to_string()
}

/// Makes the tables of a contender after its first start.
pub fn schema(artefact: &Artefact, state: &Path) -> Result<()> {
    let connection = Connection::open(listing_file(state)?)?;
    for file in &artefact.schema {
        connection.execute_batch(&fs::read_to_string(file)?)?;
    }
    Ok(())
}

/// Gives an organization this many users, and its agent a relationship with each. With 0 it leaves the object as its own
/// build has made it.
pub fn users(contender: &Contender, state: &Path, directory: &Directory, count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    match contender {
        Contender::Rollcall | Contender::Build { .. } => rollcall(state, directory, count),
        Contender::Twin | Contender::Floor => tables(state, directory, count),
    }
}

fn open(file: &Path) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

fn listing_file(state: &Path) -> Result<PathBuf> {
    let files = databases(&state.join("d1/miniflare-D1DatabaseObject"))?;
    files.into_iter().next().ok_or_else(|| "D1 has no file".into())
}

fn databases(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".sqlite") && name != "metadata.sqlite" {
            files.push(path);
        }
    }
    Ok(files)
}

/// The file of an organization's object in mode live.
fn object_file(state: &Path, organization_id: &str) -> Result<PathBuf> {
    for file in databases(&state.join("do/contender-Organization"))? {
        let connection = Connection::open(&file)?;
        let found = connection.query_row("SELECT organization_id, mode FROM settings", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        if found.is_ok_and(|(id, mode)| id == organization_id && mode == "live") {
            return Ok(file);
        }
    }
    Err(format!("no object of organization {organization_id}").into())
}

struct Clock {
    now_ms: i64,
}

impl Clock {
    fn now() -> Result<Self> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Self { now_ms: i64::try_from(since.as_millis())? })
    }

    fn tick(&mut self) -> (Timestamp, [u8; 10]) {
        self.now_ms += 1;
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        (Timestamp::from_millis(self.now_ms), random)
    }
}

fn rollcall(state: &Path, directory: &Directory, count: usize) -> Result<()> {
    let object_file = object_file(state, &directory.organization_id)?;
    let object = Sqlite::over(open(&object_file)?);
    let listing = Sqlite::over(open(&listing_file(state)?)?);
    let mut organization = OrganizationCore::new(HALF_LIFE_MS_DEFAULT);
    // The clock starts in the past, so that the serving runtime's clock is ahead of it.
    let mut clock = Clock { now_ms: Clock::now()?.now_ms - 86_400_000 };
    let mut handle = |organization: &mut OrganizationCore, command, id: Option<RequestId>| {
        let (now, random) = clock.tick();
        let request_id = id.unwrap_or_else(|| RequestId::new(now, random));
        let call = Call {
            request_id,
            repeated: false,
            caller: Caller::Operator(None),
            idempotency: None,
            edge: None,
            command,
        };
        object.transaction(|sql| organization.handle(sql, call, now)).map(|reply| (request_id, reply))
    };
    for first in (0..count).step_by(ROWS_AT_ONCE) {
        let numbers = first..count.min(first + ROWS_AT_ONCE);
        let users = numbers.map(new_user).collect::<Result<Vec<_>>>()?;
        handle(&mut organization, Command::CreateEndUsers(CreateEndUsers { users }), None)?;
    }
    // A turn makes the first relationship. The others are copies of it.
    let (now, random) = Clock::now()?.tick();
    let turn = NewTurn {
        agent: AgentRef::new(directory.agent_id.clone()).map_err(|refusal| refusal.0)?,
        user_id: Some(UserId::new(user_id(0)).map_err(|refusal| refusal.0)?),
        is_stateful: true,
        relationship_id: RelationshipId::new(now, random),
        expires_in_ms: 60_000,
    };
    let (request_id, _) = handle(&mut organization, Command::ReserveTurn(turn), None)?;
    let affect = Affect {
        valence: Level::from_millionths(700_000),
        arousal: Level::from_millionths(-300_000),
        tension: Some(Level::from_millionths(100_000)),
        affiliation: Some(Level::from_millionths(900_000)),
    };
    let answer = TurnAnswer {
        response: "Hello".to_owned(),
        state: None,
        affect: Some(affect),
        provider: "bench".to_owned(),
        model: "bench".to_owned(),
        latency_ms: 1,
    };
    handle(&mut organization, Command::CommitTurn(answer), Some(request_id))?;
    relate(&object_file)?;
    // The relationships were written without the core, so a new core reads them.
    let mut organization = OrganizationCore::new(HALF_LIFE_MS_DEFAULT);
    loop {
        let (now, random) = clock.tick();
        let id = BatchId::new(now, random);
        let batch = object.transaction(|sql| organization.next_batch(sql, id, now))?;
        let Some(batch) = batch else { break };
        let application = Application::new(&batch).map_err(|error| error.to_string())?;
        if listing.batch(&application.statements())?.first() != Some(&1) {
            return Err("the listing did not take a batch".into());
        }
        object.transaction(|sql| organization.acknowledge(sql, batch.to, now))?;
    }
    // KV holds a user only after readers at the edge have asked for them.
    Ok(())
}

fn new_user(number: usize) -> Result<NewEndUser> {
    let metadata = metadata(number);
    Ok(NewEndUser {
        user_id: UserId::new(user_id(number)).map_err(|refusal| refusal.0)?,
        display_name: Some(Name::new("Ada Lovelace".to_owned()).map_err(|refusal| refusal.0)?),
        metadata: Metadata::new(serde_json::from_str(&metadata)?).map_err(|refusal| refusal.0)?,
    })
}

/// Gives every user without a relationship one, and has the listing bring the relationships of everyone up to date.
fn relate(object_file: &Path) -> Result<()> {
    let mut connection = open(object_file)?;
    let transaction = connection.transaction()?;
    {
        let mut others = transaction.prepare("SELECT number FROM users EXCEPT SELECT user FROM relationships")?;
        let others = others.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut relate = transaction.prepare(
            "INSERT INTO relationships
             (relationship_id, user, agent, role, turns, created_at, last_interaction_at, mood)
             SELECT ?1, ?2, agent, role, turns, created_at, last_interaction_at, mood FROM relationships
             ORDER BY number LIMIT 1",
        )?;
        for number in others {
            let mut random = [0; 10];
            fastrand::fill(&mut random);
            relate.execute((RelationshipId::new(Timestamp::from_millis(number), random).to_string(), number))?;
        }
        transaction.execute("UPDATE changes SET with_relationships = 1 WHERE user IS NOT NULL", [])?;
    }
    Ok(transaction.commit()?)
}

/// Fills the twin's tables, which the floor uses too.
fn tables(state: &Path, directory: &Directory, count: usize) -> Result<()> {
    let mut connection = open(&listing_file(state)?)?;
    let transaction = connection.transaction()?;
    {
        let mut user = transaction.prepare(SEED_USER)?;
        let mut relationship = transaction.prepare(SEED_AGENT_USER)?;
        for number in 0..count {
            let user_id = user_id(number);
            // A UUID of version 7, as the API makes them.
            let principal_id = format!("01900000-0000-7000-8000-{number:012x}");
            user.execute((&directory.organization_id, &user_id, principal_id, metadata(number)))?;
            relationship.execute((&directory.organization_id, &directory.agent_id, &user_id))?;
        }
    }
    Ok(transaction.commit()?)
}
