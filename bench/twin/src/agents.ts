// Dialect 2: `/api/v1/agents`.

import { Hono } from "hono";
import * as z from "zod";
import { caller } from "./caller";
import * as cursors from "./cursor";
import type { Environment } from "./environment";
import { Fault, reach } from "./fault";
import { uuidV7 } from "./ids";
import { limitedBody, type Metadata, metadata, name, readBody, readPath, readQuery, wholeNumber } from "./input";
import { decayAt, MOOD_COLUMNS, type MoodRow, mood } from "./mood";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const newAgent = z.strictObject({ name, metadata: metadata.optional() });

/** Old clients send the last four; `limit` is a page size to them. */
const page = z.strictObject({
  page_size: wholeNumber(1, 500).optional(),
  cursor: z.string().optional(),
  limit: wholeNumber(1, 500).optional(),
  offset: z.string().optional(),
  sort_by: z.string().optional(),
  sort_order: z.string().optional(),
});

interface AgentRow {
  agent_id: string;
  name: string;
  metadata: string;
  version: number;
  created_at: string;
  updated_at: string;
}

interface AgentUserRow extends MoodRow {
  user_id: string;
  role: string;
  created_at: string;
  last_interaction_at: string | null;
  display_name: string | null;
  metadata: string;
}

export const agents = new Hono<Environment>();

agents.post("/", caller("api", "read_write"), limitedBody, async (c) => {
  const input = await readBody(c, newAgent);
  const { organizationId, mode } = c.var.tenant;
  const metadata = input.metadata ? JSON.stringify(input.metadata) : null;
  const agentId = uuidV7(c.var.receivedAt);
  const row = await reach(
    c.env.LISTING.prepare(
      `INSERT INTO agents (organization_id, mode, agent_id, name, metadata, created_at, updated_at)
       VALUES (?1, ?2, ?3, ?4, coalesce(?5, '{}'), ?6, ?6)
       ON CONFLICT (organization_id, mode, name) DO UPDATE SET
         version = version + (metadata <> coalesce(?5, metadata)),
         updated_at = iif(metadata <> coalesce(?5, metadata), ?6, updated_at),
         metadata = coalesce(?5, metadata)
       RETURNING agent_id, name, metadata, version, created_at, updated_at`,
    )
      .bind(
        organizationId,
        mode,
        agentId,
        input.name,
        metadata,
        new Date(c.var.receivedAt).toISOString(),
      )
      .first<AgentRow>(),
  );
  if (!row) throw new Error("an agent was neither made nor changed");
  const created = row.agent_id === agentId;
  c.header("Link", '</api/v1/schemas/Agent.json>; rel="describedBy"');
  c.header("ETag", `"${row.version}"`);
  if (created) c.header("Location", `/api/v1/agents/${row.agent_id}`);
  return c.json(
    {
      $schema: "/api/v1/schemas/Agent.json",
      agent_id: row.agent_id,
      name: row.name,
      external_id: null,
      metadata: JSON.parse(row.metadata) as Metadata,
      created_at: row.created_at,
      updated_at: row.updated_at,
    },
    created ? 201 : 200,
  );
});

agents.get("/:agent_id/users", caller("api", "read"), async (c) => {
  const query = readQuery(c, page);
  const pageSize = query.page_size ?? query.limit ?? 100;
  const reference = readPath(c, "agent_id", name);
  const { organizationId, mode } = c.var.tenant;
  const binding = [organizationId, mode, "agent-users", reference];
  const after = query.cursor === undefined ? "" : await cursors.decode(query.cursor, binding, c.env.KEY_SECRET);
  const database = c.env.LISTING;
  const agent = `SELECT agent_id FROM agents
    WHERE organization_id = ?1 AND mode = ?2 AND ${UUID.test(reference) ? "agent_id" : "name"} = ?3`;
  const [found, users] = await reach(
    database.batch([
      database.prepare(agent).bind(organizationId, mode, reference),
      database
        .prepare(
          `SELECT r.user_id, r.role, r.created_at, r.last_interaction_at, u.display_name, u.metadata, ${MOOD_COLUMNS}
           FROM agent_users r
           CROSS JOIN end_users u ON u.organization_id = r.organization_id AND u.mode = r.mode AND u.user_id = r.user_id
           WHERE r.organization_id = ?1 AND r.mode = ?2 AND r.agent_id = (${agent}) AND r.user_id > ?4
           ORDER BY r.user_id LIMIT ?5`,
        )
        .bind(organizationId, mode, reference, after, pageSize + 1),
    ]),
  );
  const agentId = (found?.results[0] as { agent_id: string } | undefined)?.agent_id;
  if (agentId === undefined) throw new Fault("not_found", { message: "There is no such agent." });
  const rows = (users?.results ?? []) as AgentUserRow[];
  c.set("rowsRead", users?.meta.rows_read ?? 0);
  const hasMore = rows.length > pageSize;
  if (hasMore) rows.pop();
  const last = hasMore ? rows.at(-1) : undefined;
  const decay = decayAt(c.var.receivedAt, c.env.MOOD_HALF_LIFE_HOURS);
  c.header("Link", '</api/v1/schemas/AgentUserList.json>; rel="describedBy"');
  // What is undefined is left out.
  return c.json({
    $schema: "/api/v1/schemas/AgentUserList.json",
    users: rows.map((row) => ({
      user_id: row.user_id,
      role: row.role,
      created_at: row.created_at,
      display_name: row.display_name ?? undefined,
      last_interaction_at: row.last_interaction_at ?? undefined,
      metadata: contact(JSON.parse(row.metadata) as Metadata),
      mood: mood(row, agentId, row.user_id, decay),
    })),
    has_more: hasMore,
    next_cursor: last && (await cursors.encode(last.user_id, binding, c.env.KEY_SECRET)),
  });
});

/** Metadata as this list shows it: two members by name, the others as text. */
function contact(metadata: Metadata) {
  const shown: { email?: string; phone?: string; custom?: Record<string, string> } = {};
  for (const [key, value] of Object.entries(metadata)) {
    if (key === "email" && typeof value === "string") shown.email = value;
    else if (key === "phone" && typeof value === "string") shown.phone = value;
    else (shown.custom ??= {})[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return shown;
}
