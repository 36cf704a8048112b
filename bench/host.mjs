// Serves one contender in the local runtime: workerd with the simulators of KV and
// D1, reached by its own socket, without the proxy that development puts in front.
// Takes its options as JSON; prints one line of JSON once it serves.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const { main, wasm, state, flags, variables, inspector, around } = JSON.parse(process.argv[2]);
const modules = around ? wrappedModules() : [{ type: "ESModule", path: main }];
if (wasm) modules.push({ type: "CompiledWasm", path: wasm });

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    name: "contender",
    host: "127.0.0.1",
    port: 0,
    ...(inspector && { inspectorPort: inspector }),
    modules,
    modulesRoot: dirname(main),
    compatibilityDate: "2026-10-01",
    compatibilityFlags: flags,
    bindings: variables,
    kvNamespaces: { RECORDS: "records" },
    d1Databases: { LISTING: "listing" },
    durableObjects: { ORGANIZATIONS: { className: "Organization", useSQLite: true } },
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    resourcePersistencePath: state,
    handleRuntimeStdio: (stdout, stderr) => {
      stdout.resume();
      stderr.pipe(process.stderr);
    },
  }),
);
await miniflare.ready;
// The database's file is there from the first statement on.
await (await miniflare.getD1Database("LISTING")).prepare("SELECT 1").run();
const url = await miniflare.unsafeGetDirectURL();
console.log(JSON.stringify({ url: url.origin }));

/** The entry module around the contender's, and beside it what it imports, by the names by which it imports them. */
function wrappedModules() {
  const module = (file, name) => ({
    type: "ESModule",
    path: join(dirname(main), name),
    contents: readFileSync(file, "utf8"),
  });
  const beside = (name) => module(join(dirname(around), name), name);
  return [module(around, "around.mjs"), beside("wrapping.mjs"), beside("instances.mjs"), module(main, "contender.mjs")];
}
