// Dialect 1: `/v1/end-users`. D1 is the system of record; KV holds what a point read shows.

import { type Context, Hono } from "hono";
import * as z from "zod";
import { digest, type Tenant } from "./api-key";
import { admit, authenticate, caller } from "./caller";
import * as cursors from "./cursor";
import type { Environment } from "./environment";
import { Fault, reach } from "./fault";
import { uuidV7 } from "./ids";
import {
  limitedBody,
  type Metadata,
  metadata,
  name,
  oneOf,
  readBody,
  readPath,
  readQuery,
  userId,
  wholeNumber,
} from "./input";
import { type Decay, decayAt, MOOD_COLUMNS, type MoodRow, mood } from "./mood";

/** Most relationships that are shown with a user. */
const SHOWN_MAX = 100;

const COLUMNS = "user_id, display_name, metadata, status, version, created_at, updated_at, last_interaction_at";

interface UserRow {
  user_id: string;
  display_name: string | null;
  metadata: string;
  status: string;
  version: number;
  created_at: string;
  updated_at: string;
  last_interaction_at: string | null;
}

type EndUser = Omit<UserRow, "metadata"> & { metadata: Metadata };

interface RelationshipRow extends MoodRow {
  relationship_id: string;
  agent_id: string;
  role: string;
  turns: number;
  created_at: string;
  last_interaction_at: string | null;
}

/** What KV holds: moods decay on read, so they are kept as they are stored. */
interface Cached {
  user: EndUser;
  relationships: RelationshipRow[];
}

const newEndUser = z.strictObject({
  user_id: userId,
  display_name: name.nullable().optional(),
  metadata: metadata.optional(),
});

const page = z.strictObject({
  limit: wholeNumber(1, 200).default(50),
  cursor: z.string().optional(),
  order: oneOf("asc", "desc").default("asc"),
});

export interface NewUser {
  userId: string;
  displayName: string | null;
  metadata: Metadata;
}

/** A row as it is stored, with what dialect 3 needs. */
export interface StoredUser extends EndUser {
  principal_id: string;
}

/** Makes a user unless there is one; tells which, in one call. */
export async function createUser(c: Context<Environment>, tenant: Tenant, user: NewUser) {
  const { organizationId, mode } = tenant;
  const now = new Date(c.var.receivedAt).toISOString();
  const database = c.env.LISTING;
  const [inserted, found] = await reach(
    database.batch<UserRow & { principal_id: string }>([
      database
        .prepare(
          `INSERT INTO end_users
             (organization_id, mode, user_id, principal_id, display_name, metadata, created_at, updated_at)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT DO NOTHING RETURNING user_id`,
        )
        .bind(
          organizationId,
          mode,
          user.userId,
          uuidV7(c.var.receivedAt),
          user.displayName,
          JSON.stringify(user.metadata),
          now,
        ),
      database
        .prepare(
          `SELECT principal_id, ${COLUMNS} FROM end_users WHERE organization_id = ?1 AND mode = ?2 AND user_id = ?3`,
        )
        .bind(organizationId, mode, user.userId),
    ]),
  );
  const row = found?.results[0];
  if (!row) throw new Error("a user is neither new nor there");
  const stored: StoredUser = withMetadata(row);
  const created = inserted?.results.length === 1;
  if (created) {
    const { principal_id: _, ...record } = stored;
    c.executionCtx.waitUntil(remember(c, tenant, { user: record, relationships: [] }));
  }
  return { created, stored };
}

export const endUsers = new Hono<Environment>();

endUsers.post("/", caller("api", "read_write"), limitedBody, async (c) => {
  const input = await readBody(c, newEndUser);
  const { created, stored } = await createUser(c, c.var.tenant, {
    userId: input.user_id,
    displayName: input.display_name ?? null,
    metadata: input.metadata ?? {},
  });
  const { principal_id: _, ...record } = stored;
  c.header("ETag", `"${record.version}"`);
  if (created) c.header("Location", `/v1/end-users/${encodeSegment(record.user_id)}`);
  return c.json(record, created ? 201 : 200);
});

