// The Worker as it ships, with a clock that fails when it is told to: `POST /__trap` with
// {"looks":N} lets it be looked at N times more, and has the next look throw. Nothing expects that of a
// clock, so the instance of the module that looked is at its end, wherever it was.
import Edge, { Organization } from "./front.mjs";

let looks = Infinity;
const now = Date.now.bind(Date);
Date.now = () => {
  looks -= 1;
  if (looks >= 0) return now();
  looks = Infinity;
  throw new Error("injected trap");
};

export { Organization };

export default {
  ...Edge,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__trap") return Edge.fetch(request, env, ctx);
    looks = (await request.json()).looks;
    return Response.json({});
  },
};
