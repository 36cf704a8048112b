// The floor: what the platform itself costs. It makes the calls that each request cannot do without, and answers in the
// right size and shape. It checks hardly anything and promises hardly anything: no Worker that keeps the contract can
// take less than this one does.

import { DurableObject } from "cloudflare:workers";

/** Most users that one flush takes to D1. */
const FLUSH_MAX = 500;

const PROJECT = `
  INSERT OR IGNORE INTO end_users
    (organization_id, mode, user_id, principal_id, display_name, metadata, created_at, updated_at)
  SELECT ?1, 'live', value ->> 'user_id', '', value ->> 'display_name', value ->> 'metadata', value ->> 'created_at',
    value ->> 'updated_at'
  FROM json_each(?2)`;

/** Four statements, as a condition that a parameter switches off would keep the index from being used. */
const list = (after, order) => `
  SELECT user_id, display_name, metadata, status, version, created_at, updated_at, last_interaction_at FROM end_users
  WHERE organization_id = ?1 AND mode = 'live' ${after ? `AND user_id ${order === "ASC" ? ">" : "<"} ?3` : ""}
  ORDER BY user_id ${order} LIMIT ?2`;

const AGENT_USERS = `
  SELECT r.user_id, r.role, r.created_at, u.display_name, r.last_interaction_at, u.metadata, r.agent_id,
    r.user_id AS mood_user_id, r.valence, r.arousal, r.tension, r.affiliation, r.baseline_valence, r.baseline_arousal,
    r.baseline_tension, r.baseline_affiliation, 'neutral' AS label, r.mood_created_at, r.mood_updated_at,
    r.mood_decayed_at, r.mood_interaction_at
  FROM agent_users r
  CROSS JOIN end_users u ON u.organization_id = r.organization_id AND u.mode = r.mode AND u.user_id = r.user_id
  WHERE r.organization_id = ?1 AND r.mode = 'live' AND r.agent_id = ?2 AND r.user_id > ?3 ORDER BY r.user_id LIMIT ?4`;

const SAVE_AGENT = `
  INSERT INTO agents (organization_id, mode, agent_id, name, created_at, updated_at) VALUES (?1, 'live', ?2, ?3, ?4, ?4)
  ON CONFLICT (organization_id, mode, name) DO UPDATE SET updated_at = excluded.updated_at RETURNING agent_id`;

