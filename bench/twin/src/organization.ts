// One object per organization and mode: its keys, its rate limit and its usage.

import { DurableObject } from "cloudflare:workers";
import type { KeyKind, Scope } from "./api-key";
import { type Decision, TokenBucket } from "./token-bucket";

export interface Settings {
  requestsPerSecond: number;
  burst: number;
  turnsPerPeriod: number;
  activeRelationships: number;
  /** When the organization was made: its billing periods begin on this day of the month. */
  anchor: string;
}

export interface NewKey {
  digest: string;
  id: string;
  kind: KeyKind;
  scope: Scope;
  name: string;
  createdAt: string;
  expiresAt: string | null;
}

export interface Quota {
  turnsUsed: number;
  turnsLimit: number;
  relationshipsUsed: number;
  relationshipsLimit: number;
  resetsAt: string;
}

/** What an object says of a caller. */
export type Admission =
  | { verdict: "admitted"; decision: Decision }
  | { verdict: "limited"; decision: Decision; quota: Quota }
  | { verdict: "scope_too_small"; quota: Quota }
  | { verdict: "invalid_key" }
  | { verdict: "expired_key" };

interface KnownKey {
  kind: KeyKind;
  scope: Scope;
  expiresAt: number;
}

export class Organization extends DurableObject<unknown> {
  readonly #sql: SqlStorage;
  readonly #keys = new Map<string, KnownKey>();
  readonly #bucket = new TokenBucket();
  #settings: Settings | undefined;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS settings (id INTEGER PRIMARY KEY CHECK (id = 1), document TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS keys (
        digest TEXT PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL,
        created_at TEXT NOT NULL, expires_at TEXT) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS usage (
        metric TEXT NOT NULL, period_start TEXT NOT NULL, value INTEGER NOT NULL,
        PRIMARY KEY (metric, period_start)) WITHOUT ROWID;
    `);
    const [settings] = this.#sql.exec<{ document: string }>("SELECT document FROM settings").toArray();
    if (settings) this.#settings = JSON.parse(settings.document) as Settings;
  }

  /** Checks the key and its scope, then takes a token. */
  admit(digest: string, kind: KeyKind, scope: Scope): Admission {
    const now = Date.now();
    const key = this.#key(digest);
    const settings = this.#settings;
    if (!settings || !key || key.kind !== kind) return { verdict: "invalid_key" };
    if (key.expiresAt <= now) return { verdict: "expired_key" };
    if (scope === "read_write" && key.scope === "read") {
      return { verdict: "scope_too_small", quota: this.#quota(settings, now) };
    }
    const decision = this.#bucket.take({ perSecond: settings.requestsPerSecond, burst: settings.burst }, now);
    if (!decision.allowed) return { verdict: "limited", decision, quota: this.#quota(settings, now) };
    return { verdict: "admitted", decision };
  }

  /** Takes over the organization's settings and a key of it. */
  issueKey(settings: Settings, key: NewKey): void {
    this.#sql.exec("INSERT OR REPLACE INTO settings (id, document) VALUES (1, ?)", JSON.stringify(settings));
    this.#sql.exec(
      "INSERT INTO keys (digest, id, kind, scope, name, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      key.digest,
      key.id,
      key.kind,
      key.scope,
      key.name,
      key.createdAt,
      key.expiresAt,
    );
    this.#settings = settings;
  }

  #key(digest: string): KnownKey | undefined {
    const known = this.#keys.get(digest);
    if (known) return known;
    const [row] = this.#sql
      .exec<{ kind: KeyKind; scope: Scope; expires_at: string | null }>(
        "SELECT kind, scope, expires_at FROM keys WHERE digest = ?",
        digest,
      )
      .toArray();
    if (!row) return undefined;
    const expiresAt = row.expires_at === null ? Number.POSITIVE_INFINITY : Date.parse(row.expires_at);
    const key = { kind: row.kind, scope: row.scope, expiresAt };
    this.#keys.set(digest, key);
    return key;
  }

  #quota(settings: Settings, now: number): Quota {
    const period = billingPeriod(new Date(settings.anchor), new Date(now));
    const used = Object.fromEntries(
      this.#sql
        .exec<{ metric: string; value: number }>("SELECT metric, value FROM usage WHERE period_start = ?", period.start)
        .toArray()
        .map(({ metric, value }) => [metric, value]),
    );
    return {
      turnsUsed: used.turns ?? 0,
      turnsLimit: settings.turnsPerPeriod,
      relationshipsUsed: used.active_relationships ?? 0,
      relationshipsLimit: settings.activeRelationships,
      resetsAt: period.end,
    };
  }
}

/** The month that contains `now` and begins on the anchor's day, or on the last day of a month that has no such day. */
function billingPeriod(anchor: Date, now: Date): { start: string; end: string } {
  const startOf = (month: number) => {
    const lastDay = new Date(Date.UTC(now.getUTCFullYear(), month + 1, 0)).getUTCDate();
    return new Date(Date.UTC(now.getUTCFullYear(), month, Math.min(anchor.getUTCDate(), lastDay)));
  };
  const thisMonth = now.getUTCMonth();
  const first = startOf(thisMonth) > now ? thisMonth - 1 : thisMonth;
  return { start: startOf(first).toISOString(), end: startOf(first + 1).toISOString() };
}
