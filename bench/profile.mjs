// Has V8's profiler watch a contender's isolate for a while, by the inspector's protocol, and
// writes what it saw to a file, as the developer tools of browsers read it.
import { writeFileSync } from "node:fs";
import { connect } from "./inspector.mjs";

const [port, seconds, file] = process.argv.slice(2);
const call = await connect(port);

await call("Profiler.enable");
await call("Profiler.setSamplingInterval", { interval: 100 });
await call("Profiler.start");
await new Promise((over) => setTimeout(over, seconds * 1000));
const { profile } = await call("Profiler.stop");
writeFileSync(file, JSON.stringify(profile));
process.exit(0);
