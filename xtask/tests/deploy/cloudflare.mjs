// A stand-in of Cloudflare's API and of its network, for one account: what wrangler calls to deploy Rollcall. It really
// serves what was uploaded: the modules, bindings and secrets run in the local runtime, and queries of D1's API are
// executed in the database that the Worker reads.
//
// The shapes are those that wrangler's own source reads (node_modules/wrangler/wrangler-dist/cli.js, of the version in
// package-lock.json); `api.mjs` names the function of each call. A call that is not known here is answered 501, and the
// test fails: `GET /__unknown` gives those calls.
//
// Everything outside of /client/v4 and /__ goes to the Worker. `POST /__run` begins a run of `cargo deploy`, in which
// the first call fails that never failed before, to Cloudflare or to the Worker's admin API, and with it its
// repetitions:
//   "kinds"   how calls fail, in turn. "500", "429", "auth", "drop": the call has no effect. "lost": it has, and the
//             connection ends without an answer. "hang": it has, and there is no answer until the next run begins
//   "only"    the calls that fail, if not all do
//   "part", "of"   the calls that fail are those whose number, divided by "of", leaves "part"
//   "same"    of the calls of one name in one run, so many fail: the migrations, for one, are many queries
//   "mild"    calls that fail once, after which a further one fails, because the run goes on all the same
// Without kinds nothing fails. `GET /__calls` gives the calls of this run, and which of them failed. `GET /__account`
// gives what the account holds.
import { createServer } from "node:http";

import { Account } from "./account.mjs";
import { api } from "./api.mjs";

const account = new Account(JSON.parse(process.argv[2]));
/** Of the run. */
let faults = {};
let calls = [];
let failed = [];
let isVerifying = false;
const hanging = new Set();
/** Of all runs: the numbers of all calls, and those that have failed. */
const numbers = new Map();
const failedEver = new Set();
const unknown = [];

function failure(status, code, message) {
  return { status, body: { success: false, errors: [{ code, message }], messages: [], result: null } };
}

const FAILURES = {
  500: failure(500, 10013, "injected: an unknown error has occurred"),
  429: failure(429, 10429, "injected: too many requests"),
  auth: failure(403, 10000, "injected: Authentication error"),
};

/** How this call fails, if it does. */
function failing(name) {
  const { kinds = [], only, part = 0, of = 1, same = 1, mild = [] } = faults;
  const ending = failed.find((failure) => !mild.includes(failure.name));
  if (ending) return ending.name === name ? ending.kind : undefined;
  const nth = calls.filter((call) => call === name).length;
  const key = `${name} ${nth}`;
  if (!numbers.has(key)) numbers.set(key, numbers.size);
  if (only && !only.includes(name)) return;
  if (kinds.length === 0 || nth > same || failedEver.has(key) || numbers.get(key) % of !== part) return;
  const kind = kinds[failedEver.size % kinds.length];
  failedEver.add(key);
  failed.push({ name, kind });
  return kind;
}

async function answer(name, call) {
  if (call === undefined) {
    unknown.push(name);
    return failure(501, 0, `the stand-in does not know ${name}`);
  }
  const { status = 200, error, result = null, result_info } = await call();
  if (error) return failure(status, ...error);
  return { status, body: { success: true, errors: [], messages: [], result, result_info } };
}

function send(response, { status, body, text = JSON.stringify(body), headers }) {
  response.writeHead(status, headers ?? { "Content-Type": "application/json" }).end(text);
}

/** Sends what a call is answered by, unless it fails. */
async function respond(name, response, answered) {
  calls.push(name);
  const kind = failing(name);
  if (kind === "drop") return void response.destroy();
  if (kind in FAILURES) return send(response, FAILURES[kind]);
  const respondable = await answered();
  if (kind === "hang") hanging.add(response);
  else if (kind === "lost") response.destroy();
  else send(response, respondable);
}

async function serveApi(request, response, url, body) {
  const path = url.pathname.replace("/client/v4", "");
  const { name, call } = api(account, request, path, url.searchParams, body);
  const isKnown = request.headers.authorization === "Bearer operator" || name.endsWith("/assets/upload");
  await respond(name, response, () => (isKnown ? answer(name, call) : failure(401, 10000, "Authentication error")));
}

async function serveWorker(request, response, url, body) {
  const answered = async () => {
    const answer = await account.fetch(url, request, body);
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
  };
  // Everything from there on only looks at the deployment. What it makes of faults has tests of its own.
  isVerifying ||= url.pathname === "/admin/v1/diagnostics";
  // A deployment that does not serve yet is asked for as long as it takes.
  if (isVerifying || !url.pathname.startsWith("/admin/")) return send(response, await answered());
  const path = url.pathname.replace(/(?<=organizations\/)[^/]+/, ":id").replace(/(?<=keys\/)[^/]+/, ":key");
  await respond(`Worker: ${request.method} ${path}`, response, answered);
}

async function serveTest(request, response, url, body) {
  if (url.pathname === "/__run") {
    faults = JSON.parse(body);
    [calls, failed, isVerifying] = [[], [], false];
    for (const waiting of hanging) waiting.destroy();
    hanging.clear();
  }
  const held = { "/__account": account.summary(), "/__unknown": unknown };
  send(response, { status: 200, body: held[url.pathname] ?? { calls, failed } });
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const url = new URL(request.url, "http://127.0.0.1");
  try {
    if (url.pathname.startsWith("/client/v4/")) await serveApi(request, response, url, body);
    else if (url.pathname.startsWith("/__")) await serveTest(request, response, url, body);
    else await serveWorker(request, response, url, body);
  } catch (error) {
    console.error(error);
    send(response, failure(500, 1, `the stand-in failed: ${error.message}`));
  }
});

server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ ready: `http://127.0.0.1:${server.address().port}` }));
});
// It never outlives the test that started it.
process.stdin.on("end", async () => {
  await account.dispose();
  process.exit(0);
});
process.stdin.resume();
