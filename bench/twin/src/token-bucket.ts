export interface Rate {
  perSecond: number;
  burst: number;
}

/** What a bucket answers; it travels from the object to the edge as it is. */
export interface Decision extends Rate {
  allowed: boolean;
  /** Whole tokens left. */
  remaining: number;
  /** When the bucket is full again, in milliseconds since the epoch. */
  fullAt: number;
  retryAfterMs: number;
}

/** A token bucket that refills as time passes. In memory: it is full again after an eviction. */
export class TokenBucket {
  #tokens: number | undefined;
  #at = 0;

  take({ perSecond, burst }: Rate, now: number): Decision {
    const elapsed = Math.max(0, now - this.#at);
    let tokens = Math.min(burst, (this.#tokens ?? burst) + (elapsed * perSecond) / 1000);
    const allowed = tokens >= 1;
    if (allowed) tokens -= 1;
    this.#tokens = tokens;
    this.#at = Math.max(now, this.#at);
    return {
      perSecond,
      burst,
      allowed,
      remaining: Math.floor(tokens),
      fullAt: now + Math.ceil(((burst - tokens) / perSecond) * 1000),
      retryAfterMs: allowed ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1000),
    };
  }
}
