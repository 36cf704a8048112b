// Has V8's profiler watch a contender's isolate for a while, by the inspector's protocol, and
// writes what it saw to a file, as the developer tools of browsers read it.
import { writeFileSync } from "node:fs";

const [port, seconds, file] = process.argv.slice(2);
const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const target = targets.find(({ id, title }) => `${id} ${title}`.includes("contender"));
if (!target) throw new Error(`no isolate of a contender among ${JSON.stringify(targets)}`);

const socket = new WebSocket(target.webSocketDebuggerUrl);
await new Promise((opened, failed) => Object.assign(socket, { onopen: opened, onerror: failed }));
const waiting = new Map();
socket.onmessage = ({ data }) => {
  const { id, result, error } = JSON.parse(data);
  const settle = waiting.get(id);
  if (settle) error ? settle.fail(new Error(error.message)) : settle.done(result);
};
const call = (method, params = {}) =>
  new Promise((done, fail) => {
    const id = waiting.size + 1;
    waiting.set(id, { done, fail });
    socket.send(JSON.stringify({ id, method, params }));
  });

await call("Profiler.enable");
await call("Profiler.setSamplingInterval", { interval: 100 });
await call("Profiler.start");
await new Promise((over) => setTimeout(over, seconds * 1000));
const { profile } = await call("Profiler.stop");
writeFileSync(file, JSON.stringify(profile));
process.exit(0);
