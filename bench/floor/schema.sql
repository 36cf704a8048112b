-- The floor's listing: the tables that both contenders have, the same as in ../twin/schema.sql, which says what a seeded
-- row needs. A semicolon ends a statement and stands nowhere else.
--
-- Lists are read from here alone. Point reads know only who was made through the API.

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
