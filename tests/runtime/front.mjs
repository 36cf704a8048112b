// The Worker as it ships, behind what Cloudflare puts around a Worker and the local runtime does not. Every server of
// the suite runs behind these rules, and every other entry builds on this one. Each rule names its source; URLs
// without a host are below https://developers.cloudflare.com. What the local runtime does by itself has no rule
// here: it refuses an RPC message above 32 MiB, both ways (`POST /__call` shows it).
//
// `GET /__front` says how often each rule was applied. `POST /__front` with {"type":…,"etag":…,"body":…} is answered
// by that, as by a Worker. `POST /__reads` with {"reads":N} reads from KV that often at once, and `POST /__call` with
// {"bytes":N} calls an object with so many bytes and gives the error.
import Edge, { Organization as Shipped } from "../../worker/src/entry.mjs";

const applied = { compressed: 0, merged: 0, queued: 0, refused: [], hung_up: 0, ended: 0 };

// An invocation has six connections at once, and those beyond wait for their turn. All events of an object count as
// one (/workers/platform/limits/#simultaneous-open-connections, /d1/platform/limits/). The Worker's own fetches are
// not counted, as no request makes more than one at a time.
const CONNECTIONS_MAX = 6;
// After a caller has gone, work goes on for 30 seconds (/workers/runtime-apis/context/#waituntil). The local runtime lets
// it go on for ever. It tells that a caller has gone only if the connection was reset. The seconds are the tests' clock's.
const GRACE_MS = 30_000;

class Invocation {
  #open = 0;
  #waiting = [];
  #goneAt = Infinity;

  hangUp() {
    applied.hung_up += 1;
    this.#goneAt = Date.now();
  }

