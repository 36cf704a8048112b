// What the runtime calls, and what lets Rust be called by RPC: only a class that extends
// DurableObject can be. Everything else is in the crate.
import { DurableObject } from "cloudflare:workers";
import * as rollcall from "../../build/index.js";

// Counts the instances of the module; Rust writes to it.
const state = rollcall.__worker_init_state();

// A trap leaves memory that nobody vouches for: whoever comes next finds the module begun anew. So do
// an exhausted stack, and an exception of something that was not expected to throw, as the module's
// JavaScript calls it.
function isFatal(error) {
  return (
    error instanceof WebAssembly.RuntimeError || error instanceof RangeError || error?.message === "Critical error"
  );
}
function note(error) {
  if (isFatal(error)) state.criticalError = true;
}
addEventListener("error", ({ error }) => note(error));

function beginAnew() {
  rollcall.__wbg_reset_state();
  state.criticalError = false;
}

function call(work) {
  if (state.criticalError) beginAnew();
  try {
    return work();
  } catch (error) {
    note(error);
    throw error;
  }
}

export class Organization extends DurableObject {
  #core;
  #instance = 0;

  // What it remembers is of an instance of the module; a new one reads it from storage.
  get core() {
    if (this.#instance !== state.instanceId) {
      this.#core = new rollcall.OrganizationObject(this.ctx, this.env);
      this.#instance = state.instanceId;
    }
    return this.#core;
  }
  handle(bytes) {
    try {
      return call(() => this.core.handle(bytes));
    } catch (error) {
      if (isFatal(error)) this.ctx.abort(error.message);
      throw error;
    }
  }
  handleListed(bytes) {
    const reply = this.handle(bytes);
    return call(() => this.core.listed(reply));
  }
  handleAudited(bytes) {
    const reply = this.handle(bytes);
    return call(() => this.core.audited(reply));
  }
  alarm() {
    return call(() => this.core.alarm());
  }
  ping() {}
}

export default {
  fetch(request, env, ctx) {
    const response = call(() => rollcall.fetch(request, env, ctx));
    // When the caller hangs up, the runtime would drop the request half-way: its memory would never
    // be freed, and its log line never be written.
    ctx.waitUntil(response);
    return response;
  },
  scheduled(_controller, env) {
    return call(() => rollcall.scheduled(env));
  },
};
