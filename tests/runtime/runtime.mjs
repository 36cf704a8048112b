// Serves the built Worker in workerd, without the proxy that `wrangler dev`
// puts in front, on a free port. Configuration comes as JSON in the first
// argument: { state, vars, entry, ai, edges, hasFormer }. When it serves it prints one line,
// {"ready":URL}. It ends when its standard input ends, so that it never
// outlives the test that started it, however that ended. With the URL `ai` there is the
// runtime's own binding of Workers AI, whose requests go there. With `edges` above 1 there are as many isolates of the
// edge, over the same stores and objects; the line has their URLs as "others". With `hasFormer` the former build is
// there too (see rolling.mjs).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

// `import` would look through the package's five megabytes for its exports, in every process: half a second of a
// processor for each server.
const { Miniflare, convertV4MiniflareOptions } = createRequire(import.meta.url)("miniflare");

const { state, vars, entry, ai, edges, hasFormer } = JSON.parse(process.argv[2]);
const root = fileURLToPath(new URL("../../", import.meta.url));
const file = (type, path, from = path) => ({ type, path: root + path, contents: readFileSync(root + from) });
const built = (folder) => [file("ESModule", `${folder}/index.js`), file("CompiledWasm", `${folder}/index_bg.wasm`)];
const front = "tests/runtime/front.mjs";
// The first is served. The clock and the front are there for others to build on.
const entries = new Set([entry ?? front, "tests/runtime/clock.mjs", front]);
const shipped = "worker/src/entry.mjs";
const former = "tests/upgrade/former";
// Others import the shipped entry, and get both builds.
const rolling = () => [
  file("ESModule", shipped, "tests/runtime/rolling.mjs"),
  file("ESModule", "build/entry.mjs"),
  file("ESModule", `${former}/entry.mjs`),
  ...built(former),
];

const edge = (name, more) => ({
  name,
  compatibilityDate: "2026-10-01",
  compatibilityFlags: ["enable_request_signal"],
  modulesRoot: root,
  modules: [
    ...[...entries].map((path) => file("ESModule", path)),
    ...(hasFormer ? rolling() : [file("ESModule", shipped)]),
    ...built("build"),
  ],
  bindings: vars,
  kvNamespaces: { RECORDS: "records" },
  d1Databases: { LISTING: "listing", OTHER: "other" },
  ...(ai && { ai: { binding: "AI", remoteProxyConnectionString: new URL(ai) } }),
  durableObjects: { ORGANIZATIONS: { className: "Organization", useSQLite: true } },
  ...more,
});
const others = Array.from({ length: edges - 1 }, (_, index) => `edge-${index}`);
const elsewhere = {
  durableObjects: { ORGANIZATIONS: { className: "Organization", scriptName: "rollcall", useSQLite: true } },
  unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
};
const runtime = new Miniflare(convertV4MiniflareOptions({
  host: "127.0.0.1",
  port: 0,
  workers: [edge("rollcall"), ...others.map((name) => edge(name, elsewhere))],
  resourcePersistencePath: `${state}/v3`,
  cf: false,
  unsafeTriggerHandlers: true,
}));
const url = await runtime.ready;
const urls = await Promise.all(others.map((name) => runtime.unsafeGetDirectURL(name)));
console.log(JSON.stringify({ ready: url.origin, others: urls.map((url) => url.origin) }));
process.stdin.on("end", async () => {
  await runtime.dispose();
  process.exit(0);
});
process.stdin.resume();