export class Organization extends DurableObject {
  #sql;
  #organizationId = "";
  #perSecond = 1;
  #burst = 1;
  #tokens = 1;
  #at = 0;
  #pending = [];
  #isFlushing = false;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS users (user_id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS settings (organization_id TEXT NOT NULL, per_second INTEGER NOT NULL, burst INTEGER NOT NULL);
    `);
    const [settings] = this.#sql.exec("SELECT organization_id, per_second, burst FROM settings").toArray();
    if (settings) this.#set(settings.organization_id, settings.per_second, settings.burst);
  }

  configure(organizationId, perSecond, burst) {
    this.#sql.exec("DELETE FROM settings");
    this.#sql.exec("INSERT INTO settings VALUES (?, ?, ?)", organizationId, perSecond, burst);
    this.#set(organizationId, perSecond, burst);
  }

  /** Whether there was a token. */
  admit() {
    const now = Date.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** "" for a new user, the record of an existing one, null without a token. */
  create(userId, record) {
    if (!this.admit()) return null;
    const { rowsWritten } = this.#sql.exec("INSERT OR IGNORE INTO users (user_id, record) VALUES (?, ?)", userId, record);
    if (rowsWritten === 0) return this.#record(userId);
    this.#pending.push({ userId, record });
    if (!this.#isFlushing) this.ctx.waitUntil(this.#flush());
    return "";
  }

  /** The record of a user, "" if there is none, null without a token. */
  read(userId) {
    return this.admit() ? this.#record(userId) : null;
  }

  #record(userId) {
    const [row] = this.#sql.exec("SELECT record FROM users WHERE user_id = ?", userId).toArray();
    return row ? row.record : "";
  }

  #set(organizationId, perSecond, burst) {
    this.#organizationId = organizationId;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes the pending users to D1, until none is left. */
  async #flush() {
    this.#isFlushing = true;
    const { LISTING } = this.env;
    try {
      while (this.#pending.length > 0) {
        const users = this.#pending.splice(0, FLUSH_MAX);
        const records = `[${users.map(({ record }) => record).join()}]`;
        await LISTING.batch([LISTING.prepare(PROJECT).bind(this.#organizationId, records)]);
      }
    } catch (error) {
      console.error(`the listing lost a batch: ${error}`);
    } finally {
      this.#isFlushing = false;
    }
  }
}

export default {
  async fetch(request, env, ctx) {
    const { method, url } = request;
    const pathStart = url.indexOf("/", 8);
    const queryStart = url.indexOf("?", pathStart);
    const path = queryStart < 0 ? url.slice(pathStart) : url.slice(pathStart, queryStart);
    const query = queryStart < 0 ? "" : url.slice(queryStart + 1);
    if (path.startsWith("/admin/")) return operate(request, env, path);

    const isService = path.startsWith("/api/v1/principals");
    const credential = isService ? request.headers.get("X-Assistant-Service-Key") : request.headers.get("Authorization");
    const key = isService ? credential : credential?.slice("Bearer ".length);
    if (!isGenuine(key)) return failed(path, 401, "invalid_token", "The credential is not valid here.");
    const organizationId = key.slice(-66, -40);
    const object = env.ORGANIZATIONS.getByName(organizationId);

    if (path === "/v1/end-users") {
      if (method === "POST") return createEndUser(request, object, path);
      if (!(await object.admit())) return limited(path);
      const limit = Number(parameter(query, "limit") ?? 50);
      const after = parameter(query, "cursor");
      const order = parameter(query, "order") === "desc" ? "DESC" : "ASC";
      const select = env.LISTING.prepare(list(after, order));
      const { results } = await (after
        ? select.bind(organizationId, limit, decodeURIComponent(after))
        : select.bind(organizationId, limit)
      ).all();
      return answer(200, `{"data":${JSON.stringify(results)},${more(results, limit, ',"next_cursor":null')}}`);
    }
    if (path.startsWith("/v1/end-users/")) {
      const userId = decodeURIComponent(path.slice("/v1/end-users/".length));
      const isAtEdge = request.headers.has("Cache-Control");
      if (isAtEdge) {
        const copy = await env.RECORDS.get(recordKey(organizationId, userId));
        if (copy !== null) return answer(200, copy, FROM_EDGE);
      }
      const record = await object.read(userId);
      if (record === null) return limited(path);
      if (record === "") return failed(path, 404, "not_found", "There is no such end user.");
      if (isAtEdge) ctx.waitUntil(env.RECORDS.put(recordKey(organizationId, userId), record));
      return answer(200, `${record.slice(0, -1)},"relationships":[],"relationships_has_more":false}`, ENTITY);
    }
    if (isService) return createPrincipal(request, object, path);
    if (path === "/api/v1/agents") {
      const [isAdmitted, { name }] = await Promise.all([object.admit(), request.json()]);
      if (!isAdmitted) return limited(path);
      const now = new Date().toISOString();
      const id = await env.LISTING.prepare(SAVE_AGENT)
        .bind(organizationId, crypto.randomUUID(), name, now)
        .first("agent_id");
      return answer(
        201,
        `{"$schema":"/api/v1/schemas/Agent.json","agent_id":"${id}","name":${JSON.stringify(name)},"external_id":null,` +
          `"metadata":{},"created_at":"${now}","updated_at":"${now}"}`,
        ENTITY,
      );
    }
    if (path.startsWith("/api/v1/agents/")) {
      if (!(await object.admit())) return limited(path);
      const limit = Number(parameter(query, "page_size") ?? 100);
      const after = decodeURIComponent(parameter(query, "cursor") ?? "");
      const agentId = path.split("/")[4];
      const { results } = await env.LISTING.prepare(AGENT_USERS).bind(organizationId, agentId, after, limit).all();
      return answer(
        200,
        `{"$schema":"/api/v1/schemas/AgentUserList.json","users":${JSON.stringify(results)},${more(results, limit, "")}}`,
      );
    }
    return failed(path, 404, "not_found", "There is nothing at this path.");
  },
};

async function createEndUser(request, object, path) {
  const body = await request.json();
  const faults = wrong(body, END_USER);
  if (faults.length > 0) return (await object.admit()) ? invalid(path, faults) : limited(path);
  const record = recordOf(body.user_id, body.display_name, body.metadata);
  const stored = await object.create(body.user_id, record);
  if (stored === null) return limited(path);
  return stored === "" ? answer(201, record, ENTITY) : answer(200, stored, ENTITY);
}

async function createPrincipal(request, object, path) {
  const body = await request.json();
  const faults = wrong(body, PRINCIPAL);
  if (faults.length > 0) return (await object.admit()) ? invalid(path, faults) : limited(path);
  const made = recordOf(body.external_id, body.name, body.metadata);
  const stored = await object.create(body.external_id, made);
  if (stored === null) return limited(path);
  const record = JSON.parse(stored || made);
  return answer(
    stored === "" ? 201 : 200,
    JSON.stringify({
      result: {
        created: stored === "",
        id: "00000000-0000-7000-8000-000000000000",
        external_id: record.user_id,
        type: "human",
        name: record.display_name ?? record.user_id,
        created_at: record.created_at,
        updated_at: record.updated_at,
        metadata: record.metadata,
        is_temporary: false,
        owner_principal_id: null,
        onboarding_session_id: null,
      },
      success: true,
      message: stored === "" ? "Principal created." : "OK.",
      suggestion: null,
      meta: null,
    }),
    ENTITY,
  );
}

function recordOf(userId, displayName, metadata) {
  const now = new Date().toISOString();
  return (
    `{"user_id":${JSON.stringify(userId)},"display_name":${JSON.stringify(displayName ?? null)},` +
    `"metadata":${JSON.stringify(metadata ?? {})},"status":"active","version":1,"created_at":"${now}","updated_at":"${now}",` +
    `"last_interaction_at":null}`
  );
}

function recordKey(organizationId, userId) {
  return `${organizationId}/live/end-users/${userId}`;
}

const HEADERS = {
  "Content-Type": "application/json",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Request-Id": "00000000000000000000000000",
  "X-RateLimit-Limit": "1000",
  "X-RateLimit-Remaining": "999",
  "X-RateLimit-Reset": "2026-01-01T00:00:00.000Z",
};
const ENTITY = { ...HEADERS, ETag: '"1"' };
const FROM_EDGE = { ...HEADERS, ETag: 'W/"1"', Age: "1", "X-Rollcall-Source": "edge" };
const PROBLEM = { ...HEADERS, "Content-Type": "application/problem+json" };

function answer(status, body, headers = HEADERS) {
  return new Response(body, { status, headers });
}

function limited(path) {
  return failed(path, 429, "rate_limit_exceeded", "Too many requests; retry after the time in Retry-After.", {
    retry_after_ms: 1000,
  });
}

function invalid(path, fields) {
  const message = fields.map(({ path, message }) => `${path} ${message}`).join("; ");
  return failed(path, 422, "validation_error", message, { fields });
}

const ID = "00000000000000000000000000";

function failed(path, status, code, message, details = null) {
  if (path.startsWith("/v1")) {
    const error = {
      code,
      message,
      type: "validation",
      request_id: ID,
      details: details?.fields ? { fields: details.fields.map(({ path, message }) => ({ path, message })) } : details,
      documentation_url: `http://127.0.0.1:8787/errors#${code}`,
    };
    return answer(status, JSON.stringify({ error }));
  }
  if (path.startsWith("/api/v1/principals")) {
    const fields = details?.fields?.map(({ path, message, value }) => ({
      loc: ["body", path],
      msg: message,
      type: "value_error",
      input: value,
    }));
    const suggestion = "Correct the fields that are named and send the request again.";
    const error = fields ? { detail: fields } : message;
    return answer(status, JSON.stringify({ success: false, error, suggestion, request_id: ID }));
  }
  const problem = {
    $schema: "/api/v1/schemas/Problem.json",
    type: `urn:rollcall:problem:${code}`,
    title: code,
    status,
    detail: message,
    instance: `urn:ulid:${ID}`,
    errors: [],
  };
  return answer(status, JSON.stringify(problem), PROBLEM);
}

