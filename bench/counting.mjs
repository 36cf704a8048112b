// A contender whose billed operations are counted: the entry module of a counting run. It wraps the bindings and the
// storage that the contender is given, and changes nothing that the contender does. `GET /__counts` answers with the
// counts, and `POST /__counts` sets them back to zero. Edge and objects share the isolate, and so the counts.
import Edge, { Organization as Shipped } from "./contender.mjs";
import { aroundCalls, replace, withBindings } from "./wrapping.mjs";

/** Numbers of operations that Cloudflare bills. */
const NOTHING = {
  requests: 0,
  calls: 0,
  alarmsRun: 0,
  alarmsSet: 0,
  objectRowsRead: 0,
  objectRowsWritten: 0,
  d1RowsRead: 0,
  d1RowsWritten: 0,
  kvReads: 0,
  kvWrites: 0,
};
let counts = { ...NOTHING };
/** How long objects were in memory and could not hibernate. */
let awakeMs = 0;
/** Rows written, by the statement that wrote them. */
const written = new Map();
/** When the alarm of each object rings. */
const alarms = new Map();

function countRows(store, sql, rowsRead, rowsWritten) {
  counts[`${store}RowsRead`] += rowsRead;
  counts[`${store}RowsWritten`] += rowsWritten;
  if (rowsWritten > 0) countWritten(`${store}: ${sql.trim().replace(/\s+/g, " ")}`, rowsWritten);
}

function countWritten(what, rows) {
  written.set(what, (written.get(what) ?? 0) + rows);
}

/** How long one object is awake. A caller or an alarm wakes it. Anything else that it begins, it begins while awake. */
class Wakefulness {
  #running = 0;
  #lastMs = Date.now();

  #pass(isAwake) {
    const nowMs = Date.now();
    if (isAwake) awakeMs += nowMs - this.#lastMs;
    this.#lastMs = nowMs;
  }
  begin(isWoken) {
    this.#pass(!isWoken || this.#running > 0);
    this.#running += 1;
  }
  end() {
    this.#pass(true);
    this.#running -= 1;
  }
  /** Runs work of the object, which may return a promise. */
  during(work, isWoken = false) {
    this.begin(isWoken);
    let result;
    try {
      result = work();
    } catch (error) {
      this.end();
      throw error;
    }
    if (typeof result?.then !== "function") {
      this.end();
      return result;
    }
    return result.then(
      (value) => {
        this.end();
        return value;
      },
      (error) => {
        this.end();
        throw error;
      },
    );
  }
}

/** The edge is billed for requests and CPU, not for the time that it waits. */
const EDGE = { during: (work) => work() };

function countedObjects(namespace) {
  return aroundCalls(namespace, (call) => {
    counts.calls += 1;
    return call();
  });
}

function countedKv(kv, who) {
  const count = (name, method) => (...args) => {
    // A read of many keys is billed as many reads.
    counts[name] += Array.isArray(args[0]) ? args[0].length : 1;
    return who.during(() => kv[method](...args));
  };
  return replace(kv, {
    get: count("kvReads", "get"),
    getWithMetadata: count("kvReads", "getWithMetadata"),
    put: count("kvWrites", "put"),
    delete: count("kvWrites", "delete"),
    list: count("kvWrites", "list"),
  });
}

function countedD1(database, who) {
  /** The text of each statement. */
  const texts = new WeakMap();
  const count = (sql, answer) => {
    countRows("d1", sql, answer.meta.rows_read, answer.meta.rows_written);
    return answer;
  };
  const counted = (sql, statement) => {
    const all = () => who.during(async () => count(sql, await statement.all()));
    const proxy = replace(statement, {
      bind: (...values) => counted(sql, statement.bind(...values)),
      all,
      run: all,
      // D1's own `first` does not say how many rows it read.
      first: async (column) => {
        const [row = null] = (await all()).results;
        return column === undefined || row === null ? row : row[column];
      },
      raw: () => {
        throw new Error("a counting run cannot count D1's raw()");
      },
    });
    texts.set(proxy, sql);
    return proxy;
  };
  return replace(database, {
    prepare: (sql) => counted(sql, database.prepare(sql)),
    batch: (statements) =>
      who.during(async () => {
        const answers = await database.batch(statements);
        return answers.map((answer, place) => count(texts.get(statements[place]), answer));
      }),
  });
}

/** The bindings as the edge or an object is given them. */
function countedBindings(env, who) {
  return withBindings(env, {
    ORGANIZATIONS: countedObjects(env.ORGANIZATIONS),
    RECORDS: countedKv(env.RECORDS, who),
    LISTING: countedD1(env.LISTING, who),
  });
}

/** Replaces methods of the storage itself: the base class accepts no proxy of a context. */
function countStorage(ctx, wakefulness) {
  const { storage } = ctx;
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  sql.exec = (text, ...values) =>
    wakefulness.during(() => {
      const cursor = exec(text, ...values);
      // The contenders read a cursor to its end before they wait for anything. Then its counts are final.
      queueMicrotask(() => countRows("object", text, cursor.rowsRead, cursor.rowsWritten));
      return cursor;
    });
  const setAlarm = storage.setAlarm.bind(storage);
  storage.setAlarm = (at, options) => {
    counts.alarmsSet += 1;
    countWritten("object: setAlarm", 1);
    alarms.set(ctx.id.toString(), Number(at));
    return setAlarm(at, options);
  };
}

export class Organization extends Shipped {
  constructor(ctx, env) {
    const wakefulness = new Wakefulness();
    countStorage(ctx, wakefulness);
    super(ctx, countedBindings(env, wakefulness));
    this.wakefulness = wakefulness;
  }
}
for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(Shipped.prototype))) {
  if (name === "constructor" || typeof value !== "function") continue;
  Organization.prototype[name] = function (...args) {
    if (name === "alarm") {
      counts.alarmsRun += 1;
      alarms.delete(this.ctx.id.toString());
    }
    return this.wakefulness.during(() => value.apply(this, args), true);
  };
}

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/__counts") {
      if (request.method === "POST") {
        counts = { ...NOTHING };
        awakeMs = 0;
        written.clear();
      }
      const next = Math.min(...alarms.values());
      const alarmInMs = Number.isFinite(next) ? next - Date.now() : null;
      return Response.json({ counts, awakeMs, written: Object.fromEntries(written), alarmInMs });
    }
    counts.requests += 1;
    return Edge.fetch(request, countedBindings(env, EDGE), ctx);
  },
};
