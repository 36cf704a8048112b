// Where a page ended: a code that binds it to its tenant, list and order, then the last row's key.

import { authenticate } from "./api-key";
import { Fault } from "./fault";

const CODE_BYTES = 12;

export async function encode(key: string, binding: string[], secret: string): Promise<string> {
  return Buffer.concat([await code(key, binding, secret), Buffer.from(key)]).toString("base64url");
}

export async function decode(cursor: string, binding: string[], secret: string): Promise<string> {
  const bytes = Buffer.from(cursor, "base64url");
  const key = bytes.subarray(CODE_BYTES).toString();
  const given = bytes.subarray(0, CODE_BYTES);
  const expected = await code(key, binding, secret);
  const isGenuine = given.length === CODE_BYTES && crypto.subtle.timingSafeEqual(given, expected);
  // Decoding skips what is not base64, so that one cursor would have many spellings.
  if (!isGenuine || bytes.toString("base64url") !== cursor) {
    throw new Fault("invalid_request", {
      message:
        "the cursor is not one that this list gave out; pass next_cursor unchanged, with the same order and filters",
    });
  }
  return key;
}

async function code(key: string, binding: string[], secret: string): Promise<Buffer> {
  const full = await authenticate("twin cursor v1", JSON.stringify([...binding, key]), secret);
  return Buffer.from(full, 0, CODE_BYTES);
}
