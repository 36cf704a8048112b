// Tests of waiting.js, which `worker/tests/waiting.rs` runs with `index.js` as the stand-in for the module.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { told } from "../../../../index.js";
import { begin, forget, keep, promise, rest, wait } from "./waiting.js";

const OK = 0;
const REJECTED = 1;
const LATE = 2;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  begin();
  told.calls = [];
  told.trap = undefined;
});
afterEach(() => mock.timers.reset());

/** A promise and its two ends. */
function open() {
  let ends;
  const opened = new Promise((resolve, reject) => (ends = { resolve, reject }));
  return { promise: opened, ...ends };
}

/** Lets every promise that is settled call back. */
async function drain() {
  for (let turn = 0; turn < 10; turn += 1) await undefined;
}

test("a promise tells once how it settles", async () => {
  wait(1, 10, Promise.resolve("a"), 0);
  wait(1, 11, Promise.reject("b"), 0);
  await drain();
  assert.deepEqual(told.calls, [[10, OK, "a"], [11, REJECTED, "b"]]);
});

test("anything with a then is waited for", async () => {
  wait(1, 10, { then: (resolve) => resolve("a") }, 5_000);
  mock.timers.tick(10_000);
  assert.deepEqual(told.calls, [[10, OK, "a"]]);
});

test("a promise that settles after its limit tells nothing more", async () => {
  const slow = open();
  wait(1, 10, slow.promise, 100);
  mock.timers.tick(99);
  assert.deepEqual(told.calls, []);
  mock.timers.tick(1);
  assert.deepEqual(told.calls, [[10, LATE, undefined]]);
  slow.resolve("a");
  await drain();
  assert.equal(told.calls.length, 1);
});

test("a limit that passes after the promise has settled tells nothing", async () => {
  wait(1, 10, Promise.resolve("a"), 100);
  await drain();
  mock.timers.tick(10_000);
  assert.deepEqual(told.calls, [[10, OK, "a"]]);
});

test("each limit of a task passes in its time, whatever order they were set in", () => {
  for (const [number, limit] of [[10, 15_000], [11, 100], [12, 3_000], [13, 2_000]]) wait(1, number, open().promise, limit);
  wait(2, 20, open().promise, 50);
  const late = [];
  for (let now = 0; now < 20_000; now += 50) {
    for (const [number] of told.calls.splice(0)) late.push([number, now]);
    mock.timers.tick(50);
  }
  assert.deepEqual(late, [[20, 50], [11, 100], [13, 2_000], [12, 3_000], [10, 15_000]]);
});

test("a task that has ended hears of no limit", async () => {
  const result = promise(1);
  wait(1, 10, open().promise, 100);
  keep(1, true, "done");
  assert.equal(await result, "done");
  mock.timers.tick(10_000);
  assert.deepEqual(told.calls, []);
});

test("the promise of a task is kept either way", async () => {
  const [fulfilled, rejected] = [promise(1), promise(2)];
  keep(2, false, "no");
  keep(1, true, "yes");
  assert.equal(await fulfilled, "yes");
  await assert.rejects(rejected, (reason) => reason === "no");
});

test("a pause ends after its time, and not once it is forgotten", () => {
  rest(10, 100);
  rest(11, 100);
  forget(11);
  mock.timers.tick(99);
  assert.deepEqual(told.calls, []);
  mock.timers.tick(1_000);
  assert.deepEqual(told.calls, [[10, OK, undefined]]);
  forget(10);
});

test("a new instance hears nothing that concerns the old one", async () => {
  const [lost, slow] = [promise(1), open()];
  wait(1, 10, slow.promise, 0);
  wait(1, 11, open().promise, 100);
  rest(12, 100);
  begin();
  await assert.rejects(lost, /begun anew/);
  // The same numbers, in the new instance.
  const kept = promise(1);
  wait(1, 10, open().promise, 500);
  slow.resolve("old");
  await drain();
  mock.timers.tick(400);
  assert.deepEqual(told.calls, []);
  mock.timers.tick(100);
  assert.deepEqual(told.calls, [[10, LATE, undefined]]);
  keep(1, true, "new");
  assert.equal(await kept, "new");
});

test("a trap is reported and not thrown", async () => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error);
  told.trap = new Error("trap");
  wait(1, 10, Promise.resolve(), 0);
  await drain();
  assert.deepEqual(reported, [told.trap]);
});
