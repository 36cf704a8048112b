// Watches the JavaScript heap of a contender's isolate by the inspector's protocol: node heap.mjs PORT. It takes orders, a
// line each, and answers each with a line: `watch` begins, and `peak` ends with the most bytes that were in use, and the most
// with garbage. The bytes are those of the heap, of objects of the platform, and of buffers; the module's memory is not among
// them.
import { createInterface } from "node:readline";
import { connect } from "./inspector.mjs";

/** How long it looks away, in times of a look, so that the isolate has time for its work. A look that had to wait for the
 * isolate is no reason to look away for longer. */
const PAUSE = 6;
const PAUSE_MAX_MS = 250;
/** The isolate does not work so long without a pause. */
const LATE_MS = 60_000;

const call = await connect(process.argv[2]);

/** Ends the process when there is no answer: now and then the runtime stops to answer, and has to be started again. */
async function ask(method, params) {
  const late = setTimeout(() => process.exit(1), LATE_MS);
  const answer = await call(method, params);
  clearTimeout(late);
  return answer;
}

await ask("HeapProfiler.enable");
// No allocation is sampled. The profile is asked for because V8 collects all garbage before it makes one.
await ask("HeapProfiler.startSampling", { samplingInterval: 2 ** 30 });

/** Twice, as V8 frees the buffers of one collection by itself, and waits for that before the next one. */
async function collect() {
  await ask("HeapProfiler.getSamplingProfile");
  await ask("HeapProfiler.getSamplingProfile");
}

async function usedBytes() {
  const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await ask("Runtime.getHeapUsage");
  return usedSize + embedderHeapUsedSize + backingStorageSize;
}

let live = 0;
let withGarbage = 0;
let watching = false;
let watch = Promise.resolve();

/** The isolate answers between two turns of its event loop. */
async function look() {
  withGarbage = Math.max(withGarbage, await usedBytes());
  await collect();
  live = Math.max(live, await usedBytes());
}

async function lookOn() {
  while (watching) {
    const began = performance.now();
    await look();
    const pauseMs = Math.min(PAUSE * (performance.now() - began), PAUSE_MAX_MS);
    await new Promise((over) => setTimeout(over, pauseMs));
  }
}

const orders = {
  async watch() {
    await collect();
    live = withGarbage = 0;
    watching = true;
    watch = lookOn();
    return "watching";
  },
  async peak() {
    watching = false;
    await watch;
    await look();
    return `${live} ${withGarbage}`;
  },
};

for await (const order of createInterface(process.stdin)) console.log(await orders[order]());
process.exit(0);
