// The Worker as it ships, with stores and objects that can be made to fail: the shipped
// entry module, its bindings wrapped. `POST /__faults` sets, from now on:
//   "kv", "d1", "objects"  whether it works (false), fails (true) or does not answer ("hang") until it is set anew
//   "crypto"               the same of checks of signatures
//   "build"                whether calls to objects come from an edge of another build
//   "puts"                 how many puts KV still takes, as on its free plan; null is no limit
//   "reset"                how likely a call is to end its object: before it, in it, or while others are under way
//   "overloaded"           how likely an object is to turn a call away
//   "twice", "lost"        how likely a call is to be repeated by the runtime, or executed and its reply lost
//   "alarms"               whether alarms are dropped, as after six failures
//   "seed"                 where the chances begin
// Objects and edge share the isolate, so one variable serves both. `GET /__calls` says how often each method of KV and
// of objects was called, and how often each fault happened. Its clock can be set as well.
import Edge, { Organization as Shipped } from "./clock.mjs";

const failing = {
  kv: false,
  d1: false,
  objects: false,
  crypto: false,
  build: false,
  puts: null,
  reset: 0,
  overloaded: 0,
  twice: 0,
  lost: 0,
  alarms: false,
};
const calls = {};

function count(what) {
  calls[what] = (calls[what] ?? 0) + 1;
}

// xorshift32: <https://www.jstatsoft.org/article/view/v008i14>
let state = 1;

/** A number from 0 to below 1. */
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

/** Whether a fault happens this time. */
function happens(name) {
  const happened = failing[name] > 0 && random() < failing[name];
  if (happened) count(name);
  return happened;
}

/** Ends when the fault does, with an error. The timer belongs to whoever waits: no request can wake another. */
async function hang(name) {
  count(`${name}.hang`);
  while (failing[name] === "hang") await scheduler.wait(50);
  throw new Error(`injected fault: ${name} did not answer`);
}

/** Counts a call. What it gives in the place of an answer, if it is to fail. */
function fault(name, method) {
  count(`${name}.${method}`);
  if (name === "kv" && method === "put" && failing.puts !== null) {
    if (failing.puts === 0) return Promise.reject(new Error("KV put() limit exceeded for the day."));
    failing.puts -= 1;
  }
  if (failing[name] === "hang") return hang(name);
  if (failing[name]) {
    count(`${name}.failed`);
    return Promise.reject(new Error(`injected fault: ${name}.${method}`));
  }
}

function guard(binding, name, methods) {
  return new Proxy(binding, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      // A method of an object has no `apply` of its own, because every property of a stub is a call.
      const call = (...args) => Reflect.apply(value, target, args);
      return methods.includes(property) ? (...args) => fault(name, property) ?? call(...args) : call;
    },
  });
}

const { verify } = SubtleCrypto.prototype;
SubtleCrypto.prototype.verify = function (...args) {
  return fault("crypto", "verify") ?? verify.apply(this, args);
};

// The first byte of a call is the version of the protocol.
function ofAnotherBuild(stub) {
  return new Proxy(stub, {
    get: (target, method) => (call) => {
      const other = call.slice();
      other[0] += 1;
      return target[method](other);
    },
  });
}

const METHODS = ["handle", "handleListed", "handleAudited"];

/** An error with which the runtime ends a call, in the place of an answer.
 * <https://developers.cloudflare.com/durable-objects/best-practices/error-handling/> */
const platformError = (message, flags) => Object.assign(new Error(message), flags);

// What the runtime does with a call on its way. Each attempt has a stub of its own, as a stub may be broken.
async function carried(stub, method, call) {
  if (happens("overloaded")) {
    throw platformError("Durable Object is overloaded. Too many requests queued.", { overloaded: true, retryable: true });
  }
  try {
    if (happens("twice")) await stub()[method](call);
    const reply = await stub()[method](call);
    if (!happens("lost")) return reply;
  } catch (error) {
    // Some of the errors of a reset say that the call may be repeated.
    if (error.durableObjectReset && random() < 0.5) error.retryable = true;
    throw error;
  }
  throw platformError("Network connection lost.", { retryable: true });
}

function unreliable(stub) {
  const methods = METHODS.map((method) => [method, (call) => carried(stub, method, call)]);
  return { ...Object.fromEntries(methods), ping: () => stub().ping(), fetch: (...args) => listen(stub, args) };
}

// A reader of events connects.
function listen(stub, args) {
  count("objects.fetch");
  return stub().fetch(...args);
}

// D1 fails where a statement is executed, not where it is prepared.
function guardStatement(statement) {
  return new Proxy(statement, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (property === "bind") return (...args) => guardStatement(value.apply(target, args));
      if (typeof value !== "function") return value;
      return (...args) => fault("d1", property) ?? value.apply(target, args);
    },
  });
}

function faulty(env) {
  return new Proxy(env, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (property === "RECORDS") return guard(value, "kv", ["get", "put", "delete", "list"]);
      if (property === "ORGANIZATIONS") {
        return {
          getByName(...args) {
            if (failing.objects === true) {
              count("objects.failed");
              throw new Error("injected fault: objects.getByName");
            }
            const stub = guard(unreliable(() => value.getByName(...args)), "objects", METHODS);
            return failing.build ? ofAnotherBuild(stub) : stub;
          },
        };
      }
      if (property === "LISTING") {
        return new Proxy(value, {
          get(database, method) {
            if (method === "prepare") return (sql) => guardStatement(database.prepare(sql));
            if (method === "batch") {
              return (statements) => fault("d1", "batch") ?? database.batch(statements);
            }
            return Reflect.get(database, method, database);
          },
        });
      }
      return value;
    },
  });
}

// How long after a call its object may end, in milliseconds: while it flushes, or while other calls are under way.
const RESET_LATER_MS = 40;

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, faulty(env));
    count("starts");
  }

  handle(call) {
    if (!happens("reset")) return super.handle(call);
    const when = Math.floor(random() * 3);
    if (when === 0) this.end();
    const reply = super.handle(call);
    if (when === 1) this.end();
    setTimeout(() => this.end(), random() * RESET_LATER_MS);
    return reply;
  }

  end() {
    this.ctx.abort("injected reset");
  }

  alarm() {
    if (!failing.alarms) return super.alarm();
    count("alarms");
  }
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/__calls") return Response.json(calls);
    if (pathname !== "/__faults") return Edge.fetch(request, faulty(env), ctx);
    const { seed, ...faults } = await request.json();
    state = seed ?? state;
    Object.assign(failing, faults);
    return Response.json(failing);
  },
  scheduled: (controller, env, ctx) => Edge.scheduled(controller, faulty(env), ctx),
};
