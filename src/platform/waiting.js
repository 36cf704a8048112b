// The JavaScript half of task.rs: what it takes to wait for the platform, in as few crossings
// as can be.
import { settled } from "../../../../index.js";

// Of the module, which begins anew after a trap: what an earlier one waited for is nobody's.
let instance = 0;
// Promises that Rust has promised, by the number of the task that keeps them.
const promised = new Map();
const pauses = new Map();

export function begin() {
  instance += 1;
  // Nobody is left to keep them.
  for (const { reject } of promised.values()) reject(new Error("the module has begun anew"));
  promised.clear();
  pauses.clear();
}

function tell(wait, how, value) {
  try {
    settled(wait, how, value);
  } catch (error) {
    // A trap. Nobody is there to catch it but the entry module, which listens.
    reportError(error);
  }
}

/** Tells once what a promise comes to, or, where there is a limit, that it is late. */
export function wait(wait, promise, limitMs) {
  const mine = instance;
  let over = false;
  let timer;
  const end = (how, value) => {
    if (over || mine !== instance) return;
    over = true;
    if (timer !== undefined) clearTimeout(timer);
    tell(wait, how, value);
  };
  if (limitMs > 0) timer = setTimeout(end, limitMs, 2);
  promise.then((value) => end(0, value), (reason) => end(1, reason));
}

export function rest(wait, millis) {
  const mine = instance;
  const end = () => {
    if (mine !== instance) return;
    pauses.delete(wait);
    tell(wait, 0);
  };
  pauses.set(wait, setTimeout(end, millis));
}

/** For who does not wait any more. */
export function forget(wait) {
  const timer = pauses.get(wait);
  if (timer === undefined) return;
  clearTimeout(timer);
  pauses.delete(wait);
}

export function promise(task) {
  return new Promise((resolve, reject) => promised.set(task, { resolve, reject }));
}

export function keep(task, fulfilled, value) {
  const kept = promised.get(task);
  promised.delete(task);
  if (fulfilled) kept?.resolve(value);
  else kept?.reject(value);
}
