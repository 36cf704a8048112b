// `/admin/v1/organizations`: organizations and their keys.

import { Hono } from "hono";
import * as z from "zod";
import * as apiKey from "./api-key";
import { operator, organization } from "./caller";
import type { Environment } from "./environment";
import { Fault, reach } from "./fault";
import { newId } from "./ids";
import { limitedBody, name, oneOf, readBody, readPath, string } from "./input";

const whole = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int(error).min(min, error).max(max, error);
};

const QUOTA_MAX = 1_000_000_000_000;

const newOrganization = z.strictObject({
  name,
  slug: string
    .regex(
      /^(?=.{2,64}$)[a-z0-9]+(-[a-z0-9]+)*$/,
      "must have 2 to 64 characters from a-z, 0-9 and single hyphens between them",
    )
    .optional(),
  limits: z
    .strictObject(
      {
        requests_per_second: whole(1, 1_000_000).default(50),
        burst: whole(1, 10_000_000).default(100),
        turns_per_period: whole(0, QUOTA_MAX).default(10_000),
        active_relationships: whole(0, QUOTA_MAX).default(1_000),
        end_users: whole(0, QUOTA_MAX).default(1_000_000),
        storage_bytes: whole(0, QUOTA_MAX).default(1_000_000_000),
      },
      "must be an object",
    )
    .prefault({}),
});

const newKey = z.strictObject({
  kind: oneOf("api", "service"),
  mode: oneOf("live", "test"),
  scope: oneOf("read", "read_write").default("read_write"),
  prefix: string.regex(/^[a-z]{2,12}$/, "must have 2 to 12 letters from a to z").default("sk"),
  name,
  expires_at: z.iso
    .datetime({ offset: true, error: "must be an RFC 3339 date-time such as 2026-01-31T09:30:00Z" })
    .refine((text) => Date.parse(text) > Date.now(), "must be in the future")
    .nullable()
    .default(null),
});

interface OrganizationRow {
  requests_per_second: number;
  burst: number;
  turns_per_period: number;
  active_relationships: number;
  created_at: string;
}

export const admin = new Hono<Environment>();

admin.post("/", operator, limitedBody, async (c) => {
  const { name, slug: given, limits } = await readBody(c, newOrganization);
  const id = newId(c.var.receivedAt);
  const slug = given ?? deriveSlug(name, id);
  const now = new Date(c.var.receivedAt).toISOString();
  const stored = await reach(
    c.env.LISTING.prepare(
      `INSERT INTO organizations
         (id, slug, name, requests_per_second, burst, turns_per_period, active_relationships, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
    )
      .bind(
        id,
        slug,
        name,
        limits.requests_per_second,
        limits.burst,
        limits.turns_per_period,
        limits.active_relationships,
        now,
      )
      .first(),
  );
  if (!stored) throw new Fault("conflict", { message: "The slug belongs to another organization." });
  c.header("Location", `/admin/v1/organizations/${id}`);
  c.header("ETag", '"1"');
  return c.json({ id, name, slug, clerk_org_id: null, limits, version: 1, created_at: now, updated_at: now }, 201);
});

admin.post("/:organization_id/keys", operator, limitedBody, async (c) => {
  const organizationId = readPath(c, "organization_id", z.string());
  const { kind, mode, scope, prefix, name, expires_at } = await readBody(c, newKey);
  const row = await reach(
    c.env.LISTING.prepare(
      `SELECT requests_per_second, burst, turns_per_period, active_relationships, created_at
       FROM organizations WHERE id = ?`,
    )
      .bind(organizationId)
      .first<OrganizationRow>(),
  );
  if (!row) throw new Fault("not_found", { message: "There is no such organization." });
  const tenant: apiKey.Tenant = { organizationId, mode };
  const key = await apiKey.mint(prefix, tenant, c.env.KEY_SECRET);
  const id = newId(c.var.receivedAt);
  const createdAt = new Date(c.var.receivedAt).toISOString();
  const expiresAt = expires_at === null ? null : new Date(expires_at).toISOString();
  const settings = {
    requestsPerSecond: row.requests_per_second,
    burst: row.burst,
    turnsPerPeriod: row.turns_per_period,
    activeRelationships: row.active_relationships,
    anchor: row.created_at,
  };
  const digest = await apiKey.digest(key);
  await reach(organization(c.env, tenant).issueKey(settings, { digest, id, kind, scope, name, createdAt, expiresAt }));
  c.header("Location", `/admin/v1/organizations/${organizationId}/keys/${id}`);
  return c.json(
    {
      id,
      key,
      kind,
      mode,
      scope,
      prefix,
      name,
      created_at: createdAt,
      expires_at: expiresAt,
      revoked_at: null,
      last_used_on: null,
    },
    201,
  );
});

/** The name as it may stand in a URL, with the end of the id to be unique. */
function deriveSlug(name: string, id: string): string {
  const words = name.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return [...words, id.slice(-8).toLowerCase()].join("-").slice(-64).replace(/^-+/, "");
}
