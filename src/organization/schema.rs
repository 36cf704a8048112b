//! The object's tables, and the steps that bring them up to date.
//!
//! Invariants:
//!
//! - A shipped step is never edited. A change is a new step at the end.
//! - No step uses a `PRAGMA`.

use super::sql::{Sql, SqlError};

/// Each step is a list of statements; `state('schema')` counts the steps done.
///
/// Text compares byte by byte (`BINARY`, the default). A table about persons has an integer key, so
/// that the object can overwrite a row in place before it deletes it (see [`super::overwriting`]).
/// An index names a person by a digest. The other tables are `WITHOUT ROWID`, so that a lookup is
/// one search.
const STEPS: &[&[&str]] = &[TABLES, JSON_FORMS];

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
        incarnation INTEGER NOT NULL,
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
    "CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY,
        user INTEGER NOT NULL,
        with_relationships INTEGER NOT NULL
    )",
    "CREATE TABLE idempotency (
        number INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        fingerprint TEXT NOT NULL,
        request_id TEXT NOT NULL,
        outcome TEXT NOT NULL,
        incarnation INTEGER,
        version INTEGER,
        document TEXT NOT NULL,
        user INTEGER,
        expires_at INTEGER NOT NULL
    )",
    "CREATE INDEX idempotency_by_user ON idempotency (user) WHERE user IS NOT NULL",
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
    // `AUTOINCREMENT` uses no number twice: the relationships of a deleted agent go step by step.
    "CREATE TABLE agents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        agent_id TEXT NOT NULL UNIQUE,
        external_id TEXT UNIQUE,
        name TEXT NOT NULL,
        metadata TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        owner INTEGER
    )",
    "CREATE INDEX agents_by_owner ON agents (owner) WHERE owner IS NOT NULL",
    "CREATE INDEX agents_by_name ON agents (name)",
    // A reserved turn names its relationship by this number.
    "CREATE TABLE relationships (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
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
    "CREATE TABLE ledger (
        operation TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        period_start INTEGER NOT NULL,
        relationship INTEGER,
        user INTEGER,
        is_new_active INTEGER NOT NULL,
        digest TEXT,
        fingerprint TEXT
    ) WITHOUT ROWID",
    "CREATE INDEX ledger_reserved ON ledger (period_start) WHERE state = 'reserved'",
    "CREATE INDEX ledger_by_digest ON ledger (digest) WHERE digest IS NOT NULL",
    "CREATE INDEX ledger_by_user ON ledger (user) WHERE user IS NOT NULL",
    "CREATE INDEX ledger_by_expiry ON ledger (expires_at)",
    "CREATE TABLE counters (
        metric TEXT NOT NULL,
        period_start INTEGER NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (metric, period_start)
    ) WITHOUT ROWID",
];

/// Kept answers and moods are JSON since this step, which drops those before it.
const JSON_FORMS: &[&str] = &[
    "DELETE FROM idempotency",
    "ALTER TABLE idempotency DROP COLUMN incarnation",
    "ALTER TABLE idempotency DROP COLUMN version",
    "UPDATE relationships SET mood = NULL",
];

/// The name, in `state`, of the number of erasures that the tenant has completed.
pub const ERASURES: &str = "erasures";

/// Executes the steps that are not done yet.
pub fn migrate<S: Sql>(sql: &S) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID", &[])?;
    let done = usize::try_from(read(sql, "schema")?).unwrap_or_default();
    for step in STEPS.iter().skip(done) {
        for statement in *step {
            sql.run(statement, &[])?;
        }
    }
    if done < STEPS.len() {
        write(sql, "schema", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    }
    Ok(())
}

/// Reads a number of the object as a whole; 0 when it was never written.
pub fn read<S: Sql>(sql: &S, name: &str) -> Result<i64, SqlError> {
    match sql.first("SELECT value FROM state WHERE name = ?", &[name.into()])? {
        Some(mut row) => row.integer(),
        None => Ok(0),
    }
}

/// Writes a number of the object as a whole.
pub fn write<S: Sql>(sql: &S, name: &str, value: i64) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[name.into(), value.into()],
    )?;
    Ok(())
}
