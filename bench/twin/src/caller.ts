// The caller of a request: what the edge reads from the key, and what the object says of it.

import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import * as apiKey from "./api-key";
import type { Bindings, Environment } from "./environment";
import { Fault, type FaultCode, reach } from "./fault";
import { setRateLimit } from "./headers";
import type { Admission } from "./organization";
import { TokenBucket } from "./token-bucket";

/** Most client addresses that are remembered. */
const CLIENTS_MAX = 4096;

const clients = new Map<string, TokenBucket>();

export function organization(env: Bindings, { organizationId, mode }: apiKey.Tenant) {
  return env.ORGANIZATIONS.getByName(`${organizationId}/${mode}`);
}

/** Reads the caller's key and refuses a forged one without asking anyone. */
export async function authenticate(c: Context<Environment>, kind: apiKey.KeyKind): Promise<apiKey.ApiKey> {
  const token = kind === "service" ? c.req.header("X-Assistant-Service-Key") : bearer(c);
  if (!token) throw refuseCredential(c, "authentication_error");
  const key = await apiKey.parse(token, c.env.KEY_SECRET);
  if (!key) throw refuseCredential(c, "invalid_token");
  c.set("tenant", key.tenant);
  return key;
}

/** Has the caller's object check the key and the scope, and take a token. */
export async function admit(
  c: Context<Environment>,
  key: apiKey.ApiKey,
  kind: apiKey.KeyKind,
  scope: apiKey.Scope,
): Promise<void> {
  const admission = await reach<Admission>(organization(c.env, key.tenant).admit(key.digest, kind, scope));
  switch (admission.verdict) {
    case "admitted":
      setRateLimit(c, "org", admission.decision);
      return;
    case "limited": {
      setRateLimit(c, "org", admission.decision);
      const { retryAfterMs } = admission.decision;
      throw new Fault("rate_limit_exceeded", { retryAfterMs, quota: admission.quota });
    }
    case "scope_too_small":
      throw new Fault("permission_denied", { quota: admission.quota });
    case "expired_key":
      throw refuseCredential(c, "token_expired");
    case "invalid_key":
      throw refuseCredential(c, "invalid_token");
  }
}

/** Both, for the routes that do nothing else meanwhile. */
export const caller = (kind: apiKey.KeyKind, scope: apiKey.Scope) =>
  createMiddleware<Environment>(async (c, next) => {
    await admit(c, await authenticate(c, kind), kind, scope);
    await next();
  });

export const operator = createMiddleware<Environment>(async (c, next) => {
  const token = bearer(c);
  if (!token) throw refuseCredential(c, "authentication_error");
  if (!c.env.ADMIN_TOKEN || !(await apiKey.equals(token, c.env.ADMIN_TOKEN))) throw refuseCredential(c, "invalid_token");
  await next();
});

function bearer(c: Context<Environment>): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(c.req.header("Authorization") ?? "")?.[1];
}

/** Guessing costs a token of the guesser's address. */
function refuseCredential(c: Context<Environment>, code: FaultCode): Fault {
  const rate = {
    perSecond: Number(c.env.PUBLIC_REQUESTS_PER_SECOND ?? 50),
    burst: Number(c.env.PUBLIC_BURST ?? 500),
  };
  const address = c.req.header("CF-Connecting-IP") ?? "";
  let bucket = clients.get(address);
  if (!bucket) {
    bucket = new TokenBucket();
    // The first that a map tells is the one that has been there longest.
    const [oldest] = clients.keys();
    if (clients.size >= CLIENTS_MAX && oldest !== undefined) clients.delete(oldest);
    clients.set(address, bucket);
  }
  const decision = bucket.take(rate, c.var.receivedAt);
  setRateLimit(c, "ip", decision);
  return decision.allowed
    ? new Fault(code)
    : new Fault("rate_limit_exceeded", { retryAfterMs: decision.retryAfterMs });
}
