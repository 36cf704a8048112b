// Empties the bucket on purpose and draws it as it refills.

import { $, animate, calm } from "./dom.js";
import { call, onExchange } from "./api.js";
import * as limiter from "./limiter.js";
import { bar } from "./overview.js";

const WINDOW_MS = 12_000;
const BIN_MS = 100;
const BINS = WINDOW_MS / BIN_MS;
/** Time between two drawings: short enough to look like motion, and long enough for the requests. */
const DRAW_MS = 40;
const [WIDTH, HEIGHT] = [600, 140];
/** About the number of HTTP/1.1 requests that browsers run at once. A queued request would seem slow. */
const WORKERS = 8;
/** The request of a burst: the cheapest read. */
const PATH = "/v1/usage/turns";

/** By number of the bin since the page was opened: the answers in it, and the level at its end. */
const bins = new Map();
/** The counts of the last burst. */
const totals = { admitted: 0, refused: 0 };
let drawn = 0;
let lastEvent = -Infinity;
let retryAt = null;
let stop = null;

const binOf = (now) => Math.floor(now / BIN_MS);

function bin(number) {
  if (!bins.has(number)) bins.set(number, { admitted: 0, refused: 0, level: null });
  return bins.get(number);
}

function note(exchange) {
  if (exchange.ms === null || !limiter.learn(exchange)) return;
  const refused = exchange.status === 429 && exchange.text.includes("rate_limit_exceeded");
  bin(binOf(exchange.arrived))[refused ? "refused" : "admitted"] += 1;
  lastEvent = performance.now();
  if (refused) {
    retryAt = exchange.arrived + 1000 * Number(exchange.headers.get("retry-after"));
    const exact = JSON.parse(exchange.text).error?.details?.retry_after_ms;
    $("retry-after").title = exact === undefined ? "" : `exactly ${exact} ms`;
  }
  run();
}

const run = animate(() => {
  const now = performance.now();
  const level = limiter.level(now);
  if (level === null) return false;
  const { burst, perSecond, full } = limiter.known();
  bin(binOf(now)).level = level / burst;
  for (const number of bins.keys()) if (number < binOf(now) - BINS) bins.delete(number);

  const tokens = Math.floor(level);
  $("tokens").textContent = tokens;
  $("burst-size").textContent = burst;
  $("over-tokens").textContent = `${tokens} of ${burst}`;
  for (const gauge of [$("gauge"), $("over-tokens-bar")]) {
    bar(gauge, level / burst);
    gauge.classList.toggle("low", level / burst < 0.2);
  }
  $("gauge").setAttribute("aria-valuemax", burst);
  $("gauge").setAttribute("aria-valuenow", tokens);
  $("bucket-policy").textContent = `${perSecond} a second, bursts of ${burst}`;
  $("admitted").textContent = totals.admitted;
  $("refused").textContent = totals.refused;
  $("full-at").textContent = level >= burst ? "now" : `${((burst - level) / perSecond).toFixed(1)} s`;
  $("full-at").title = new Date(full).toISOString();
  if (retryAt !== null) {
    const left = (retryAt - now) / 1000;
    $("retry-after").textContent = left > 0 ? `${left.toFixed(2)} s` : "elapsed";
  }
  if (now - drawn > DRAW_MS) draw(now);
  return level < burst || now - lastEvent < WINDOW_MS + BIN_MS || (retryAt !== null && now < retryAt);
});

/** Stacked bars: admitted below, refused above. */
function draw(now) {
  drawn = now;
  const first = binOf(now) - BINS + 1;
  const width = WIDTH / BINS;
  const most = Math.max(12, ...[...bins.values()].map((bin) => bin.admitted + bin.refused));
  let [admitted, refused, level] = ["", "", ""];
  for (let index = 0; index < BINS; index += 1) {
    const bin = bins.get(first + index);
    if (!bin) continue;
    const x = (index * width).toFixed(1);
    const [low, high] = [bin.admitted, bin.refused].map((number) => (number / most) * (HEIGHT - 8));
    if (low) admitted += `M${x} ${HEIGHT}v${(-low).toFixed(1)}h${width - 1}v${low.toFixed(1)}z`;
    if (high) refused += `M${x} ${(HEIGHT - low).toFixed(1)}v${(-high).toFixed(1)}h${width - 1}v${high.toFixed(1)}z`;
    if (bin.level !== null) level += `${level ? "L" : "M"}${x} ${(HEIGHT - 4 - bin.level * (HEIGHT - 8)).toFixed(1)}`;
  }
  $("chart-admitted").setAttribute("d", admitted);
  $("chart-refused").setAttribute("d", refused);
  $("chart-level").setAttribute("d", level);
}

async function burst(count) {
  const aborter = new AbortController();
  stop = () => aborter.abort();
  $("burst-send").textContent = "Stop";
  totals.admitted = 0;
  totals.refused = 0;
  retryAt = null;
  $("retry-after").textContent = "–";
  $("burst-said").textContent = `Sending ${count} requests…`;
  const started = performance.now();
  let left = count;
  const worker = async () => {
    while (left > 0 && !aborter.signal.aborted) {
      left -= 1;
      const { status } = await call("GET", PATH, { signal: aborter.signal });
      if (status !== 0) totals[status === 429 ? "refused" : "admitted"] += 1;
    }
  };
  await Promise.all(Array.from({ length: Math.min(WORKERS, count) }, worker));
  const { admitted, refused } = totals;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  stop = null;
  $("burst-send").textContent = "Send requests";
  $("burst-said").textContent = `${admitted} admitted and ${refused} refused in ${seconds} s.`;
  if (refused > 0 && !aborter.signal.aborted) await retry();
}

/** Shows that `Retry-After` is true. */
async function retry() {
  const wait = retryAt - performance.now();
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)));
  const { status } = await call("GET", PATH);
  $("burst-said").textContent += ` Retried when told to: ${status}.`;
}

export function prepare() {
  onExchange(note);
  calm.addEventListener("change", run);
  const [range, number] = [$("burst-range"), $("burst-count")];
  range.addEventListener("input", () => (number.value = range.value));
  number.addEventListener("input", () => (range.value = number.value));
  $("burst").addEventListener("submit", (event) => {
    event.preventDefault();
    if (stop) stop();
    else burst(number.valueAsNumber);
  });
}

/** Starts again for another key, which has another bucket. */
export function forget() {
  limiter.forget();
  stop?.();
  stop = null;
  $("burst-send").textContent = "Send requests";
  $("burst-said").textContent = "The bucket is drawn from the response headers alone.";
  bins.clear();
  totals.admitted = 0;
  totals.refused = 0;
  retryAt = null;
  $("retry-after").textContent = "–";
}
