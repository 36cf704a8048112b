// The Worker as it ships, with a record of where its objects are called. The local runtime knows no jurisdictions and ignores
// hints. `GET /__placement` gives the calls since the last time: the name of the object, the hint, and the jurisdiction.
import Edge from "./clock.mjs";

export { Organization } from "./clock.mjs";

let called = [];

function recorded(objects, jurisdiction) {
  return {
    getByName(name, options) {
      called.push([name, options?.locationHint ?? null, jurisdiction]);
      return objects.getByName(name);
    },
    jurisdiction: (name) => recorded(objects, name),
  };
}

export default {
  ...Edge,
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/__placement") return Response.json(called.splice(0));
    return Edge.fetch(request, { ...env, ORGANIZATIONS: recorded(env.ORGANIZATIONS, null) }, ctx);
  },
};
