import type { Context } from "hono";
import type { Environment } from "./environment";
import type { Quota } from "./organization";
import type { Decision } from "./token-bucket";

const EXPOSED =
  "X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit-Policy, RateLimit, Retry-After, " +
  "X-Quota-Turns-Used, X-Quota-Turns-Limit, X-Quota-Relationships-Used, X-Quota-Relationships-Limit, X-Quota-Reset, " +
  "WWW-Authenticate, Allow, Location, ETag, Link, Idempotency-Replayed";

/** On every response. */
export function setUniversal(c: Context<Environment>): void {
  c.header("X-Request-Id", c.var.requestId);
  c.header("X-Content-Type-Options", "nosniff");
  c.header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  c.header("Referrer-Policy", "no-referrer");
  c.header("Cache-Control", "no-store");
  if (c.req.url.startsWith("https:")) c.header("Strict-Transport-Security", "max-age=31536000");
}

/** For the paths that browsers on an allowed origin may call; says whether this one may. */
export function setCrossOrigin(c: Context<Environment>): boolean {
  const { path } = c.req;
  if (path.startsWith("/api/v1/principals") || path.startsWith("/admin")) return false;
  c.header("Vary", "Origin");
  const origin = c.req.header("Origin");
  if (!origin || !c.env.ALLOWED_ORIGINS) return false;
  if (!c.env.ALLOWED_ORIGINS.split(",").some((allowed) => allowed.trim() === origin)) return false;
  c.header("Access-Control-Allow-Origin", origin);
  c.header("Access-Control-Expose-Headers", EXPOSED);
  return true;
}

export function setPreflight(c: Context<Environment>): void {
  c.header("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE");
  c.header(
    "Access-Control-Allow-Headers",
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key",
  );
  c.header("Access-Control-Max-Age", "600");
}

/** On every response that took a token, and every 429. */
export function setRateLimit(c: Context<Environment>, name: "org" | "ip", decision: Decision): void {
  const { perSecond, burst, remaining, fullAt } = decision;
  const resetS = Math.max(0, Math.ceil((fullAt - c.var.receivedAt) / 1000));
  c.header("X-RateLimit-Limit", String(perSecond));
  c.header("X-RateLimit-Remaining", String(remaining));
  c.header("X-RateLimit-Reset", new Date(fullAt).toISOString());
  c.header("RateLimit-Policy", `"${name}";q=${burst};w=${Math.ceil(burst / perSecond)}`);
  c.header("RateLimit", `"${name}";r=${remaining};t=${resetS}`);
}

/** On every 403 and 429 of an authenticated call. */
export function setQuota(c: Context<Environment>, quota: Quota): void {
  c.header("X-Quota-Turns-Used", String(quota.turnsUsed));
  c.header("X-Quota-Turns-Limit", String(quota.turnsLimit));
  c.header("X-Quota-Relationships-Used", String(quota.relationshipsUsed));
  c.header("X-Quota-Relationships-Limit", String(quota.relationshipsLimit));
  c.header("X-Quota-Reset", quota.resetsAt);
}
