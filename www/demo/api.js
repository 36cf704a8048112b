// Every request that this page sends goes through `call`, and is told to whoever listens.

let key = "";
const listeners = [];

export const setKey = (value) => (key = value);
/** Of which nobody hears: who waits for the answer to another key's request waits for good. */
const nothing = new Promise(() => {});
/** Is told of each exchange: when it starts, and when it ends. */
export const onExchange = (listener) => listeners.push(listener);

let count = 0;

/**
 * Sends a request and gives the exchange. Never throws: a connection that fails is
 * status 0. `onText` is given the text of the answer so far, as it comes.
 */
export async function call(method, path, { body, headers = {}, onText, signal } = {}) {
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
    if (onText && response.ok) await readPieces(response, exchange, onText);
    else exchange.text = await response.text();
  } catch (error) {
    exchange.fault = error.name === "AbortError" ? "Stopped" : "The Worker could not be reached";
  }
  exchange.ms = performance.now() - exchange.started;
  if (own !== key) return nothing;
  tell(exchange);
  return exchange;
}

async function readPieces(response, exchange, onText) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    exchange.text += value;
    if (exchange.sent.Authorization !== `Bearer ${key}`) return;
    tell(exchange);
    onText(exchange.text);
  }
}

function tell(exchange) {
  for (const listener of listeners) listener(exchange);
}

/**
 * Reads, and when the bucket is empty waits as long as it says and reads once more:
 * what a well-behaved client does.
 */
export async function read(path, options = {}) {
  const first = await call("GET", path, options);
  if (first.status !== 429) return first;
  const own = key;
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(first.headers.get("retry-after") ?? 1)));
  return own === key ? call("GET", path, options) : nothing;
}

/** JSON in which a number that a double cannot hold keeps its digits, where the browser can. */
export function parse(text) {
  return JSON.parse(text, (name, value, context) =>
    typeof value === "number" && JSON.rawJSON && context?.source !== undefined && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value);
}

/** What went wrong, in the server's words, of whichever dialect. */
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
