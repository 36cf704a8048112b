// The process that has the objects of a hot organization: the entry module of a run with `--hot`. `away.mjs` is the entry
// module of each process that has an edge. They call objects here by HTTP, as one process of the local runtime cannot call
// an object in another. What an object writes to KV goes to the KV of each of these processes.
import Edge, { Organization as Shipped } from "./contender.mjs";
import { replace, withBindings } from "./wrapping.mjs";

/** The URLs of the other processes. */
let edges = [];
/** Calls to objects so far. */
let calls = 0;

function everywhere(kv) {
  const write = (method) => async (...args) => {
    const body = JSON.stringify({ method, args });
    const sent = edges.map(async (url) => {
      const response = await fetch(`${url}/__copies`, { method: "POST", body });
      if (!response.ok) throw new Error(await response.text());
    });
    await Promise.all([kv[method](...args), ...sent]);
  };
  return replace(kv, { put: write("put"), delete: write("delete") });
}

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, withBindings(env, { RECORDS: everywhere(env.RECORDS) }));
  }
}

export default {
  async fetch(request, env, ctx) {
    const [, place, method, name] = new URL(request.url).pathname.split("/");
    switch (place) {
      case "__objects": {
        calls += 1;
        const object = env.ORGANIZATIONS.getByName(decodeURIComponent(name));
        return new Response(await object[method](new Uint8Array(await request.arrayBuffer())));
      }
      case "__calls":
        return Response.json(calls);
      case "__edges":
        edges = await request.json();
        return new Response();
      default:
        return Edge.fetch(request, env, ctx);
    }
  },
};
