// The Worker as it ships, with stores that can be made to fail: the shipped
// entry module, its bindings wrapped. `POST /__faults` with "kv", "d1" or "objects"
// says which of them fails from now on (true), never answers ("hang") or works again (false), and with "build"
// that calls to objects come from an edge of another build. "puts" is how many puts KV still takes, as on its free
// plan; null is no limit. Objects and edge share the isolate, so one variable serves both. `GET /__calls` says how
// often each method of KV and of objects was called. Its clock can be set as well.
import Edge, { Organization as Shipped } from "./clock.mjs";

const failing = { kv: false, d1: false, objects: false, build: false, puts: null };
const calls = {};

/** Counts a call. What it gives in the place of an answer, if it is to fail. */
function fault(name, method) {
  calls[`${name}.${method}`] = (calls[`${name}.${method}`] ?? 0) + 1;
  if (name === "kv" && method === "put" && failing.puts !== null) {
    if (failing.puts === 0) return Promise.reject(new Error("KV put() limit exceeded for the day."));
    failing.puts -= 1;
  }
  if (failing[name] === "hang") return new Promise(() => {});
  if (failing[name]) return Promise.reject(new Error(`injected fault: ${name}.${method}`));
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

/** Refuses a parameter that D1 refuses, and the local D1 does not. */
function bound(values) {
  const bytes = (value) => (typeof value === "string" ? new TextEncoder().encode(value).length : 0);
  if (values.some((value) => bytes(value) > 2_000_000)) throw new Error("string or blob too big: SQLITE_TOOBIG");
  return values;
}

// D1 fails where a statement is executed, not where it is prepared.
function guardStatement(statement) {
  return new Proxy(statement, {
    get(target, property) {
      const value = Reflect.get(target, property, target);
      if (property === "bind") return (...args) => guardStatement(value.apply(target, bound(args)));
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
          getByName(name) {
            if (failing.objects === true) throw new Error("injected fault: objects.getByName");
            const methods = ["handle", "handleListed", "handleAudited"];
            const stub = guard(value.getByName(name), "objects", methods);
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

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, faulty(env));
  }
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/__calls") return Response.json(calls);
    if (pathname !== "/__faults") return Edge.fetch(request, faulty(env), ctx);
    Object.assign(failing, await request.json());
    return Response.json(failing);
  },
  scheduled: (controller, env, ctx) => Edge.scheduled(controller, faulty(env), ctx),
};
