//! The object's tables, their version, and the steps that bring them up to date.
//!
//! Invariants:
//!
//! - A shipped step is never edited. A change is a new step at the end.
//! - The tables name the oldest build that may serve them, by the version of its schema. So a build that is
//!   rolled back serves tables that a newer build has changed, unless the newer build forbids it. A build that
//!   may not serve them touches nothing.
//! - No step uses a `PRAGMA`.

use super::sql::{Row, Sql, SqlError};

/// The version of the tables that the first of [`STEPS`] makes. Before it came tables without a change log, which
/// no step brings up to date.
const VERSION_FIRST: i64 = 2;
/// The version of the tables that this build makes: one more for each step after the first.
#[expect(clippy::cast_possible_wrap, reason = "a handful of steps")]
pub const VERSION: i64 = VERSION_FIRST + STEPS.len() as i64 - 1;
/// The oldest schema whose build may serve the tables of this build. A step that an older build cannot live with
/// raises it.
const SERVED_FROM: i64 = 3;

/// Each step is a list of statements, and makes the next version.
///
/// The number of a user, an agent or a relationship is the number of the change that made it, so it is never used
/// twice. Text compares byte by byte (`BINARY`, the default). A table about persons has an integer key, so that
/// the object can overwrite a row in place before it deletes it (see [`super::overwriting`]). An index names a
/// person by a digest. The other tables are `WITHOUT ROWID`, so that a lookup is one search.
const STEPS: &[&[&str]] = &[TABLES, COPIES, ORGANIZATION, BOUNDS, ANSWERS, EVENTS, USER_TURNS];

const TABLES: &[&str] = &[
    "CREATE TABLE settings (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        organization_id TEXT NOT NULL,
        mode TEXT NOT NULL,
        version INTEGER NOT NULL,
        requests_per_second INTEGER NOT NULL,
        burst INTEGER NOT NULL,
        turns_per_period INTEGER NOT NULL,
        active_relationships INTEGER NOT NULL,
        anchor INTEGER NOT NULL
    )",
    "CREATE TABLE keys (
        digest TEXT PRIMARY KEY,
        key_id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        scope TEXT NOT NULL,
        prefix TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_day INTEGER
    ) WITHOUT ROWID",
    "CREATE TABLE users (
        number INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        principal_id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        display_name TEXT,
        metadata TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        last_interaction_at INTEGER,
        created_by TEXT NOT NULL
    )",
    "CREATE INDEX users_being_erased ON users (number) WHERE state <> 'active'",
    // See `super::change_log`. `user` is the user whom the projections bring up to date.
    "CREATE TABLE changes (
        sequence INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        key_id TEXT,
        request_id TEXT,
        subject INTEGER NOT NULL,
        reference TEXT NOT NULL,
        user INTEGER,
        with_relationships INTEGER NOT NULL
    )",
    // `about` is the digest of a user's id, or the id of an agent. Without a fingerprint the row is a tombstone: what the
    // answer is about has been erased.
    "CREATE TABLE idempotency (
        number INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        fingerprint TEXT,
        request_id TEXT NOT NULL,
        outcome TEXT NOT NULL,
        document TEXT NOT NULL,
        about TEXT,
        expires_at INTEGER NOT NULL
    )",
    "CREATE INDEX idempotency_by_about ON idempotency (about) WHERE about IS NOT NULL",
    "CREATE TABLE deletions (
        deletion_id TEXT PRIMARY KEY,
        user INTEGER,
        agent INTEGER,
        sequence INTEGER NOT NULL,
        cascade TEXT NOT NULL,
        reason TEXT,
        requested_at INTEGER NOT NULL,
        completed_at INTEGER,
        erased_records INTEGER NOT NULL,
        erased_relationships INTEGER NOT NULL,
        erased_moods INTEGER NOT NULL
    ) WITHOUT ROWID",
    "CREATE INDEX deletions_pending ON deletions (sequence) WHERE completed_at IS NULL",
    "CREATE INDEX deletions_by_user ON deletions (user) WHERE user IS NOT NULL",
    "CREATE INDEX deletions_by_agent ON deletions (agent) WHERE agent IS NOT NULL",
    "CREATE INDEX idempotency_by_expiry ON idempotency (expires_at)",
    "CREATE TABLE audit (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        phase TEXT NOT NULL,
        position TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        completed_at INTEGER,
        users INTEGER NOT NULL,
        fence_reset INTEGER NOT NULL,
        listing_missing INTEGER NOT NULL,
        listing_outdated INTEGER NOT NULL,
        listing_foreign INTEGER NOT NULL,
        cache_missing INTEGER NOT NULL,
        cache_outdated INTEGER NOT NULL,
        cache_foreign INTEGER NOT NULL
    )",
    "CREATE TABLE agents (
        number INTEGER PRIMARY KEY,
        agent_id TEXT NOT NULL UNIQUE,
        external_id TEXT,
        external_id_digest TEXT UNIQUE,
        name TEXT NOT NULL,
        name_digest TEXT NOT NULL,
        metadata TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        owner INTEGER
    )",
    "CREATE INDEX agents_by_owner ON agents (owner) WHERE owner IS NOT NULL",
    "CREATE INDEX agents_by_name ON agents (name_digest)",
    "CREATE TABLE relationships (
        number INTEGER PRIMARY KEY,
        relationship_id TEXT NOT NULL UNIQUE,
        user INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        role TEXT NOT NULL,
        turns INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        last_interaction_at INTEGER,
        mood TEXT,
        UNIQUE (user, agent)
    )",
    "CREATE INDEX relationships_by_agent ON relationships (agent, number)",
    "CREATE INDEX relationships_by_interaction ON relationships (user, last_interaction_at)",
    "CREATE TABLE active_relationships (
        period_start INTEGER NOT NULL,
        user INTEGER NOT NULL,
        agent INTEGER NOT NULL,
        PRIMARY KEY (period_start, user, agent)
    ) WITHOUT ROWID",
    "CREATE INDEX active_relationships_by_user ON active_relationships (user)",
    // `user` takes the turn. `about` is the digest of the id of the user whom the turn names.
    "CREATE TABLE ledger (
        operation TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        period_start INTEGER NOT NULL,
        relationship INTEGER,
        user INTEGER,
        is_new_active INTEGER NOT NULL,
        digest TEXT,
        fingerprint TEXT,
        about TEXT
    ) WITHOUT ROWID",
    "CREATE INDEX ledger_reserved ON ledger (period_start) WHERE state = 'reserved'",
    "CREATE INDEX ledger_by_digest ON ledger (digest) WHERE digest IS NOT NULL",
    "CREATE INDEX ledger_by_about ON ledger (about) WHERE about IS NOT NULL",
    "CREATE INDEX ledger_by_expiry ON ledger (expires_at)",
    "CREATE TABLE counters (
        metric TEXT NOT NULL,
        period_start INTEGER NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (metric, period_start)
    ) WITHOUT ROWID",
];

