// Every request of this page goes through `call`, which reports it to the listeners.

let key = "";
const listeners = [];

export const setKey = (value) => (key = value);
/** Never settles. An answer to another key's request must not reach the code that waits for it. */
const nothing = new Promise(() => {});
/** Adds a listener, which is called when an exchange starts and when it ends. */
export const onExchange = (listener) => listeners.push(listener);

let count = 0;

/**
 * Sends a request and returns the exchange. Never throws: a failed connection has status 0.
 * `onPiece` gets each piece of the text as it arrives. With `keep: false` the exchange holds none of it.
 */
export async function call(method, path, { body, headers = {}, onPiece, keep = true, signal } = {}) {
  const own = key;
  const sent = { Authorization: `Bearer ${own}`, ...headers };
  if (body !== undefined) sent["Content-Type"] ??= "application/json";
  const exchange = {
    number: ++count, method, path, sent, body, at: new Date(), started: performance.now(),
    status: 0, headers: new Headers(), text: "", ms: null, fault: null,
  };
  tell(exchange);
  try {
    const response = await fetch(path, { method, headers: sent, body, signal, cache: "no-store" });
    exchange.status = response.status;
    exchange.headers = response.headers;
    exchange.arrived = performance.now();
    if (onPiece && response.ok) await readPieces(response, exchange, onPiece, keep);
    else exchange.text = await response.text();
  } catch (error) {
    exchange.fault = error.name === "AbortError" ? "Stopped" : "The Worker could not be reached";
  }
  exchange.ms = performance.now() - exchange.started;
  if (own !== key) return nothing;
  tell(exchange);
  return exchange;
}

async function readPieces(response, exchange, onPiece, keep) {
  tell(exchange);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done || exchange.sent.Authorization !== `Bearer ${key}`) return;
    if (keep) {
      exchange.text += value;
      tell(exchange);
    }
    onPiece(value);
  }
}

function tell(exchange) {
  for (const listener of listeners) listener(exchange);
}

/**
 * Reads. When the bucket is empty, waits as long as `Retry-After` says and reads once more, as a
 * well-behaved client does.
 */
export async function read(path, options = {}) {
  const first = await call("GET", path, options);
  if (first.status !== 429) return first;
  const own = key;
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(first.headers.get("retry-after") ?? 1)));
  return own === key ? call("GET", path, options) : nothing;
}

/** Parses JSON. A number that a double cannot hold keeps its digits, where the browser supports it. */
export function parse(text) {
  return JSON.parse(text, (name, value, context) =>
    typeof value === "number" && JSON.rawJSON && context?.source !== undefined && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value);
}

/** The server's description of an error, in any dialect. */
export function faultOf(exchange) {
  if (exchange.fault) return exchange.fault;
  try {
    const body = JSON.parse(exchange.text);
    const fields = body.error?.details?.fields?.map((field) => `${field.path}: ${field.message}`) ??
      body.errors?.map((error) => `${error.location}: ${error.message}`) ?? [];
    const message = body.error?.message ?? body.detail ?? `Answered ${exchange.status}`;
    return fields.length ? fields.join("; ") : message;
  } catch {
    return `Answered ${exchange.status}`;
  }
}

export const encode = encodeURIComponent;
