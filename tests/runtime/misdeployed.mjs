// The Worker as it ships, deployed wrongly. `POST /__deployment` deploys it anew:
//   "vars"     variables and secrets that it has instead of the server's own
//   "without"  names of bindings, variables and secrets that it lacks
//   "d1"       the name of another database that is bound as LISTING
//   "sql"      statements that this database executes
//   "front"    what stands in front of it, a name in `FRONTS`
// A new deployment begins with new isolates, so it has a new instance of the module.
import * as rollcall from "../../build/index.js";
import Edge, { Organization as Shipped } from "./front.mjs";

let deployment = {};
let cache = new Map();

function deployed(env) {
  const bound = { ...env, ...deployment.vars };
  if (deployment.d1) bound.LISTING = env[deployment.d1];
  for (const name of deployment.without ?? []) delete bound[name];
  return bound;
}

async function deploy(wanted, env) {
  deployment = wanted;
  cache = new Map();
  rollcall.__wbg_reset_state();
  const { LISTING } = deployed(env);
  if (wanted.sql) await LISTING.batch(wanted.sql.map((statement) => LISTING.prepare(statement)));
  return Response.json(wanted);
}

function changed(response, change) {
  const headers = new Headers(response.headers);
  change(headers);
  return new Response(response.body, { status: response.status, headers });
}

const FRONTS = {
  /** Passes on no header that it does not know. */
  strips: async (request, serve) =>
    changed(await serve(request), (headers) => {
      const known = ["content-type", "cache-control", "location", "etag", "www-authenticate", "allow", "x-request-id"];
      for (const [name] of [...headers]) if (!known.includes(name)) headers.delete(name);
    }),
  /** Gives each request an id of its own besides. */
  marks: async (request, serve) =>
    changed(await serve(request), (headers) => headers.append("X-Request-Id", crypto.randomUUID())),
  /** Answers from a cache, whatever the answer says of that. */
  caches: async (request, serve) => {
    const key = [request.method, request.url, request.headers.get("Authorization")].join(" ");
    if (request.method !== "GET") return serve(request);
    if (!cache.has(key)) {
      const response = await serve(request);
      const { status, headers } = response;
      // A body belongs to the request that it answers. A text does not.
      cache.set(key, [status === 304 ? null : await response.text(), { status, headers: [...headers] }]);
    }
    return new Response(...cache.get(key));
  },
  /** Has its own opinion of what may be kept. */
  publishes: async (request, serve) =>
    changed(await serve(request), (headers) => headers.set("Cache-Control", "public, max-age=60")),
  /** Compresses what is not to be transformed. */
  compresses: async (request, serve) =>
    changed(await serve(request), (headers) => {
      if (headers.get("ETag")?.startsWith('"')) headers.set("ETag", `W/${headers.get("ETag")}`);
    }),
  /** Tells the Worker nothing of its caller. The rules of Cloudflare add an address only where there is none. */
  hides: (request, serve) => {
    const hidden = new Request(request, { signal: request.signal });
    hidden.headers.set("CF-Connecting-IP", "");
    return serve(hidden);
  },
  /** Serves by HTTPS only. */
  secures: ({ url }) => {
    const { host, pathname, search } = new URL(url);
    return new Response(null, { status: 301, headers: { Location: `https://${host}${pathname}${search}` } });
  },
  /** Another product. */
  welcomes: () => new Response("<h1>Welcome to nginx!</h1>", { headers: { "Content-Type": "text/html" } }),
};

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, deployed(env));
  }
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/__deployment") return deploy(await request.json(), env);
    const serve = (request) => Edge.fetch(request, deployed(env), ctx);
    const front = pathname.startsWith("/__") ? undefined : FRONTS[deployment.front];
    return front ? front(request, serve) : serve(request);
  },
  scheduled: (controller, env, ctx) => Edge.scheduled(controller, deployed(env), ctx),
};
