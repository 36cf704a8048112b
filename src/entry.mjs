// What lets Rust be called by RPC: only a class that extends DurableObject can
// be. Everything else is in the crate.
import { DurableObject } from "cloudflare:workers";
import Edge, { OrganizationObject } from "../build/index.js";

export class Organization extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.core = new OrganizationObject(ctx, env);
  }
  handle(call) {
    try {
      return this.core.handle(call);
    } catch (error) {
      // A trap leaves memory that nobody vouches for: begin again from storage.
      if (error instanceof WebAssembly.RuntimeError) this.ctx.abort(error.message);
      throw error;
    }
  }
  handleListed(call) {
    return this.core.listed(this.handle(call));
  }
  handleAudited(call) {
    return this.core.audited(this.handle(call));
  }
  alarm() {
    return this.core.alarm();
  }
  ping() {}
}

export default Edge;
