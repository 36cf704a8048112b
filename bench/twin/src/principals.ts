// Dialect 3: `/api/v1/principals`. A human principal is the end user with `user_id = external_id`.

import { Hono } from "hono";
import * as z from "zod";
import { caller } from "./caller";
import { createUser } from "./end-users";
import type { Environment } from "./environment";
import { limitedBody, metadata, name, oneOf, readBody, userId } from "./input";

const newPrincipal = z.strictObject({
  external_id: userId,
  type: oneOf("human", "agent").refine((type) => type === "human", "must be \"human\" here"),
  name,
  metadata: metadata.optional(),
});

export const principals = new Hono<Environment>();

principals.post("/", caller("service", "read_write"), limitedBody, async (c) => {
  const input = await readBody(c, newPrincipal);
  const { created, stored } = await createUser(c, c.var.tenant, {
    userId: input.external_id,
    displayName: input.name,
    metadata: input.metadata ?? {},
  });
  c.header("ETag", `"${stored.version}"`);
  if (created) c.header("Location", `/api/v1/principals/${stored.principal_id}`);
  return c.json(
    {
      result: {
        created,
        id: stored.principal_id,
        external_id: stored.user_id,
        type: "human",
        name: stored.display_name ?? stored.user_id,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
        metadata: stored.metadata,
        is_temporary: false,
        owner_principal_id: null,
        onboarding_session_id: null,
      },
      success: true,
      message: created ? "Principal created." : "OK.",
      suggestion: null,
      meta: null,
    },
    created ? 201 : 200,
  );
});
