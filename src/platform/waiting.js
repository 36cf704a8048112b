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

function tell(number, how, value) {
  try {
    settled(number, how, value);
  } catch (error) {
    // A trap. Nobody is there to catch it but the entry module, which listens.
    reportError(error);
  }
}

/** Tells once what a promise comes to, or, where there is a limit, that it is late. */
export function wait(number, promise, limitMs) {
  const mine = instance;
  let over = false;
  let timer;
  const end = (how, value) => {
    if (over || mine !== instance) return;
    over = true;
    if (timer !== undefined) clearTimeout(timer);
    tell(number, how, value);
  };
  if (limitMs > 0) timer = setTimeout(end, limitMs, 2);
  promise.then((value) => end(0, value), (reason) => end(1, reason));
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
  const kept = promised.get(task);
  promised.delete(task);
  if (fulfilled) kept?.resolve(value);
  else kept?.reject(value);
}
