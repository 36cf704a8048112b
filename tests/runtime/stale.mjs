// The Worker as it ships, over a KV that is as stale as KV may be: the shipped
// entry module, its binding wrapped. A read is answered, one time in two, with any
// state that its key had within the last minute, absence among them, as an edge
// would that cached it then. `GET /__stale` tells how many reads were answered
// with another state than the newest.
//
// Which state a read is given depends on the variable SEED, the key and how many
// reads of the key came before, not on how requests interleave.
import Edge, { Organization as Shipped } from "../../worker/src/entry.mjs";

const STALE_FOR_MS = 60_000;
const ABSENT = { at: -Infinity, value: null };

const offered = { reads: 0, stale: 0, absent: 0 };
const histories = new Map();

function history(key, seed) {
  let held = histories.get(key);
  if (!held) {
    // The tenant, which the key begins with, is another on each run.
    held = { states: [ABSENT], random: generator(`${seed}/${key.split("/").at(-1)}`) };
    histories.set(key, held);
  }
  return held;
}

// FNV-1a to start from, mulberry32 to go on: numbers in [0, 1).
function generator(text) {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ character.codePointAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function read({ states, random }) {
  const newest = states.at(-1);
  const [keep, choice] = [random() < 0.5, random()];
  // The last state from before the minute was still in force when it began.
  const first = states.findLastIndex((state) => state.at <= Date.now() - STALE_FOR_MS);
  const possible = states.slice(first);
  const given = keep ? newest : possible[Math.floor(choice * possible.length)];
  offered.reads += 1;
  if (given.value !== newest.value) {
    offered.stale += 1;
    if (given.value === null) offered.absent += 1;
  }
  return given.value;
}

function stale(env) {
  const records = new Proxy(env.RECORDS, {
    get(target, property) {
      if (property === "get") return async (key) => read(history(key, env.SEED));
      if (property === "put") {
        return async (key, value, options) => {
          await target.put(key, value, options);
          history(key, env.SEED).states.push({ at: Date.now(), value });
        };
      }
      return Reflect.get(target, property, target);
    },
  });
  return new Proxy(env, {
    get: (target, property) => (property === "RECORDS" ? records : Reflect.get(target, property, target)),
  });
}

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, stale(env));
  }
}

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__stale") return Edge.fetch(request, stale(env), ctx);
    return Response.json(offered);
  },
  scheduled: (controller, env, ctx) => Edge.scheduled(controller, stale(env), ctx),
};
