-- The listing database: ordered pages of end users, and the organizations.
-- Text compares byte by byte (BINARY), which is the order that the API promises.

-- Where each tenant's listing stands: the fence that makes a late or repeated
-- batch a no-op. `batch` is the attempt that moved it last.
CREATE TABLE projections (
  tenant   TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL,
  batch    TEXT NOT NULL
) WITHOUT ROWID;

-- `document` is the record as the API shows it; the other columns are what
-- pages are ordered and fenced by.
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

-- Who talks with an agent. `entry` is what the relationship adds to the record of the
-- user, which is joined.
CREATE TABLE agent_users (
  tenant   TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  user_id  TEXT NOT NULL,
  entry    TEXT NOT NULL,
  PRIMARY KEY (tenant, agent_id, user_id)
) WITHOUT ROWID;

CREATE INDEX agent_users_by_user ON agent_users (tenant, user_id);

-- The organizations themselves. Unlike the listing this is no projection: a slug
-- and a Clerk organization are unique across all organizations, which only a
-- store that holds all of them can decide.
CREATE TABLE organizations (
  id           TEXT PRIMARY KEY,
  slug         TEXT NOT NULL UNIQUE,
  clerk_org_id TEXT UNIQUE,
  version      INTEGER NOT NULL,
  document     TEXT NOT NULL,
  -- When the organization's projections were last compared with its objects, in
  -- milliseconds since the epoch.
  audited_at   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX organizations_by_audit ON organizations (audited_at);

-- Organizations that are being deleted, or were: a request moves the row of `organizations`
-- here. They are the receipts, in the form in which the admin API shows them, and stay for good.
CREATE TABLE organization_deletions (
  deletion_id     TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL UNIQUE,
  requested_at    TEXT NOT NULL,
  reason          TEXT,
  -- When both objects were empty.
  completed_at    TEXT,
  -- How much they had held.
  records         INTEGER NOT NULL DEFAULT 0,
  relationships   INTEGER NOT NULL DEFAULT 0,
  moods           INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX organization_deletions_pending ON organization_deletions (deletion_id) WHERE completed_at IS NULL;

-- People, organizations and memberships, mirrored from Clerk. A row that is gone stays as a tombstone (`deleted` = 1),
-- which holds nothing but its id and turns away what was sent before and comes later. The memberships of who or what
-- is gone are removed, and kept out by the tombstone of the other. Times are Clerk's, in milliseconds since the epoch.
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
