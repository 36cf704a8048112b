// Two builds in one Worker, as while a version is rolled out: the present one, and the former one that the repository
// keeps. The server puts this module in the place of `worker/src/entry.mjs`, so the front, the clock and the faults are
// around both builds. `POST /__rollout` sets, from now on:
//   "edges"       the builds whose edges serve, in turn by chance: "former", "present" or both
//   "objects"     the build of the objects. Those that run end, as by any deployment:
//                 <https://developers.cloudflare.com/durable-objects/platform/known-issues/#code-updates>
//   "statements"  what D1 executes first, as migrations are applied
// Its answer, and that to `GET /__rollout`, says what has happened since:
//   "requests"    how many each edge has answered, and how many of them with 503
//   "ended"       how many objects ended
//   "in_progress" how many requests were in progress then
//   "protocols"   the versions of all messages that objects have got, since the server started
import { DurableObject, env as bindings } from "cloudflare:workers";
import * as present from "../../build/entry.mjs";
import * as former from "../../tests/upgrade/former/entry.mjs";

const builds = { former, present };
const rollout = { edges: ["former"], objects: "former" };
const running = new Set();
const protocols = new Set();
let inProgress = 0;
let happened = {};

function begin(counts) {
  const requests = { former: { answered: 0, unavailable: 0 }, present: { answered: 0, unavailable: 0 } };
  happened = { requests, ended: 0, in_progress: 0, ...counts };
}
begin();

async function endObjects() {
  const counts = { ended: running.size, in_progress: inProgress };
  const ids = [...running];
  running.clear();
  const { ORGANIZATIONS } = bindings;
  // Each call fails, because it ends its object.
  await Promise.allSettled(ids.map((id) => ORGANIZATIONS.get(ORGANIZATIONS.idFromString(id)).replace()));
  return counts;
}

async function roll({ statements = [], ...stage }) {
  const { LISTING } = bindings;
  if (statements.length > 0) await LISTING.batch(statements.map((statement) => LISTING.prepare(statement)));
  Object.assign(rollout, stage);
  begin(stage.objects ? await endObjects() : {});
}

const nextEdge = () => rollout.edges[Math.floor(Math.random() * rollout.edges.length)];

/** Serves a request by one of the edges, and counts it among what has happened since its arrival. */
async function serve(request, env, ctx) {
  const edge = nextEdge();
  const counts = happened.requests[edge];
  inProgress += 1;
  try {
    const response = await builds[edge].default.fetch(request, env, ctx);
    counts.answered += 1;
    if (response.status === 503) counts.unavailable += 1;
    return response;
  } finally {
    inProgress -= 1;
  }
}

export class Organization extends DurableObject {
  #build;

  constructor(ctx, env) {
    super(ctx, env);
    this.#build = new builds[rollout.objects].Organization(ctx, env);
    running.add(ctx.id.toString());
  }

  replace() {
    this.ctx.abort("its code was updated");
  }

  // The methods that either build has. One that the other lacks fails there, as it does in production.
  static {
    for (const { Organization: { prototype } } of Object.values(builds)) {
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
        if (name === "constructor" || typeof value !== "function") continue;
        this.prototype[name] = function (...args) {
          // The version of the protocol leads a message.
          if (args[0] instanceof Uint8Array) protocols.add(args[0][0]);
          return this.#build[name](...args);
        };
      }
    }
  }
}

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__rollout") return serve(request, env, ctx);
    if (request.method === "POST") await roll(await request.json());
    const headers = { "Cache-Control": "no-transform" };
    return Response.json({ ...rollout, ...happened, protocols: [...protocols] }, { headers });
  },
  scheduled: (...args) => builds[nextEdge()].default.scheduled(...args),
};