/// An object of the earlier version had a copy of every user in KV. Builds of that version do not keep the new copies
/// up to date, so they may not serve these tables. The audit removes the earlier copies.
const COPIES: &[&str] = &[
    "ALTER TABLE settings ADD COLUMN edge_stale_s INTEGER NOT NULL DEFAULT 5",
    "ALTER TABLE settings ADD COLUMN end_users INTEGER NOT NULL DEFAULT 1000000",
    "ALTER TABLE settings ADD COLUMN storage_bytes INTEGER NOT NULL DEFAULT 1000000000",
    // See `super::copies`. `digest` is that of the user's id.
    "CREATE TABLE copies (
        number INTEGER PRIMARY KEY,
        epoch INTEGER NOT NULL,
        digest TEXT NOT NULL,
        user INTEGER NOT NULL,
        version INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        due_at INTEGER,
        written_at INTEGER NOT NULL,
        settles_at INTEGER NOT NULL,
        is_sent INTEGER NOT NULL,
        listed_until INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        UNIQUE (epoch, digest)
    )",
    "CREATE INDEX copies_by_user ON copies (user)",
    "CREATE INDEX copies_due ON copies (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX copies_listed ON copies (listed_until)",
    "CREATE INDEX copies_by_end ON copies (ends_at)",
    // Where the listing stands, and how many users there were then. See `super::change_log`.
    "CREATE TABLE listing_position (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        sequence INTEGER NOT NULL,
        mark TEXT NOT NULL,
        end_users INTEGER NOT NULL
    )",
    "INSERT INTO listing_position
     SELECT 1, value, '', (SELECT count(*) FROM users) - (SELECT count(*) FROM changes
       WHERE sequence > value AND kind = 'end_user.created') + (SELECT count(*) FROM changes
       WHERE sequence > value AND kind = 'end_user.erased')
     FROM state WHERE name = 'listing_sequence'",
    "DELETE FROM state WHERE name IN ('cache_sequence', 'listing_sequence')",
    "INSERT OR REPLACE INTO audit
     SELECT 1, 'fence', '', unixepoch() * 1000, NULL, 0, 0, 0, 0, 0, 0, 0, 0 FROM settings",
];