endUsers.get("/", caller("api", "read"), async (c) => {
  const { limit, cursor, order } = readQuery(c, page);
  const { organizationId, mode } = c.var.tenant;
  const binding = [organizationId, mode, "end-users", order];
  const after = cursor === undefined ? undefined : await cursors.decode(cursor, binding, c.env.KEY_SECRET);
  const beyond = after === undefined ? "" : `AND user_id ${order === "asc" ? ">" : "<"} ?4`;
  const select = c.env.LISTING.prepare(
    `SELECT ${COLUMNS} FROM end_users WHERE organization_id = ?1 AND mode = ?2 ${beyond}
     ORDER BY user_id ${order} LIMIT ?3`,
  ).bind(organizationId, mode, limit + 1, ...(after === undefined ? [] : [after]));
  const { results, meta } = await reach(select.all<UserRow>());
  c.set("rowsRead", meta.rows_read);
  const hasMore = results.length > limit;
  if (hasMore) results.pop();
  const last = hasMore ? results.at(-1) : undefined;
  return c.json({
    data: results.map(withMetadata),
    has_more: hasMore,
    next_cursor: last ? await cursors.encode(last.user_id, binding, c.env.KEY_SECRET) : null,
  });
});

endUsers.get("/:user_id", async (c) => {
  const key = await authenticate(c, "api");
  const { tenant } = key;
  const id = c.req.param("user_id");
  const cacheKey = await cacheKeyOf(tenant, id);
  // KV is asked while the object is.
  const [cached] = await Promise.all([
    c.env.RECORDS.get<Cached>(cacheKey, "json").catch(() => null),
    admit(c, key, "api", "read"),
  ]);
  readPath(c, "user_id", userId);
  c.set("servedBy", cached ? "kv" : "d1");
  const { user, relationships } = cached ?? (await find(c, tenant, id));
  const etag = `"${user.version}"`;
  c.header("ETag", etag);
  if (noneMatchNames(c.req.header("If-None-Match"), etag)) return c.body(null, 304);
  const decay = decayAt(c.var.receivedAt, c.env.MOOD_HALF_LIFE_HOURS);
  return c.json({
    ...user,
    relationships: relationships.slice(0, SHOWN_MAX).map((row) => relationship(row, user.user_id, decay)),
    relationships_has_more: relationships.length > SHOWN_MAX,
  });
});

/** Reads what KV does not have, and brings it there. */
async function find(c: Context<Environment>, tenant: Tenant, id: string): Promise<Cached> {
  const database = c.env.LISTING;
  const { organizationId, mode } = tenant;
  const [users, relationships] = await reach(
    database.batch([
      database
        .prepare(`SELECT ${COLUMNS} FROM end_users WHERE organization_id = ?1 AND mode = ?2 AND user_id = ?3`)
        .bind(organizationId, mode, id),
      database
        .prepare(
          `SELECT r.relationship_id, r.agent_id, r.role, r.turns, r.created_at, r.last_interaction_at, ${MOOD_COLUMNS}
           FROM agent_users r WHERE r.organization_id = ?1 AND r.mode = ?2 AND r.user_id = ?3
           ORDER BY r.last_interaction_at DESC LIMIT ?4`,
        )
        .bind(organizationId, mode, id, SHOWN_MAX + 1),
    ]),
  );
  const row = users?.results[0] as UserRow | undefined;
  if (!row) throw new Fault("not_found", { message: "There is no such end user." });
  const found = { user: withMetadata(row), relationships: (relationships?.results ?? []) as RelationshipRow[] };
  c.executionCtx.waitUntil(remember(c, tenant, found));
  return found;
}

async function remember(c: Context<Environment>, tenant: Tenant, cached: Cached): Promise<void> {
  await c.env.RECORDS.put(await cacheKeyOf(tenant, cached.user.user_id), JSON.stringify(cached));
}

/** Hashed, as a user id may be longer than a key of KV. */
async function cacheKeyOf({ organizationId, mode }: Tenant, id: string): Promise<string> {
  return `${organizationId}/${mode}/end-users/${await digest(id)}`;
}

function withMetadata<T extends UserRow>(row: T): Omit<T, "metadata"> & { metadata: Metadata } {
  return { ...row, metadata: JSON.parse(row.metadata) as Metadata };
}

function relationship(row: RelationshipRow, id: string, decay: Decay) {
  return {
    id: row.relationship_id,
    user_id: id,
    personality_id: row.agent_id,
    role: row.role,
    turns: row.turns,
    mood: mood(row, row.agent_id, id, decay) ?? null,
    created_at: row.created_at,
    last_interaction_at: row.last_interaction_at,
  };
}

function noneMatchNames(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag);
}

/** `encodeURIComponent` leaves five characters that RFC 3986 reserves. */
function encodeSegment(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
