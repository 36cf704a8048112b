-- When the cron trigger ran last, in milliseconds since the epoch; NULL before its first run. `made_at` is when this migration
-- was applied: a trigger that is missing does not run for long after that.
CREATE TABLE cron (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  made_at INTEGER NOT NULL,
  ran_at  INTEGER
);

INSERT INTO cron (one, made_at) VALUES (1, unixepoch() * 1000);

UPDATE schema SET version = 5;
