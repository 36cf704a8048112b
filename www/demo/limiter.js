// The organization's bucket, computed only from the headers of the answers.

const POLICY = /^"org";q=(\d+);w=(\d+)/;

/** The last known state: rate, size, tokens left, and the time of the answer. */
let heard = null;

export const forget = () => (heard = null);
export const known = () => heard;

/** Reads an answer's headers. Returns false when they do not describe the bucket. */
export function learn(exchange) {
  const burst = POLICY.exec(exchange.headers.get("ratelimit-policy") ?? "");
  if (!burst) return false;
  const full = Date.parse(exchange.headers.get("x-ratelimit-reset"));
  // Answers overtake each other, and a bucket's own time only goes forward. It goes back when the operator changes the
  // limits: then a request says so that was sent after the last answer arrived.
  if (heard && full < heard.full && exchange.started < heard.at) return true;
  heard = {
    perSecond: Number(exchange.headers.get("x-ratelimit-limit")),
    burst: Number(burst[1]),
    remaining: Number(exchange.headers.get("x-ratelimit-remaining")),
    full,
    at: exchange.arrived,
  };
  return true;
}

/** Tokens at an instant of `performance.now()`: the last known tokens and the refill since then. */
export function level(now) {
  if (!heard) return null;
  const since = Math.max(0, now - heard.at) / 1000;
  return Math.min(heard.burst, heard.remaining + since * heard.perSecond);
}
