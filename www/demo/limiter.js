// The organization's bucket, as the headers of the answers tell it, and nothing else.

const POLICY = /^"org";q=(\d+);w=(\d+)/;

/** What is known: rate and size, how much was left, and when we heard of it. */
let heard = null;

export const forget = () => (heard = null);
export const known = () => heard;

/** Learns from an answer; false when it says nothing of the bucket. */
export function learn(exchange) {
  const burst = POLICY.exec(exchange.headers.get("ratelimit-policy") ?? "");
  if (!burst) return false;
  const full = Date.parse(exchange.headers.get("x-ratelimit-reset"));
  // Answers overtake each other; the bucket's own time only goes forward.
  if (heard && full < heard.full && exchange.arrived - heard.at < 1000) return true;
  heard = {
    perSecond: Number(exchange.headers.get("x-ratelimit-limit")),
    burst: Number(burst[1]),
    remaining: Number(exchange.headers.get("x-ratelimit-remaining")),
    full,
    at: exchange.arrived,
  };
  return true;
}

/** Tokens at an instant of `performance.now()`: what was left, and what has come since. */
export function level(now) {
  if (!heard) return null;
  const since = Math.max(0, now - heard.at) / 1000;
  return Math.min(heard.burst, heard.remaining + since * heard.perSecond);
}
