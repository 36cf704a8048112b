-- Named operators of the admin API. `digest` is that of the token, which is nowhere. Rows are kept for good, because the
-- organizations' logs name them. Times are as the API shows them; `last_used_on` is a date.
CREATE TABLE operators (
  id           TEXT PRIMARY KEY,
  name         TEXT NOT NULL,
  digest       TEXT NOT NULL,
  created_at   TEXT NOT NULL,
  revoked_at   TEXT,
  last_used_on TEXT
) WITHOUT ROWID;

UPDATE schema SET version = 6;
