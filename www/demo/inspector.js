// Every exchange with its headers, and a shell command that repeats it.

import { $, copy, h, statusKind } from "./dom.js";
import { onExchange } from "./api.js";
import { json } from "./json.js";

const KEPT = 600;
/** Time between two updates of the list. */
const FLUSH_MS = 60;
const GROUPS = [
  ["Rate limit", /^(x-ratelimit-|ratelimit|retry-after$)/],
  ["Quotas", /^x-quota-/],
  ["Other headers", /./],
];
/** Headers of every answer that carry no information for the reader. */
const DULL = new Set(["content-length", "transfer-encoding", "connection", "keep-alive", "date", "server"]);

/** Rows by the number of the exchange. The page shows the newest first. */
const rows = new Map();
const waiting = new Set();
let filter = "all";
let shown = null;

function noted(exchange) {
  // Without this delay, a burst would lay the page out hundreds of times a second.
  if (waiting.size === 0) setTimeout(flush, FLUSH_MS);
  waiting.add(exchange);
}

function flush() {
  for (const exchange of waiting) {
    const row = rows.get(exchange.number) ?? make(exchange);
    update(row, exchange);
    if (shown === exchange) detail();
  }
  waiting.clear();
  for (const [number, row] of rows) {
    if (rows.size <= KEPT) break;
    row.item.remove();
    rows.delete(number);
  }
  $("no-exchanges").hidden = rows.size > 0;
}

function make(exchange) {
  const status = h("span", { className: "status" }, "…");
  const time = h("span", { className: "muted time" });
  const button = h("button", { type: "button", onclick: () => select(exchange) },
    status, h("span", { className: "method" }, exchange.method), h("span", { className: "path" }, exchange.path), time);
  const row = { item: h("li", {}, button), button, status, time, exchange };
  rows.set(exchange.number, row);
  $("exchanges").prepend(row.item);
  return row;
}

function update({ item, status, time }, exchange) {
  if (exchange.status || exchange.ms !== null) {
    status.className = `status ${exchange.fault ? "bad" : statusKind(exchange.status)}`;
    status.textContent = exchange.status || "–";
  }
  if (exchange.ms !== null) time.textContent = `${Math.round(exchange.ms)} ms`;
  item.hidden = !passes(exchange);
}

function passes({ method, status, ms }) {
  if (filter === "writes") return method !== "GET";
  if (filter === "refused") return ms !== null && (status >= 400 || status === 0);
  return true;
}

function select(exchange) {
  rows.get(shown?.number)?.button.removeAttribute("aria-current");
  shown = shown === exchange ? null : exchange;
  rows.get(shown?.number)?.button.setAttribute("aria-current", "true");
  detail();
}

function detail() {
  $("exchange").hidden = !shown;
  if (!shown) return;
  const { method, path, status, headers, body, text, ms, at, fault } = shown;
  const copying = h("button", { type: "button", className: "small", id: "copy-curl" }, "Copy as curl");
  copying.addEventListener("click", () => copy(copying, curl(shown)));
  const left = [...headers].filter(([name]) => !DULL.has(name) && name !== "x-request-id");
  const groups = GROUPS.map(([title, pattern]) => {
    const mine = left.filter(([name]) => pattern.test(name));
    for (const header of mine) left.splice(left.indexOf(header), 1);
    return mine.length ? section(title, pairs(mine)) : null;
  });
  $("exchange").replaceChildren(
    h("div", { className: "row" }, h("h4", {}, `${method} ${path.split("?")[0]}`), copying),
    pairs([["status", fault ?? `${status}`], ["request id", headers.get("x-request-id") ?? "–"],
      ["time", ms === null ? "…" : `${ms.toFixed(1)} ms`], ["sent", at.toISOString()]]),
    ...groups.filter(Boolean),
    ...(body === undefined ? [] : [section("Request body", json(body))]),
    section("Response body", json(text)));
}

const section = (title, content) => h("section", {}, h("h5", {}, title), content);
const pairs = (list) => h("dl", {}, ...list.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The request as a shell command. It uses a variable for the key, because people paste such lines into chats. */
export function curl({ method, path, sent, body }) {
  const parts = [`curl -i ${method === "GET" || (method === "POST" && body !== undefined) ? "" : `-X ${method} `}${quote(location.origin + path)}`];
  for (const [name, value] of Object.entries(sent)) {
    parts.push(name === "Authorization" ? '-H "Authorization: Bearer $ROLLCALL_API_KEY"' : `-H ${quote(`${name}: ${value}`)}`);
  }
  if (body !== undefined) parts.push(`-d ${quote(body)}`);
  return parts.join(" \\\n  ");
}

export function prepare() {
  onExchange(noted);
  $("clear").addEventListener("click", () => {
    rows.clear();
    waiting.clear();
    shown = null;
    $("exchanges").replaceChildren();
    detail();
    $("no-exchanges").hidden = false;
  });
  for (const button of $("filters").children) {
    button.addEventListener("click", () => {
      filter = button.dataset.filter;
      for (const other of $("filters").children) other.setAttribute("aria-pressed", other === button);
      for (const row of rows.values()) row.item.hidden = !passes(row.exchange);
    });
  }
}
