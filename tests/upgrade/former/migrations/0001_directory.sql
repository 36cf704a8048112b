-- The listing database: ordered pages of end users, and the organizations. Text compares byte by byte (BINARY),
-- which is the order that the API promises.

-- The position of each tenant's listing. It is the fence that makes a late or repeated batch a no-op. `batch` is
-- the last attempt that moved it.
CREATE TABLE projections (
  tenant   TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL,
  batch    TEXT NOT NULL
) WITHOUT ROWID;

-- `document` is the record as the API shows it. The other columns order and fence the pages.
CREATE TABLE end_users (
  tenant      TEXT NOT NULL,
  user_id     TEXT NOT NULL,
  incarnation INTEGER NOT NULL,
  version     INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  document    TEXT NOT NULL,
  PRIMARY KEY (tenant, user_id)
) WITHOUT ROWID;

CREATE INDEX end_users_by_created_at ON end_users (tenant, created_at, user_id);

-- The users of each agent. `entry` holds the relationship's part of the record; the query joins the user's part.
CREATE TABLE agent_users (
  tenant   TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  user_id  TEXT NOT NULL,
  entry    TEXT NOT NULL,
  PRIMARY KEY (tenant, agent_id, user_id)
) WITHOUT ROWID;

CREATE INDEX agent_users_by_user ON agent_users (tenant, user_id);

-- The organizations. Unlike the listing this is no projection: a slug and a Clerk organization are unique across
-- all organizations, and only a store of all organizations can enforce that.
CREATE TABLE organizations (
  id           TEXT PRIMARY KEY,
  slug         TEXT NOT NULL UNIQUE,
  clerk_org_id TEXT UNIQUE,
  version      INTEGER NOT NULL,
  document     TEXT NOT NULL,
  -- The last comparison of the organization's projections with its objects, in milliseconds since the epoch.
  audited_at   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX organizations_by_audit ON organizations (audited_at);

-- Deletions of organizations, running and completed. A request moves the row of `organizations` here. The rows are
-- the receipts, in the form in which the admin API shows them, and are kept for good.
CREATE TABLE organization_deletions (
  deletion_id     TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL UNIQUE,
  requested_at    TEXT NOT NULL,
  reason          TEXT,
  -- The time at which both objects were empty.
  completed_at    TEXT,
  -- Counts of what both objects held.
  records         INTEGER NOT NULL DEFAULT 0,
  relationships   INTEGER NOT NULL DEFAULT 0,
  moods           INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX organization_deletions_pending ON organization_deletions (deletion_id) WHERE completed_at IS NULL;

-- People, organizations and memberships, mirrored from Clerk. A deleted row stays as a tombstone (`deleted` = 1),
-- which holds only its id and rejects older events that arrive later. The memberships of a deleted person or
-- organization are removed, and the tombstone of that person or organization keeps them out. Times are Clerk's, in
-- milliseconds since the epoch.
CREATE TABLE people (
  id         TEXT PRIMARY KEY,
  email      TEXT,
  updated_at INTEGER NOT NULL,
  deleted    INTEGER NOT NULL
) WITHOUT ROWID;

-- `member_count` is the number of the organization's rows in `memberships` that are not tombstones.
CREATE TABLE clerk_organizations (
  id           TEXT PRIMARY KEY,
  name         TEXT NOT NULL,
  slug         TEXT,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  deleted      INTEGER NOT NULL,
  member_count INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE memberships (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL,
  person_id       TEXT NOT NULL,
  role            TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  deleted         INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX memberships_by_person ON memberships (person_id, organization_id);
CREATE INDEX memberships_by_organization ON memberships (organization_id);
