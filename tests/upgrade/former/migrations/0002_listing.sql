-- One number for a version, the columns that the list of an agent's users shows, and entries as JSON. The listing is a projection: without its
-- fence a tenant's audit fills it again (`POST /admin/v1/organizations/{organization_id}/repair`, or the daily one).
DELETE FROM projections;
DELETE FROM agent_users;
DROP TABLE end_users;

-- `document` is the record as the API shows it. `display_name` and `metadata` are parts of it, and stand before it, so
-- that SQLite reads them without the rest of a long row. The other columns order and fence the pages.
CREATE TABLE end_users (
  tenant       TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  version      INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  display_name TEXT,
  metadata     TEXT NOT NULL,
  document     TEXT NOT NULL,
  PRIMARY KEY (tenant, user_id)
) WITHOUT ROWID;

CREATE INDEX end_users_by_created_at ON end_users (tenant, created_at, user_id);

-- The version of these tables, and the oldest build that may use them, by the version that it knows. A migration raises
-- `version`, and raises `served_from` if the builds before it cannot live with the change.
CREATE TABLE schema (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  version     INTEGER NOT NULL,
  served_from INTEGER NOT NULL
);

INSERT INTO schema (one, version, served_from) VALUES (1, 2, 2);
