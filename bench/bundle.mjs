// Bundles a build of Rollcall from any folder, and puts its module of wasm beside the bundle:
// node bundle.mjs FROM TO
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const [from, to] = process.argv.slice(2).map((path) => resolve(path));

// A bundled Worker; an entry module that lies beside the bindings; the entry module of the checkout around them.
const ENTRIES = ["index.js", "entry.js", "entry.mjs", "../worker/src/entry.mjs", "../src/entry.mjs"];
const EXPORTS = ["default", "Organization"];

// A checkout's entry module names the bindings by their place in the checkout.
const bindings = {
  name: "bindings",
  setup({ onResolve }) {
    onResolve({ filter: /\/build\/index\.js$/ }, () => ({ path: join(from, "index.js") }));
  },
};

async function bundle(entry) {
  const { outputFiles, metafile } = await build({
    entryPoints: [{ in: join(from, entry), out: "index" }],
    outdir: to,
    absWorkingDir: from,
    bundle: true,
    format: "esm",
    external: ["cloudflare:*", "node:*"],
    loader: { ".wasm": "copy" },
    assetNames: "[name]",
    plugins: [bindings],
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const [{ exports }] = Object.values(metafile.outputs).filter(({ entryPoint }) => entryPoint);
  const missing = EXPORTS.filter((name) => !exports.includes(name));
  if (missing.length > 0) throw new Error(`has no export ${missing.join(" and no export ")}`);
  if (!outputFiles.some(({ path }) => path.endsWith(".wasm"))) throw new Error("imports no module of wasm");
  return outputFiles;
}

const found = ENTRIES.filter((entry) => existsSync(join(from, entry)));
const faults = [];
if (!found.includes("index.js")) faults.push("index.js: it is not there");
if (!found.some((entry) => entry !== "index.js")) faults.push("entry.mjs: it is not there");
for (const entry of found) {
  try {
    const files = await bundle(entry);
    mkdirSync(to, { recursive: true });
    for (const { path, contents } of files) writeFileSync(path, contents);
    process.exit(0);
  } catch (error) {
    const texts = error.errors?.map(({ text, location }) => `${location?.file ?? entry}: ${text}`);
    faults.push(...(texts ?? [`${entry}: ${error.message}`]));
  }
}
console.error(
  `${from} holds no Worker that can be served:
${[...new Set(faults)].map((fault) => `  ${fault}\n`).join("")}It needs one of
  - index.js, bundled, with the exports ${EXPORTS.join(" and ")}, and the module of wasm that it imports
  - index.js and index_bg.wasm, as cargo xtask build writes them to build/, and the entry module of the same
    checkout, copied beside them as entry.mjs`,
);
process.exit(1);
