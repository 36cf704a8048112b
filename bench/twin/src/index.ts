// The twin: what Rollcall's benchmark asks for, as a TypeScript engineer would write it.

import { Hono } from "hono";
import { routePath } from "hono/route";
import { admin } from "./admin";
import { agents } from "./agents";
import { endUsers } from "./end-users";
import type { Environment } from "./environment";
import { Fault, respond } from "./fault";
import { setCrossOrigin, setPreflight, setUniversal } from "./headers";
import { newId } from "./ids";
import { principals } from "./principals";

export { Organization } from "./organization";

const app = new Hono<Environment>();

app.use(async (c, next) => {
  const receivedAt = Date.now();
  c.set("receivedAt", receivedAt);
  c.set("requestId", newId(receivedAt));
  setUniversal(c);
  const isAllowed = setCrossOrigin(c);
  if (c.req.method === "OPTIONS") {
    if (isAllowed) setPreflight(c);
    c.res = c.body(null, 204);
  } else {
    await next();
  }
  // One line per request. No path, header, body or credential is ever logged: paths hold user ids.
  const { requestId, tenant, outcome, rowsRead, servedBy, reason } = c.var;
  console.log(
    JSON.stringify({
      requestId,
      method: c.req.method,
      route: routePath(c, -1),
      status: c.res.status,
      organizationId: tenant?.organizationId ?? null,
      durationMs: Date.now() - receivedAt,
      outcome: outcome ?? "ok",
      rowsRead,
      servedBy,
      reason,
    }),
  );
});

const methods: [path: string, allow: string][] = [
  ["/v1/end-users", "POST, GET, HEAD, OPTIONS"],
  ["/v1/end-users/:user_id", "GET, HEAD, OPTIONS"],
  ["/api/v1/agents", "POST, OPTIONS"],
  ["/api/v1/agents/:agent_id/users", "GET, HEAD, OPTIONS"],
  ["/api/v1/principals", "POST, OPTIONS"],
  ["/admin/v1/organizations", "POST, OPTIONS"],
  ["/admin/v1/organizations/:organization_id/keys", "POST, OPTIONS"],
];

app.route("/v1/end-users", endUsers);
app.route("/api/v1/agents", agents);
app.route("/api/v1/principals", principals);
app.route("/admin/v1/organizations", admin);

for (const [path, allow] of methods) {
  app.all(path, () => {
    throw new Fault("method_not_allowed", { message: `This path answers only to ${allow}.`, allow });
  });
}

app.notFound(() => {
  throw new Fault("not_found");
});

app.onError((error, c) => respond(c, error));

export default app;
