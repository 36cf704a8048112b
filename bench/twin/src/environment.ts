import type { Tenant } from "./api-key";
import type { Organization } from "./organization";

export interface Bindings {
  ORGANIZATIONS: DurableObjectNamespace<Organization>;
  RECORDS: KVNamespace;
  LISTING: D1Database;
  KEY_SECRET: string;
  ADMIN_TOKEN?: string;
  ALLOWED_ORIGINS?: string;
  PUBLIC_REQUESTS_PER_SECOND?: string;
  PUBLIC_BURST?: string;
  MOOD_HALF_LIFE_HOURS?: string;
}

/** What is known of a request, for its headers and its log line. */
export interface Variables {
  requestId: string;
  receivedAt: number;
  tenant: Tenant;
  outcome?: string;
  reason?: string;
  rowsRead?: number;
  servedBy?: "kv" | "d1";
}

export interface Environment {
  Bindings: Bindings;
  Variables: Variables;
}
