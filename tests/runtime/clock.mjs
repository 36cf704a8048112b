// The Worker as it ships, with a clock that tests set. `POST /__clock` with {"ahead_ms":N} has it go on,
// so far ahead of the machine's; with {"at_ms":N} it stands still at that instant. Edge and objects share
// the isolate, and so the clock. Timers go on as ever.
import Edge, { Organization } from "../../src/entry.mjs";

const now = Date.now.bind(Date);
let setting = { ahead_ms: 0 };
Date.now = () => setting.at_ms ?? now() + setting.ahead_ms;

export { Organization };

export default {
  ...Edge,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__clock") return Edge.fetch(request, env, ctx);
    setting = await request.json();
    return Response.json(setting);
  },
};
