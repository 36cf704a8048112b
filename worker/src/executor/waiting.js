// The JavaScript half of promise.rs: it waits for promises and keeps timers, in as few calls between
// JavaScript and Rust as possible.
import { settled } from "../../../../index.js";

// The number of the current instance of the module. After a trap the module begins anew, and what an
// earlier instance waited for concerns no task of the new one.
let instance = 0;
// How to settle the promises of tasks, by the number of the task.
const promised = new Map();
// The timers of pauses, by the number of the wait.
const pauses = new Map();
// The clocks of tasks that wait with a limit, by the number of the task.
const clocks = new Map();

// A task has one timer for all its limits, as a timer is a large part of what a short wait costs. The timer
// rings after at most this time, so that most tasks end before it rings, and then looks for the next limit.
const RING_MS = 2_000;

/** Begins a new instance. Rejects the promises of the instance before, whose tasks are lost. */
export function begin() {
  instance += 1;
  for (const { reject } of promised.values()) reject(new Error("the module has begun anew"));
  promised.clear();
  pauses.clear();
  clocks.clear();
}

function tell(number, how, value) {
  try {
    settled(number, how, value);
  } catch (error) {
    // A trap. No caller could catch it, so it goes to the `error` listener of the entry module.
    reportError(error);
  }
}

/** Tells once how a promise settles, or, with a limit, that the limit has passed. */
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
  // `Date.now` may lag a little behind the timer.
  const now = Math.max(Date.now(), clock.ringsAt);
  clock.ringsAt = Infinity;
  clock.timer = undefined;
  for (const [end, until] of clock.limits) if (until <= now) end(2);
  const next = Math.min(...clock.limits.values());
  if (next < clock.ringsAt) wind(clock, now, Math.min(next - now, RING_MS));
}

/** Tells after a time that a pause is over. */
export function rest(number, millis) {
  const mine = instance;
  const end = () => {
    if (mine !== instance) return;
    pauses.delete(number);
    tell(number, 0);
  };
  pauses.set(number, setTimeout(end, millis));
}

/** Ends a pause that no task waits for any more. */
export function forget(number) {
  const timer = pauses.get(number);
  if (timer === undefined) return;
  clearTimeout(timer);
  pauses.delete(number);
}

/** The promise of a task. */
export function promise(task) {
  return new Promise((resolve, reject) => promised.set(task, { resolve, reject }));
}

/** Settles the promise of a task that has ended. */
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
