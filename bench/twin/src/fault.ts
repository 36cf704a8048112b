// Everything that can be wrong with a request, and how it looks in each dialect.

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Environment } from "./environment";
import { setQuota } from "./headers";
import type { Quota } from "./organization";

const FAULTS = {
  invalid_request: {
    status: 400,
    type: "validation",
    title: "Malformed request",
    message: "The request is not well-formed.",
    suggestion: "Send a well-formed request as described in the documentation.",
  },
  authentication_error: {
    status: 401,
    type: "authentication",
    title: "Authentication failed",
    message: "No credential was sent, or not in the way this path expects it.",
    suggestion: "Send a valid, unexpired credential of the kind this path expects.",
  },
  invalid_token: {
    status: 401,
    type: "authentication",
    title: "Authentication failed",
    message: "The credential is not valid here.",
    suggestion: "Send a valid, unexpired credential of the kind this path expects.",
  },
  token_expired: {
    status: 401,
    type: "authentication",
    title: "Authentication failed",
    message: "The credential has expired.",
    suggestion: "Send a valid, unexpired credential of the kind this path expects.",
  },
  permission_denied: {
    status: 403,
    type: "permission",
    title: "Permission denied",
    message: "The key's scope does not allow this request.",
    suggestion: "Use a key with the scope read_write.",
  },
  not_found: {
    status: 404,
    type: "not_found",
    title: "Not found",
    message: "There is nothing at this path.",
    suggestion: "Check the id, and that the key belongs to the right organization and mode.",
  },
  method_not_allowed: {
    status: 405,
    type: "validation",
    title: "Method not allowed",
    message: "This path does not answer to this method.",
    suggestion: "Use one of the methods in the Allow header.",
  },
  conflict: {
    status: 409,
    type: "conflict",
    title: "Conflict",
    message: "The name is taken.",
    suggestion: "Read the resource as it is now, then decide.",
  },
  payload_too_large: {
    status: 413,
    type: "validation",
    title: "Body too large",
    message: "The body is larger than 65536 bytes.",
    suggestion: "Send less in one request.",
  },
  unsupported_media_type: {
    status: 415,
    type: "validation",
    title: "Unsupported media type",
    message: "The body must be sent as Content-Type: application/json.",
    suggestion: "Set the Content-Type header to application/json.",
  },
  validation_error: {
    status: 422,
    type: "validation",
    title: "Validation failed",
    message: "The request is not valid.",
    suggestion: "Correct the fields that are named and send the request again.",
  },
  rate_limit_exceeded: {
    status: 429,
    type: "rate_limit",
    title: "Rate limit exceeded",
    message: "Too many requests; retry after the time in Retry-After.",
    suggestion: "Wait for the seconds in Retry-After and send the request again.",
  },
  internal_error: {
    status: 500,
    type: "internal",
    title: "Internal error",
    message: "Something went wrong on our side; it has been logged.",
    suggestion: "Send the request again; if it keeps failing, report the request id.",
  },
  service_unavailable: {
    status: 503,
    type: "internal",
    title: "Service unavailable",
    message: "Something this needs is out of reach for the moment; retry later.",
    suggestion: "Send the request again after the seconds in Retry-After.",
  },
} as const satisfies Record<
  string,
  { status: ContentfulStatusCode; type: string; title: string; message: string; suggestion: string }
>;

export type FaultCode = keyof typeof FAULTS;

/** One thing that is wrong with one field. */
export interface FieldFault {
  location: "body" | "query" | "path";
  path: string;
  message: string;
  value?: unknown;
}

interface Details {
  message?: string;
  fields?: FieldFault[];
  retryAfterMs?: number;
  quota?: Quota;
  allow?: string;
  /** For the log alone. */
  reason?: string;
}

export class Fault extends Error {
  readonly code: FaultCode;
  readonly details: Details;

  constructor(code: FaultCode, details: Details = {}) {
    super(details.message ?? FAULTS[code].message);
    this.code = code;
    this.details = details;
  }
}

/** What is wrong with some fields, all at once. */
export function invalid(fields: FieldFault[]): Fault {
  const message = fields.map(({ path, message }) => `${path || "it"} ${message}`).join("; ");
  return new Fault("validation_error", { message, fields });
}

/** A store or an object that can't be reached is 503, not a fault of ours. */
export async function reach<T>(store: Promise<T>): Promise<T> {
  try {
    return await store;
  } catch (error) {
    throw new Fault("service_unavailable", { retryAfterMs: 1000, reason: String(error) });
  }
}

const CHALLENGES: Partial<Record<FaultCode, string>> = {
  authentication_error: "Bearer",
  invalid_token: 'Bearer error="invalid_token"',
  token_expired: 'Bearer error="token_expired"',
};

export function respond(c: Context<Environment>, error: Error): Response {
  const fault = error instanceof Fault ? error : new Fault("internal_error", { reason: String(error) });
  const { code, details } = fault;
  c.set("outcome", code);
  if (details.reason !== undefined) c.set("reason", details.reason);
  if (details.quota) setQuota(c, details.quota);
  if (details.allow) c.header("Allow", details.allow);
  if (details.retryAfterMs !== undefined) {
    c.header("Retry-After", String(Math.max(1, Math.ceil(details.retryAfterMs / 1000))));
  }
  const challenge = CHALLENGES[code];
  if (challenge) c.header("WWW-Authenticate", challenge);
  if (c.req.path.startsWith("/v1")) return asEndUsers(c, fault);
  if (c.req.path.startsWith("/api/v1/principals")) return asPrincipals(c, fault);
  return asProblem(c, fault);
}

function asEndUsers(c: Context<Environment>, { code, message, details }: Fault): Response {
  const { status, type } = FAULTS[code];
  const { fields, retryAfterMs } = details;
  return c.json(
    {
      error: {
        code,
        message,
        type,
        request_id: c.var.requestId,
        details: fields
          ? { fields: fields.map(({ path, message }) => ({ path, message })) }
          : code === "rate_limit_exceeded"
            ? { retry_after_ms: retryAfterMs }
            : null,
        documentation_url: `${new URL(c.req.url).origin}/errors#${code}`,
      },
    },
    status,
  );
}

/** RFC 9457. */
function asProblem(c: Context<Environment>, { code, message, details }: Fault): Response {
  const { status, title } = FAULTS[code];
  if (c.req.path.startsWith("/api/v1/agents")) c.header("Link", '</api/v1/schemas/Problem.json>; rel="describedBy"');
  return c.json(
    {
      $schema: "/api/v1/schemas/Problem.json",
      type: `urn:rollcall:problem:${code}`,
      title,
      status,
      detail: message,
      instance: `urn:ulid:${c.var.requestId}`,
      errors: (details.fields ?? []).map(({ location, path, message, value }) => ({
        location: path ? `${location}.${path}` : location,
        message,
        value: echo(value),
      })),
    },
    status,
    { "Content-Type": "application/problem+json" },
  );
}

function asPrincipals(c: Context<Environment>, { code, message, details }: Fault): Response {
  const { status, suggestion } = FAULTS[code];
  const error = details.fields
    ? {
        detail: details.fields.map(({ location, path, message, value }) => ({
          loc: [location, path],
          msg: message,
          type: "value_error",
          input: echo(value),
        })),
      }
    : message;
  return c.json({ success: false, error, suggestion, request_id: c.var.requestId }, status);
}

/** What was sent, when it is short enough to be worth repeating. */
function echo(value: unknown): {} | null {
  const text = JSON.stringify(value);
  return text === undefined || text.length > 256 ? null : (value as {} | null);
}
