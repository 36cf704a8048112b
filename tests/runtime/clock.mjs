// The Worker as it ships, with a clock that can be set forward: `POST /__clock` with
// {"ms":N} says how far it is ahead from now on. Timers go on as ever.
import Edge, { Organization } from "../../worker/src/entry.mjs";

const clock = { ms: 0 };
const now = Date.now.bind(Date);
Date.now = () => now() + clock.ms;

export { Organization };

export default {
  ...Edge,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__clock") return Edge.fetch(request, env, ctx);
    Object.assign(clock, await request.json());
    return Response.json(clock);
  },
};
