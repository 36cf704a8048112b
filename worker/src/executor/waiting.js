// The JavaScript half of task.rs: what it takes to wait for the platform, in as few crossings
// as can be.
import { settled } from "../../../../index.js";

// Of the module, which begins anew after a trap: what an earlier one waited for is nobody's.
let instance = 0;
// Promises that Rust has promised, by the number of the task that keeps them.
const promised = new Map();
const pauses = new Map();
// What is waited for with a limit, by the number of the task that waits.
const clocks = new Map();

// A task has one timer, whatever it waits for: one is a good part of what a short wait costs. It
// rings no later than this, so that most tasks end before it does, and looks whose limit is next.
const RING_MS = 2_000;

export function begin() {
  instance += 1;
  // Nobody is left to keep them.
  for (const { reject } of promised.values()) reject(new Error("the module has begun anew"));
  promised.clear();
  pauses.clear();
  clocks.clear();
}

function tell(number, how, value) {
  try {
    settled(number, how, value);
  } catch (error) {
    // A trap. Nobody is there to catch it but the entry module, which listens.
    reportError(error);
  }
}

/** Tells once what a promise comes to, or, where there is a limit, that it is late. */
export function wait(task, number, promise, limitMs) {
  const mine = instance;
  let over = false;
  let clock;
  const end = (how, value) => {
    clock?.limits.delete(end);
    if (over || mine !== instance) return;
    over = true;
    tell(number, how, value);
  };
  if (limitMs > 0) clock = limit(task, limitMs, end);
  promise.then((value) => end(0, value), (reason) => end(1, reason));
}

function limit(task, limitMs, end) {
  const now = Date.now();
  let clock = clocks.get(task);
  if (clock === undefined) {
    clock = { limits: new Map(), ringsAt: Infinity, timer: undefined };
    clocks.set(task, clock);
  }
  clock.limits.set(end, now + limitMs);
  if (now + limitMs < clock.ringsAt) wind(clock, now, Math.min(limitMs, RING_MS));
  return clock;
}

function wind(clock, now, millis) {
  if (clock.timer !== undefined) clearTimeout(clock.timer);
  clock.ringsAt = now + millis;
  clock.timer = setTimeout(ring, millis, clock);
}

function ring(clock) {
  // The clock that can be read may be a little behind.
  const now = Math.max(Date.now(), clock.ringsAt);
  clock.ringsAt = Infinity;
  clock.timer = undefined;
  for (const [end, until] of clock.limits) if (until <= now) end(2);
  const next = Math.min(...clock.limits.values());
  if (next < clock.ringsAt) wind(clock, now, Math.min(next - now, RING_MS));
}

export function rest(number, millis) {
  const mine = instance;
  const end = () => {
    if (mine !== instance) return;
    pauses.delete(number);
    tell(number, 0);
  };
  pauses.set(number, setTimeout(end, millis));
}

/** For who does not wait any more. */
export function forget(number) {
  const timer = pauses.get(number);
  if (timer === undefined) return;
  clearTimeout(timer);
  pauses.delete(number);
}

export function promise(task) {
  return new Promise((resolve, reject) => promised.set(task, { resolve, reject }));
}

export function keep(task, fulfilled, value) {
  const clock = clocks.get(task);
  if (clock !== undefined) {
    clearTimeout(clock.timer);
    clocks.delete(task);
  }
  const kept = promised.get(task);
  promised.delete(task);
  if (fulfilled) kept?.resolve(value);
  else kept?.reject(value);
}
