// The Worker as it ships, with a clock that tests set. `POST /__clock` with {"ahead_ms":N} has it go on,
// so far ahead of the machine's, and with "speed" so many times as fast; with {"at_ms":N} it stands still at that
// instant. Edge and objects share the isolate, and so the clock. Timers go on as ever while it stands still, and at its
// speed while it goes on. Alarms come by this clock while it goes on.
import Edge, { Organization as Shipped } from "./front.mjs";

const now = Date.now.bind(Date);
let setting = { ahead_ms: 0 };
let setAt = now();
const speed = () => setting.speed ?? 1;
Date.now = () => setting.at_ms ?? Math.floor(setAt + (now() - setAt) * speed() + setting.ahead_ms);

const { setTimeout } = globalThis;
globalThis.setTimeout = (work, millis, ...args) => setTimeout(work, millis / speed(), ...args);

/** When something comes by the machine's clock. */
const byMachine = (atMs) => (setting.at_ms === undefined ? Math.floor(now() + (atMs - Date.now()) / speed()) : atMs);

export class Organization extends Shipped {
  constructor(ctx, env) {
    super(ctx, env);
    const setAlarm = ctx.storage.setAlarm.bind(ctx.storage);
    Object.defineProperty(ctx.storage, "setAlarm", { value: (atMs) => setAlarm(byMachine(atMs)) });
  }
}

export default {
  ...Edge,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/__clock") return Edge.fetch(request, env, ctx);
    setting = await request.json();
    setAt = now();
    return Response.json(setting);
  },
};
