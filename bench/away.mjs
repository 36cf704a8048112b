// One of the processes that have an edge of a hot organization, and not its object: see `home.mjs`. It has a KV of its own,
// as a location of Cloudflare has a cache of KV.
import Edge, { Organization } from "./contender.mjs";
import { withBindings } from "./wrapping.mjs";

export { Organization };

let bindings;

function away(env) {
  const call = async (method, name, bytes) => {
    const url = `${env.HOME}/__objects/${method}/${encodeURIComponent(name)}`;
    const response = await fetch(url, { method: "POST", body: bytes });
    if (!response.ok) throw new Error(await response.text());
    return new Uint8Array(await response.arrayBuffer());
  };
  const stub = (name) => new Proxy({}, { get: (_, method) => (bytes) => call(method, name, bytes) });
  return withBindings(env, { ORGANIZATIONS: { getByName: stub } });
}

export default {
  async fetch(request, env, ctx) {
    if (request.url.endsWith("/__copies")) {
      const { method, args } = await request.json();
      await env.RECORDS[method](...args);
      return new Response();
    }
    bindings ??= away(env);
    return Edge.fetch(request, bindings, ctx);
  },
};
