// The JavaScript half of http.rs: one crossing for the head of a request, one for a response. Each
// takes a microsecond or two, and there would be a dozen of them.
const names = [
  "Authorization",
  "X-Assistant-Service-Key",
  "Content-Type",
  "Content-Length",
  "Idempotency-Key",
  "If-Match",
  "If-None-Match",
  "Origin",
];

/** The method, the URL, and each of these headers, on a line of its own: none of them can hold
 * a line feed. A header that is not there is its name alone. */
export function head(request) {
  const { headers } = request;
  let head = `${request.method}\n${request.url}`;
  for (const name of names) {
    const value = headers.get(name);
    head += value === null ? `\n${name}` : `\n${name}:${value}`;
  }
  return head;
}

export function respond(init, bytes, stream) {
  // A copy: what it is a view of, the memory of the module, soon holds something else.
  const body = bytes === undefined ? stream : bytes.slice();
  return new Response(body, JSON.parse(init));
}
