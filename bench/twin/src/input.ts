// What callers send, checked by zod; every fault is listed, with the path of its field.

import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import * as z from "zod";
import type { Environment } from "./environment";
import { Fault, type FieldFault, invalid } from "./fault";

const METADATA_BYTES_MAX = 16 * 1024;
const METADATA_DEPTH_MAX = 8;
/** Most unknown fields that are listed: an answer does not grow with the nonsense that was sent. */
const UNKNOWN_MAX = 50;

export type Metadata = Record<string, unknown>;

export const string = z.string({ error: ({ input }) => (input === undefined ? "is required" : "must be a string") });

/** A display name. */
export const name = string
  .regex(/^.{1,255}$/su, { error: "must have 1 to 255 characters", abort: true })
  .regex(/^\P{Cc}*$/u, { error: "must not contain control characters", abort: true })
  .refine((text) => text.isWellFormed(), "must be well-formed Unicode");

/** The caller's own id of a user: no URL has a segment of one or two dots. */
export const userId = name.refine((text) => text !== "." && text !== "..", 'must not be "." or ".."');

/** Any object. A member may have the name of a prototype's member, such as `constructor`. */
export const metadata = z
  .custom<Metadata>((value) => isObject(value), { error: "must be a JSON object", abort: true })
  .refine((value) => depth(value) <= METADATA_DEPTH_MAX, {
    error: `must not be nested deeper than ${METADATA_DEPTH_MAX} levels`,
    abort: true,
  })
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= METADATA_BYTES_MAX, {
    error: `must not be larger than ${METADATA_BYTES_MAX} bytes of JSON`,
  });

/** A whole number in a query. */
export const wholeNumber = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return string
    .regex(/^[0-9]{1,9}$/, { error, abort: true })
    .transform(Number)
    .pipe(z.number().min(min, error).max(max, error));
};

export const oneOf = <const T extends string>(...values: T[]) =>
  z.enum(values, {
    error: ({ input }) =>
      input === undefined
        ? "is required"
        : typeof input === "string"
          ? `must be one of ${values.map((value) => `"${value}"`).join(", ")}`
          : "must be a string",
  });

export const limitedBody = bodyLimit({
  maxSize: 64 * 1024,
  onError: () => {
    throw new Fault("payload_too_large");
  },
});

export async function readBody<T>(c: Context<Environment>, schema: z.ZodType<T>): Promise<T> {
  const mediaType = c.req.header("Content-Type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (mediaType !== "application/json") throw new Fault("unsupported_media_type");
  let body: unknown;
  try {
    body = await c.req.json();
  } catch (error) {
    throw new Fault("invalid_request", { message: `the body is not valid JSON: ${(error as Error).message}` });
  }
  if (!isObject(body)) throw new Fault("invalid_request", { message: "the body must be a JSON object" });
  return read(schema, body, "body", "is not a known field");
}

export function readQuery<T>(c: Context<Environment>, schema: z.ZodType<T>): T {
  checkEscapes(c.req.url);
  const parameters = c.req.queries();
  const repeated = Object.keys(parameters).filter((path) => (parameters[path]?.length ?? 0) > 1);
  if (repeated.length > 0) {
    throw invalid(repeated.map((path) => ({ location: "query", path, message: "is given more than once" })));
  }
  const query = Object.fromEntries(Object.entries(parameters).map(([path, values]) => [path, values[0]]));
  return read(schema, query, "query", "is not a known parameter");
}

export function readPath<T>(c: Context<Environment>, path: string, schema: z.ZodType<T>): T {
  checkEscapes(c.req.path);
  const result = schema.safeParse(c.req.param(path));
  if (result.success) return result.data;
  throw invalid([{ location: "path", path, message: result.error.issues[0]?.message ?? "is not valid" }]);
}

function read<T>(schema: z.ZodType<T>, input: unknown, location: "body" | "query", unknown: string): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue): FieldFault[] => {
    const at = (path: PropertyKey[], message: string) => ({
      location,
      path: path.join("."),
      message,
      value: path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input),
    });
    return issue.code === "unrecognized_keys"
      ? issue.keys.slice(0, UNKNOWN_MAX).map((key) => at([...issue.path, key], unknown))
      : [at(issue.path, issue.message)];
  });
  throw invalid(faults);
}

/** The router leaves an escape that does not decode as it is. */
function checkEscapes(text: string): void {
  try {
    decodeURIComponent(text);
  } catch {
    throw new Fault("invalid_request", { message: "the URL holds a percent-escape that is not valid UTF-8" });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function depth(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce<number>((deepest, child) => Math.max(deepest, depth(child)), 0);
}
