// The JavaScript half of http.rs. The head of a request and a whole response each take one call between
// JavaScript and Rust. Reading or writing each header by itself would take about a dozen calls of 1 to 2 µs.
const names = [
  "Authorization",
  "X-Assistant-Service-Key",
  "Content-Type",
  "Content-Length",
  "Idempotency-Key",
  "If-Match",
  "If-None-Match",
  "If-Unmodified-Since",
  "Origin",
];

/** The method, the URL, and each of these headers, each on a line of its own. None of them can hold a line feed.
 * An absent header is its name alone. */
export function head(request) {
  const { headers } = request;
  let head = `${request.method}\n${request.url}`;
  for (const name of names) {
    const value = headers.get(name);
    head += value === null ? `\n${name}` : `\n${name}:${value}`;
  }
  return head;
}

/** A promise that is fulfilled when the caller hangs up. The compatibility flag `enable_request_signal` makes the
 * platform say so. */
export function hangUp({ signal }) {
  const { promise, resolve } = Promise.withResolvers();
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}

export function respond(init, bytes, stream) {
  // A copy, as `bytes` is a view of the module's memory, which is reused.
  const body = bytes === undefined ? stream : bytes.slice();
  return new Response(body, JSON.parse(init));
}

/** A body of parts. The runtime asks for each when the reader has taken the one before, as the stream has no queue. */
export function pulled(source, context) {
  let held = source;
  const end = () => {
    held?.free();
    held = undefined;
  };
  const next = () => {
    try {
      return held.next();
    } catch (error) {
      // A trap: see `tell` in waiting.js.
      reportError(error);
      throw error;
    }
  };
  const pull = async (controller) => {
    try {
      const part = next();
      // When the caller hangs up, the part is still made, and its memory freed.
      context.waitUntil(part.catch(() => {}));
      const bytes = await part;
      if (bytes === undefined) {
        end();
        controller.close();
      } else controller.enqueue(bytes);
    } catch (error) {
      end();
      // The runtime cuts the body off.
      throw error;
    }
  };
  return new ReadableStream({ pull, cancel: end }, { highWaterMark: 0 });
}