  // What has ended hears nothing more: its code does not run. Here it runs on, but reaches nothing.
  async reach(call) {
    if (Date.now() - this.#goneAt < GRACE_MS || this.#goneAt === Infinity) return call();
    applied.ended += 1;
    return new Promise(() => {});
  }

  async connect(call) {
    if (this.#open < CONNECTIONS_MAX) {
      this.#open += 1;
    } else {
      applied.queued += 1;
      const { promise, resolve } = Promise.withResolvers();
      this.#waiting.push(resolve);
      await promise;
    }
    try {
      return await this.reach(call);
    } finally {
      const next = this.#waiting.shift();
      // The next call takes the place over.
      if (next) next();
      else this.#open -= 1;
    }
  }
}

const REFUSED_SHOWN = 20;

/** Refuses a call, of which `what` is shown to whoever did not expect it. */
function refuse(message, what = message) {
  if (applied.refused.length < REFUSED_SHOWN) applied.refused.push(what);
  throw new Error(message);
}

// KV takes one write a second for each key (/kv/platform/limits/). The second is one of the tests' clock, because what
// waits for it looks at that clock.
const WRITE_PAUSE_MS = 1_000;
const WRITES_KEPT = 10_000;
const writtenAt = new Map();

function noteWrite(key, method) {
  const now = Date.now();
  const sinceMs = Math.abs(now - writtenAt.get(key));
  if (sinceMs < WRITE_PAUSE_MS) {
    refuse(`KV ${method} failed: 429 Too Many Requests`, `${method} ${key} ${sinceMs} ms after another write`);
  }
  if (writtenAt.size >= WRITES_KEPT) writtenAt.clear();
  writtenAt.set(key, now);
}

function kv(binding, invocation) {
  const connect = (call) => invocation.connect(call);
  return {
    get: (...args) => connect(() => binding.get(...args)),
    list: (...args) => connect(() => binding.list(...args)),
    put: (key, ...args) =>
      connect(() => {
        noteWrite(key, "PUT");
        return binding.put(key, ...args);
      }),
    delete: (key) =>
      connect(() => {
        noteWrite(key, "DELETE");
        return binding.delete(key);
      }),
  };
}

// /d1/platform/limits/
const PARAMETERS_MAX = 100;
const PARAMETER_BYTES_MAX = 2_000_000;
const STATEMENT_BYTES_MAX = 100_000;

const encoder = new TextEncoder();
/** A character has at most three bytes for each of its UTF-16 units, so short texts need no counting. */
const isLonger = (text, bytes) => text.length * 3 > bytes && encoder.encode(text).length > bytes;

class Statement {
  constructor(inner, invocation) {
    this.inner = inner;
    this.invocation = invocation;
  }
  bind(...values) {
    if (values.length > PARAMETERS_MAX) refuse("D1_ERROR: too many SQL variables: SQLITE_ERROR");
    if (values.some((value) => typeof value === "string" && isLonger(value, PARAMETER_BYTES_MAX))) {
      refuse("D1_ERROR: string or blob too big: SQLITE_TOOBIG");
    }
    return new Statement(this.inner.bind(...values), this.invocation);
  }
  all() {
    return this.invocation.connect(() => this.inner.all());
  }
}

function d1(binding, invocation) {
  return {
    prepare(sql) {
      if (isLonger(sql, STATEMENT_BYTES_MAX)) refuse("D1_ERROR: statement too long: SQLITE_TOOBIG");
      return new Statement(binding.prepare(sql), invocation);
    },
    batch: (statements) => invocation.connect(() => binding.batch(statements.map(({ inner }) => inner))),
  };
}

function objects(binding, invocation) {
  return {
    jurisdiction: (name) => objects(binding.jurisdiction(name), invocation),
    getByName(...args) {
      const stub = binding.getByName(...args);
      return {
        handle: (call) => invocation.reach(() => stub.handle(call)),
        handleListed: (call) => invocation.reach(() => stub.handleListed(call)),
        handleAudited: (call) => invocation.reach(() => stub.handleAudited(call)),
        ping: () => invocation.reach(() => stub.ping()),
        fetch: (...args) => invocation.reach(() => stub.fetch(...args)),
      };
    },
  };
}

function limited(env, invocation) {
  return {
    ...env,
    RECORDS: env.RECORDS && kv(env.RECORDS, invocation),
    LISTING: env.LISTING && d1(env.LISTING, invocation),
    ORGANIZATIONS: objects(env.ORGANIZATIONS, invocation),
  };
}

// The URL of a zone's request has no `//` and no `\` in its path. Percent-encoded bytes stay
// (/rules/normalization/how-it-works/).
function normalized(url) {
  const [, origin, path, query] = /^([a-z]+:\/\/[^/\\?]*)([^?]*)(.*)$/s.exec(url);
  if (!/\\|\/\//.test(path)) return url;
  applied.merged += 1;
  return origin + path.replaceAll("\\", "/").replace(/\/{2,}/g, "/") + query;
}

// Every request has the address of its caller (/fundamentals/reference/http-headers/).
const ADDRESS = "203.0.113.1";

/** The request as it reaches a Worker. */
function arrived(request) {
  const url = normalized(request.url);
  const hasAddress = request.headers.has("CF-Connecting-IP");
  if (url === request.url && hasAddress) return request;
  const changed = new Request(new Request(url, request), { signal: request.signal });
  if (!hasAddress) changed.headers.set("CF-Connecting-IP", ADDRESS);
  return changed;
}

// What is compressed, for whom: /speed/optimization/content/compression/. The tag of what was compressed is weak
// (cloudflare/kv-asset-handler#315). What a caller takes stands in a header of another name, because the local runtime
// compresses by `Accept-Encoding` whatever it is not to transform.
const COMPRESSED_TYPES = /^(application\/(javascript|json|xml)|text\/(css|html|javascript|plain|xml))\b/;
const COMPRESSED_STATUSES = [200, 403, 404];

/** The response as it reaches a caller. The runtime compresses what says that it is compressed. */
function departed(request, response) {
  const { status, headers } = response;
  const accepted = request.headers.get("X-Front-Accept-Encoding") ?? "";
  const encoding = ["br", "gzip"].find((name) => accepted.includes(name));
  const isCompressed =
    encoding !== undefined &&
    response.body !== null &&
    COMPRESSED_STATUSES.includes(status) &&
    COMPRESSED_TYPES.test(headers.get("Content-Type")) &&
    !headers.has("Content-Encoding") &&
    !/\bno-transform\b/.test(headers.get("Cache-Control"));
  if (!isCompressed) return response;
  applied.compressed += 1;
  const changed = new Headers(headers);
  changed.delete("Content-Length");
  changed.set("Content-Encoding", encoding);
  if (headers.get("ETag")?.startsWith('"')) changed.set("ETag", `W/${headers.get("ETag")}`);
  return new Response(response.body, { status, headers: changed });
}

async function call({ bytes }, { ORGANIZATIONS }) {
  const error = await ORGANIZATIONS.getByName("readiness").handle(new Uint8Array(bytes)).catch(({ message }) => message);
  return Response.json({ error }, { headers: { "Cache-Control": "no-transform" } });
}

/** Reads from KV as often as it is told to, all at once. Says how many reads were under way at most. */
async function read({ reads }, { RECORDS }) {
  let [open, most] = [0, 0];
  const get = async (key) => {
    open += 1;
    most = Math.max(most, open);
    await RECORDS.get(key);
    open -= 1;
  };
  const records = kv({ get }, new Invocation());
  await Promise.all(Array.from({ length: reads }, () => records.get("a key")));
  return Response.json({ reads, most_at_once: most }, { headers: { "Cache-Control": "no-transform" } });
}

async function answer(request) {
  if (request.method === "GET") return Response.json(applied, { headers: { "Cache-Control": "no-transform" } });
  const { type, etag, cache, body } = await request.json();
  return new Response(body, { headers: { "Content-Type": type, "Cache-Control": cache, ETag: etag } });
}

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, limited(env, new Invocation()));
  }
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/__call") return call(await request.json(), env);
    if (pathname === "/__reads") return read(await request.json(), env);
    const invocation = new Invocation();
    request.signal.addEventListener("abort", () => invocation.hangUp(), { once: true });
    const incoming = arrived(request);
    const answered = pathname === "/__front" ? answer(incoming) : Edge.fetch(incoming, limited(env, invocation), ctx);
    return departed(request, await answered);
  },
  scheduled: (controller, env, ctx) => Edge.scheduled(controller, limited(env, new Invocation()), ctx),
};
