// Follows the events of an organization into a SQLite file, which ends with the same users as the directory.
//
// - The place in the feed is written in the transaction that writes the rows. So a crash neither loses an event nor
//   repeats one.
// - An event shows the user as they are when the event is read, so an early event can bring a late state. A row is
//   written unless a higher version is held.
// - `end_user.erased` names the person by `ref` alone. What is held under it is deleted, and SQLite overwrites it. SQLite also
//   moves rows between pages and leaves copies behind, so the file is written anew soon after.
// - Events are kept for 30 days, so they do not name everybody. At the beginning, and when its place is no longer kept,
//   this program reads all events first and the list of users then. So its place lies before the list, and nothing is
//   missed between the two. The list has no `ref`: when an unknown one is erased, it is read again.

import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

type User = { user_id: string; version: number };
type Event = { sequence: number; type: string; subject: { ref: string }; data: User | null };
type Page<T> = { data: T[]; has_more: boolean; next_cursor: string | null };
type Progress = { place: string | null; must_list: number; must_vacuum: number };

const TYPES = "end_user.created,end_user.updated,end_user.erasure_requested,end_user.erased";
const PAGE = 200;
/** How long the server holds a page that would be empty. */
const WAIT_S = 25;
const TIMEOUT_MS = 60_000;
const BACKOFF_MAX_S = 30;

const { ROLLCALL_URL: url, ROLLCALL_API_KEY: key } = process.env;
if (!url || !key) fail("Set ROLLCALL_URL and ROLLCALL_API_KEY. A key of scope read will do.");

const db = new DatabaseSync(process.argv[2] ?? "users.sqlite");
db.exec(`
  PRAGMA secure_delete = ON;
  PRAGMA busy_timeout = 10000;
  CREATE TABLE IF NOT EXISTS users (
    user_id TEXT PRIMARY KEY,
    ref     TEXT UNIQUE, -- NULL while only the list has named the user
    version INTEGER NOT NULL,
    record  TEXT NOT NULL,
    listed  INTEGER NOT NULL -- whether the last list has named a user without a ref
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS progress (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    place     TEXT, -- where the next page begins
    sequence  INTEGER NOT NULL, -- of the last event
    must_list INTEGER NOT NULL,
    must_vacuum INTEGER NOT NULL -- whether a row was deleted since the file was written anew
  ) STRICT;
  INSERT OR IGNORE INTO progress VALUES (1, NULL, 0, 1, 0);
  CREATE TRIGGER IF NOT EXISTS deleted AFTER DELETE ON users BEGIN
    UPDATE progress SET must_vacuum = 1;
  END;
`);

const progress = db.prepare("SELECT place, must_list, must_vacuum FROM progress");
const moveOn = db.prepare("UPDATE progress SET place = ?, sequence = coalesce(?, sequence)");
const mustList = db.prepare("UPDATE progress SET must_list = EXISTS (SELECT 1 FROM users WHERE ref IS NULL) OR must_list");
const erase = db.prepare("DELETE FROM users WHERE ref = ?");
const save = db.prepare(`
  INSERT INTO users (user_id, version, record, ref, listed) VALUES (?, ?, ?, ?, 1)
  ON CONFLICT (user_id) DO UPDATE
  SET version = excluded.version, record = excluded.record, ref = coalesce(excluded.ref, ref), listed = 1
  WHERE excluded.version >= version`);

function saveUser(user: User, ref: string | null) {
  save.run(user.user_id, user.version, JSON.stringify(user), ref);
}

/** Each event in its order, and the place behind them. */
function apply({ data, next_cursor }: Page<Event>) {
  transaction(() => {
    for (const { type, subject, data: user } of data) {
      // Without data the user is gone, and the event of the erasure follows.
      if (user) saveUser(user, subject.ref);
      else if (type === "end_user.erased" && erase.run(subject.ref).changes === 0) mustList.run();
    }
    moveOn.run(next_cursor, data.at(-1)?.sequence ?? null);
  });
}

/** Everybody who is there now. Those without a ref who are not, were erased. */
async function list() {
  db.exec("UPDATE users SET listed = 0 WHERE ref IS NULL");
  let more: string | null = "";
  while (more !== null) {
    const { body }: { body: Page<User> } = await ask(`/v1/end-users?limit=${PAGE}${more}`);
    transaction(() => body.data.forEach((user) => saveUser(user, null)));
    more = body.next_cursor && `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
  transaction(() => db.exec("DELETE FROM users WHERE ref IS NULL AND NOT listed; UPDATE progress SET must_list = 0"));
  console.log("read the list of all users");
}

/** What is held may be of a history that the organization has lost, so nothing of it stays. */
function beginAnew(oldest: string) {
  transaction(() => {
    db.exec("DELETE FROM users; UPDATE progress SET must_list = 1");
    moveOn.run(oldest, 0);
  });
  console.log("the events are no longer kept: beginning anew");
}

async function follow() {
  for (;;) {
    const { place, must_list, must_vacuum } = progress.get() as Progress;
    const after = place === null ? "" : `&after=${encodeURIComponent(place)}`;
    const path = `/v1/events?types=${TYPES}&limit=${PAGE}&wait=${must_list || must_vacuum ? 0 : WAIT_S}${after}`;
    const { status, body } = await ask<Page<Event> & { error: { details: { oldest: string } } }>(path);
    if (status === 410) {
      beginAnew(body.error.details.oldest);
      continue;
    }
    apply(body);
    const last = body.data.at(-1);
    if (last) console.log(`at ${last.sequence}, ${body.data.length} events more`);
    if (body.has_more) continue;
    const left = progress.get() as Progress;
    if (left.must_list) await list();
    else if (left.must_vacuum) db.exec("VACUUM; UPDATE progress SET must_vacuum = 0");
    // A server with many readers answers at once instead of holding the page.
    else if (!last) await sleep(1000);
  }
}

/** Asks until the server answers with what was asked for, or with 410. Ends the program if asking again is in vain. */
async function ask<T>(path: string): Promise<{ status: number; body: T }> {
  for (let failures = 0; ; failures += 1) {
    const { status, text, retryAfter } = await send(path).catch(unreachable);
    if (status === 200 || status === 410) return { status, body: parse(text) };
    if (status >= 400 && status < 500 && status !== 429) fail(`${status} ${text}`);
    const seconds = Number(retryAfter) || Math.min(2 ** failures, BACKOFF_MAX_S);
    console.log(`${status || text}: again in ${seconds} s`);
    await sleep(1000 * seconds);
  }
}

async function send(path: string) {
  const headers = { Authorization: `Bearer ${key}` };
  const response = await fetch(new URL(path, url), { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  return { status: response.status, text: await response.text(), retryAfter: response.headers.get("retry-after") };
}

const unreachable = (error: Error) => ({ status: 0, text: `${error.cause ?? error}`, retryAfter: null });

/** Parses JSON. A number that a double cannot hold keeps its digits. */
function parse(text: string) {
  const { rawJSON } = JSON as unknown as { rawJSON: (digits: string) => unknown };
  return JSON.parse(text, (_, value, context?: { source?: string }) =>
    typeof value === "number" && context?.source && String(value) !== context.source ? rawJSON(context.source) : value);
}

function transaction(work: () => void) {
  db.exec("BEGIN IMMEDIATE");
  try {
    work();
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

await follow();
