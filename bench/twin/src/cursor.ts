// Where a page ended: a code that binds it to its tenant, list and order, then the last row's key.

import { createHmac, timingSafeEqual } from "node:crypto";
import { Fault } from "./fault";

const CODE_BYTES = 12;

export function encode(key: string, binding: string[], secret: string): string {
  return Buffer.concat([code(key, binding, secret), Buffer.from(key)]).toString("base64url");
}

export function decode(cursor: string, binding: string[], secret: string): string {
  const bytes = Buffer.from(cursor, "base64url");
  const key = bytes.subarray(CODE_BYTES).toString();
  const given = bytes.subarray(0, CODE_BYTES);
  const isGenuine = given.length === CODE_BYTES && timingSafeEqual(given, code(key, binding, secret));
  // Decoding skips what is not base64, so that one cursor would have many spellings.
  if (!isGenuine || bytes.toString("base64url") !== cursor) {
    throw new Fault("invalid_request", {
      message:
        "the cursor is not one that this list gave out; pass next_cursor unchanged, with the same order and filters",
    });
  }
  return key;
}

function code(key: string, binding: string[], secret: string): Buffer {
  const message = JSON.stringify([...binding, key]);
  return createHmac("sha256", secret).update("twin cursor v1\0").update(message).digest().subarray(0, CODE_BYTES);
}
