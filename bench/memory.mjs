// A contender whose memory is looked at: the entry module of a run with `--memory`. `GET /__memory` answers with the bytes of
// the module's memory. `POST /__memory` has the contender begin with a new instance of its module, as it does after a trap:
// its memory is that of a new isolate. Edge and objects share the isolate, and so the instance.
import { wasmBytes } from "./instances.mjs";
import Edge, { Organization } from "./contender.mjs";

export { Organization };

function beginAnew() {
  globalThis.dispatchEvent(Object.assign(new Event("error"), { error: new RangeError("begin anew") }));
}

export default {
  async fetch(request, env, ctx) {
    if (!request.url.endsWith("/__memory")) return Edge.fetch(request, env, ctx);
    if (request.method === "POST") {
      beginAnew();
      // The next call makes the instance.
      await Edge.fetch(new Request(new URL("/health", request.url)), env, ctx);
    }
    return Response.json(wasmBytes());
  },
};