const string = (value) => {
  if (value === undefined) return "is required";
  if (typeof value !== "string") return "must be a string";
  return value.length === 0 ? "must have 1 to 255 characters" : undefined;
};
const nullable = (value) => (value === undefined || value === null ? undefined : string(value));
const object = (value) =>
  value !== undefined && (typeof value !== "object" || Array.isArray(value)) ? "must be a JSON object" : undefined;
const human = (value) => (value === "human" ? undefined : 'must be one of "human", "agent"');

const END_USER = { user_id: string, display_name: nullable, metadata: object };
const PRINCIPAL = { external_id: string, type: human, name: string, metadata: object };

/** Members that are wrong at first sight, and those that are not known. */
function wrong(body, shape) {
  const faults = [];
  for (const path in shape) {
    const message = shape[path](body[path]);
    if (message) faults.push({ path, message, value: body[path] ?? null });
  }
  for (const path in body) {
    if (!Object.hasOwn(shape, path)) faults.push({ path, message: "is not a known field", value: body[path] });
  }
  return faults;
}

/** A cursor is the last user's id, percent-encoded. A full page is taken to have a next one. */
function more(rows, limit, ending) {
  if (rows.length < limit) return `"has_more":false${ending}`;
  return `"has_more":true,"next_cursor":"${encodeURIComponent(rows[limit - 1].user_id)}"`;
}

function parameter(query, name) {
  for (const pair of query.split("&")) if (pair.startsWith(name) && pair[name.length] === "=") return pair.slice(name.length + 1);
}

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A key ends with a checksum (FNV-1a): enough to tell one that was not issued, and no secret. */
function isGenuine(key) {
  return typeof key === "string" && key.length >= 74 && key.endsWith(checksum(key.slice(0, -8)));
}

function checksum(text) {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(36).padStart(8, "0");
}

/** Only its object knows an organization. Keys are not stored. */
async function operate(request, env, path) {
  if (request.headers.get("Authorization") !== `Bearer ${env.ADMIN_TOKEN}`) {
    return failed(path, 401, "invalid_token", "The credential is not valid here.");
  }
  const { name, slug, limits, kind, mode, scope } = await request.json();
  const random = (alphabet, length) =>
    Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => alphabet[byte % alphabet.length]).join("");
  if (path === "/admin/v1/organizations") {
    const id = `01${random("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)}`;
    await env.ORGANIZATIONS.getByName(id).configure(id, limits?.requests_per_second ?? 50, limits?.burst ?? 100);
    return answer(201, JSON.stringify({ id, name, slug, clerk_org_id: null, limits, version: 1 }), ENTITY);
  }
  const signed = `sk_live_${path.split("/")[4]}${random(BASE62, 32)}`;
  const key = signed + checksum(signed);
  return answer(201, JSON.stringify({ id: ID, key, kind, mode, scope, prefix: "sk", name }));
}