/// The organization's record, as the object brings it back when D1 has lost it.
const ORGANIZATION: &[&str] = &["ALTER TABLE settings ADD COLUMN record TEXT"];

/// What bounds the kept answers about one user or agent, and the parts of an export. See [`super::answer_bounds`].
const BOUNDS: &[&str] = &[
    // How many answers about the same were stored up to this one, and the bytes of those before it. 0 in a row of an
    // earlier build.
    "ALTER TABLE idempotency ADD COLUMN about_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE idempotency ADD COLUMN about_bytes INTEGER NOT NULL DEFAULT 0",
    // In the order of their numbers.
    "CREATE INDEX relationships_by_user ON relationships (user)",
    "DROP INDEX agents_by_owner",
    "CREATE INDEX agents_by_owner ON agents (owner, agent_id) WHERE owner IS NOT NULL",
];

/// The relationship of a turn whose answer is kept, so that the answer can go with it. None in a row of an earlier build.
const ANSWERS: &[&str] = &[
    "ALTER TABLE idempotency ADD COLUMN relationship INTEGER",
    "CREATE INDEX idempotency_by_relationship ON idempotency (relationship) WHERE relationship IS NOT NULL",
];

/// The last event that is no longer kept. Earlier builds did not note which rows they deleted.
const EVENTS: &[&str] = &[
    "CREATE TABLE last_swept_event (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        sequence INTEGER NOT NULL,
        mark INTEGER NOT NULL
    )",
    "INSERT INTO last_swept_event SELECT 1, min(sequence) - 1, 0 FROM changes HAVING count(*) > 0",
];

/// The turns of each person. See [`super::user_turns`]. Those before this step were counted for the organization alone.
const USER_TURNS: &[&str] = &[
    "ALTER TABLE settings ADD COLUMN turns_per_user INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE users ADD COLUMN turns_period INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE users ADD COLUMN turns INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE users ADD COLUMN earlier_period INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE users ADD COLUMN earlier_turns INTEGER NOT NULL DEFAULT 0",
];

/// Executes the steps that are not done yet. Fails when this build may not serve the tables.
pub fn migrate(sql: &impl Sql) -> Result<(), SqlError> {
    sql.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID", &[])?;
    let held = version(sql)?;
    if held == VERSION {
        return Ok(());
    }
    if held > VERSION {
        let from = read(sql, "served_from")?;
        let refusal = format!("a newer build made these tables (version {held}), for builds from version {from} on");
        return if from <= VERSION { Ok(()) } else { Err(SqlError(refusal)) };
    }
    let done = match held {
        0 => 0,
        VERSION_FIRST.. => usize::try_from(held.saturating_sub(VERSION_FIRST).saturating_add(1)).unwrap_or_default(),
        _ => return Err(SqlError(format!("tables of version {held} cannot be read: they have no change log"))),
    };
    for statement in STEPS.iter().skip(done).copied().flatten() {
        sql.execute(statement, &[])?;
    }
    write(sql, "schema", VERSION)?;
    write(sql, "served_from", SERVED_FROM)
}

/// The version of the tables; 0 when there are none.
pub fn version(sql: &impl Sql) -> Result<i64, SqlError> {
    read(sql, "schema")
}

/// Reads a number of the object as a whole; 0 when it was never written.
pub fn read(sql: &impl Sql, name: &str) -> Result<i64, SqlError> {
    Ok(sql.find("SELECT value FROM state WHERE name = ?", &[name.into()], Row::integer)?.unwrap_or_default())
}

/// Writes a number of the object as a whole.
pub fn write(sql: &impl Sql, name: &str, value: i64) -> Result<(), SqlError> {
    sql.execute(
        "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[name.into(), value.into()],
    )
}
