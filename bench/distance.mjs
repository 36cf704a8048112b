// A contender whose objects are far away: the entry module of a run with a distance. Each call to an object waits half of
// the distance on its way there, and half on its way back. KV and D1 are as near as ever. `GET /__kv` reads from KV what
// the contender read there last, and does nothing else.
import Edge, { Organization } from "./contender.mjs";
import { aroundCalls, replace, withBindings } from "./wrapping.mjs";

export { Organization };

let lastKey = "nothing was read yet";
let bindings;

function distant(env) {
  const wait = () => scheduler.wait(env.DISTANCE_MS / 2);
  return withBindings(env, {
    ORGANIZATIONS: aroundCalls(env.ORGANIZATIONS, async (call) => {
      await wait();
      try {
        return await call();
      } finally {
        await wait();
      }
    }),
    RECORDS: replace(env.RECORDS, {
      get(key, ...options) {
        lastKey = key;
        return env.RECORDS.get(key, ...options);
      },
    }),
  });
}

export default {
  async fetch(request, env, ctx) {
    if (request.url.endsWith("/__kv")) {
      const value = await env.RECORDS.get(lastKey);
      return new Response(value, { status: value === null ? 404 : 200 });
    }
    bindings ??= distant(env);
    return Edge.fetch(request, bindings, ctx);
  },
};
