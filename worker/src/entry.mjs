// The entry module: the runtime calls it, and it calls the crate. RPC reaches only a class that extends
// DurableObject, so that class is here.
import { DurableObject } from "cloudflare:workers";
import * as rollcall from "../../build/index.js";

// The state that the module shares with its JavaScript: which instance of the module it is.
const state = rollcall.__worker_init_state();

// After a trap the module's memory may be inconsistent, so the next call starts a new instance of the
// module. The same holds after an exhausted stack, and after an exception of a function that was not
// expected to throw, which the module's JavaScript calls a critical error.
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

// Most readers of events that an object has. A further one looks now and then.
const READERS_MAX = 1_000;

export class Organization extends DurableObject {
  #core;
  #instance = 0;

  // The core belongs to one instance of the module. A new instance reads its state from storage.
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
  // A reader of events connects, to be told of the next one. The object sleeps while they wait.
  fetch() {
    if (this.ctx.getWebSockets().length >= READERS_MAX) return new Response(null, { status: 503 });
    const { 0: reader, 1: socket } = new WebSocketPair();
    this.ctx.acceptWebSocket(socket);
    return new Response(null, { status: 101, webSocket: reader });
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
