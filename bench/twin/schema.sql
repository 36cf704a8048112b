-- The twin's system of record. Text compares byte by byte (BINARY), which is the order that the API promises.
-- Times are RFC 3339 texts in UTC with milliseconds, such as 2026-01-31T09:30:00.000Z. A semicolon ends a statement and
-- stands nowhere else.
--
-- To seed it: every column without a default is needed, and those that may be NULL may be left out. `mode` is 'live' for
-- keys of that mode. Nothing else holds users, so rows written here are listed and read at once (a point read that
-- misses KV comes here). Organizations and keys are made through the admin API.

CREATE TABLE organizations (
  id                   TEXT PRIMARY KEY,
  slug                 TEXT NOT NULL UNIQUE,
  name                 TEXT NOT NULL,
  requests_per_second  INTEGER NOT NULL,
  burst                INTEGER NOT NULL,
  turns_per_period     INTEGER NOT NULL,
  active_relationships INTEGER NOT NULL,
  created_at           TEXT NOT NULL
) WITHOUT ROWID;

-- `principal_id` is a UUID, `metadata` the text of a JSON object.
CREATE TABLE end_users (
  organization_id     TEXT NOT NULL,
  mode                TEXT NOT NULL,
  user_id             TEXT NOT NULL,
  principal_id        TEXT NOT NULL,
  display_name        TEXT,
  metadata            TEXT NOT NULL DEFAULT '{}',
  status              TEXT NOT NULL DEFAULT 'active',
  version             INTEGER NOT NULL DEFAULT 1,
  created_at          TEXT NOT NULL,
  updated_at          TEXT NOT NULL,
  last_interaction_at TEXT,
  PRIMARY KEY (organization_id, mode, user_id)
) WITHOUT ROWID;

-- `agent_id` is a UUID in lower case with hyphens.
CREATE TABLE agents (
  organization_id TEXT NOT NULL,
  mode            TEXT NOT NULL,
  agent_id        TEXT NOT NULL,
  name            TEXT NOT NULL,
  metadata        TEXT NOT NULL DEFAULT '{}',
  version         INTEGER NOT NULL DEFAULT 1,
  created_at      TEXT NOT NULL,
  updated_at      TEXT NOT NULL,
  PRIMARY KEY (organization_id, mode, agent_id),
  UNIQUE (organization_id, mode, name)
) WITHOUT ROWID;

-- Who talks with an agent. A relationship without a mood has NULL in every column from `valence` on, one with a mood has
-- none. Levels lie in [-1, 1] and are as they were at `mood_decayed_at`.
CREATE TABLE agent_users (
  organization_id      TEXT NOT NULL,
  mode                 TEXT NOT NULL,
  agent_id             TEXT NOT NULL,
  user_id              TEXT NOT NULL,
  relationship_id      TEXT NOT NULL,
  role                 TEXT NOT NULL DEFAULT 'user',
  turns                INTEGER NOT NULL DEFAULT 0,
  created_at           TEXT NOT NULL,
  last_interaction_at  TEXT,
  valence              REAL,
  arousal              REAL,
  tension              REAL,
  affiliation          REAL,
  baseline_valence     REAL,
  baseline_arousal     REAL,
  baseline_tension     REAL,
  baseline_affiliation REAL,
  mood_created_at      TEXT,
  mood_updated_at      TEXT,
  mood_decayed_at      TEXT,
  mood_interaction_at  TEXT,
  PRIMARY KEY (organization_id, mode, agent_id, user_id)
) WITHOUT ROWID;

CREATE INDEX agent_users_by_user ON agent_users (organization_id, mode, user_id, last_interaction_at);
