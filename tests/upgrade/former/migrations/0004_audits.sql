-- When the object of each mode last began to compare the listing with itself, in milliseconds since the epoch. Each object
-- does so once a day, and notes it here. The cron trigger looks for organizations of which an object has not. Earlier
-- builds go on with `audited_at`.
ALTER TABLE organizations ADD COLUMN live_audited_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN test_audited_at INTEGER NOT NULL DEFAULT 0;

DROP INDEX organizations_by_audit;
CREATE INDEX organizations_by_audit ON organizations (min(live_audited_at, test_audited_at));

UPDATE schema SET version = 4;
