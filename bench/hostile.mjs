// A contender beside which something else takes the thread: the entry module of a run with `--hostile`. `/__burn?turns=N` reads
// its body, computes for so many turns of a loop, and does nothing else.
import Edge, { Organization } from "./contender.mjs";

export { Organization };

function burn(turns) {
  let number = 1;
  for (let turn = 0; turn < turns; turn += 1) number = (number * 48271) % 2147483647;
  return number;
}

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== "/__burn") return Edge.fetch(request, env, ctx);
    await request.arrayBuffer();
    return Response.json(burn(Number(searchParams.get("turns"))));
  },
};
